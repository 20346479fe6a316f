"""The requests of the last minute, by route and side, for the live share of the traffic split.

Totals cannot show what a flip does now. Each worker therefore has, for each route and side, a ring of seven
windows of ten seconds in a ledger of its slot. One number holds both a window's time and its count. It is
written in one step, so that a reader never sees the count of one window with the time of another window. The
windows of a dead worker expire by themselves. Callers pass the time as an argument.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from prometheus_client.samples import Sample

from overgrow.observe.mapped_counters import (
    UNREADABLE,
    Cell,
    Ledger,
    open_ledger,
    read_entries,
    read_numbers,
)

WINDOW_S = 10
WINDOWS = 7  # six whole ones, and the one that is filling
LIVE_S = WINDOW_S * (WINDOWS - 1)
SAMPLE = "recent_requests"  # never exposed; Prometheus has rate()
_COUNTS = (
    1 << 25
)  # more requests than ten seconds hold; windows fit above it in a double until the year 2600


class RecentCounts:
    """The rings of one slot. The caller must hold a lock during each call."""

    def __init__(self, folder: Path, slot: int) -> None:
        self._ledger: Ledger = open_ledger(folder / f"recent_{slot}.rings")
        self._rings: dict[tuple[str, str], Ring] = {}

    def ring(self, route: str, side: str) -> Ring:
        """Return the windows of one route and side."""
        ring = self._rings.get((route, side))
        if ring is None:
            names = [f"{number} {side} {route}" for number in range(WINDOWS)]
            ring = self._rings[route, side] = Ring([self._ledger.cell(name) for name in names])
        return ring

    @property
    def was_removed(self) -> bool:
        """Whether somebody removed the file."""
        return self._ledger.was_removed

    def close(self) -> None:
        """Close the file."""
        self._ledger.close()


class Ring:
    """The windows of one route and side, in one worker."""

    __slots__ = ("_cell", "_cells", "_from_s", "_until_s")

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells
        self._cell = cells[0]
        self._from_s = self._until_s = 0  # start times of the requests that count in `_cell`

    def count(self, unix_s: float) -> None:
        """Count one request. Ignore a request that is so old that its window has been reused."""
        if self._from_s <= unix_s < self._until_s:  # the usual case
            cell = self._cell
            cell.doubles[cell.at] += 1
            return
        window = int(unix_s) // WINDOW_S
        cell = self._cells[window % WINDOWS]
        first = window * _COUNTS
        if cell.value < first:
            cell.set(first)
        if cell.value < first + _COUNTS - 1:
            cell.add(1)
            self._cell, self._from_s = cell, window * WINDOW_S
            self._until_s = self._from_s + WINDOW_S


def recent_requests(folder: Path, now_s: float) -> list[Sample]:
    """Return how many requests of each route and side all workers have counted lately.

    Whole windows are counted, so that the oldest requests are between LIVE_S and LIVE_S + WINDOW_S seconds old.
    """
    oldest = int(now_s) // WINDOW_S - WINDOWS + 1
    counts: Counter[tuple[str, str]] = Counter()
    for path in folder.glob("recent_*.rings"):
        for (route, side), window, number in _read(path):
            if window >= oldest:
                counts[route, side] += number
    return [
        Sample(SAMPLE, {"route": route, "side": side}, float(number))
        for (route, side), number in sorted(counts.items())
    ]


def last_requests(folder: Path) -> dict[tuple[str, str], int]:
    """Return {(route, side): unix seconds} of each route's latest request, over all workers.

    The time is the beginning of a window: the request came at most WINDOW_S later. A window stays in its file
    until a later request of the same route and side replaces it, so that old times are returned, too.
    """
    latest: dict[bytes, int] = {}
    for path in folder.glob("recent_*.rings"):
        with suppress(*UNREADABLE):
            keys, values = read_numbers(path)
            for key, value in zip(keys, values, strict=True):
                window, number = divmod(int(value), _COUNTS)
                place = key.partition(b" ")[2]
                if number and window * WINDOW_S > latest.get(place, 0):
                    latest[place] = window * WINDOW_S
    names = {place: place.decode("utf-8", "replace").split(" ", 1) for place in latest}
    return {(route, side): latest[place] for place, (side, route) in names.items()}


def _read(path: Path) -> list[tuple[tuple[str, str], int, int]]:
    """Return [((route, side), window, count)] for every cell; an empty list if the file cannot be read."""
    try:
        cells = [(key.split(" ", 2), int(value)) for key, value, *_ in read_entries(str(path))]
        return [((route, side), *divmod(value, _COUNTS)) for (_, side, route), value in cells]
    except UNREADABLE:
        return []
