"""Counts how many records a writer accepted, in a file that survives kill -9, so that losses can be counted.

Each writer locks a file of its own and maps it into memory, so that counting is a write to memory. When the
process ends in any way, the kernel keeps the bytes and frees the lock. A file with a free lock therefore
belongs to a dead writer. The process that finds such a file records the losses.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_COUNTS = struct.Struct("=QQ")
_SUFFIX = ".tally"


class LossCounter:
    """The counts of one living writer. Only one thread at a time may call `note_counts`."""

    def __init__(self, folder: Path, boot: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{boot}{_SUFFIX}"
        draft = folder / f"{boot}.new"
        self._descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # The lock is taken before the rename, so that nobody takes the file for a dead writer's.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.write(self._descriptor, bytes(_COUNTS.size))
        self._memory = mmap.mmap(self._descriptor, _COUNTS.size)
        draft.replace(self._path)

    def note_counts(self, accepted: int, dropped: int) -> None:
        """Write the counts into the file."""
        _COUNTS.pack_into(self._memory, 0, accepted, dropped)

    def close(self, *, is_settled: bool) -> None:
        """Close the counter's file. If `is_settled` is True, all accepted records are stored: remove the file."""
        if is_settled:
            with suppress(OSError):
                self._path.unlink()
        self._memory.close()
        os.close(self._descriptor)


class DeadWriter(NamedTuple):
    """The counts that a dead writer left in the file `path`: accepted records and dropped records."""

    path: Path
    boot: str
    accepted: int
    dropped: int


def dead_writers(folder: Path) -> Iterator[DeadWriter]:
    """Yield the counts of each dead writer. The writer's file stays locked until the caller asks for the next one.

    Until then the caller records the writer's losses and removes the file (`path`), so that no other process
    counts them.
    """
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _is_free(descriptor):
                    yield _read_dead_writer(path, os.read(descriptor, _COUNTS.size))
            finally:
                os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_dead_writer(path: Path, data: bytes) -> DeadWriter:
    accepted, dropped = _COUNTS.unpack(data) if len(data) == _COUNTS.size else (0, 0)
    return DeadWriter(path, path.name.removesuffix(_SUFFIX), accepted, dropped)
