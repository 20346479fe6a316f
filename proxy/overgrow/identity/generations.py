"""What all workers of one front door know of changed sessions: a number for each, which a change makes another.

A worker remembers what a store said together with the session's number at that time. A logout that passes through one
worker changes the number in a file that all workers have mapped, so that none of them uses what it remembers. Many
sessions share one number: a change of another one only makes a store be asked once more.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

SLOTS = 8192
SLOT_BYTES = 4
FILE_BYTES = SLOTS * SLOT_BYTES


class Generations:
    """The numbers of all sessions. Without a file they hold for this worker alone."""

    def __init__(self, path: Path | None = None) -> None:
        self._numbers: mmap.mmap | bytearray = bytearray(FILE_BYTES) if path is None else _map(path)

    def number_of(self, key: bytes) -> int:
        """Return the number of the session with this key."""
        at = _place_of(key)
        return int.from_bytes(self._numbers[at : at + SLOT_BYTES])

    def change(self, key: bytes) -> None:
        """Make the number another one, in every worker."""
        at = _place_of(key)
        number = (self.number_of(key) + 1) % (1 << 8 * SLOT_BYTES)
        self._numbers[at : at + SLOT_BYTES] = number.to_bytes(SLOT_BYTES)


def _place_of(key: bytes) -> int:
    return int.from_bytes(key[:4]) % SLOTS * SLOT_BYTES


def _map(path: Path) -> mmap.mmap:
    """Map the file of the numbers; make it if it is missing.

    Raises:
        OSError: if it cannot be made.

    """
    with path.open("ab") as file:
        # A write into a mapped file kills the process (SIGBUS) if the disk is full: reserve the space now.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
        elif file.tell() < FILE_BYTES:  # macOS
            file.truncate(FILE_BYTES)
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), FILE_BYTES)
