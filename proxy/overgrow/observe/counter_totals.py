"""Reads the requests and errors of all workers from their mapped counters, again and again, cheaply.

The counters are in the files of each slot (overgrow.observe.metrics), which outlive the workers. Each call
reads one number for each route and side: the total duration of requests, which grows with every request. Only
if this number has changed does the call read the other numbers. The workers do nothing for this, so that it
costs a request nothing.

Rule: a file that was removed counts with its last numbers until another file takes its place.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any

from overgrow.files import is_same_file
from overgrow.observe.mapped_counters import UNREADABLE

Place = tuple[str, str]  # route, side
Counts = tuple[int, ...]  # errors, then the requests in each bucket of the histogram

_HISTOGRAM = b'["overgrow_request_duration_seconds"'
_ERRORS = b'["overgrow_errors"'
_log = logging.getLogger("overgrow.metrics")


class CounterTotals:
    """The totals of all workers, by route and side. `bounds_s` has the upper bounds of the histogram's buckets."""

    def __init__(self, folder: Path, bounds_s: Iterable[float]) -> None:
        self._folder = folder
        self._les = {repr(bound): at for at, bound in enumerate(bounds_s)}
        self._les["+Inf"] = len(self._les)
        self._slots: dict[str, _SlotCounters] = {}
        self._keys = _ParsedKeys()
        self._totals: dict[Place, Counts] = {}
        self._unsure: set[Place] = set()

    @property
    def size(self) -> int:
        """How many numbers the counts of one route and side have."""
        return 1 + len(self._les)

    def read_changes(self) -> Mapping[Place, Counts]:
        """Return the totals of each route and side that have changed since the last call.

        The first call returns all totals. A worker adds to several numbers one after another. The next call
        therefore also reads again what this call returned.
        """
        self._find_slots()
        changed = {place for slot in self._slots.values() for place in slot.find_changes()}
        self._keys.forget()
        read = ((place, self._sum(place)) for place in changed | self._unsure)
        found = {place: counts for place, counts in read if counts}
        self._unsure = changed
        self._totals.update(found)
        return found

    def read_all(self) -> Mapping[Place, Counts]:
        """Return the totals of every route and side."""
        self.read_changes()
        return dict(self._totals)

    def close(self) -> None:
        """Close the files."""
        for slot in self._slots.values():
            slot.close()
        self._slots.clear()

    def _find_slots(self) -> None:
        for path in self._folder.glob("histogram_*.db"):
            if path.name not in self._slots:
                errors = path.with_name(path.name.replace("histogram", "counter"))
                self._slots[path.name] = _SlotCounters(path, errors, self._les, self._keys)

    def _sum(self, place: Place) -> Counts:
        """Return the sums over all slots; an empty tuple if a worker is still creating its first counters."""
        found = [slot.read(place) for slot in self._slots.values()]
        return tuple(int(sum(each)) for each in zip(*filter(None, found), strict=True))


class _ParsedKeys:
    """The parsed keys of one pass over all slots.

    All slots have the same keys, and parsing is the most expensive step.
    """

    def __init__(self) -> None:
        self._parsed: dict[bytes, tuple[str, Place, Mapping[str, str]]] = {}

    def parse(self, key: bytes) -> tuple[str, Place, Mapping[str, str]]:
        """Return (sample, place, labels) of a key.

        Raises:
            ValueError, KeyError, TypeError: if it is not a key of ours.

        """
        found = self._parsed.get(key)
        if found is None:
            _, sample, labels, _ = json.loads(key)
            place = (labels["route"], labels["side"])
            found = self._parsed[key] = (sample, place, labels)
        return found

    def forget(self) -> None:
        """Free the memory until the next pass."""
        self._parsed.clear()


class _SlotCounters:
    """The two files of one slot that hold errors and histograms."""

    def __init__(
        self, histogram: Path, errors: Path, les: Mapping[str, int], keys: _ParsedKeys
    ) -> None:
        self._les, self._keys = les, keys
        self._errors_at: dict[Place, int] = {}
        self._buckets_at: dict[Place, list[Any]] = {}
        self._sum_at: dict[Place, int] = {}
        self._places: list[Place] = []
        self._sums: tuple[float, ...] = ()
        self._read_sums = _reader_of([])
        self._histogram = _MappedFile(histogram, self._note_histogram, self._forget_buckets)
        self._errors = _MappedFile(errors, self._note_errors, self._errors_at.clear)

    def find_changes(self) -> list[Place]:
        """Return the routes and sides whose counts have changed since the last call. If a file is new, return all."""
        self._errors.refresh()
        if self._histogram.refresh():
            self._places = list(self._sum_at)
            self._read_sums = _reader_of([self._sum_at[place] for place in self._places])
        before, self._sums = self._sums, self._read_sums(self._histogram.doubles)
        pairs = zip(self._places, self._sums, chain(before, repeat(None)), strict=False)
        return [place for place, now, was in pairs if now != was]

    def read(self, place: Place) -> tuple[float, ...] | None:
        """Return the counts of a route and side; None if this slot has none."""
        buckets = self._buckets_at.get(place)
        if buckets is None or None in buckets:
            return None
        doubles, at = self._histogram.doubles, self._errors_at.get(place)
        errors = 0.0 if at is None else self._errors.doubles[at]
        return (errors, *[doubles[each] for each in buckets])

    def close(self) -> None:
        """Close the files."""
        self._histogram.close()
        self._errors.close()

    def _note_histogram(self, key: bytes, at: int) -> None:
        if not key.startswith(_HISTOGRAM):
            return
        sample, place, labels = self._keys.parse(key)
        if sample.endswith("_sum"):
            self._sum_at[place] = at
        elif (bucket := self._les.get(labels["le"])) is not None:
            self._buckets_at.setdefault(place, [None] * len(self._les))[bucket] = at

    def _note_errors(self, key: bytes, at: int) -> None:
        if key.startswith(_ERRORS):
            self._errors_at[self._keys.parse(key)[1]] = at

    def _forget_buckets(self) -> None:
        self._buckets_at.clear()
        self._sum_at.clear()
        self._sums = ()


def _reader_of(places: list[int]) -> Callable[[Any], tuple[float, ...]]:
    """Return a function that reads the numbers at these positions of the file in one step."""
    if not places:
        return lambda _: ()
    read = itemgetter(*places)
    return read if len(places) > 1 else lambda doubles: (read(doubles),)


class _MappedFile:
    """One ledger file, mapped for reading.

    `note` is called with each new key and the position of its number. `forget` is called before the keys of
    another file.
    """

    def __init__(
        self, path: Path, note: Callable[[bytes, int], None], forget: Callable[[], None]
    ) -> None:
        self._path, self._note, self._forget = path, note, forget
        self._fd: int | None = None
        self._mapped: mmap.mmap | None = None
        self._parsed = 8
        self.doubles: Any = memoryview(b"").cast("d")

    def refresh(self) -> bool:
        """Read the keys that were added since the last call. Return whether there are new keys or a new file.

        If the file cannot be read now, keep what was read before.
        """
        try:
            if self._fd is None or not is_same_file(self._fd, self._path):
                return self._open()
            return self._read_keys()
        except UNREADABLE as error:
            _log.debug("%s cannot be read: %s", self._path, error)
            return False

    def close(self) -> None:
        """Close the file."""
        self.doubles = memoryview(b"").cast("d")
        self._mapped = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> bool:
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            mapped = _map(fd)
        except BaseException:
            os.close(fd)
            raise
        self.close()
        self._fd, self._parsed = fd, 8
        self._forget()
        self._use(mapped)
        self._read_keys()
        return True

    def _use(self, mapped: mmap.mmap) -> None:
        self._mapped, self.doubles = mapped, memoryview(mapped).cast("d")

    def _read_keys(self) -> bool:
        assert self._mapped is not None and self._fd is not None  # noqa: S101, PT018 - for types
        (used,) = struct.unpack_from("i", self._mapped)
        if used > len(self._mapped):
            self._use(_map(self._fd))
        is_new = bool(used > self._parsed)
        while self._parsed < used:
            (length,) = struct.unpack_from("i", self._mapped, self._parsed)
            begin = self._parsed + 4
            value_at = begin + length + 8 - (length + 4) % 8
            with suppress(ValueError, KeyError, TypeError):  # not a key of ours
                self._note(self._mapped[begin : begin + length], value_at // 8)
            self._parsed = value_at + 16
        return is_new


def _map(fd: int) -> mmap.mmap:
    """Map a file.

    Raises:
        ValueError: if another process is just creating the file, or if its size is not a multiple of eight.

    """
    size = os.fstat(fd).st_size
    if not size or size % 8:
        raise ValueError("it is not a file of counters")
    return mmap.mmap(fd, size, prot=mmap.PROT_READ)
