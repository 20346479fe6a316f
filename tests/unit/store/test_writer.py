"""The writer: never in the way, survives everything, and what is lost is counted."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

from overgrow.evidence import Shape
from overgrow.store.engine import open_engine, store_url
from overgrow.store.reader import open_reader
from overgrow.store.retrying_store import RetryingStore, TakenCounts
from overgrow.store.writer import BatchLimits, Writer
from tests.locking import seen_before, who_does_not_wait
from tests.unit.store.made import WAIT_S, compared, mismatched

ROOT = Path(__file__).resolve().parents[3]
SLOW = BatchLimits(flush_s=60, batch_records=10**6)


def counted(url):
    with open_reader(url) as reader:
        return sum(status.comparisons for status in reader.shadow_status())


def until(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def test_nothing_starts_before_the_first_record(tmp_path):
    threads = threading.active_count()

    writer = Writer(store_url(tmp_path, None), tmp_path / "tallies")

    assert (threading.active_count(), list(tmp_path.iterdir())) == (threads, [])
    assert writer.close(WAIT_S)


def test_a_batch_is_stored_when_it_is_full(new_writer, url):
    writer = new_writer(url, BatchLimits(flush_s=60, batch_records=10))

    for _ in range(10):
        writer.put(compared())

    until(lambda: writer.counts.stored == 10)
    assert counted(url) == 10


def test_a_batch_is_stored_after_a_while(new_writer, url):
    writer = new_writer(url, BatchLimits(flush_s=0.01))

    writer.put(compared())

    until(lambda: writer.counts.stored == 1)
    assert counted(url) == 1


def test_several_writers_add_up(new_writer, url):
    writers = [new_writer(url, BatchLimits(flush_s=0.01, batch_records=7)) for _ in range(3)]

    for number in range(300):
        writers[number % 3].put(mismatched(f"{number % 2}" * 16, rank=f"{number:016x}"))

    assert [writer.flush(20) for writer in writers] == [True] * 3
    with open_reader(url) as reader:
        groups = reader.groups()
    assert [group.count for group in groups] == [150, 150]
    assert sorted(each.rank for each in groups[0].examples) == [
        f"{n:016x}" for n in range(0, 10, 2)
    ]


def test_records_from_many_threads_are_all_taken(new_writer, url):
    writer = new_writer(url)
    threads = [
        threading.Thread(target=lambda: [writer.put(compared()) for _ in range(200)])
        for _ in range(4)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert writer.flush(WAIT_S)
    assert (counted(url), writer.counts.stored) == (800, 800)


def test_closing_stores_what_waits(new_writer, url):
    writer = new_writer(url, SLOW)
    writer.put(compared())

    assert writer.close(WAIT_S)
    assert counted(url) == 1


def test_what_comes_after_closing_is_dropped_and_counted(tmp_path):
    writer = Writer(store_url(tmp_path, None))
    writer.close()

    writer.put(compared())

    assert (writer.counts.accepted, writer.counts.dropped) == (0, 1)


def test_a_full_queue_drops_and_counts_and_what_was_taken_is_kept(tmp_path):
    (tmp_path / "file").write_text("in the way")
    away = store_url(tmp_path / "file", None)
    writer = Writer(away, limits=BatchLimits(flush_s=0.01, queue_records=50))

    for _ in range(80):
        writer.put(compared())

    counts = writer.counts
    assert (counts.accepted, counts.dropped, counts.waiting) == (50, 30, 50)
    assert not writer.close()


def test_a_store_that_is_away_is_told_once_and_the_thread_lives_on(tmp_path, caplog):
    (tmp_path / "state").write_text("in the way")
    writer = Writer(store_url(tmp_path / "state", None), limits=BatchLimits(flush_s=0.01))

    writer.put(compared())
    until(lambda: writer.counts.problem is not None)
    writer._store._failures = 1  # the second failure is the one that is told
    writer._wake.set()
    until(lambda: caplog.records)
    (tmp_path / "state").unlink()

    assert writer.flush(WAIT_S)
    assert writer.counts.problem is None
    assert counted(store_url(tmp_path / "state", None)) == 1
    writer.close()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "cannot be used" in told[0]
    assert "is back" in told[1]


def test_a_locked_file_only_delays(tmp_path, new_writer, monkeypatch):
    monkeypatch.setattr("overgrow.store.engine.BUSY_TIMEOUT_MS", 10)
    url = store_url(tmp_path, None)
    open_engine(url).dispose()
    holder = sqlite3.connect(tmp_path / "store.sqlite3", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    writer = new_writer(url, BatchLimits(flush_s=0.01))

    writer.put(compared())
    until(lambda: writer.counts.problem is not None)
    holder.execute("COMMIT")
    holder.close()

    assert writer.flush(WAIT_S)
    assert counted(url) == 1


def test_a_read_only_store_is_switched_off_with_one_warning(tmp_path, caplog, monkeypatch):
    url = store_url(tmp_path, None)
    open_engine(url).dispose()
    monkeypatch.setattr(
        "overgrow.store.engine._configure_sqlite",
        lambda connection, _: connection.execute("PRAGMA query_only = 1").close(),
    )
    monkeypatch.setattr("overgrow.store.connection.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("overgrow.store.connection.MAX_PAUSE_S", 0.01)
    writer = Writer(url, limits=BatchLimits(flush_s=0.01))

    writer.put(compared())
    until(lambda: writer._store._failures > 5)

    assert not writer.close()
    assert "readonly" in caplog.text
    assert len(caplog.records) == 1


def test_a_deleted_file_is_made_again(tmp_path, new_writer):
    url = store_url(tmp_path, None)
    writer = new_writer(url)
    writer.put(compared())
    writer.flush(WAIT_S)
    for file in tmp_path.glob("store.sqlite3*"):
        file.unlink()

    writer.put(compared())

    assert writer.flush(WAIT_S)
    assert counted(url) == 1


def test_a_damaged_file_is_set_aside_with_one_warning(tmp_path, new_writer, caplog):
    (tmp_path / "store.sqlite3").write_bytes(b"no database" * 500)
    url = store_url(tmp_path, None)
    writers = [new_writer(url) for _ in range(2)]

    for writer in writers:
        writer.put(compared())

    assert [writer.flush(WAIT_S) for writer in writers] == [True, True]
    assert counted(url) == 2
    assert (tmp_path / "store.sqlite3.damaged").read_bytes().startswith(b"no database")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_file_damaged_while_it_is_in_use_is_set_aside(tmp_path, new_writer):
    url = store_url(tmp_path, None)
    writer = new_writer(url)
    writer.put(compared())
    writer.flush(WAIT_S)
    damage(tmp_path / "store.sqlite3")

    writer.put(compared())

    assert writer.flush(WAIT_S)
    assert (tmp_path / "store.sqlite3.damaged").exists()
    assert counted(url) == 1


def damage(file):
    """Overwrite all pages but the first, with the journal written back before."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = file.stat().st_size
    with file.open("r+b") as handle:
        handle.seek(4096)
        handle.write(b"\xff" * (size - 4096))


def test_a_batch_that_the_database_refuses_does_not_stand_in_the_way(new_writer, url, caplog):
    writer = new_writer(url)
    writer.put(compared(shape=Shape("GET", "/", status=2**70)))
    assert writer.flush(WAIT_S)

    writer.put(compared())

    assert writer.flush(WAIT_S)
    assert counted(url) == 1
    counts = writer.counts
    assert (counts.accepted, counts.stored, counts.refused) == (2, 1, 1)
    assert "refuses" in caplog.text


def test_text_that_databases_do_not_take_is_stored_all_the_same(url, new_writer, new_reader):
    writer = new_writer(url)
    writer.put(compared(route="nul\0 and half \ud800", rules=("r" * 5_000,)))

    assert writer.flush(WAIT_S)
    (status,) = new_reader().shadow_status()
    assert status.route == "nul\N{REPLACEMENT CHARACTER} and half ?"


def test_a_system_without_threads_drops_and_counts(tmp_path, monkeypatch):
    def no_thread(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    writer = Writer(store_url(tmp_path, None))

    writer.put(compared())

    assert writer.counts.dropped == 1
    assert writer.close(WAIT_S)


def test_a_writer_without_a_place_for_tallies_works(tmp_path, new_writer, caplog):
    (tmp_path / "tallies").write_text("in the way")
    writer = new_writer(store_url(tmp_path, None))

    writer.put(compared())

    assert writer.flush(WAIT_S)
    assert "will not be counted" in caplog.text


def test_what_is_over_is_removed_from_time_to_time(tmp_path, new_writer):
    url = store_url(tmp_path, None)
    writer = new_writer(url, BatchLimits(flush_s=0.01, prune_s=0))

    writer.put(compared(at=0.0))

    until(lambda: writer.counts.stored == 1 and counted(url) == 0)


def test_a_writer_shows_where_it_writes_but_no_password():
    url = store_url(Path(), "postgresql://ana:hunter2@db/evidence")

    assert "hunter2" not in repr(Writer(url))
    assert "ana" in repr(Writer(url))


SCRIPT = """
    import sys, time
    from pathlib import Path
    from overgrow.store.engine import store_url
    from overgrow.store.writer import BatchLimits, Writer
    from tests.unit.store.made import compared

    writer = Writer(store_url(Path(sys.argv[1]), sys.argv[2] or None), Path(sys.argv[1]) / "tallies",
                    BatchLimits(flush_s=60, batch_records=10**6, queue_records=1100))
    for _ in range(1000):
        writer.put(compared())
"""


def python(tmp_path, url, rest):
    asked = "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=False)
    code = textwrap.dedent(SCRIPT) + textwrap.dedent(rest)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), asked],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_kill_9_loses_the_last_batch_at_most_and_the_next_writer_counts_it(
    tmp_path, url, new_writer, caplog
):
    process = python(
        tmp_path,
        url,
        """
        assert writer.flush(30)
        for _ in range(1137):
            writer.put(compared())
        print("ready", flush=True)
        time.sleep(60)
        """,
    )
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    writer = new_writer(url)
    writer.put(compared())
    assert writer.flush(WAIT_S)

    assert counted(url) == 1000 + 1
    with open_reader(url) as reader:
        losses = reader.losses()
    assert (losses.lost, losses.dropped) == (1100, 37)
    assert "killed before it stored 1100 records" in caplog.text
    assert writer.close(WAIT_S)
    assert list((tmp_path / "tallies").iterdir()) == []


def test_a_process_that_ends_without_closing_stores_what_waits(tmp_path, url):
    process = python(tmp_path, url, "")

    process.communicate(timeout=90)

    assert (process.returncode, counted(url)) == (0, 1000)


def test_whatever_counts_records_waits_for_the_lock_of_the_writer(tmp_path):
    # Without it two threads race for the last place, and counts are lost.
    writer = Writer(store_url(tmp_path, None), limits=SLOW)
    works = {
        "putting": lambda: writer.put(compared()),
        "counting": lambda: writer.counts,
        "taking": writer._take_queue,
        "closing": lambda: writer.close(0.0),
    }

    assert who_does_not_wait(writer._lock, works) == []
    writer.close()


def test_a_batch_under_way_takes_its_room_in_the_queue(tmp_path, monkeypatch):
    writer = Writer(store_url(tmp_path, None), limits=BatchLimits(flush_s=60, queue_records=3))
    storing, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(writer._store, "put", lambda *_: storing.set() or go_on.wait(60))
    writer.put(compared())
    writer.put(compared())
    writer._wake.set()
    assert storing.wait(60)

    for _ in range(3):
        writer.put(compared())

    assert (writer.counts.accepted, writer.counts.dropped) == (3, 2)
    go_on.set()
    assert writer.close(WAIT_S)


def test_pruning_waits_for_its_period(tmp_path, new_writer, monkeypatch):
    writer = new_writer(store_url(tmp_path, None), BatchLimits(flush_s=0.01, prune_s=3600))
    pruned = []
    monkeypatch.setattr(writer._store, "prune", pruned.append)

    for number in range(3):
        writer.put(compared())
        until(lambda stored=number + 1: writer.counts.stored == stored)

    assert pruned == []


def test_the_pause_doubles_with_each_failure_up_to_a_minute(tmp_path):
    store = RetryingStore(store_url(tmp_path, None), None, time.time)
    pauses = []
    for failures in (0, 1, 2, 6, 7, 100):
        store._failures = failures
        pauses.append(store.pause_s)

    assert pauses == [0.5, 1.0, 2.0, 32.0, 60.0, 60.0]


def test_a_store_that_came_back_is_tried_again_as_if_new(tmp_path, monkeypatch):
    store = RetryingStore(store_url(tmp_path, None), None, time.time)
    store._failures = 5

    assert store.put([compared()], TakenCounts(1, 0))
    assert (store._failures, store.pause_s) == (0, 0.5)
    store.close(TakenCounts(1, 0))


def test_a_writer_is_not_closing_while_somebody_puts(tmp_path):
    writer = Writer(store_url(tmp_path, None), limits=SLOW)

    assert seen_before(writer._lock, writer.close, lambda: writer._closing) is False
    assert writer._closing
