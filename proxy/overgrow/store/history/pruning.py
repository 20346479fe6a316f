"""Keeps the history small: it deletes rows that are too old and, if that is not enough, younger rows, the finest first.

Rows of minutes and hours are sorted by series, so that each call can prune a bounded number of series.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, text

from overgrow.store import tables
from overgrow.store.history.door import roll_up_rest
from overgrow.store.history.rows import COARSER, FINEST_FIRST, HOUR_S, SECONDS, Resolution

SERIES_AT_ONCE = 200
MEASURE_S = HOUR_S
# What SQLite needs for a row besides its counts, with the free space of pages that are filled in no order.
ROW_BYTES, FREE_SPACE = 16, 1.35


class HistoryPruner:
    """Remembers which series are next, and the time from which on rows are kept."""

    def __init__(self) -> None:
        self._kept_from: dict[Resolution, int] = {}
        self._left: list[int] = []
        self._measured_s: float | None = None

    def prune(self, connection: Connection, now_s: float, max_bytes: int) -> None:
        """Delete outdated rows of some series. The caller calls this every minute."""
        if not self._left:
            self._begin_round(connection, now_s, max_bytes)
        else:
            self._kept_from[SECONDS] = max(self._kept_from[SECONDS], _oldest_kept(SECONDS, now_s))
        self._prune_seconds(connection)
        some, self._left = self._left[:SERIES_AT_ONCE], self._left[SERIES_AT_ONCE:]
        for each in COARSER:
            columns = each.table.c
            old = (columns.series == bindparam("one"), columns.at < self._kept_from[each])
            if some:
                connection.execute(delete(each.table).where(*old), [{"one": one} for one in some])

    def _begin_round(self, connection: Connection, now_s: float, max_bytes: int) -> None:
        self._kept_from = {each: _oldest_kept(each, now_s) for each in FINEST_FIRST}
        if self._measured_s is None or abs(now_s - self._measured_s) >= MEASURE_S:
            self._measured_s = now_s
            self._shorten(connection, now_s, max_bytes)
        ids = connection.execute(select(tables.history_series.c.id)).scalars()
        self._left = sorted(ids)

    def _shorten(self, connection: Connection, now_s: float, max_bytes: int) -> None:
        """If the history is too large, keep the finest rows for a shorter time.

        If that is not enough, do so for coarser rows.
        """
        sizes = {each: table_bytes(connection, each) for each in FINEST_FIRST}
        excess = sum(sizes.values()) - max_bytes
        for each, size in sizes.items():
            if excess <= 0:
                return
            share = min(1.0, excess / size) if size else 0.0
            oldest = connection.execute(select(func.min(each.table.c.at))).scalar()
            if oldest is not None and share:
                shorter = int(oldest + share * max(0.0, now_s - oldest)) + 1
                self._kept_from[each] = max(self._kept_from[each], shorter)
            excess -= size

    def _prune_seconds(self, connection: Connection) -> None:
        at, kept_from = tables.history_second.c.at, self._kept_from[SECONDS]
        if connection.execute(select(at).where(at < kept_from).limit(1)).first() is not None:
            roll_up_rest(connection, kept_from - kept_from % SECONDS.span_s)
            connection.execute(delete(tables.history_second).where(at < kept_from))


def _oldest_kept(each: Resolution, now_s: float) -> int:
    return int(now_s) - each.keep_s


def table_bytes(connection: Connection, each: Resolution) -> int:
    """Return how many bytes a table takes. For SQLite, this is an estimate."""
    if connection.dialect.name == "postgresql":
        size = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
        return int(connection.execute(size, {"name": each.table.name}).scalar_one())
    counted: Iterable[Any] = connection.execute(
        select(func.count(), func.coalesce(func.sum(func.length(each.table.c.counts)), 0))
    ).one()
    rows, counts = counted
    return int((rows * ROW_BYTES + counts) * FREE_SPACE)
