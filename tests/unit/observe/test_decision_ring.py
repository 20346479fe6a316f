"""The ring of decisions: numbered by all workers together, read without a lock, bounded, whole or not at all."""

import fcntl
import os
import threading

import pytest

from overgrow.exchange import Failure
from overgrow.observe.decision_ring import (
    MAX_TEXT_BYTES,
    MOST,
    DecisionRing,
    RingBusy,
    read_decisions,
    read_newest_decisions,
)
from tests.unit.observe.exchanges import decision, encode_exchange, exchange, head


def text_of(target=b"/orders/17", slot=0, **given):
    return encode_exchange(exchange(head=head(target), **given), slot, MAX_TEXT_BYTES)


def write(folder, slot, *targets, skipped=0, ring=None):
    texts = [text_of(target, slot) for target in targets]
    (ring or DecisionRing()).write(folder, slot, texts, skipped)


def paths(page):
    return [record.path for record in page.records]


def test_a_record_says_who_answered_what_and_how(tmp_path):
    sent = [(b"traceparent", b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01")]
    failure = Failure("legacy-connect", "connect", "legacy")
    seen = exchange(
        side="legacy", status=502, failure=failure, head=head(b"/orders/17?token=x", headers=sent)
    )
    DecisionRing().write(tmp_path, 3, [encode_exchange(seen, 3, MAX_TEXT_BYTES)], 0)

    [record] = read_decisions(tmp_path).records
    assert {
        "seq": 1,
        "at": "2023-11-14T22:13:20.250Z",
        "slot": 3,
        "method": "GET",
        "path": "/orders/17",
        "route": "orders",
        "side": "legacy",
        "reason": "target",
        "status": 502,
        "duration_s": 0.003,
        "failure": "legacy-connect",
        "trace_id": "ab" * 16,
    } == record.as_json()


def test_workers_number_their_decisions_together(tmp_path):
    write(tmp_path, 0, b"/a", b"/b")
    write(tmp_path, 1, b"/c")
    write(tmp_path, 0, b"/d")

    page = read_decisions(tmp_path)
    assert [(1, "/a"), (2, "/b"), (3, "/c"), (4, "/d")] == [(r.seq, r.path) for r in page.records]


def test_the_newest_decisions_are_those_of_the_latest_time(tmp_path):
    late = [text_of(b"/late", 0, started_at=20.0)]
    DecisionRing().write(tmp_path, 0, late, 0)
    early = [text_of(b"/early", 1, started_at=at_s) for at_s in (1.0, 2.0, 3.0)]
    DecisionRing().write(tmp_path, 1, early, 0)  # a worker that wrote late what came early

    assert [2.0, 3.0, 20.0] == [each.at_s for each in read_newest_decisions(tmp_path, 2).records]


def test_after_a_number_come_the_later_decisions_only(tmp_path):
    write(tmp_path, 0, b"/a")
    seen = read_decisions(tmp_path)
    write(tmp_path, 1, b"/b")

    page = read_decisions(tmp_path, seen.last_seq)
    assert (["/b"], 2, 0) == (paths(page), page.last_seq, page.missed)


def test_each_worker_keeps_its_last_decisions(tmp_path):
    write(tmp_path, 0, b"/quiet")
    ring = DecisionRing()
    for number in range(0, 2 * MOST, 400):
        write(tmp_path, 1, *(b"/%d" % (number + at) for at in range(400)), ring=ring)

    page = read_decisions(tmp_path, 1)
    assert [f"/{number}" for number in range(MOST, 2 * MOST)] == paths(page)
    assert MOST == page.missed
    assert "/quiet" == read_decisions(tmp_path).records[0].path


def test_skipped_decisions_are_reported_as_missed(tmp_path):
    write(tmp_path, 0, b"/a")
    write(tmp_path, 0, b"/b", skipped=7)

    page = read_decisions(tmp_path, 1)
    assert (["/b"], 9, 7) == (paths(page), page.last_seq, page.missed)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/" + "a" * 60_000, id="60 kB"),
        pytest.param("/" + '\\"\x01' * 500, id="escapes"),
        pytest.param("/" + "é\u202e" * 500, id="bidi"),
        pytest.param("/" + "a" * 380, id="nearly too long"),
    ],
)
def test_a_long_path_is_cut_and_says_so(tmp_path, path):
    write(tmp_path, 0, path.encode())

    [record] = read_decisions(tmp_path).records
    assert record.path == path or (record.path.endswith("...") and len(record.path) > 40)
    assert path.startswith(record.path.removesuffix("..."))


def test_a_long_name_of_a_route_leaves_room_for_the_path(tmp_path):
    route = decision().route
    seen = exchange(decision=decision()._replace(route=type(route)("r" * 5000, path="/x")))
    DecisionRing().write(tmp_path, 0, [encode_exchange(seen, 0, MAX_TEXT_BYTES)], 0)

    [record] = read_decisions(tmp_path).records
    assert ("/orders/17", 200) == (record.path, len(record.route))


def test_a_path_that_is_not_utf_8_is_escaped(tmp_path):
    write(tmp_path, 0, b"/\xff\xfe")

    assert ["/\\xff\\xfe"] == paths(read_decisions(tmp_path))


def test_a_worker_killed_while_writing_leaves_a_gap(tmp_path, monkeypatch):
    write(tmp_path, 0, b"/a")
    monkeypatch.setattr(os, "pwrite", killed_at(2, os.pwrite))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 0, b"/lost", b"/lost")
    monkeypatch.undo()
    assert ["/a"] == paths(read_decisions(tmp_path))

    write(tmp_path, 1, b"/b")
    page = read_decisions(tmp_path, 1)
    assert (["/b"], 2) == (paths(page), page.missed)


def test_a_reader_sees_no_decision_before_it_is_whole(tmp_path, monkeypatch):
    write(tmp_path, 0, b"/a")
    pages, pwrite = [], os.pwrite

    def look_and_write(*arguments):
        pages.append(read_decisions(tmp_path, 1))
        return pwrite(*arguments)

    monkeypatch.setattr(os, "pwrite", look_and_write)
    write(tmp_path, 0, b"/b")

    assert {((), 1, 0, False)} == set(pages)


def test_a_record_that_changed_under_the_reader_is_left_out(tmp_path):
    write(tmp_path, 0, b"/a", b"/b")
    ring = tmp_path / "decisions_0.ring"
    ring.write_bytes(ring.read_bytes().replace(b"/b", b"/c"))

    assert ["/a"] == paths(read_decisions(tmp_path))


def killed_at(number, pwrite):
    """A pwrite during whose `number`th call the process dies."""
    left = iter(range(number - 1))

    def write_part(descriptor, data, position):
        if next(left, None) is None:
            pwrite(descriptor, data[: len(data) // 2], position)
            raise KeyboardInterrupt
        return pwrite(descriptor, data, position)

    return write_part


@pytest.mark.parametrize("size", [0, 10, 64, 64 + 100, 64 + 512 + 9])
def test_a_ring_that_was_cut_off_hides_no_other(tmp_path, size):
    write(tmp_path, 0, b"/cut", b"/cut")
    write(tmp_path, 1, b"/whole")
    os.truncate(tmp_path / "decisions_0.ring", size)

    assert "/whole" == paths(read_decisions(tmp_path))[-1]
    write(tmp_path, 0, b"/again")
    assert "/again" == paths(read_decisions(tmp_path))[-1]


@pytest.mark.parametrize("name", ["decisions_0.ring", "decisions.seq"])
@pytest.mark.parametrize(
    "junk", [b"OGD2" + b"\0" * 60, os.urandom(5000), b"{}"], ids=["newer", "random", "json"]
)
def test_a_file_of_another_version_does_no_harm(tmp_path, name, junk):
    write(tmp_path, 1, b"/a")
    (tmp_path / name).write_bytes(junk)
    write(tmp_path, 0, b"/b")

    assert ["/a", "/b"] == paths(read_decisions(tmp_path))


def test_numbers_go_on_after_the_counter_was_removed(tmp_path):
    write(tmp_path, 0, b"/a", b"/b")
    (tmp_path / "decisions.seq").unlink()
    write(tmp_path, 1, b"/c")

    assert ["/c"] == paths(read_decisions(tmp_path, 2))


def test_numbers_go_on_after_the_whole_folder_was_removed(tmp_path):
    ring = DecisionRing()
    write(tmp_path, 0, b"/a", b"/b", ring=ring)
    for path in tmp_path.iterdir():
        path.unlink()
    write(tmp_path, 0, b"/c", ring=ring)

    assert [3] == [record.seq for record in read_decisions(tmp_path, 2).records]


def test_a_reader_notices_that_the_numbers_began_again(tmp_path):
    write(tmp_path, 0, b"/a")

    page = read_decisions(tmp_path, 500)
    assert (["/a"], True, 0) == (paths(page), page.has_restarted, page.missed)


def test_a_reader_of_no_ring_sees_nothing(tmp_path):
    assert ((), 0) == read_decisions(tmp_path / "none")[:2]


def test_a_worker_waits_for_another_that_writes(tmp_path):
    write(tmp_path, 0, b"/a")
    descriptor = os.open(tmp_path / "decisions.seq", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    with pytest.raises(RingBusy):
        write(tmp_path, 1, b"/b")
    os.close(descriptor)
    write(tmp_path, 1, b"/b")
    assert ["/a", "/b"] == paths(read_decisions(tmp_path))


def test_a_reader_gets_each_decision_once_while_workers_write(tmp_path):
    each, rounds = 40, 30
    workers = [
        threading.Thread(target=write_many, args=(tmp_path, slot, each, rounds)) for slot in (0, 1)
    ]
    for worker in workers:
        worker.start()
    seen, missed, after = [], 0, 0
    while len(seen) + missed < 2 * each * rounds:
        page = read_decisions(tmp_path, after)
        seen += [record.seq for record in page.records]
        missed, after = missed + page.missed, page.last_seq
    for worker in workers:
        worker.join()

    assert sorted(set(seen)) == seen
    assert 2 * each * rounds == after == len(seen) + missed


def write_many(folder, slot, each, rounds):
    ring, targets = DecisionRing(), [b"/x"] * each
    while rounds:
        try:
            write(folder, slot, *targets, ring=ring)
            rounds -= 1
        except RingBusy:
            pass
