"""The figures of the last minutes: gains of all workers, added up by histogram."""

import json

import pytest

from overgrow.observe.metrics import BUCKETS_S, Metrics
from overgrow.observe.recent_rates import (
    MAX_FILE_BYTES,
    MAX_FILE_S,
    Gain,
    RatesFile,
    read_rates,
)
from tests.unit.observe.exchanges import NOW_S, decision, exchange

FILES = ("rates_0.jsonl", "rates_0.former")


def written(folder, slot, exchanges, now_s=NOW_S):
    """A worker's metrics with these exchanges, and its line."""
    metrics = Metrics(folder, slot)
    for each in exchanges:
        metrics.record(each)
    RatesFile().append(folder, slot, metrics.take_gains(), now_s)
    return metrics


def rates(folder, now_s=NOW_S):
    return read_rates(folder, BUCKETS_S, now_s)


def test_percentiles_are_of_all_workers_together(tmp_path):
    written(tmp_path, 0, [exchange(duration_s=0.004)] * 98).close()
    written(tmp_path, 1, [exchange(duration_s=4.0)] * 2).close()

    [found] = rates(tmp_path).values()

    assert (100, 60) == (found["last_minute"]["requests"], found["last_minute"]["window_s"])
    assert found["last_minute"]["p95_s"] < 0.005
    assert found["last_minute"]["p99_s"] > 2.5


def test_a_gain_is_counted_once(tmp_path):
    metrics = written(tmp_path, 0, [exchange()] * 3)
    again = metrics.take_gains()
    metrics.close()

    assert [] == again


def test_a_successor_does_not_count_the_totals_of_its_slot(tmp_path):
    written(tmp_path, 0, [exchange()] * 3).close()
    successor = Metrics(tmp_path, 0)
    successor.record(exchange())
    [gain] = successor.take_gains()
    successor.close()

    assert 1 == sum(gain.buckets)


@pytest.mark.parametrize(
    ("began_s", "window_s"),
    [
        pytest.param(None, 60, id="unknown"),
        pytest.param(NOW_S - 3600, 60, id="long ago"),
        pytest.param(NOW_S - 20, 20, id="twenty seconds ago"),
        pytest.param(NOW_S - 0.1, 1, id="just now"),
        pytest.param(NOW_S + 3600, 60, id="the clock was set back"),
    ],
)
def test_the_window_of_a_start_is_as_long_as_the_front_door_runs(tmp_path, began_s, window_s):
    written(tmp_path, 0, [exchange()] * 120).close()
    [found] = read_rates(tmp_path, BUCKETS_S, NOW_S, began_s).values()

    minute = found["last_minute"]
    assert (window_s, 120 / window_s) == (minute["window_s"], minute["per_second"])


def test_requests_before_a_restart_make_the_window_longer(tmp_path):
    written(tmp_path, 0, [exchange()] * 30, NOW_S - 30).close()
    [found] = read_rates(tmp_path, BUCKETS_S, NOW_S, NOW_S - 10).values()

    assert (30, 1.0) == (found["last_minute"]["window_s"], found["last_minute"]["per_second"])


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        pytest.param(59, {"last_minute", "last_five_minutes"}, id="a minute"),
        pytest.param(61, {"last_five_minutes"}, id="five minutes"),
        pytest.param(301, set(), id="older"),
    ],
)
def test_a_window_ends(tmp_path, age_s, expected):
    written(tmp_path, 0, [exchange()]).close()
    found = rates(tmp_path, NOW_S + age_s)

    assert expected == {name for figures in found.values() for name in figures}


def test_errors_have_their_number_and_share(tmp_path):
    written(tmp_path, 0, [exchange(status=500), *[exchange()] * 3]).close()
    [found] = rates(tmp_path).values()

    assert (1, 25.0) == (found["last_minute"]["errors"], found["last_minute"]["error_percent"])


def test_an_incomplete_line_hides_no_other(tmp_path):
    written(tmp_path, 0, [exchange()]).close()
    with (tmp_path / "rates_0.jsonl").open("a") as file:
        file.write("\n[17000")
    written(tmp_path, 0, [exchange()]).close()

    assert [2] == [each["last_minute"]["requests"] for each in rates(tmp_path).values()]


def test_the_files_are_bounded(tmp_path):
    metrics, file = Metrics(tmp_path, 0), RatesFile()
    for at_s in (0, MAX_FILE_S + 1, 2 * MAX_FILE_S + 2):
        metrics.record(exchange())
        file.append(tmp_path, 0, metrics.take_gains(), NOW_S + at_s)
    metrics.close()

    assert [1, 1] == [len(path.read_text().split()) for path in tmp_path.glob("rates_*")]


def test_requests_without_a_route_are_counted_as_default(tmp_path):
    written(tmp_path, 0, [exchange(decision=decision(route=None))]).close()

    assert ["default"] == [route for route, _ in rates(tmp_path)]


USUAL = [0] * (len(BUCKETS_S) + 1)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param([["orders", "legacy", 0, USUAL[1:]]], id="buckets of another version"),
        pytest.param([["orders", "legacy", 0, ["1", *USUAL[1:]]]], id="a count that is text"),
        pytest.param([["orders", "legacy", None, USUAL]], id="no number of errors"),
        pytest.param([[["orders"], "legacy", 0, USUAL]], id="a list as name"),
        pytest.param([["orders", "legacy"]], id="a part is missing"),
        pytest.param([None], id="no gain"),
        pytest.param(7, id="no list"),
    ],
)
def test_a_garbled_line_hides_no_other(tmp_path, line):
    written(tmp_path, 0, [exchange()]).close()
    with (tmp_path / "rates_0.jsonl").open("a") as file:
        file.write(f"\n{json.dumps([NOW_S, line])}")

    assert [1] == [each["last_minute"]["requests"] for each in rates(tmp_path).values()]


def test_a_deeply_nested_line_hides_no_other(tmp_path):
    written(tmp_path, 0, [exchange()]).close()
    with (tmp_path / "rates_0.jsonl").open("a") as file:
        file.write(f"\n[{NOW_S},{'[' * 200_000}")

    assert [1] == [each["last_minute"]["requests"] for each in rates(tmp_path).values()]


def test_times_before_the_clock_was_set_back_do_not_count_later(tmp_path):
    file, metrics = RatesFile(), Metrics(tmp_path, 0)
    for at_s in (NOW_S + 3600, NOW_S):
        metrics.record(exchange())
        file.append(tmp_path, 0, metrics.take_gains(), at_s)
    metrics.close()

    assert {} == rates(tmp_path, NOW_S + 3630)


def test_a_clock_that_is_corrected_by_half_a_second_drops_nothing(tmp_path):
    for at_s in (NOW_S - 5, NOW_S - 5.5):
        written(tmp_path, 0, [exchange()], at_s).close()

    [found] = rates(tmp_path).values()

    assert 2 == found["last_minute"]["requests"]


def test_requests_that_are_dated_in_the_future_do_not_count_yet(tmp_path):
    written(tmp_path, 0, [exchange()], NOW_S + 5).close()

    assert {} == rates(tmp_path)
    assert 1 == rates(tmp_path, NOW_S + 6).popitem()[1]["last_minute"]["requests"]


def test_a_file_of_rates_that_is_too_large_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr("overgrow.observe.recent_rates.MAX_FILE_BYTES", 10)
    file = RatesFile()
    for _ in range(3):
        file.append(tmp_path, 0, [Gain("a", "legacy", 0, (1,))], NOW_S)

    sizes = [len((tmp_path / name).read_text().split()) for name in FILES]

    assert [1, 1] == sizes


def test_only_the_end_of_a_huge_file_is_read(tmp_path):
    written(tmp_path, 0, [exchange()]).close()
    with (tmp_path / "rates_0.jsonl").open("ab") as file:
        file.truncate(2 * MAX_FILE_BYTES + 1024)  # a sparse file
        file.write(f"\n[{NOW_S},[]]".encode())

    assert {} == rates(tmp_path)


def test_old_lines_are_not_parsed(tmp_path, monkeypatch):
    written(tmp_path, 0, [exchange()] * 3).close()
    written(tmp_path, 0, [exchange()], NOW_S + 301).close()
    parsed = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    rates(tmp_path, NOW_S + 301)

    assert 1 == len(parsed)


class CountingLock:
    """A lock that counts how often it was taken."""

    def __init__(self):
        self.taken = 0

    def __enter__(self):
        self.taken += 1

    def __exit__(self, *_):
        pass


def test_requests_wait_for_the_gains_of_one_route_at_most(tmp_path):
    metrics = Metrics(tmp_path, 0)
    for side in ("legacy", "migrated"):
        metrics.record(exchange(decision=decision(side)))
    lock = metrics._lock = CountingLock()
    gains = metrics.take_gains()
    metrics.close()

    assert (2, 3) == (len(gains), lock.taken)  # the third time by close
