"""Requests, errors and latency of the last minutes, by route and side, over all workers.

Counting costs a request nothing: every second each worker appends what its counters have gained to a file of
its slot. A reader adds up the histograms of all workers, so that percentiles are those of all requests
together. If a worker is killed, its counts since its last line are missing here, but the totals have them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from operator import add
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.observe.split import quantile

WINDOWS_S = {"last_minute": 60, "last_five_minutes": 300}
# A file that is older or larger is replaced; the one before it is kept.
MAX_FILE_S = 600
MAX_FILE_BYTES = 16 << 20
SET_BACK_S = 1.0  # a clock that goes back by more was set; by less, it is being corrected
TIME_BYTES = 40  # the longest beginning of a line in which its time is looked for
_CURRENT, _FORMER = "rates_{}.jsonl", "rates_{}.former"


_Sums = dict[tuple[str, str], tuple[int, Sequence[int]]]  # route, side: errors, buckets


class Gain(NamedTuple):
    """By how much the counters of one route and side have grown: errors, and requests in each histogram bucket."""

    route: str
    side: str
    errors: int
    buckets: tuple[int, ...]


class RatesFile:
    """The file to which one worker appends its gains."""

    def __init__(self) -> None:
        self._began_s: float | None = None

    def append(self, folder: Path, slot: int, gains: Sequence[Gain], now_s: float) -> None:
        """Append one line with the gains, if there are any.

        If the file is too old or too large, start a new file first.
        """
        path = folder / _CURRENT.format(slot)
        if self._began_s is None:  # the predecessor's file goes on
            self._began_s = now_s
        with suppress(FileNotFoundError):
            if abs(now_s - self._began_s) > MAX_FILE_S or path.stat().st_size > MAX_FILE_BYTES:
                self._began_s = now_s
                path.replace(folder / _FORMER.format(slot))
        if gains:
            line = json.dumps([now_s, gains], separators=(",", ":"))
            with path.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}")  # a line that was cut off does not take this one with it


class RecentRates(NamedTuple):
    """The figures {name of a window: figures}, once by (route, side) and once by side over all routes."""

    by_route: dict[tuple[str, str], dict[str, Any]]
    by_side: dict[str, dict[str, Any]]


def read_rates(
    folder: Path, bounds_s: Sequence[float], now_s: float, began_s: float | None = None
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the figures of each route and side. Routes and sides without requests are left out."""
    return read_all_rates(folder, bounds_s, now_s, began_s).by_route


def read_all_rates(
    folder: Path, bounds_s: Sequence[float], now_s: float, began_s: float | None = None
) -> RecentRates:
    """Return the figures of each route and side, and of each side over all routes.

    If there were no requests, leave the entry out. `bounds_s` are the upper bounds of the histogram's buckets;
    the last bucket has no upper bound. `began_s` is when the front door started. A window that reaches further
    back begins at that time, or at its oldest request if that came earlier.
    """
    lines = _read_lines(folder, now_s)
    by_route: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    by_side: dict[str, dict[str, Any]] = defaultdict(dict)
    sums: _Sums = {}
    newer_s = 0
    for name, window_s in WINDOWS_S.items():  # the shortest first; each adds only its older lines
        for at_s, line in lines:
            if newer_s <= now_s - at_s < window_s:
                _add_gains(sums, line, len(bounds_s) + 1)
        newer_s = window_s
        oldest_s = min((at_s for at_s, _ in lines if now_s - at_s < window_s), default=now_s)
        window_s = covered_s(window_s, now_s, began_s, oldest_s)  # noqa: PLW2901 - the true one
        for place, (errors, buckets) in sums.items():
            by_route[place][name] = figures_json(errors, buckets, bounds_s, window_s)
        for side, (errors, buckets) in _sums_by_side(sums).items():
            by_side[side][name] = figures_json(errors, buckets, bounds_s, window_s)
    return RecentRates(dict(by_route), dict(by_side))


def covered_s(window_s: int, now_s: float, began_s: float | None, oldest_s: float) -> int:
    """Return how many seconds of a window the front door has run, as a whole number of at least one."""
    if began_s is None or began_s > now_s:  # unknown, or the clock was set back
        return window_s
    return max(1, min(window_s, round(now_s - min(began_s, oldest_s))))


def _sums_by_side(sums: _Sums) -> dict[str, tuple[int, Sequence[int]]]:
    """Return the counts of each side, added up over all routes. Percentiles then cover all requests together."""
    found: dict[str, tuple[int, Sequence[int]]] = {}
    for (_, side), (errors, buckets) in sums.items():
        before = found.get(side)
        if before is not None:
            errors, buckets = before[0] + errors, list(map(add, before[1], buckets))  # noqa: PLW2901 - the sum
        found[side] = (errors, buckets)
    return found


def _read_lines(folder: Path, now_s: float) -> list[tuple[float, bytes]]:
    """Return (time, line) for all lines of all slots in the longest window. Only the times are parsed."""
    after_s = now_s - max(WINDOWS_S.values())
    slots = {path.stem.removeprefix("rates_") for path in folder.glob("rates_*")}
    lines = (line for slot in slots for line in _read_slot(folder, slot, after_s))
    return [(at_s, line) for at_s, line in lines if at_s <= now_s]


def _read_slot(folder: Path, slot: str, after_s: float) -> list[tuple[float, bytes]]:
    """Return (time, line) for the lines after a time, in the order in which they were written.

    If a line is older than the line before it, the clock was set back. In this case the earlier lines with
    later times are left out. Otherwise they would count as new requests when the clock reaches their times
    again.
    """
    found: list[tuple[float, bytes]] = []
    for name in (_FORMER, _CURRENT):
        for at_s, line in _timed_lines(folder / name.format(slot)):
            while found and found[-1][0] > at_s + SET_BACK_S:
                found.pop()
            if at_s > after_s:
                found.append((at_s, line))
    return found


def _timed_lines(path: Path) -> Iterator[tuple[float, bytes]]:
    """Yield (time, line) for each line that begins with a time. If the file is too large, read only its end."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * MAX_FILE_BYTES))
        for line in file:
            with suppress(ValueError):
                yield float(line[1 : line.index(b",", 0, TIME_BYTES)]), line


def _add_gains(sums: _Sums, line: bytes, bucket_count: int) -> None:
    for route, side, errors, buckets in parse_gains(line, bucket_count):
        before = sums.get((route, side))
        if before is not None:
            errors, buckets = before[0] + errors, list(map(add, before[1], buckets))  # noqa: PLW2901 - the sum
        sums[route, side] = (errors, buckets)


def parse_gains(line: bytes, bucket_count: int) -> list[tuple[str, str, int, list[int]]]:
    """Return the gains of a line.

    Skip parts that are damaged (by a killed worker or a full disk) or of another version.
    """
    try:
        _, gains = json.loads(line)
        return [gain for gain in gains if _is_gain(gain, bucket_count)]
    except (ValueError, TypeError, RecursionError):
        return []


def _is_gain(gain: Any, bucket_count: int) -> bool:
    """Whether a part of a line has the shape of a Gain with this number of buckets."""
    route, side, errors, buckets = gain
    is_named = type(route) is type(side) is str
    return is_named and type(errors) is int and [int] * bucket_count == list(map(type, buckets))


def figures_json(
    errors: int, buckets: Sequence[int], bounds_s: Sequence[float], window_s: int
) -> dict[str, Any]:
    """Return the figures of a window. Each share stands with its number of requests and its window."""
    total, cumulative = 0, []
    for bound_s, count in zip((*bounds_s, float("inf")), buckets, strict=True):
        total += count
        cumulative.append((bound_s, float(total)))
    return {
        "window_s": window_s,
        "requests": total,
        "per_second": round(total / window_s, 3),
        "errors": errors,
        "error_percent": round(100 * errors / total, 2) if total else None,
        **{f"p{share}_s": quantile(cumulative, share / 100) for share in (50, 95, 99)},
    }
