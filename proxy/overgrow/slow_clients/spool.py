"""Bytes that wait for a slow client, in one file per worker that no folder shows.

Rule: a worker's spooled bytes are bounded, and whatever the disk cannot take is refused, never
raised: whoever asked keeps its bytes and goes on more slowly. It knows nothing of requests. File
calls block, so a loop makes them in the spool's own threads (`run_in_thread`).

One file, not one per body: a thousand slow clients must not use up the worker's descriptors.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

LOG = logging.getLogger("overgrow.spool")

MAX_BYTES = 1024**3
BLOCK_BYTES = 64 * 1024
THREADS = 4

T = TypeVar("T")


class FileSpool:
    """At most `max_bytes` on disk, in the first of `folders` that can be written.

    Nothing is opened or started before the first body is spooled, so it may be made before a fork.
    """

    def __init__(self, folders: Sequence[Path], *, max_bytes: int = MAX_BYTES) -> None:
        self._folders = folders
        self._max_blocks = max_bytes // BLOCK_BYTES
        self._lock = threading.Lock()
        self._free: list[int] = []  # a heap: the lowest block first
        self._end = 0  # blocks that the file may have
        self._file: int | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._is_refusal_logged = False

    @property
    def held_bytes(self) -> int:
        """What is taken of the bound now, in whole blocks."""
        return (self._end - len(self._free)) * BLOCK_BYTES

    def open(self) -> FileSpooledBody:
        """A body of no bytes yet."""
        return FileSpooledBody(self)

    async def run_in_thread(self, act: Callable[..., T], *arguments: object) -> T:
        """Make a file call beside the loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread_pool(), act, *arguments)

    def close(self) -> None:
        """End the threads and give the file back; what is spooled is lost."""
        with self._lock:
            threads, self._threads = self._threads, None
            file, self._file = self._file, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        if file is not None:
            os.close(file)

    # For the bodies.

    def take(self, count: int) -> list[int] | None:
        """So many blocks, the lowest first; None where the bound leaves too few."""
        with self._lock:
            if self._end - len(self._free) + count > self._max_blocks:
                return None
            reused = [heapq.heappop(self._free) for _ in range(min(count, len(self._free)))]
            fresh = range(self._end, self._end + count - len(reused))
            self._end += len(fresh)
            return [*reused, *fresh]

    def free_blocks(self, blocks: Sequence[int]) -> None:
        """Take blocks back; with the last one the file goes, beside the loop: the disk is free again."""
        if not blocks:
            return
        with self._lock:
            for block in blocks:
                heapq.heappush(self._free, block)
            if len(self._free) < self._end:
                return
            self._free.clear()  # nobody reads or writes: whoever does holds a block
            self._end = 0
            file, self._file = self._file, None
        if file is not None:
            self._thread_pool().submit(os.close, file)

    def write_block(self, block: int, start: int, data: memoryview) -> None:
        """Write into a block.

        Raises:
            OSError: no file, no room, no disk.

        """
        file, at = self._open_file(), block * BLOCK_BYTES + start
        while data:
            written = os.pwrite(file, data, at)
            data, at = data[written:], at + written

    def read_block(self, block: int, start: int, size: int) -> bytes:
        """Read from a block.

        Raises:
            OSError: what was written cannot be read.

        """
        data = os.pread(self._open_file(), size, block * BLOCK_BYTES + start)
        if len(data) < size:
            raise OSError("the spool file lost bytes")
        return data

    def log_refusal(self, error: OSError) -> None:
        """Tell once that the disk takes no bytes, until it does again."""
        if not self._is_refusal_logged:
            self._is_refusal_logged = True
            LOG.warning("spool-refused why=%r; slow bodies stream instead", str(error))

    def note_success(self) -> None:
        """Take note that the disk took bytes."""
        self._is_refusal_logged = False

    def _thread_pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, "overgrow-spool")
            return self._threads

    def _open_file(self) -> int:
        file = self._file
        if file is not None:
            return file
        made = self._new_file()
        with self._lock:
            file = self._file = self._file if self._file is not None else made
        if file != made:
            os.close(made)
        return file

    def _new_file(self) -> int:
        failed: OSError | None = None
        for folder in (*self._folders, Path(tempfile.gettempdir())):
            try:
                with tempfile.TemporaryFile(dir=folder, prefix="spool-") as file:
                    return os.dup(file.fileno())
            except OSError as error:
                failed = failed or error
        raise failed or OSError("there is no folder for the spool")


class FileSpooledBody:
    """One body on disk, first in, first out: one thread appends, one takes, any may close.

    A block is given back as soon as it has been read to its end, or when the body is closed.
    """

    __slots__ = ("_active_calls", "_appended_bytes", "_blocks", "_is_closed", "_lock", "_spool", "_taken_bytes")  # fmt: skip

    def __init__(self, spool: FileSpool) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._blocks: deque[int] = deque()  # from the one that holds the oldest byte not taken
        self._appended_bytes = 0
        self._taken_bytes = 0
        self._active_calls = 0  # file calls under way
        self._is_closed = False

    @property
    def size_bytes(self) -> int:
        """What was ever appended."""
        return self._appended_bytes

    @property
    def unread_bytes(self) -> int:
        """What was appended and not taken."""
        return self._appended_bytes - self._taken_bytes

    def append(self, data: bytes | memoryview) -> bool:
        """Add bytes at the end; False, and nothing added, where disk or bound have no room."""
        start = self._appended_bytes % BLOCK_BYTES
        room = BLOCK_BYTES - start if start else 0
        fresh = self._spool.take(-(-max(0, len(data) - room) // BLOCK_BYTES))
        if fresh is None:
            return False
        if not self._begin_file_call():
            self._spool.free_blocks(fresh)
            return False
        try:
            self._write(memoryview(data), start, fresh)
        except OSError as error:
            self._spool.log_refusal(error)
            self._end_file_call(fresh)
            return False
        self._blocks.extend(fresh)
        self._appended_bytes += len(data)  # only now can they be taken
        self._end_file_call([])
        return True

    def take(self, max_bytes: int) -> bytes:
        """The oldest bytes, within one block; empty when there are none, or when it is closed.

        Raises:
            OSError: the disk does not give them back.

        """
        start = self._taken_bytes % BLOCK_BYTES
        size = min(max_bytes, self.unread_bytes, BLOCK_BYTES - start)
        if not size or not self._begin_file_call():
            return b""
        done: list[int] = []
        try:
            data = self._spool.read_block(self._blocks[0], start, size)
            self._taken_bytes += size
            if start + size == BLOCK_BYTES:
                done.append(self._blocks.popleft())
        finally:
            self._end_file_call(done)
        return data

    def close(self) -> None:
        """Give the blocks back, at once or as soon as the file call under way returns."""
        with self._lock:
            self._is_closed = True
            blocks = self._releasable_blocks()
        self._spool.free_blocks(blocks)

    def _write(self, data: memoryview, start: int, fresh: list[int]) -> None:
        if start:
            self._spool.write_block(self._blocks[-1], start, data[: BLOCK_BYTES - start])
            data = data[BLOCK_BYTES - start :]
        for number, block in enumerate(fresh):
            at = number * BLOCK_BYTES
            self._spool.write_block(block, 0, data[at : at + BLOCK_BYTES])

    def _begin_file_call(self) -> bool:
        with self._lock:
            self._active_calls += not self._is_closed
            return not self._is_closed

    def _end_file_call(self, done: list[int]) -> None:
        with self._lock:
            self._active_calls -= 1
            blocks = done + self._releasable_blocks()
        self._spool.free_blocks(blocks)

    def _releasable_blocks(self) -> list[int]:
        """All blocks, once it is closed and nobody reads or writes them."""
        if not self._is_closed or self._active_calls:
            return []
        left = list(self._blocks)
        self._blocks.clear()
        return left
