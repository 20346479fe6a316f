"""Counts of paths that no route takes: bounded, with a known error, over restarts."""

import errno
import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from overgrow.observe import unrouted
from overgrow.observe.recent_exchanges import MAX_PATHS, RecentExchanges
from overgrow.observe.unrouted import (
    MOST,
    PERIOD_S,
    UnroutedFile,
    UnroutedRequest,
    read_unrouted,
)
from tests.unit.observe.exchanges import NOW_S, decision, exchange, head


def counted(*paths, method="GET", status=200, times=1):
    return {UnroutedRequest(method, path, status): times for path in paths}


def add(folder, requests, slot=0, now_s=NOW_S, *, overflow=0, file=None):
    file = file or UnroutedFile()
    file.add(folder, slot, requests, overflow, now_s)
    file.write(now_s)
    return file


def busiest(folder, now_s=NOW_S):
    return [(name, each.requests) for name, each in read_unrouted(folder, now_s).busiest()]


def test_paths_that_differ_in_ids_alone_are_one_template(tmp_path):
    add(tmp_path, counted(b"/orders/1", b"/orders/2", b"/about"))

    assert [("/orders/<int:id>", 2), ("/about", 1)] == busiest(tmp_path)


def test_a_template_has_methods_statuses_an_example_and_its_last_hit(tmp_path):
    requests = (
        counted(b"/orders/1", times=5)
        | counted(b"/orders/2", status=404, times=2)
        | counted(b"/orders/3", method="POST", status=500)
    )
    add(tmp_path, requests)

    found = read_unrouted(tmp_path, NOW_S).templates["/orders/<int:id>"]
    assert (8, 2, 1, {"GET": 7, "POST": 1}) == (
        *(found.requests, found.not_found, found.errors),
        found.methods,
    )
    assert ("/orders/3", NOW_S) == (found.example, found.last_s)


def test_workers_are_added_up(tmp_path):
    add(tmp_path, counted(b"/orders/1", times=3))
    add(tmp_path, counted(b"/orders/2", times=4), slot=1, now_s=NOW_S + 9)

    found = read_unrouted(tmp_path, NOW_S + 10)
    [(_, orders)] = found.busiest()
    assert (7, 7, "/orders/2", NOW_S) == (
        *(found.requests, orders.requests),
        *(orders.example, found.began_s),
    )


def test_a_successor_goes_on_from_the_counts_of_its_slot(tmp_path):
    add(tmp_path, counted(b"/orders/1", times=3))
    add(tmp_path, counted(b"/orders/1", times=4))

    assert [("/orders/<int:id>", 7)] == busiest(tmp_path)


def test_counts_move_along_to_another_folder(tmp_path):
    for name in ("temporary", "state"):
        (tmp_path / name).mkdir()
    add(tmp_path / "state", counted(b"/a"))
    file = add(tmp_path / "temporary", counted(b"/b", times=2))
    add(tmp_path / "state", counted(b"/b"), file=file)

    assert [("/b", 3), ("/a", 1)] == busiest(tmp_path / "state")


def test_counts_of_another_slot_are_not_counted_twice(tmp_path):
    file = UnroutedFile()
    file.add(tmp_path, 0, counted(b"/a"), 0, NOW_S)
    add(tmp_path, counted(b"/a"), slot=1, file=file)

    assert [("/a", 2)] == busiest(tmp_path)


def test_100_000_paths_take_bounded_room_and_the_busiest_stay(tmp_path):
    file = UnroutedFile()
    for number in range(0, 100_000, 200):
        words = [b"/w%s" % _word(number + at) for at in range(200)]
        add(tmp_path, counted(*words) | counted(b"/busy", times=3), file=file)

    found = read_unrouted(tmp_path, NOW_S)
    assert 2 * MOST >= len(found.templates)
    assert (tmp_path / "unrouted_0.json").stat().st_size < 400_000
    assert ("/busy", 1500) == busiest(tmp_path)[0]
    assert 0 < found.dropped_most <= 100_000 / MOST
    assert 101_500 == found.requests


def _word(number):
    return "".join(chr(97 + int(digit)) for digit in str(number)).encode()


def test_a_template_that_comes_late_says_how_many_may_be_missing(tmp_path):
    file = UnroutedFile()
    for number in range(0, 3 * MOST, 100):
        add(tmp_path, counted(*(b"/w%s" % _word(number + at) for at in range(100))), file=file)
    add(tmp_path, counted(b"/late"), file=file)

    found = read_unrouted(tmp_path, NOW_S)
    late = found.templates["/late"]
    assert (1, 1 + found.dropped_most) == (late.requests, late.most)


def test_a_path_with_two_readings_is_counted_but_not_listed(tmp_path):
    add(tmp_path, counted(b"/a/%2e%2e/b", b"/a"), overflow=3)

    found = read_unrouted(tmp_path, NOW_S)
    assert (5, 4, ["/a"]) == (found.requests, found.unread, list(found.templates))
    assert 3 == found.missing_at_most


def test_the_former_period_is_counted_too_and_an_older_one_is_not(tmp_path):
    file = add(tmp_path, counted(b"/old"))
    add(tmp_path, counted(b"/new"), now_s=NOW_S + PERIOD_S + 1, file=file)
    assert {"/old", "/new"} == set(read_unrouted(tmp_path, NOW_S + PERIOD_S + 1).templates)

    later_s = NOW_S + 2 * PERIOD_S + 1
    assert {"/new"} == set(read_unrouted(tmp_path, later_s).templates)


def test_requests_on_a_full_disk_are_counted_and_written_later(tmp_path, full_disk):
    file = add(tmp_path, counted(b"/a"))
    later_s = NOW_S + PERIOD_S + 1
    with full_disk(), pytest.raises(OSError, match="No space"):
        file.add(tmp_path, 0, counted(b"/a"), 0, later_s)
    add(tmp_path, {}, now_s=later_s, file=file)

    assert [("/a", 2)] == busiest(tmp_path, later_s)


@pytest.fixture
def full_disk(monkeypatch):
    """While it is entered, no file can be written."""

    @contextmanager
    def fill():
        with monkeypatch.context() as patched:
            patched.setattr(Path, "write_bytes", refuse)
            yield

    return fill


def refuse(path, _data):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def test_a_clock_that_is_set_back_loses_no_count(tmp_path):
    file = add(tmp_path, counted(b"/a"))
    add(tmp_path, counted(b"/a"), now_s=NOW_S - 2 * PERIOD_S, file=file)

    assert [("/a", 2)] == busiest(tmp_path, NOW_S - 2 * PERIOD_S)


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": 2}',
        b'{"version": 1, "templates": []}',
        b'{"version": 1, "began_s": 1, "templates": {"/": {"requests": 1, "new": 2}}}',
    ],
)
def test_a_damaged_file_is_replaced(tmp_path, junk):
    (tmp_path / "unrouted_0.json").write_bytes(junk)
    assert read_unrouted(tmp_path, NOW_S) is None

    add(tmp_path, counted(b"/a"))
    assert [("/a", 1)] == busiest(tmp_path)


def test_a_large_file_is_written_less_often(tmp_path, monkeypatch):
    monkeypatch.setattr(unrouted, "WRITE_BYTES_PER_S", 1)
    file = UnroutedFile()
    file.add(tmp_path, 0, counted(b"/a"), 0, NOW_S)
    file.add(tmp_path, 0, counted(b"/b"), 0, NOW_S + 1)
    assert {"/a"} == set(read_unrouted(tmp_path, NOW_S).templates)

    file.add(tmp_path, 0, {}, 0, NOW_S + 1000)
    assert {"/a", "/b"} == set(read_unrouted(tmp_path, NOW_S).templates)


def test_the_file_contains_no_query_and_no_token(tmp_path):
    sink = RecentExchanges()
    target = b"/reset/eyJhbGciOiJIUzI1NiJ9AbCdEf?email=bob@example.com"
    sink.record(exchange("legacy", head=head(target), decision=decision("legacy", None)))
    add(
        tmp_path,
        {UnroutedRequest(*key): each for key, each in sink.take_unrouted().counted.items()},
    )

    text = (tmp_path / "unrouted_0.json").read_text()
    assert {"/reset/<token>"} == set(json.loads(text)["templates"])
    assert "bob" not in text
    assert "eyJ" not in text


def test_only_requests_without_a_route_are_counted_by_path():
    sink = RecentExchanges()
    sink.record(exchange())
    sink.record(exchange("legacy", decision=decision("legacy", None)))

    assert ({("GET", b"/orders/17", 200): 1}, 0) == sink.take_unrouted()
    assert ({}, 0) == sink.take_unrouted()


def test_too_many_paths_at_once_are_counted_but_not_looked_at():
    sink = RecentExchanges()
    for number in range(MAX_PATHS + 5):
        each = head(b"/%d" % number)
        sink.record(exchange("legacy", head=each, decision=decision("legacy", None)))

    recent = sink.take_unrouted()
    assert (MAX_PATHS, 5) == (len(recent.counted), recent.overflow)
