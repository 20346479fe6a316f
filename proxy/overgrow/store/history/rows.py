"""The rows of the history: three tables of gains by time and series, from fine to coarse.

Rule: counts in a row only grow. They are stored in packed form (overgrow.store.history.packing).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from overgrow.store import tables
from overgrow.store.history.packing import sum_packed
from overgrow.store.history.pending import WINDOW_S

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 24 * 3600
_AT_ONCE = 500  # series in one statement

Packed = tuple[int, int, bytes]  # begin of the span, series, counts


class Resolution(NamedTuple):
    """One table of rows: the span of each row, and how long rows are kept."""

    table: Table
    span_s: int
    keep_s: int


SECONDS = Resolution(tables.history_second, WINDOW_S, 2 * HOUR_S)
MINUTES = Resolution(tables.history_minute, MINUTE_S, 7 * DAY_S)
HOURS = Resolution(tables.history_hour, HOUR_S, 2 * 365 * DAY_S)
FINEST_FIRST = (SECONDS, MINUTES, HOURS)
COARSER = (MINUTES, HOURS)


def add_rows(connection: Connection, to: Resolution, rows: Iterable[Packed]) -> None:
    """Add rows to a table. All rows of one series within one span are added up to one row."""
    spans: defaultdict[int, defaultdict[int, list[bytes]]] = defaultdict(lambda: defaultdict(list))
    for at, series, packed in rows:
        spans[at - at % to.span_s][series].append(packed)
    for at, by_series in spans.items():
        for series, packed in _stored_rows(connection, to.table, at, by_series):
            by_series[series].append(packed)
        merged = [
            {"at": at, "series": series, "counts": sum_packed(found)}
            for series, found in sorted(by_series.items())
        ]
        connection.execute(_insert_or_replace(connection, to.table), merged)


def _insert_or_replace(connection: Connection, table: Table) -> Any:
    of_dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert: Any = of_dialect.insert(table)  # both dialects have the same insert, but no common type
    return insert.on_conflict_do_update(
        index_elements=list(table.primary_key.columns), set_={"counts": insert.excluded.counts}
    )


def rows_between(
    connection: Connection, series: Iterable[int], since: int, until: int
) -> list[Packed]:
    """Return the finest rows of these series that begin at or after `since` and before `until`."""
    column, wanted = tables.history_second.c, set(series)
    found = connection.execute(
        select(column.at, column.series, column.counts).where(column.at >= since, column.at < until)
    )
    return [(at, number, packed) for at, number, packed in found if number in wanted]


def _stored_rows(
    connection: Connection, table: Table, at: int, series: Mapping[int, object]
) -> Iterator[tuple[int, bytes]]:
    for some in _portions(series):
        found = connection.execute(
            select(table.c.series, table.c.counts).where(table.c.at == at, table.c.series.in_(some))
        )
        yield from ((number, packed) for number, packed in found)


def _portions(series: Iterable[int]) -> Iterator[Sequence[int]]:
    left = iter(series)
    while some := list(islice(left, _AT_ONCE)):
        yield some
