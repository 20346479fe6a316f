"""The last decisions of each worker, in a file of its slot. The file is a ring; all workers share one sequence of numbers.

Requests pay nothing for the ring: from time to time a worker writes its newest decisions, at most MOST of them.
The number of a record (`seq`) comes from a counter file that all workers share and lock for a moment. The
numbers are therefore a total order over all workers. A reader that remembers the last number it has seen gets
every later record once. A number without a record belongs to a decision that was overwritten, or that a killed
worker had not written completely.

Rule: a reader takes no lock. The counter holds two numbers: `claimed` is raised before records are written,
`committed` afterwards. Readers ignore records above `committed`. A record has a checksum, because a worker may
overwrite it while it is read. The files are not mapped into memory, so that a full disk or a truncated file
causes an error and not a signal.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from overgrow.files import is_same_file
from overgrow.observe.decision_record import DecisionRecord, decode_record

MOST = 1000  # records of one slot
RECORD_BYTES = 512
WATCHED_FOR_S = 10.0
_WATCHED_FILE = "decisions.watched"
_COUNTER_FILE, _RING_FILE = "decisions.seq", "decisions_{}.ring"
_LAYOUT = b"OGD1"
_COUNTER = struct.Struct("<4sQQ")  # layout, claimed, committed
_HEADER = struct.Struct("<4sQQ")  # layout, records ever written, seq of the last one
_RECORD = struct.Struct("<QI")  # seq, length; then the text
_CHECKSUM = struct.Struct("<I")
_HEADER_BYTES = 64
MAX_TEXT_BYTES = RECORD_BYTES - _RECORD.size - _CHECKSUM.size


class RingBusy(Exception):
    """Another worker is writing at this moment: try again soon."""


class DecisionRing:
    """The file to which one worker writes its decisions.

    Its methods call the file system; only one thread at a time may call them.
    """

    def __init__(self) -> None:
        self._last_seq = 0  # the highest that this worker has seen, in case the counter is removed

    def write(self, folder: Path, slot: int, texts: Sequence[bytes], skipped: int) -> None:
        """Append the texts of records.

        `skipped` is the number of decisions before these records that get a number, but no record.

        Raises:
            RingBusy: if another worker writes at this moment; this call has written nothing.
            OSError: if the files cannot be written.

        """
        with _lock_counter(folder) as descriptor:
            found = _unpack(_COUNTER, os.pread(descriptor, 64, 0))
            claimed = found[0] if found else _highest_seq(folder)
            begin = max(claimed, self._last_seq) + skipped + 1
            end = begin + len(texts) - 1
            committed = found[1] if found else begin - 1
            _write_at(descriptor, _pack(_COUNTER, end, committed), 0)
            self._last_seq = end
            _append_records(folder / _RING_FILE.format(slot), begin, texts)
            _write_at(descriptor, _pack(_COUNTER, end, end), 0)


@contextmanager
def _lock_counter(folder: Path) -> Iterator[int]:
    """Yield the descriptor of the locked counter file; create the file if it is missing."""
    path = folder / _COUNTER_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RingBusy from None
        if not is_same_file(descriptor, path):  # it was removed in between
            raise RingBusy
        yield descriptor
    finally:
        os.close(descriptor)


def _append_records(path: Path, begin: int, texts: Sequence[bytes]) -> None:
    """Write at most MOST records with the numbers from `begin` on, then the header that makes them visible."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        found = _unpack(_HEADER, os.pread(descriptor, _HEADER_BYTES, 0))
        written = found[0] if found else 0
        records = [_record_bytes(seq, text) for seq, text in enumerate(texts, begin)]
        until_end = MOST - written % MOST
        _write_at(descriptor, b"".join(records[:until_end]), _position(written))
        _write_at(descriptor, b"".join(records[until_end:]), _position(0))
        last_seq = begin + len(texts) - 1
        _write_at(descriptor, _pack(_HEADER, written + len(texts), last_seq), 0)
    finally:
        os.close(descriptor)


def _record_bytes(seq: int, text: bytes) -> bytes:
    return _with_checksum(_RECORD.pack(seq, len(text)) + text).ljust(RECORD_BYTES, b"\0")


def _write_at(descriptor: int, data: bytes, position: int) -> None:
    """Write all of the data. If the disk is full, raise OSError, perhaps after a part was written."""
    while data:
        written = os.pwrite(descriptor, data, position)
        data, position = data[written:], position + written


def note_watcher(folder: Path) -> None:
    """Note that somebody reads the decisions, so that busy workers write them more often."""
    with suppress(OSError):  # without the note they are seen later
        path = folder / _WATCHED_FILE
        path.touch(0o600)
        os.utime(path)


def is_watched(folder: Path, now_s: float) -> bool:
    """Whether somebody has read the decisions lately."""
    try:
        return abs(now_s - (folder / _WATCHED_FILE).stat().st_mtime) < WATCHED_FOR_S
    except OSError:
        return False


class DecisionPage(NamedTuple):
    """The records after a number, in order, and the number up to which they are complete."""

    records: tuple[DecisionRecord, ...]
    last_seq: int  # pass it as `after` to get what comes next
    missed: int  # decisions in between that were overwritten before they were read
    has_restarted: bool  # the numbering began again, so all records that are kept are returned


def read_decisions(folder: Path, after: int | None = None) -> DecisionPage:
    """Return all records that are still in the files and have numbers above `after`; without `after`, all records."""
    last_seq = _committed_seq(folder)
    has_restarted = after is not None and after > last_seq
    begin = 0 if after is None or has_restarted else after
    records = _read_between(folder, begin, last_seq)
    missed = 0 if after is None or has_restarted else last_seq - begin - len(records)
    return DecisionPage(records, last_seq, missed, has_restarted)


def read_newest_decisions(folder: Path, most: int = MOST) -> DecisionPage:
    """Return at most the last `most` records of each slot, in the order of their time.

    This order may differ from the order of their numbers: if a worker wrote late, old decisions have high
    numbers.
    """
    last_seq = _committed_seq(folder)
    records = sorted(_read_all(folder, 0, last_seq, most), key=lambda each: (each.at_s, each.seq))
    return DecisionPage(tuple(records), last_seq, missed=0, has_restarted=False)


def _read_between(folder: Path, after: int, last_seq: int) -> tuple[DecisionRecord, ...]:
    """Return the records of all slots with numbers above `after`, up to `last_seq`, in order."""
    return tuple(sorted(_read_all(folder, after, last_seq, MOST), key=lambda each: each.seq))


def _read_all(folder: Path, after: int, last_seq: int, most: int) -> list[DecisionRecord]:
    found = {
        record.seq: record
        for path in folder.glob(_RING_FILE.format("*"))
        for record in _read_ring(path, after, last_seq, most)
    }
    return list(found.values())


def _committed_seq(folder: Path) -> int:
    with suppress(OSError):
        found = _unpack(_COUNTER, _read_at(folder / _COUNTER_FILE, 64, 0))
        if found:
            return found[1]
    return _highest_seq(folder)


def _highest_seq(folder: Path) -> int:
    """Return the highest number in the headers of all rings, for a counter file that was lost."""
    return max((_read_header(path)[1] for path in folder.glob(_RING_FILE.format("*"))), default=0)


def _read_header(path: Path) -> tuple[int, int]:
    """Return (number of records ever written, seq of the last record); zeros if the file cannot be used."""
    with suppress(OSError):
        found = _unpack(_HEADER, _read_at(path, _HEADER_BYTES, 0))
        if found:
            return found
    return 0, 0


def _read_ring(path: Path, after: int, last_seq: int, most: int) -> Iterator[DecisionRecord]:
    """Of the last `most` records of one slot, yield those with numbers above `after` and up to `last_seq`."""
    written, newest = _read_header(path)
    if newest <= after:
        return
    count = min(written, most, newest - after)
    for data in _read_blocks(path, written - count, count):
        record = _parse_record(data)
        if record is not None and after < record.seq <= last_seq:
            yield record


def _read_blocks(path: Path, begin: int, count: int) -> Iterator[bytes]:
    """Yield the bytes of `count` records, beginning with record number `begin`.

    If the file cannot be read, yield nothing.
    """
    first = begin % MOST
    until_end = min(count, MOST - first)
    try:
        data = _read_at(path, until_end * RECORD_BYTES, _position(begin))
        data += _read_at(path, (count - until_end) * RECORD_BYTES, _HEADER_BYTES)
    except OSError:
        return
    yield from (data[at : at + RECORD_BYTES] for at in range(0, len(data), RECORD_BYTES))


@lru_cache(
    maxsize=8 * MOST
)  # a pure memo: a page with a filter reads the same records every two seconds
def _parse_record(data: bytes) -> DecisionRecord | None:
    if len(data) < RECORD_BYTES:
        return None
    seq, length = _RECORD.unpack_from(data)
    end = _RECORD.size + length
    if length > MAX_TEXT_BYTES or not _is_whole(data[: end + _CHECKSUM.size]):
        return None
    return decode_record(seq, data[_RECORD.size : end])


def _position(number: int) -> int:
    return _HEADER_BYTES + number % MOST * RECORD_BYTES


def _read_at(path: Path, size: int, position: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.pread(descriptor, size, position)
    finally:
        os.close(descriptor)


def _pack(layout: struct.Struct, first: int, second: int) -> bytes:
    return _with_checksum(layout.pack(_LAYOUT, first, second))


def _unpack(layout: struct.Struct, data: bytes) -> tuple[int, int] | None:
    """Return the two numbers of a counter or header; None if the data are damaged or of another version."""
    whole = data[: layout.size + _CHECKSUM.size]
    if len(whole) < layout.size + _CHECKSUM.size or not _is_whole(whole):
        return None
    mark, first, second = layout.unpack_from(whole)
    return (first, second) if mark == _LAYOUT else None


def _with_checksum(data: bytes) -> bytes:
    """Return the data followed by their checksum."""
    return data + _CHECKSUM.pack(zlib.crc32(data))


def _is_whole(data: bytes) -> bool:
    """Whether data end with the right checksum."""
    return _CHECKSUM.pack(zlib.crc32(data[: -_CHECKSUM.size])) == data[-_CHECKSUM.size :]
