"""What a long history costs: the size of the store, what a minute of it costs, and the time of each chart.

    python -m benchmarks history [--days 7] [--keep FILE]

It writes a generated time of 1,000 routes, 200 of them busy in each minute on both sides, through the writer that the
front door uses, then reads charts of several lengths, of one route and of all routes together.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from overgrow.observe.metrics import BUCKETS_S
from overgrow.store.engine import store_url
from overgrow.store.history.reading import plan_period, read_history
from overgrow.store.history.writer import HistoryWriter
from overgrow.store.reader import open_reader

ROUTES, BUSY = 1000, 200
SIDES = ("legacy", "migrated")
BEGIN_S, DAY_S = 1_796_000_000 // 86_400 * 86_400, 86_400
USUAL_BUCKETS = (3, 4, 5, 6, 7, 8)  # 2.5 ms to 100 ms
GOAL_MB, GOAL_MS = 300, 200
ROUNDS = 5
SIZE = len(BUCKETS_S) + 2


class GeneratedTotals:
    """The counters of a front door whose traffic is drawn at random."""

    size = SIZE

    def __init__(self, routes: int, busy: int) -> None:
        self._names = [f"route-number-{number}" for number in range(routes)]
        self._busy, self._chance = busy, random.Random(4711)
        self.totals: dict[tuple[str, str], tuple[int, ...]] = {}
        self._changed: dict[tuple[str, str], tuple[int, ...]] = {}

    def pass_minute(self) -> None:
        """Let some routes have a minute of traffic on both sides."""
        chance, self._changed = self._chance, {}
        for name in chance.sample(self._names, self._busy):
            for side in SIDES:
                counts = list(self.totals.get((name, side), (0,) * SIZE))
                for bucket in chance.choices(
                    USUAL_BUCKETS, (9, 9, 5, 3, 2, 1), k=chance.randint(1, 12)
                ):
                    counts[bucket] += 1
                counts[0] += chance.random() < 0.02
                self._changed[name, side] = tuple(counts)
        self.totals |= self._changed

    def read_changes(self) -> dict[tuple[str, str], tuple[int, ...]]:
        """Return the totals that changed in this minute."""
        return self._changed

    def read_all(self) -> dict[tuple[str, str], tuple[int, ...]]:
        """Return all totals."""
        return self.totals


class Written(NamedTuple):
    """What a time took to write."""

    minutes: int
    megabytes: float
    median_ms: float


class Chart(NamedTuple):
    """One chart, and the time to read it."""

    what: str
    points: int
    median_ms: float


def write_days(state: Path, days: float, routes: int = ROUTES, busy: int = BUSY) -> Written:
    """Write a generated time into a new store."""
    totals, writer = (
        GeneratedTotals(routes, busy),
        HistoryWriter(store_url(state, None), "door", is_new=True),
    )
    minutes, taken = max(2, int(days * 1440)), []
    for minute in range(minutes):
        totals.pass_minute()
        now_s = BEGIN_S + 60.0 * minute
        begun = time.perf_counter()
        if not writer.record(totals, now_s, 60.0 * minute):
            raise RuntimeError(f"the history was not written: {writer.problem}")
        writer.prune(now_s, 60.0 * minute, 10**9)
        taken.append(time.perf_counter() - begun)
    writer.record(totals, BEGIN_S + 60.0 * minutes, 60.0 * minutes, is_last=True)
    writer.disconnect()
    size = sum(path.stat().st_size for path in state.glob("store.sqlite3*"))
    return Written(minutes, size / 1e6, 1000 * statistics.median(taken))


def read_charts(state: Path, days: float) -> Iterator[Chart]:
    """Read charts of several lengths."""
    now_s = BEGIN_S + max(2, int(days * 1440)) * 60.0
    for route in ("route-number-7", ""):
        for name, length_s, step_s in (
            ("an hour", 3600, None),
            ("two hours in steps of 10 s", 7200, 10),
            ("a day", DAY_S, None),
            ("a day in minutes", DAY_S, 60),
            ("a week", 7 * DAY_S, None),
            ("a week in 10 minutes", 7 * DAY_S, 600),
            ("two years", 730 * DAY_S, None),
        ):
            period = plan_period(now_s - length_s, now_s, step_s, now_s)
            taken, points = [], 0
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                with open_reader(store_url(state, None)) as reader:
                    found = read_history(reader, route, period, SIZE)
                taken.append(time.perf_counter() - begun)
                points = max(map(len, found.sides.values()), default=0)
            yield Chart(f"{name}, {route or 'all routes'}", points, 1000 * statistics.median(taken))


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks history", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--keep", type=Path, help="a folder in which the store stays")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="overgrow-bench-") as folder:
        state = asked.keep or Path(folder)
        written = write_days(state, asked.days)
        print(
            f"{written.minutes} minutes: {written.megabytes:.0f} MB (goal for a week: below {GOAL_MB} MB), "
            f"{written.median_ms:.1f} ms to write one"
        )
        for chart in read_charts(state, asked.days):
            print(f"{chart.median_ms:7.1f} ms  {chart.points:5} points  {chart.what}")
        print(f"goal for each: below {GOAL_MS} ms")
    return 0
