"""Reads and writes what the store knows about one front door: its marks, its turn, and the rows of its series.

A mark is the total of one series up to which gains are stored. The turn is a number that every transaction
increases.

Rule: one transaction writes gains, the marks that include these gains, and the next turn. If the stored turn
differs from the one that this process has read, the transaction is refused, and the process reads the marks
again. Therefore a gain is stored once, even if two workers record, or if the result of a commit is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from overgrow.store.history.packing import Counts, add_counts, pack, unpack
from overgrow.store.history.pending import WINDOW_S, PendingGains, Place
from overgrow.store.history.rows import (
    COARSER,
    MINUTE_S,
    SECONDS,
    Packed,
    add_rows,
    rows_between,
)
from overgrow.store.tables import history_door as doors
from overgrow.store.tables import history_series as series

ALL_ROUTES = ""  # no route has an empty name


class OtherTurnError(Exception):
    """Another process has written for this front door since this process last read or wrote."""


class UnknownDoorError(Exception):
    """The store does not contain this front door any more, because the store was replaced."""


class Door:
    """The rows of one front door in the store, as one process writes them. `writer` names this process."""

    def __init__(self, name: str, writer: str) -> None:
        self.name, self.writer = name, writer
        self._turn: int | None = None  # None: not read, or the store does not know this front door
        self._rolled_until = 0
        self._next = (0, 0, True)  # turn, rolled_until and is_unrolled, once committed
        self._ids: dict[Place, int] = {}
        self._new_ids: dict[Place, int] = {}  # ids of the last `save`
        self._is_unrolled = True  # whether there may be rows since rolled_until

    def read_marks(self, connection: Connection, size: int) -> dict[Place, Counts] | None:
        """Return the stored marks, each with `size` counts; None if the store does not know this front door."""
        self.forget()
        row = self._read_row(connection)
        if row is None:
            return None
        self._turn, self._rolled_until = row.turn, row.rolled_until
        columns = series.c
        found = connection.execute(
            select(columns.id, columns.route, columns.side, columns.mark).where(
                columns.door == self.name
            )
        ).all()
        self._ids = {(route, side): number for number, route, side, _ in found}
        return {
            (route, side): unpack(mark, size) for _, route, side, mark in found if route or mark
        }

    def forget(self) -> None:
        """Forget what was read."""
        self._turn, self._rolled_until, self._is_unrolled = None, 0, True
        self._ids = {}

    def is_committed(self, connection: Connection) -> bool:
        """Whether the last `save` of this process was committed.

        Raises:
            OtherTurnError: if another process has written since.
            UnknownDoorError: if the store was replaced.

        """
        row = self._read_row(connection)
        turn = None if row is None else row.turn
        if turn == self._turn:
            return False
        if row is not None and row.writer == self.writer and turn == self._next[0]:
            return True
        raise UnknownDoorError if row is None else OtherTurnError

    def needs_roll(self, now_s: float) -> bool:
        """Whether a minute has passed since the last roll-up of rows."""
        return self._is_unrolled and _begin(now_s, MINUTE_S) > self._rolled_until

    def save(
        self, connection: Connection, gains: PendingGains, now_s: float, *, is_last: bool = False
    ) -> None:
        """Write gains and marks, and roll up the rows of past minutes. The last call rolls up all rows.

        Call `confirm` after the commit.

        Raises:
            OtherTurnError: if another process has written since this process read the marks.
            UnknownDoorError: if the store was replaced in the meantime.

        """
        end = _begin(now_s, WINDOW_S) + WINDOW_S if is_last else _begin(now_s, MINUTE_S)
        until = max(end, self._rolled_until)
        since = min(gains.windows, default=until) if self._turn is None else self._rolled_until
        stays = until == self._rolled_until and self._is_unrolled
        is_unrolled = stays or any(window >= until for window in gains.windows)
        self._next = ((self._turn or 0) + 1, until, is_unrolled)
        self._take_turn(connection, until, now_s)
        ids = self._write_marks(connection, gains)
        for window, of_window in gains.windows.items():
            everything = _with_all_routes(of_window).items()
            rows = [(window, ids[place], pack(gain)) for place, gain in everything]
            add_rows(connection, SECONDS, rows)
            if window < self._rolled_until:  # the clock was set back
                _add_coarser(connection, rows)
        if until > since:
            _add_coarser(connection, rows_between(connection, ids.values(), since, until))

    def confirm(self) -> None:
        """Note that the last `save` was committed."""
        self._turn, self._rolled_until, self._is_unrolled = self._next
        self._ids |= self._new_ids

    def _read_row(self, connection: Connection) -> Any:
        columns = (doors.c.turn, doors.c.rolled_until, doors.c.writer)
        return connection.execute(select(*columns).where(doors.c.door == self.name)).first()

    def _take_turn(self, connection: Connection, rolled_until: int, now_s: float) -> None:
        """Write the next turn first. This also takes the lock for which other writers wait."""
        turn = self._next[0]
        row = {"writer": self.writer, "rolled_until": rolled_until, "last_at": now_s}
        if self._turn is None:
            connection.execute(insert(doors), {"door": self.name, "turn": turn, **row})
            return
        mine = (doors.c.door == self.name, doors.c.turn == self._turn)
        if not connection.execute(update(doors).where(*mine).values(turn=turn, **row)).rowcount:
            raise UnknownDoorError if self._read_row(connection) is None else OtherTurnError

    def _write_marks(self, connection: Connection, gains: PendingGains) -> Mapping[Place, int]:
        """Write the marks, and return the numbers of all series."""
        marks = {place: pack(counts) for place, counts in gains.marks.items()}
        for side in sorted({side for _, side in marks}):
            marks.setdefault((ALL_ROUTES, side), b"")
        self._new_ids = {}
        for route, side in sorted(marks.keys() - self._ids.keys()):
            row = {"door": self.name, "route": route, "side": side, "mark": marks[route, side]}
            found = connection.execute(insert(series).values(row).returning(series.c.id))
            self._new_ids[route, side] = found.scalar_one()
        changed = [
            {"key": self._ids[place], "counts": packed}
            for place, packed in sorted(marks.items())
            if place[0] and place in self._ids
        ]
        if changed:
            statement = update(series).where(series.c.id == bindparam("key"))
            connection.execute(statement.values(mark=bindparam("counts")), changed)
        return {**self._ids, **self._new_ids}


def roll_up_rest(connection: Connection, before: int) -> None:
    """Roll up old rows of stopped front doors, which may never start again."""
    stopped = select(doors.c.door, doors.c.turn, doors.c.rolled_until)
    for name, turn, since in connection.execute(stopped.where(doors.c.rolled_until < before)).all():
        ids = connection.execute(select(series.c.id).where(series.c.door == name)).scalars().all()
        rows = rows_between(connection, ids, since, before)
        mine = update(doors).where(doors.c.door == name, doors.c.turn == turn)
        changed = mine.values(turn=turn + 1, rolled_until=before)
        if rows and connection.execute(changed).rowcount:
            _add_coarser(connection, rows)


def _with_all_routes(gains: Mapping[Place, Counts]) -> dict[Place, Counts]:
    """Return the gains, with an additional sum over all routes for each side."""
    found = dict(gains)
    for (_, side), gain in gains.items():
        before = found.get((ALL_ROUTES, side))
        found[ALL_ROUTES, side] = gain if before is None else add_counts(before, gain)
    return found


def _add_coarser(connection: Connection, rows: Iterable[Packed]) -> None:
    found = list(rows)
    for each in COARSER:
        add_rows(connection, each, found)


def _begin(now_s: float, span_s: int) -> int:
    """Return the beginning of the span that contains a time."""
    return int(now_s // span_s) * span_s
