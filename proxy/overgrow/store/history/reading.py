"""Reads the history of one route, or of all routes together, in steps of equal length.

Rule: gains are added up, never averaged. Rows of minutes and hours contain the gains from before `rolled_until`
of their front door. Later gains are only in the rows of 10 seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from overgrow.store.history.packing import Counts, add_packed
from overgrow.store.history.pending import WINDOW_S
from overgrow.store.history.rows import (
    DAY_S,
    FINEST_FIRST,
    HOUR_S,
    MINUTE_S,
    SECONDS,
    Resolution,
)
from overgrow.store.reader import Reader
from overgrow.store.tables import history_door as doors
from overgrow.store.tables import history_series as series

USUAL_STEPS_S = (
    *(WINDOW_S, 30, MINUTE_S, 2 * MINUTE_S, 5 * MINUTE_S, 10 * MINUTE_S, 30 * MINUTE_S),
    *(HOUR_S, 2 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S, DAY_S),
)
USUAL_POINTS, MOST_POINTS = 240, 1500


@dataclass(frozen=True, slots=True)
class Period:
    """The queried time in unix seconds: steps of equal length, from `since` to before `until`."""

    since: int
    until: int
    step_s: int


@dataclass(frozen=True, slots=True)
class RouteHistory:
    """The gains by side and beginning of a step; steps without gains are left out.

    `is_known` is False if the route never had requests.
    """

    period: Period
    sides: Mapping[str, Mapping[int, Counts]]
    is_known: bool


def plan_period(since_s: float, until_s: float, step_s: int | None, now_s: float) -> Period:
    """Return the period to read.

    Its step is the wanted one or, if rows or MOST_POINTS do not allow it, the next longer one. If `step_s` is
    None, the period has about USUAL_POINTS steps.
    """
    length_s = max(1, int(until_s) - int(since_s))
    finest = next(
        (each for each in FINEST_FIRST if now_s - since_s <= each.keep_s), FINEST_FIRST[-1]
    )
    least = max(length_s / (MOST_POINTS if step_s else USUAL_POINTS), step_s or 0, finest.span_s)
    usual = (each for each in USUAL_STEPS_S if each >= least and each % finest.span_s == 0)
    chosen = step_s if step_s and step_s >= least else next(usual, _whole(int(least) + 1, DAY_S))
    step = _whole(chosen, finest.span_s)
    return Period(int(since_s) // step * step, _whole(int(until_s), step), step)


def _whole(number: int, unit: int) -> int:
    """Return a number rounded up to a multiple of the unit."""
    return -(-number // unit) * unit


def read_history(reader: Reader, route: str, period: Period, size: int) -> RouteHistory:
    """Return the history of a route, added up over all front doors in the store. "" stands for all routes together.

    Raises:
        StoreError: if the store cannot be read.

    """
    with reader.connect() as connection:
        known = _series_of(connection, route)
        sums: defaultdict[str, dict[int, list[int]]] = defaultdict(dict)
        for side, at, packed in _rows(connection, known, period):
            of_side, begin = sums[side], at - at % period.step_s
            counts = of_side.get(begin)
            if counts is None:
                counts = of_side[begin] = [0] * size
            add_packed(counts, packed)
    sides = {
        side: {at: tuple(of_side[at]) for at in sorted(of_side)} for side, of_side in sums.items()
    }
    return RouteHistory(period, sides, bool(known))


@dataclass(frozen=True, slots=True)
class _StoredSeries:
    """One series: its side, and the time until which its front door has rolled up its rows."""

    number: int
    side: str
    rolled_until: int


def _series_of(connection: Connection, route: str) -> list[_StoredSeries]:
    rows = connection.execute(
        select(series.c.id, series.c.side, doors.c.rolled_until)
        .join(doors, doors.c.door == series.c.door)
        .where(series.c.route == route)
    )
    return [_StoredSeries(*row) for row in rows]


def _rows(
    connection: Connection, known: Iterable[_StoredSeries], period: Period
) -> Iterator[tuple[str, int, bytes]]:
    """Yield (side, begin, counts) of the coarsest rows that fit the steps, and of rows that are not rolled up yet."""
    coarse = next(each for each in reversed(FINEST_FIRST) if period.step_s % each.span_s == 0)
    for each in known:
        until = period.until
        if coarse is not SECONDS:
            fresh = max(period.since, each.rolled_until)
            yield from _rows_of(connection, each, SECONDS, fresh, until)
        yield from _rows_of(connection, each, coarse, period.since, until)


def _rows_of(
    connection: Connection, one: _StoredSeries, of: Resolution, since: int, until: int
) -> Iterator[tuple[str, int, bytes]]:
    columns = of.table.c
    found = connection.execute(
        select(columns.at, columns.counts).where(
            columns.series == one.number, columns.at >= since, columns.at < until
        )
    )
    return ((one.side, at, packed) for at, packed in found)
