"""The spool: first in, first out, bounded, and never in the way when the disk is full."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from overgrow.slow_clients.spool import BLOCK_BYTES, MAX_BYTES, FileSpool
from tests.locking import seen_before, waits_for, who_does_not_wait


@pytest.fixture
def spool(tmp_path):
    made = FileSpool([tmp_path], max_bytes=4 * BLOCK_BYTES)
    yield made
    made.close()


def drained(spooled, max_bytes=10**6):
    return b"".join(iter(lambda: spooled.take(max_bytes), b""))


@pytest.mark.parametrize(
    "sizes", [[1], [BLOCK_BYTES], [BLOCK_BYTES - 1, 2, 3], [3 * BLOCK_BYTES + 7]]
)
def test_bytes_come_back_in_the_order_they_went(spool, sizes):
    spooled = spool.open()
    pieces = [os.urandom(size) for size in sizes]

    assert all(spooled.append(piece) for piece in pieces)
    assert spooled.unread_bytes == sum(sizes)
    assert drained(spooled, max_bytes=1000) == b"".join(pieces)


def test_bytes_can_go_in_while_others_come_out(spool):
    spooled = spool.open()
    found = b""
    for number in range(200):
        assert spooled.append(b"%03d" % number * 500)
        found += spooled.take(900)

    assert found + drained(spooled) == b"".join(b"%03d" % number * 500 for number in range(200))


def test_what_is_beyond_the_bound_is_refused_and_nothing_is_added(spool):
    first, second = spool.open(), spool.open()
    first.append(b"x" * 3 * BLOCK_BYTES)

    assert second.append(b"y" * 2 * BLOCK_BYTES) is False
    assert (second.unread_bytes, spool.held_bytes) == (0, 3 * BLOCK_BYTES)


def test_room_comes_back_with_what_is_read_and_with_what_is_closed(spool):
    first, second = spool.open(), spool.open()
    first.append(b"x" * 2 * BLOCK_BYTES)
    second.append(b"y" * 2 * BLOCK_BYTES)
    first.take(BLOCK_BYTES)
    after_reading = spool.held_bytes
    second.close()

    assert (after_reading, spool.held_bytes) == (3 * BLOCK_BYTES, BLOCK_BYTES)
    assert second.take(1) == b""
    assert second.append(b"more") is False
    assert spool.held_bytes == BLOCK_BYTES


def test_no_folder_lists_the_spool_and_its_descriptor_closes_in_the_end(spool, tmp_path):
    def spool_files():
        links = [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]
        return [link for link in links if str(tmp_path) in link]

    spooled = spool.open()
    spooled.append(b"x")
    shown, opened = list(tmp_path.iterdir()), len(spool_files())
    spooled.close()
    spool.close()  # waits for nothing; the thread that closes the file may still run
    for _ in range(1000):
        if not spool_files():
            break
        os.sched_yield()

    assert (shown, opened, spool_files()) == ([], 1, [])


def test_a_full_disk_is_a_refusal_that_is_told_once(spool, monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spooled = spool.open()
    spooled.append(b"before")
    with monkeypatch.context() as patched:
        patched.setattr("overgrow.slow_clients.spool.os.pwrite", full)
        refused = [spooled.append(b"x"), spooled.append(b"y" * BLOCK_BYTES)]
    spooled.append(b", after")

    assert refused == [False, False]
    assert spool.held_bytes == BLOCK_BYTES
    assert drained(spooled) == b"before, after"
    assert [record.getMessage().split()[0] for record in caplog.records] == ["spool-refused"]


def test_a_folder_that_cannot_be_written_gives_way_to_the_temporary_one(tmp_path):
    spool = FileSpool([tmp_path / "missing"])
    spooled = spool.open()

    assert spooled.append(b"x")
    assert spooled.take(1) == b"x"
    spool.close()


def test_a_body_closed_during_a_file_call_gives_its_blocks_back_later(spool, monkeypatch):
    spooled = spool.open()
    spooled.append(b"x" * BLOCK_BYTES)
    pread = os.pread

    def closing(*arguments):
        spooled.close()
        held.append(spool.held_bytes)
        return pread(*arguments)

    held = []
    monkeypatch.setattr("overgrow.slow_clients.spool.os.pread", closing)
    spooled.take(BLOCK_BYTES)

    assert (held, spool.held_bytes) == ([BLOCK_BYTES], 0)


def test_file_calls_are_made_beside_the_loop(spool):
    async def run():
        spooled = spool.open()
        await spool.run_in_thread(spooled.append, b"x" * 10)
        return await spool.run_in_thread(spooled.take, 4)

    assert asyncio.run(run()) == b"xxxx"


def test_a_worker_spools_a_gibibyte_where_nobody_says_otherwise(tmp_path):
    assert FileSpool([tmp_path])._max_blocks * BLOCK_BYTES == MAX_BYTES == 1024**3


def test_blocks_are_counted_by_one_thread_at_a_time(spool):
    """Else two bodies get the same block, and one client reads what is another's."""
    spool.allocate_blocks(2)
    works = {
        "take": lambda: spool.allocate_blocks(1),
        "give back": lambda: spool.free_blocks([0]),
        "begin a file": lambda: spool.write_block(1, 0, memoryview(b"y")),
        "begin threads": spool._thread_pool,
    }

    assert who_does_not_wait(spool._lock, works) == []


def test_a_spool_is_not_closed_while_somebody_takes_blocks(spool):
    assert waits_for(spool._lock, spool.close)


def test_a_use_of_a_body_begins_when_nobody_closes_it(spool):
    body = spool.open()

    assert seen_before(body._lock, lambda: body.append(b"y"), lambda: body._active_calls) == 0
    assert body.size_bytes == 1


def test_who_uses_a_body_is_counted_by_one_thread_at_a_time(spool):
    """Else the blocks of a closed body go to another while a file call still writes into them."""
    body = spool.open()
    works = {"append": lambda: body.append(b"y"), "close": body.close}

    assert who_does_not_wait(body._lock, works) == []


def test_the_file_goes_with_the_last_block(spool):
    spooled = spool.open()
    spooled.append(b"x")
    opened = spool._file
    spooled.take(1)
    spooled.close()

    assert (opened is not None, spool._file) == (True, None)


def test_of_two_files_opened_at_once_one_is_kept(spool, monkeypatch):
    """What is written to one could not be read from the other."""
    other = os.open(os.devnull, os.O_RDWR)
    made = []
    open_anew = spool._new_file

    def overtaken():
        spool._file = other  # by another thread, meanwhile
        made.append(open_anew())
        return made[0]

    monkeypatch.setattr(spool, "_new_file", overtaken)

    assert spool._open_file() == other
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made[0])


def test_a_body_is_written_whole_though_the_disk_takes_it_in_pieces(spool, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(
        "overgrow.slow_clients.spool.os.pwrite", lambda file, data, at: pwrite(file, data[:7], at)
    )
    spooled = spool.open()
    spooled.append(b"0123456789" * 3)

    assert drained(spooled) == b"0123456789" * 3


def test_bytes_that_the_disk_lost_are_an_error_and_never_a_short_body(spool):
    spooled = spool.open()
    spooled.append(b"0123456789")
    os.ftruncate(spool._file, 4)

    with pytest.raises(OSError, match="lost bytes"):
        spooled.take(10)
