"""Counting by path: what is kept, what is hidden, and how memory stays bounded."""

from __future__ import annotations

import json

import pytest

from overgrow.inventory import tally as module
from overgrow.inventory.logs.log_line import LogLine
from overgrow.inventory.path_count import PathCount, duration_bucket, path_count_from
from overgrow.inventory.tally import Tally, template_of_raw


def line(path=b"/orders/7", **given):
    return LogLine(**{"method": "GET", "target": path, "status": 200, "client": b"a", **given})


def count_all(lines):
    tally = Tally()
    for each in lines:
        tally.count(each)
    return tally


def test_requests_are_counted_by_template_method_and_status():
    tally = count_all([line(b"/orders/7"), line(b"/orders/8"), line(b"/orders/9", method="PUT")])

    (found,) = tally.paths.values()

    assert ("/orders/<int:id>", 3) == (found.path, found.requests)
    assert {"GET": 2, "PUT": 1} == found.methods


def test_no_secret_is_kept():
    secret = "Zx81kQpL0vNw72TbRs94"
    tally = count_all(
        [
            line(f"/reset/{secret}?token={secret}".encode()),
            line(f"/u/{secret}%40example.com".encode()),
        ]
    )

    assert secret not in json.dumps([each.as_data() for each in tally.paths.values()])
    assert secret not in "".join(tally.paths)


def test_few_clients_are_counted_and_many_estimated():
    few, many = (count_all(line(client=b"%d" % n) for n in range(most)) for most in (3, 1000))

    assert next(iter(few.paths.values())).clients == 3
    assert 800 <= next(iter(many.paths.values())).clients <= 1200


def test_the_95th_percentile_is_near():
    tally = count_all(line(duration_s=n / 1000) for n in range(1, 101))
    (found,) = tally.paths.values()

    assert found.p95_s is not None
    assert 0.095 <= found.p95_s <= 0.095 * 1.25


def test_a_duration_of_zero_has_a_bucket():
    assert duration_bucket(0.0) < duration_bucket(0.001) < duration_bucket(1.0)


def test_counts_survive_the_store():
    tally = count_all([line(at=5.0, duration_s=0.1, size=3, agent=b"Mozilla/5.0"), line(at=9.0)])
    (found,) = tally.paths.values()
    data = json.loads(json.dumps(found.as_data()))

    read = path_count_from(found.path, found.requests, found.first_at, found.last_at, data)

    assert found.as_data() == read.as_data()
    assert (5.0, 9.0, 2) == (read.first_at, read.last_at, read.requests)


def test_two_counts_are_added():
    one, two = PathCount("/a", "/a"), next(iter(count_all([line(duration_s=1.0)]).paths.values()))

    one.add(two)

    assert two.as_data() | {"example": "/a"} == one.as_data()


def test_what_scanners_try_is_dropped_before_anything_else(monkeypatch):
    monkeypatch.setattr(module, "MAX_PATHS", 50)
    words = [f"/{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"]
    tally = count_all(
        [line(b"/real"), *(line(word.encode(), status=404) for word in words), line(b"/also")]
    )

    assert len(tally.paths) <= 50
    assert {"/real", "/also"} <= tally.paths.keys()
    assert sum(each.requests for each in tally.paths.values()) + tally.dropped == 102


def test_a_dropped_path_that_comes_again_is_not_deleted(monkeypatch):
    monkeypatch.setattr(module, "MAX_PATHS", 5)
    tally = count_all(line(f"/{letter}".encode()) for letter in "abcdefa")

    changed, removed = tally.take_changed()

    assert removed.isdisjoint(each.path for each in changed)


def test_only_changed_paths_are_to_be_stored():
    tally = count_all([line(b"/a"), line(b"/b")])
    tally.take_changed()
    tally.count(line(b"/b"))

    changed, _ = tally.take_changed()

    assert ["/b"] == [each.path for each in changed]


def test_methods_without_end_share_one_count():
    tally = count_all(line(method=f"M{n}") for n in range(100))
    (found,) = tally.paths.values()

    assert (100, True) == (sum(found.by.values()), len(found.by) <= 41)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("/" + "ä" * 79 + ("/" + "ö" * 79) * 11, id="many long words"),
        pytest.param("/a" * 600, id="deep"),
        pytest.param("/%00%ff%2e", id="escapes that are no text"),
    ],
)
def test_a_template_fits_the_index_of_a_database(raw):
    template, _ = template_of_raw(raw.encode())

    assert len(template.encode()) <= 1000
    assert template.isprintable()
