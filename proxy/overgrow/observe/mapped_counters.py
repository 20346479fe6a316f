"""Keeps numbers in a memory-mapped file: one process adds to them, any process may read them, and a crash loses none.

The layout is that of prometheus_client's MmapedDict; a test compares the two. There are two reasons for our own
code. First, one aligned store of eight bytes is cheaper than MmapedDict's write. Second, the sparse files of
MmapedDict kill the process (SIGBUS) when the disk is full, whereas this module reserves the space first.

Rule: if the disk is full or read-only, counting continues in memory and the log says so. A metric never makes a
request or a boot fail.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prometheus_client.mmap_dict import MmapedDict

from overgrow.files import is_same_file

UNREADABLE = (RuntimeError, ValueError, IndexError, struct.error, OSError)
_FIRST_BYTES = 1 << 16
# path -> (key, number, unused, position) of everything in a file
read_entries: Callable[[str], Iterable[tuple[str, float, float, int]]] = (
    MmapedDict.read_all_values_from_file
)
_log = logging.getLogger("overgrow.metrics")
_read_length = struct.Struct("i").unpack_from
_read_number = struct.Struct("d").unpack_from


def read_numbers(path: Path) -> tuple[list[bytes], list[float]]:
    """Return the keys of a file, undecoded, and the number of each. It takes a third of the time of `read_entries`.

    Raises:
        One of UNREADABLE: if the file cannot be read, or is damaged.

    """
    with path.open("rb") as file:
        data = file.read(mmap.PAGESIZE)
        used = _read_length(data)[0] if data else 0  # an empty file is just being made
        data += file.read(max(0, used - len(data)))
    keys: list[bytes] = []
    numbers: list[float] = []
    at = 8
    while at < used:
        length = _read_length(data, at)[0]
        at += 4
        if length <= 0 or at + length > used:
            raise RuntimeError(f"{path} is damaged")
        keys.append(data[at : at + length])
        at += length + 8 - (length + 4) % 8
        numbers += _read_number(data, at)
        at += 16
    return keys, numbers


class Cell:
    """One number of a ledger, stored in `doubles[at]`. Adding is not atomic, so that the caller must hold a lock."""

    __slots__ = ("at", "doubles")

    def __init__(self, doubles: memoryview[float], at: int) -> None:
        self.doubles: Any = doubles  # typeshed lets memoryviews be assigned integers only
        self.at = at

    @property
    def value(self) -> float:
        """The number."""
        return float(self.doubles[self.at])

    def add(self, amount: float) -> None:
        """Add to the number."""
        self.doubles[self.at] += amount

    def set(self, value: float) -> None:
        """Replace the number."""
        self.doubles[self.at] = value


class Ledger:
    """The file of one kind of metric of one slot, opened for adding."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._positions = _positions_in(path)
        self._fd: int | None = None
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._map(max(os.fstat(self._fd).st_size, _FIRST_BYTES))
        except OSError as error:
            self._continue_in_memory(error)
        self._used: int = max(struct.unpack_from("i", self._bytes)[0], 8)

    def cell(self, key: str) -> Cell:
        """Return the Cell of a key made by prometheus_client's mmap_key; the number of a new key is 0."""
        position = self._positions.get(key)
        if position is None:
            position = self._positions[key] = self._append(key)
        return Cell(self._doubles, position // 8)

    @property
    def was_removed(self) -> bool:
        """Whether somebody removed or replaced the file, so that readers no longer see its numbers."""
        return self._fd is not None and not is_same_file(self._fd, self._path)

    def numbers(self) -> dict[str, float]:
        """Return every number of the ledger by its key."""
        return {key: self._doubles[at // 8] for key, at in self._positions.items()}

    def close(self) -> None:
        """Close the file. Existing cells still accept additions."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, key: str) -> int:
        name = key.encode()
        name_room = len(name) + 8 - (len(name) + 4) % 8
        entry = struct.pack(f"i{name_room}sdd", len(name), name.ljust(name_room), 0.0, 0.0)
        if self._used + len(entry) > len(self._bytes):
            self._grow()
        end = self._used + len(entry)
        self._bytes[self._used : end] = entry
        # Last: a reader, or a successor after a crash, sees whole entries only.
        self._bytes[0:4] = struct.pack("i", end)
        self._used = end
        return end - 16

    def _grow(self) -> None:
        try:
            self._map(2 * len(self._bytes))
        except OSError as error:
            self._continue_in_memory(error)
            self._used = 8

    def _map(self, min_bytes: int) -> None:
        size = -(-min_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        if self._fd is None:
            self._use_mapping(mmap.mmap(-1, size))
            return
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._fd, 0, size)
        else:  # macOS
            os.ftruncate(self._fd, size)
        self._use_mapping(mmap.mmap(self._fd, size))

    def _use_mapping(self, mapped: mmap.mmap) -> None:
        # Cells keep the mapping they were made with; all mappings of one file show the same bytes.
        self._bytes = mapped
        self._doubles = memoryview(mapped).cast("d")

    def _continue_in_memory(self, error: OSError) -> None:
        _log.warning(
            "%s: %s. This worker's new counts will be missing from /metrics.", self._path, error
        )
        self.close()
        self._positions.clear()
        self._map(_FIRST_BYTES)


def open_ledger(path: Path) -> Ledger:
    """Open the ledger at a path. If the file is damaged, rename it to `.broken` and start a new one."""
    try:
        return Ledger(path)
    except UNREADABLE:
        _log.warning("%s is damaged; it is renamed and its counts start again at 0.", path)
        path.replace(path.with_suffix(".broken"))
        return Ledger(path)


def add_counts_of(ledger: Ledger, lost: Ledger) -> None:
    """Add the numbers of the ledger `lost`, whose file is gone, to `ledger`."""
    for key, number in lost.numbers().items():
        ledger.cell(key).add(number)


def _positions_in(path: Path) -> dict[str, int]:
    """Return the position of each key's number in the file; an empty dict for a missing or empty file."""
    if not path.is_file() or not path.stat().st_size:
        return {}
    return {key: position for key, _, _, position in read_entries(str(path))}
