"""The store's part of the inventory: counts by path, how far each log was read, and what people decided.

Rule: counts and the place in the log are written in one transaction. `turn` grows with each of them, so a second
scan at the same time cannot write over the first: it fails with StoreError.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from overgrow.store import tables
from overgrow.store.engine import StoreError, open_engine, without_password
from overgrow.store.upsert import upsert

_DELETED_AT_ONCE = 500


class PathRow(NamedTuple):
    """The counts of one path; `counts` is JSON data."""

    path: str
    requests: int
    first_at: float
    last_at: float
    counts: dict[str, Any]


class LogRow(NamedTuple):
    """How far a log was read; `progress` is JSON data."""

    id: str
    progress: dict[str, Any]


class InventoryDecision(NamedTuple):
    """What a person decided about an endpoint: its state, and why."""

    template: str
    state: str  # confirmed, ignored
    who: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class StoredInventory:
    """What the store has of the inventory."""

    turn: int
    dropped: int
    paths: Sequence[PathRow]
    logs: Sequence[LogRow]
    decisions: Sequence[InventoryDecision]


@dataclass(frozen=True, slots=True)
class InventoryStep:
    """What one step of a scan changed."""

    turn: int  # the one that was read
    dropped: int
    paths: Collection[PathRow]
    removed: Collection[str]
    log: LogRow


class InventoryStore:
    """The inventory in one store. Each method is a transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self) -> StoredInventory:
        """Return all that is stored.

        Raises:
            StoreError: if the store cannot be read now.

        """
        with _transaction(self._engine, "read") as connection:
            turn = connection.execute(select(tables.inventory_turn)).mappings().first()
            paths = connection.execute(select(tables.inventory_path)).mappings()
            logs = connection.execute(select(tables.inventory_log)).mappings()
            decided = connection.execute(
                select(tables.inventory_decision).order_by(tables.inventory_decision.c.template)
            ).mappings()
            return StoredInventory(
                turn["turn"] if turn else 0,
                turn["dropped"] if turn else 0,
                [PathRow(**{**row, "counts": json.loads(row["counts"])}) for row in paths],
                [LogRow(row["id"], json.loads(row["progress"])) for row in logs],
                [InventoryDecision(**row) for row in decided],
            )

    def save_step(self, step: InventoryStep) -> int:
        """Store a step of a scan; return the new turn.

        Raises:
            StoreError: if the store cannot be written now, or another scan wrote since.

        """
        with _transaction(self._engine, "written") as connection:
            _take_turn(connection, step)
            removed = sorted(step.removed)
            for at in range(0, len(removed), _DELETED_AT_ONCE):
                some = removed[at : at + _DELETED_AT_ONCE]
                table = tables.inventory_path
                connection.execute(delete(table).where(table.c.path.in_(some)))
            rows = ({**row._asdict(), "counts": json.dumps(row.counts)} for row in step.paths)
            upsert(connection, tables.inventory_path, rows)
            log = {"id": step.log.id, "progress": json.dumps(step.log.progress)}
            upsert(connection, tables.inventory_log, [log])
        return step.turn + 1

    def save_decisions(self, decisions: Iterable[InventoryDecision]) -> None:
        """Store decisions of a person. An endpoint in state `review` has none.

        Raises:
            StoreError: if the store cannot be written now.

        """
        table = tables.inventory_decision
        with _transaction(self._engine, "written") as connection:
            for each in decisions:
                connection.execute(delete(table).where(table.c.template == each.template))
                if each.state != "review":
                    connection.execute(insert(table), each._asdict())


@contextmanager
def open_store_of_inventory(url: URL) -> Iterator[InventoryStore]:
    """Open the store for reading and writing, and create or migrate it if need be; close it afterwards.

    Raises:
        StoreError: if the store cannot be used now.

    """
    try:
        engine = open_engine(url)
    except SQLAlchemyError as error:
        raise _failure(url, "opened", error) from error
    try:
        yield InventoryStore(engine)
    finally:
        engine.dispose()


def _take_turn(connection: Connection, step: InventoryStep) -> None:
    table = tables.inventory_turn
    row = {"turn": step.turn + 1, "dropped": step.dropped}
    if step.turn == 0:
        connection.execute(insert(table), {"id": 1, **row})  # fails if another scan was first
        return
    done = connection.execute(update(table).where(table.c.turn == step.turn).values(**row))
    if done.rowcount != 1:
        raise StoreError("Another scan has written to the inventory since this one began.")


@contextmanager
def _transaction(engine: Engine, done: str) -> Iterator[Connection]:
    """Run one transaction. If it fails, raise StoreError."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise _failure(engine.url, done, error) from error


def _failure(url: URL, done: str, error: SQLAlchemyError) -> StoreError:
    cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return StoreError(f"The store {without_password(url)} cannot be {done}: {cause}.")
