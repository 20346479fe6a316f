"""What a long history costs: the size of the store, what a minute of it costs, and the time of each chart.

    python -m benchmarks history [--days 7] [--keep FILE]

It writes a generated time of 1,000 routes, 200 of them busy in each minute on both sides, through the writer that the
front door uses, then reads charts of several lengths, of one route and of all routes together.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from operator import add
from pathlib import Path
from typing import NamedTuple

from overgrow.observe.metrics import BUCKETS_S
from overgrow.store.engine import store_url
from overgrow.store.history.packing import Counts, pack
from overgrow.store.history.pending import Place
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
        self.names = [f"route-number-{number}" for number in range(routes)]
        self._busy, self.chance = busy, random.Random(4711)
        self.totals: dict[Place, Counts] = {}
        self._changed: dict[Place, Counts] = {}

    def pass_minute(self, *, everywhere: bool = False) -> None:
        """Let some routes, or all of them, have a minute of traffic on both sides."""
        self._changed = {}
        for place in self.busy_places(everywhere=everywhere):
            before = self.totals.get(place, (0,) * SIZE)
            self._changed[place] = tuple(map(add, before, self.draw()))
        self.totals |= self._changed

    def busy_places(self, *, everywhere: bool = False) -> list[Place]:
        """Return the routes and sides that have traffic in a minute."""
        names = self.names if everywhere else self.chance.sample(self.names, self._busy)
        return [(name, side) for name in names for side in SIDES]

    def draw(self) -> Counts:
        """Return a minute of one route and side: a few requests, now and then an error."""
        chance, counts = self.chance, [0] * SIZE
        for bucket in chance.choices(USUAL_BUCKETS, (9, 9, 5, 3, 2, 1), k=chance.randint(1, 12)):
            counts[bucket] += 1
        counts[0] = int(chance.random() < 0.02)
        return tuple(counts)

    def read_changes(self) -> dict[Place, Counts]:
        """Return the totals that changed in this minute."""
        return self._changed

    def read_all(self) -> dict[Place, Counts]:
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
    """Write a generated time into a new store: its last two hours by the writer, and before them the rows that it would leave."""
    totals = GeneratedTotals(routes, busy)
    writer = HistoryWriter(store_url(state, None), "door", is_new=True)
    minutes = max(3, int(days * 1440))
    first = max(1, minutes - 120)
    totals.pass_minute(everywhere=True)
    _record(writer, totals, 0)
    with sqlite3.connect(state / "store.sqlite3") as connection:
        _write_rows(connection, totals, first)
    connection.close()
    taken = []
    for minute in range(first, minutes):
        totals.pass_minute()
        taken.append(_record(writer, totals, minute))
    writer.disconnect()
    size = sum(path.stat().st_size for path in state.glob("store.sqlite3*"))
    return Written(minutes, size / 1e6, 1000 * statistics.median(taken))


def _record(writer: HistoryWriter, totals: GeneratedTotals, minute: int) -> float:
    """Record one minute as a whole; return how long it took."""
    now_s, clock_s = BEGIN_S + 60.0 * minute, 60.0 * minute
    begun = time.perf_counter()
    if not writer.record(totals, now_s, clock_s, is_last=not minute):
        raise RuntimeError(f"the history was not written: {writer.problem}")
    writer.prune(now_s, clock_s, 10**9)
    return time.perf_counter() - begun


def _write_rows(connection: sqlite3.Connection, totals: GeneratedTotals, until: int) -> None:
    """Write rows of minutes and hours, minute by minute, so that the pages of the file fill as they do over time."""
    found = connection.execute("SELECT route, side, id FROM overgrow_history_series")
    ids = {(route, side): number for route, side, number in found}
    drawn = [totals.draw() for _ in range(500)]
    hour: dict[int, list[int]] = {}
    for minute in range(1, until):
        gains = {place: totals.chance.choice(drawn) for place in totals.busy_places()}
        gains |= _sums_by_side(gains)
        _insert(
            connection, "minute", minute * 60, {ids[each]: gain for each, gain in gains.items()}
        )
        for place, gain in gains.items():
            hour[ids[place]] = list(map(add, hour.get(ids[place], [0] * SIZE), gain))
        if minute % 60 == 59 or minute == until - 1:
            _insert(connection, "hour", minute // 60 * 3600, hour)
            hour.clear()
        connection.commit()


def _sums_by_side(gains: Mapping[Place, Counts]) -> dict[Place, Counts]:
    of_sides = {side: [gain for place, gain in gains.items() if place[1] == side] for side in SIDES}
    return {("", side): tuple(map(sum, zip(*of, strict=True))) for side, of in of_sides.items()}


def _insert(
    connection: sqlite3.Connection, table: str, at: int, rows: Mapping[int, Sequence[int]]
) -> None:
    statement = (
        f"INSERT OR REPLACE INTO overgrow_history_{table} (series, at, counts) VALUES (?, ?, ?)"
    )
    packed = [(number, BEGIN_S + at, pack(gain)) for number, gain in sorted(rows.items())]
    connection.executemany(statement, packed)


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
