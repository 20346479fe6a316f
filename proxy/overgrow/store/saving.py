"""Writes one batch in one transaction, and records the losses of dead writers.

Rule: the number of a batch's last record is stored with the batch. If the result of a commit is unknown, this
number shows whether the commit took place. Therefore nothing is counted twice. If a dead writer accepted
records after its last stored number, these records are lost.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, select

from overgrow.store import tables
from overgrow.store.cells import Row, hour_of
from overgrow.store.loss_counter import DeadWriter
from overgrow.store.row_builder import Batch
from overgrow.store.upsert import upsert

MAX_EXAMPLES = 5
_GROUP = itemgetter("route", "control", "key")


@dataclass(frozen=True, slots=True)
class BatchMark:
    """The state of a writer after a batch: the number of its last record, and how many records it had dropped."""

    boot: str
    began_at: float
    number: int
    dropped: int
    at: float


def save(connection: Connection, batch: Batch, mark: BatchMark) -> None:
    """Write the batch. If its last record is stored already, do nothing."""
    if last_stored_number(connection, mark.boot) >= mark.number:
        return
    for table, rows in sorted(batch.items(), key=lambda each: each[0].name):
        upsert(connection, table, _lowest_ranks(rows) if table is tables.example else rows)
    _trim_examples(connection, batch.get(tables.example, []))
    upsert(connection, tables.writer, [_writer_row(mark)])


def last_stored_number(connection: Connection, boot: str) -> int:
    """Return the number of the last record that a writer stored; 0 if it stored none."""
    rows = connection.execute(
        select(tables.writer.c.number).where(tables.writer.c.boot == boot)
    ).scalars()
    return max(rows, default=0)


def record_losses(connection: Connection, dead: DeadWriter, at: float) -> int:
    """Record how many records a dead writer lost. Return this number."""
    lost = max(0, dead.accepted - last_stored_number(connection, dead.boot))
    where = {"boot": dead.boot, "hour": hour_of(at), "last_at": at}
    if lost:
        upsert(connection, tables.loss, [{**where, "lost": lost}])
    if dead.dropped:
        upsert(connection, tables.writer, [{**where, "number": 0, "dropped": dead.dropped}])
    return lost


def _writer_row(mark: BatchMark) -> Row:
    return {
        "boot": mark.boot,
        "hour": hour_of(mark.began_at),
        "number": mark.number,
        "dropped": mark.dropped,
        "last_at": mark.at,
    }


def _lowest_ranks(rows: Iterable[Row]) -> list[Row]:
    """Return the examples to keep: of each group, the MAX_EXAMPLES examples with the lowest ranks."""
    kept: list[Row] = []
    for _, group in groupby(sorted(rows, key=_GROUP), key=_GROUP):
        latest = {row["rank"]: row for row in group}
        kept += heapq.nsmallest(MAX_EXAMPLES, latest.values(), key=itemgetter("rank"))
    return kept


def _trim_examples(connection: Connection, rows: Iterable[Row]) -> None:
    """Keep only the examples with the lowest ranks of each group; delete all other examples.

    The same examples stay then, whatever the order in which workers write.
    """
    for group in sorted({_GROUP(row) for row in rows}):
        mine = _group_condition(tables.example, group)
        rank = tables.example.c.rank
        last = connection.execute(
            select(rank).where(mine).order_by(rank).offset(MAX_EXAMPLES - 1).limit(1)
        ).scalar()
        if last is not None:
            connection.execute(delete(tables.example).where(mine, rank > last))


def _group_condition(table: Table, group: tuple[str, str, str]) -> ColumnElement[bool]:
    route, control, key = group
    return and_(table.c.route == route, table.c.control == control, table.c.key == key)
