"""The end of a move: the legacy table is dropped, after everything that could still need it was ruled out.

The way back is SQL that makes the table again, from what the database says about it, and fills it from the new table.
It is shown before anything is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from overgrow.data.crossing import to_old
from overgrow.data.database import PARAMETER, DataError, execute
from overgrow.data.ledger import MoveState
from overgrow.data.mapping import TableMapping
from overgrow.data.sql import quote, quote_table, quote_text
from overgrow.data.stages import LAST
from overgrow.data.staging import FRESH_S
from overgrow.data.sync import drop_sync, missing_triggers
from overgrow.data.triggers.sqlite import block_triggers
from overgrow.text import ago, duration_text


@dataclass(frozen=True, slots=True)
class ContractPlan:
    """What would be dropped, and the statements of the way back."""

    table: str
    source: str
    statements: tuple[str, ...]
    way_back: tuple[str, ...]


def plan_contract(
    connection: Connection, mapping: TableMapping, state: MoveState, unused_s: float, now_s: float
) -> ContractPlan:
    """Return the plan of the drop.

    Raises:
        DataError: unless the table is complete for at least `unused_s`, was equal then, and got no writes since.

    """
    table = mapping.new.name
    if state.stage != LAST:
        what = f"{table} is at {state.stage}; only at {LAST} may {mapping.old.name} go"
        raise DataError("stage-refused", what, f"First: overgrow data stage {table} {LAST}.")
    _require_equal(mapping, state)
    _require_blocked(connection, mapping)
    since_s = now_s - (state.stage_at or now_s)
    if since_s < unused_s:
        what = f"{table} is complete since {ago(since_s)}, not yet for {duration_text(unused_s)}"
        raise DataError("stage-refused", what, "Wait, or state a shorter time by --unused-for.")
    old = quote_table(mapping.old.name, connection.dialect.name)
    statements = (*drop_sync(connection, mapping), f"DROP TABLE {old}")
    return ContractPlan(table, mapping.old.name, statements, tuple(_way_back(connection, mapping)))


def _require_equal(mapping: TableMapping, state: MoveState) -> None:
    """Refuse unless the verify before `complete` was fresh, of this mapping, and found both tables equal."""
    is_fresh = (state.stage_at or 0.0) - (state.verify_at or 0.0) <= FRESH_S
    is_ours = state.verify_mapping == state.mapping == mapping.fingerprint
    if not (is_fresh and is_ours and state.verify_different == 0):
        what = (
            f"no fresh verify found {mapping.new.name} and {mapping.old.name} equal before {LAST}"
        )
        fix = f"Compare them by hand, and drop {mapping.old.name} with a migration of yours."
        raise DataError("stage-refused", what, fix)


def _require_blocked(connection: Connection, mapping: TableMapping) -> None:
    """Refuse if the triggers that keep writes from the legacy table are gone: it may have rows that nobody carried."""
    if missing := missing_triggers(connection, mapping, LAST):
        name = missing[0]
        what = f"the trigger {name}, which keeps writes from {mapping.old.name}, is gone"
        fix = f"Look for rows that only {mapping.old.name} has before you drop it by hand."
        raise DataError("stage-refused", what, fix)


def _way_back(connection: Connection, mapping: TableMapping) -> list[str]:
    """Return the statements that make the legacy table again and fill it from the new one."""
    kind = connection.dialect.name
    made = (
        _sqlite_table(connection, mapping)
        if kind == "sqlite"
        else _postgres_table(connection, mapping)
    )
    fill = to_old(mapping, kind).insert("1 = 1")
    return [made[0], fill, *made[1:]]


def _sqlite_table(connection: Connection, mapping: TableMapping) -> list[str]:
    rows = execute(
        connection,
        "SELECT sql, name FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL "
        "ORDER BY type <> 'table', type <> 'index'".replace("?", PARAMETER),
        [mapping.old.name],
    ).all()
    ours = {*block_triggers(mapping)}
    return [row[0] for row in rows if row[1] not in ours]


def _postgres_table(connection: Connection, mapping: TableMapping) -> list[str]:
    """Return CREATE TABLE with constraints, then its other indexes; sequences get a new one above all keys."""
    table = quote_table(mapping.old.name, "postgresql")
    rows = execute(
        connection,
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), "
        "a.attidentity, a.attgenerated FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
        f"WHERE a.attrelid = to_regclass({PARAMETER}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        [table],
    ).all()
    counted = [row[0] for row in rows if row[4] or "nextval(" in (row[3] or "")]
    cells = [_column_text(row) for row in rows]
    constraints = execute(
        connection,
        f"SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = to_regclass({PARAMETER}) "
        "AND contype IN ('p', 'u', 'f', 'c') ORDER BY contype <> 'p', conname",
        [table],
    ).all()
    cells += [f"CONSTRAINT {quote(name)} {text}" for name, text in constraints]
    indexes = execute(
        connection,
        f"SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass({PARAMETER}) "
        "AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)",
        [table],
    ).all()
    raised = [
        f"SELECT setval(pg_get_serial_sequence({quote_text(table)}, {quote_text(name)}), max({quote(name)})) FROM {table}"
        for name in counted
    ]
    return [f"CREATE TABLE {table} ({', '.join(cells)})", *(row[0] for row in indexes), *raised]


def _column_text(row: Sequence[Any]) -> str:
    """Return a column as CREATE TABLE has it: name, type, NOT NULL, default, identity, and how it is computed."""
    name, type_, is_required, default, identity, generated = row
    text = f"{quote(name)} {type_}"
    if generated:
        return f"{text} GENERATED ALWAYS AS ({default}) STORED"
    if identity or "nextval(" in (default or ""):
        return f"{text} GENERATED BY DEFAULT AS IDENTITY"
    text += f" DEFAULT {default}" if default else ""
    return f"{text} NOT NULL" if is_required else text
