"""Noise adds up by route and hour, and is told when it has grown."""

from __future__ import annotations

from overgrow.shadow.findings.noise import Noise, measure_pair_noise
from overgrow.shadow.findings.noise_counter import NoiseCounter
from overgrow.shadow.values.snapshot import ResponseSnapshot

JSON = ((b"content-type", b"application/json"),)
PAIR = measure_pair_noise(
    "", ResponseSnapshot(200, JSON, b'{"n": 1}'), ResponseSnapshot(200, JSON, b'{"n": 2}')
)


def told(learning):
    return [
        (each.route, each.at, Noise.from_json(each.learned).pairs)
        for each in learning.pop_changed_noise()
    ]


def test_pairs_of_one_hour_add_up():
    learning = NoiseCounter()
    learning.add("orders", 3600.0, PAIR)
    learning.add("orders", 3700.0, PAIR)

    assert told(learning) == [("orders", 3700.0, 2)]


def test_what_has_not_grown_is_not_told_again():
    learning = NoiseCounter()
    learning.add("orders", 3600.0, PAIR)
    learning.pop_changed_noise()

    assert told(learning) == []


def test_what_grows_is_told_as_a_whole():
    learning = NoiseCounter()
    learning.add("orders", 3600.0, PAIR)
    learning.pop_changed_noise()
    learning.add("orders", 3601.0, PAIR)

    assert told(learning) == [("orders", 3601.0, 2)]


def test_each_hour_begins_with_nothing_and_the_last_one_is_forgotten():
    learning = NoiseCounter()
    learning.add("orders", 7199.0, PAIR)
    learning.add("orders", 7200.0, PAIR)

    assert told(learning) == [("orders", 7199.0, 1), ("orders", 7200.0, 1)]
    assert list(learning._noise) == [("orders", 2)]


def test_routes_are_kept_apart():
    learning = NoiseCounter()
    learning.add("orders", 3600.0, PAIR)
    learning.add("carts", 3600.0, PAIR)

    assert told(learning) == [("orders", 3600.0, 1), ("carts", 3600.0, 1)]
