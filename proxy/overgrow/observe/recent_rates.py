"""Requests, errors and latency of the last minutes, by route and side, over all workers.

Counting costs a request nothing: every few seconds each worker appends what its counters have gained to a file of its
slot. A reader adds up the histograms of all workers, so that percentiles are those of all requests together. If a
worker is killed, what it counted since its last line is missing here, but not in the totals.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.observe.split import quantile

WINDOWS_S = {"last_minute": 60, "last_five_minutes": 300}
# A file that is older or larger is replaced; the one before it is kept.
MAX_FILE_S = 600
MAX_FILE_BYTES = 16 << 20
_CURRENT, _FORMER = "rates_{}.jsonl", "rates_{}.former"


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
        """Append one line with the gains, if there are any; start a new file if the present one is too old or too large."""
        path = folder / _CURRENT.format(slot)
        if self._began_s is None:  # the predecessor's file goes on
            self._began_s = now_s
        with suppress(FileNotFoundError):
            if now_s - self._began_s > MAX_FILE_S or path.stat().st_size > MAX_FILE_BYTES:
                self._began_s = now_s
                path.replace(folder / _FORMER.format(slot))
        if gains:
            line = json.dumps([now_s, gains], separators=(",", ":"))
            with path.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}")  # a line that was cut off does not take this one with it


def read_rates(
    folder: Path, bounds_s: Sequence[float], now_s: float
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return {(route, side): {name of a window: figures}}; a route and side without requests are left out.

    `bounds_s` are the upper bounds of the histogram's buckets; the last bucket has no upper bound.
    """
    lines = [line for path in sorted(folder.glob("rates_*")) for line in _read_lines(path)]
    found: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for name, window_s in WINDOWS_S.items():
        recent = [gains for at_s, gains in lines if now_s - window_s < at_s <= now_s]
        for place, (errors, buckets) in _sum_gains(recent).items():
            found[place][name] = figures_json(errors, buckets, bounds_s, window_s)
    return dict(found)


def _read_lines(path: Path) -> list[tuple[float, list[Any]]]:
    """Return [(time, gains)] of the file's lines; a line that a killed worker left incomplete is skipped."""
    lines = []
    with suppress(OSError):
        for text in path.read_text("utf-8", "replace").splitlines():
            with suppress(ValueError, TypeError):
                at_s, gains = json.loads(text)
                lines.append((float(at_s), [Gain(*gain) for gain in gains]))
    return lines


def _sum_gains(lines: Sequence[Sequence[Gain]]) -> Mapping[tuple[str, str], tuple[int, list[int]]]:
    sums: dict[tuple[str, str], tuple[int, list[int]]] = {}
    for gain in (each for line in lines for each in line):
        errors, buckets = sums.get((gain.route, gain.side), (0, [0] * len(gain.buckets)))
        added = [one + other for one, other in zip(buckets, gain.buckets, strict=True)]
        sums[gain.route, gain.side] = (errors + gain.errors, added)
    return sums


def figures_json(
    errors: int, buckets: Sequence[int], bounds_s: Sequence[float], window_s: int
) -> dict[str, Any]:
    """Return a window's figures; a share is never given without its number of requests and its window."""
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
