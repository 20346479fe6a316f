"""The table overgrow_moves in the database of both apps: the state of each table that moves.

A change and its line in this table are written in one transaction, so that they always agree, even after a kill
-9. Times are unix seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
    update,
)

from overgrow.data.stages import FIRST

TABLE = "overgrow_moves"
_METADATA = MetaData()
_MOVES = Table(
    TABLE,
    _METADATA,
    Column("table_name", Text, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("stage_at", Double),
    Column("mapping", Text),  # the fingerprint of the mapping that the triggers carry out
    Column("id_default", Text),  # PostgreSQL: how the new table made its own ids before
    Column("fill_state", Text),  # running, paused, stopped, done
    Column("fill_wanted", Text),  # run, pause, stop
    Column("fill_mapping", Text),
    Column("fill_last", Text),  # JSON: the last key that is copied
    Column("fill_end", Text),  # JSON: the last key of all, fixed at the start
    Column("fill_rows", BigInteger),
    Column("fill_total", BigInteger),
    Column("fill_holder", Text),  # JSON: host, pid and start of the process that copies
    Column("fill_beat", Double),
    Column("fill_started", Double),
    Column("verify_at", Double),
    Column("verify_mapping", Text),
    Column("verify_rows", BigInteger),
    Column("verify_different", BigInteger),
)


@dataclass(frozen=True, slots=True)
class MoveState:
    """The line of one table. A field is None if it has not happened yet."""

    table_name: str
    stage: str = FIRST
    stage_at: float | None = None
    mapping: str | None = None
    id_default: str | None = None
    fill_state: str | None = None
    fill_wanted: str | None = None
    fill_mapping: str | None = None
    fill_last: str | None = None
    fill_end: str | None = None
    fill_rows: int | None = None
    fill_total: int | None = None
    fill_holder: str | None = None
    fill_beat: float | None = None
    fill_started: float | None = None
    verify_at: float | None = None
    verify_mapping: str | None = None
    verify_rows: int | None = None
    verify_different: int | None = None

    @property
    def is_filled(self) -> bool:
        """Whether the backfill is complete, by the same mapping that the triggers use."""
        return self.fill_state == "done" and self.fill_mapping == self.mapping

    @property
    def holder(self) -> Mapping[str, Any]:
        """The process that copies, or was the last to copy."""
        return json.loads(self.fill_holder) if self.fill_holder else {}


_NAMES = tuple(field.name for field in fields(MoveState))
# What a backfill and a verify leave behind; it ends with the triggers.
NO_FILL: Mapping[str, None] = dict.fromkeys(
    name for name in _NAMES if name.startswith(("fill_", "verify_"))
)


def create_ledger(connection: Connection) -> None:
    """Create the table if it does not exist."""
    _METADATA.create_all(connection)


def has_ledger(connection: Connection) -> bool:
    """Return whether the table exists."""
    return inspect(connection).has_table(TABLE)


def read_state(connection: Connection, table: str) -> MoveState:
    """Return the state of a table; a table without a line is at stage none."""
    return read_line(connection, table) if has_ledger(connection) else MoveState(table)


def read_line(connection: Connection, table: str) -> MoveState:
    """Return the state of a table from a ledger that is there; this asks the database only once."""
    query = select(_MOVES).where(_MOVES.c.table_name == table)
    found = connection.execute(query).mappings().first()
    return MoveState(table) if found is None else MoveState(**found)


def write_state(connection: Connection, table: str, **changes: Any) -> None:
    """Change the line of a table. If there is no line, create it."""
    found = connection.execute(update(_MOVES).where(_MOVES.c.table_name == table).values(**changes))
    if not found.rowcount:
        first = {"stage": FIRST, **changes, "table_name": table}
        connection.execute(insert(_MOVES).values(**first))


def advance_fill(
    connection: Connection, table: str, holder: str, **changes: Any
) -> MoveState | None:
    """Change the line of a table on behalf of the process that copies it; return the line.

    None: another process has taken over, and nothing was changed.
    """
    is_ours = (_MOVES.c.table_name == table) & (_MOVES.c.fill_holder == holder)
    changed = connection.execute(update(_MOVES).where(is_ours).values(**changes))
    return read_line(connection, table) if changed.rowcount else None
