"""Keeps bytes that wait for slow clients in one unnamed file per worker.

Rule: the spooled bytes of a worker are bounded. If the disk cannot take bytes, the spool returns a refusal
instead of raising: the caller keeps the bytes and goes on more slowly. The spool does not know requests. File
calls block, so that an event loop makes them in the spool's own threads (`run_in_thread`).

All bodies share one file, because a thousand slow clients must not use up the worker's file descriptors.
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
    """At most `max_bytes` on disk, in the first writable folder of `folders`.

    The file is opened, and threads are started, when the first body is spooled. A FileSpool may therefore be
    made before a fork.
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
        """How many bytes of `max_bytes` are in use now, counted in whole blocks."""
        return (self._end - len(self._free)) * BLOCK_BYTES

    def open(self) -> FileSpooledBody:
        """Return a new, empty body."""
        return FileSpooledBody(self)

    async def run_in_thread(self, act: Callable[..., T], *arguments: object) -> T:
        """Run a file call in a thread, so that it does not block the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread_pool(), act, *arguments)

    def close(self) -> None:
        """Stop the threads and close the file. All spooled bytes are lost."""
        with self._lock:
            threads, self._threads = self._threads, None
            file, self._file = self._file, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        if file is not None:
            os.close(file)

    # For the bodies.

    def allocate_blocks(self, count: int) -> list[int] | None:
        """Allocate `count` blocks, the lowest numbers first. If too few are free, return None."""
        with self._lock:
            if self._end - len(self._free) + count > self._max_blocks:
                return None
            reused = [heapq.heappop(self._free) for _ in range(min(count, len(self._free)))]
            fresh = range(self._end, self._end + count - len(reused))
            self._end += len(fresh)
            return [*reused, *fresh]

    def free_blocks(self, blocks: Sequence[int]) -> None:
        """Free blocks. If all blocks are free then, close the file in a thread, which frees the disk."""
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
            OSError: the file cannot be opened or written, or the disk is full.

        """
        file, at = self._open_file(), block * BLOCK_BYTES + start
        while data:
            written = os.pwrite(file, data, at)
            data, at = data[written:], at + written

    def read_block(self, block: int, start: int, size: int) -> bytes:
        """Read from a block.

        Raises:
            OSError: the bytes cannot be read back.

        """
        data = os.pread(self._open_file(), size, block * BLOCK_BYTES + start)
        if len(data) < size:
            raise OSError("the spool file lost bytes")
        return data

    def log_refusal(self, error: OSError) -> None:
        """Log that the disk took no bytes. Until the disk has taken some, do not log this again."""
        if not self._is_refusal_logged:
            self._is_refusal_logged = True
            LOG.warning("spool-refused why=%r; slow bodies stream instead", str(error))

    def note_success(self) -> None:
        """Note that the disk took bytes, so that the next refusal is logged."""
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
    """One body on disk, first in, first out. One thread appends, another thread takes, and any thread may close.

    A block is freed once it has been read to its end, or when the body is closed.
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
        """How many bytes were appended in all."""
        return self._appended_bytes

    @property
    def unread_bytes(self) -> int:
        """How many appended bytes are still to be taken."""
        return self._appended_bytes - self._taken_bytes

    def append(self, data: bytes | memoryview) -> bool:
        """Add bytes at the end. If the disk or the bound is full, add nothing and return False."""
        start = self._appended_bytes % BLOCK_BYTES
        room = BLOCK_BYTES - start if start else 0
        fresh = self._spool.allocate_blocks(-(-max(0, len(data) - room) // BLOCK_BYTES))
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
        """Return the oldest bytes, at most one block. Return b"" if no bytes are left or the body is closed.

        Raises:
            OSError: the disk cannot be read.

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
        """Free the blocks: at once, or when the current file call returns."""
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
        """Return all blocks of the body if it is closed and no file call uses them; else return no blocks."""
        if not self._is_closed or self._active_calls:
            return []
        left = list(self._blocks)
        self._blocks.clear()
        return left
