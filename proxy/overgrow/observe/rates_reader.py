"""Reads the figures of the last minutes repeatedly: each call reads only the lines that were added since the last call.

The figures are those of `read_rates` in recent_rates.py, but cheap enough for a page that is refreshed every
two seconds. This module keeps the sums of each window: it adds new lines, and subtracts lines that have become
too old.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from operator import add, sub
from pathlib import Path
from typing import BinaryIO, NamedTuple

from overgrow.observe.recent_rates import (
    MAX_FILE_BYTES,
    SET_BACK_S,
    TIME_BYTES,
    WINDOWS_S,
    parse_gains,
)
from overgrow.observe.split import quantile

Place = tuple[str, str]  # route, side


class RateCounts(NamedTuple):
    """The counts of one route and side in one window: requests, errors, and requests in each bucket of the histogram."""

    requests: int
    errors: int
    buckets: tuple[int, ...]

    def percentile(self, share: float, bounds_s: Sequence[float]) -> float | None:
        """Return the time within which this share of the requests was answered.

        `bounds_s` has the upper bounds of the buckets.
        """
        counts = accumulate(self.buckets)
        return quantile(zip((*bounds_s, float("inf")), counts, strict=True), share)


class _Line(NamedTuple):
    at_s: float
    gains: Sequence[tuple[str, str, int, Sequence[int]]]


class RatesReader:
    """Reads the rates files of all slots in a folder. `bucket_count` is the number of buckets of the histogram."""

    def __init__(self, folder: Path, bucket_count: int) -> None:
        self._folder, self._bucket_count = folder, bucket_count
        self._slots: dict[str, _SlotLines] = {}
        self._latest: dict[Place, float] = {}
        self._windows = {name: _RateWindow(span_s) for name, span_s in WINDOWS_S.items()}

    def read(self, now_s: float) -> Mapping[str, Mapping[Place, RateCounts]]:
        """Return {name of a window: {(route, side): counts}}. Routes and sides without requests are left out."""
        for path in self._folder.glob("rates_*.jsonl"):
            if path.name not in self._slots:
                self._slots[path.name] = _SlotLines(path)
        for name, slot in self._slots.items():
            for line in slot.read_new(self._bucket_count):
                self._note_latest(line)
                for window in self._windows.values():
                    window.add(name, line, now_s)
        for window in self._windows.values():
            window.drop_old(now_s)
        return {name: window.counts() for name, window in self._windows.items()}

    @property
    def latest(self) -> Mapping[Place, float]:
        """The unix time of the latest line that counts requests, for each route and side."""
        return self._latest

    def _note_latest(self, line: _Line) -> None:
        for route, side, *_ in line.gains:
            self._latest[route, side] = max(line.at_s, self._latest.get((route, side), 0.0))

    def oldest(self) -> Mapping[str, float]:
        """Return the time of the oldest line in each window at the last read. Windows without lines are left out."""
        found = {name: window.oldest_s() for name, window in self._windows.items()}
        return {name: at_s for name, at_s in found.items() if at_s is not None}


class _SlotLines:
    """The lines of one slot; each line is read only once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode: int | None = None
        self._offset = 0

    def read_new(self, bucket_count: int) -> Iterator[_Line]:
        """Yield the lines that were added since the last call.

        The first call also yields the lines of the former file.
        """
        former = self._path.with_suffix(".former")
        with suppress(OSError), self._path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:
                yield from self._rest_of(former, bucket_count)
                self._inode, self._offset = inode, 0
            yield from self._read_from(file, bucket_count)

    def _rest_of(self, former: Path, bucket_count: int) -> Iterator[_Line]:
        with suppress(OSError), former.open("rb") as file:
            if os.fstat(file.fileno()).st_ino != self._inode:
                self._offset = 0
            yield from self._read_from(file, bucket_count)

    def _read_from(self, file: BinaryIO, bucket_count: int) -> Iterator[_Line]:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(self._offset, size - 2 * MAX_FILE_BYTES))
        self._offset = file.tell()
        for raw in file:
            line = _parse(raw, bucket_count)
            if line is None and not raw.endswith(b"\n"):
                return  # it is just being written: the next call reads it
            self._offset += len(raw)
            if line is not None:
                yield line


def _parse(raw: bytes, bucket_count: int) -> _Line | None:
    """Return a line; None if the line has no time at its beginning, or is cut off."""
    with suppress(ValueError):
        at_s = float(raw[1 : raw.index(b",", 0, TIME_BYTES)])
        if gains := parse_gains(raw, bucket_count):
            return _Line(at_s, gains)
    return None


class _RateWindow:
    """The sums of all lines that are at most some seconds old."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._lines: dict[str, deque[_Line]] = {}
        self._sums: dict[Place, RateCounts] = {}

    def add(self, slot: str, line: _Line, now_s: float) -> None:
        """Add a line of a slot. If earlier lines have later times, the clock was set back: remove these lines."""
        lines = self._lines.setdefault(slot, deque())
        while lines and lines[-1].at_s > line.at_s + SET_BACK_S:
            self._change(sub, lines.pop())
        if now_s - line.at_s < self._span_s:
            lines.append(line)
            self._change(add, line)

    def drop_old(self, now_s: float) -> None:
        """Subtract the lines that are too old."""
        for lines in self._lines.values():
            while lines and now_s - lines[0].at_s >= self._span_s:
                self._change(sub, lines.popleft())

    def oldest_s(self) -> float | None:
        """Return the time of the oldest line in the window."""
        return min((lines[0].at_s for lines in self._lines.values() if lines), default=None)

    def counts(self) -> Mapping[Place, RateCounts]:
        """Return the sums of all lines in the window."""
        return dict(self._sums)

    def _change(self, change: Callable[[int, int], int], line: _Line) -> None:
        """Add the gains of a line to the sums, or subtract them."""
        for route, side, errors, buckets in line.gains:
            requests = sum(buckets)
            before = self._sums.get((route, side))
            if before is None:
                self._sums[route, side] = RateCounts(requests, errors, tuple(buckets))
            elif change is sub and before.requests == requests:
                del self._sums[route, side]
            else:
                self._sums[route, side] = RateCounts(
                    change(before.requests, requests),
                    change(before.errors, errors),
                    tuple(map(change, before.buckets, buckets)),
                )
