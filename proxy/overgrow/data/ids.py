"""Who gives new rows their ids: one sequence for both tables while triggers join them.

PostgreSQL: the new table takes its ids from the legacy table's sequence, and gets its own back at `complete` or `none`.
SQLite has no sequences to share. There the row with the greatest key crosses at once, so that both tables count
on from the same number, and each insert crosses in its own transaction.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from sqlalchemy import Connection

from overgrow.data.crossing import to_new
from overgrow.data.database import PARAMETER, execute
from overgrow.data.mapping import TableMapping
from overgrow.data.sql import quote, quote_list, quote_table, quote_text

_NEXTVAL = re.compile(r"nextval\('((?:[^']|'')+)'::regclass\)")


class IdPlan(NamedTuple):
    """Statements about ids, and what the ledger must remember to undo them."""

    statements: tuple[str, ...]
    remember: str | None = None


def share_ids(connection: Connection, mapping: TableMapping, remembered: str | None) -> IdPlan:
    """Return how both tables take their ids from one place."""
    if len(mapping.new.key) != 1:
        return IdPlan(())
    if connection.dialect.name == "sqlite":
        return IdPlan(tuple(_sqlite_statements(connection, mapping)))
    (old_key,), (new_key,) = mapping.old.key, mapping.new.key
    sequence = _sequence_of(connection, mapping.old.name, old_key)
    if sequence is None:
        return IdPlan(())
    table, column = quote_table(mapping.new.name, "postgresql"), quote(new_key)
    own = _id_source(connection, mapping.new.name, new_key)
    statements = []
    if own["identity"]:
        statements.append(f"ALTER TABLE {table} ALTER COLUMN {column} DROP IDENTITY")
    default = f"nextval({quote_text(sequence)}::regclass)"
    statements.append(f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {default}")
    statements.append(_raise_sequence(mapping, sequence))
    return IdPlan(tuple(statements), remembered or json.dumps(own))


def own_ids(mapping: TableMapping, kind: str, remembered: str | None) -> tuple[str, ...]:
    """Return the statements that give the new table its own ids back, above all that exist."""
    if kind == "sqlite" or remembered is None:
        return ()
    own = json.loads(remembered)
    table, column = quote_table(mapping.new.name, "postgresql"), quote(mapping.new.key[0])
    head = f"ALTER TABLE {table} ALTER COLUMN {column}"
    statements = [f"{head} DROP DEFAULT"]
    if own["identity"]:
        always = "ALWAYS" if own["identity"] == "a" else "BY DEFAULT"
        statements.append(f"{head} ADD GENERATED {always} AS IDENTITY")
    elif own["default"]:
        statements.append(f"{head} SET DEFAULT {own['default']}")
    if found := _NEXTVAL.search(own["default"] or ""):
        statements.append(_raise_sequence(mapping, found[1].replace("''", "'")))
    elif own["identity"]:
        named = f"pg_get_serial_sequence({quote_text(table)}, {quote_text(mapping.new.key[0])})"
        statements.append(f"SELECT setval({named}, {_greatest(mapping)})")
    return tuple(statements)


def _greatest(mapping: TableMapping) -> str:
    maxima = [
        f"(SELECT max({quote(half.key[0])}) FROM {quote_table(half.name, 'postgresql')})"
        for half in (mapping.old, mapping.new)
    ]
    return f"GREATEST({', '.join(maxima)}, 1)"


def _raise_sequence(mapping: TableMapping, sequence: str) -> str:
    """Return the statement that raises a sequence above all keys; it never lowers one."""
    name, most = quote_text(sequence), _greatest(mapping)
    return f"SELECT setval({name}, {most}) WHERE {most} > (SELECT last_value FROM {sequence})"


def _sequence_of(connection: Connection, table: str, column: str) -> str | None:
    """Return the sequence from which a column takes its values, as SQL reads it."""
    owned = execute(
        connection,
        f"SELECT pg_get_serial_sequence({PARAMETER}, {PARAMETER})",
        [quote_table(table, "postgresql"), column],
    ).scalar()
    if owned is not None:
        return str(owned)
    found = _NEXTVAL.search(_id_source(connection, table, column)["default"] or "")
    return found[1].replace("''", "'") if found else None


def _id_source(connection: Connection, table: str, column: str) -> dict[str, Any]:
    """Return how a column makes its values: its default, and its kind of identity."""
    row = execute(
        connection,
        "SELECT a.attidentity, pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a "
        "LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
        f"WHERE a.attrelid = to_regclass({PARAMETER}) AND a.attname = {PARAMETER}",
        [quote_table(table, "postgresql"), column],
    ).one()
    return {"identity": row[0], "default": row[1]}


def _sqlite_statements(connection: Connection, mapping: TableMapping) -> list[str]:
    crossing = to_new(mapping, "sqlite")
    key = quote_list(mapping.old.key)
    last = f"{key} = (SELECT max({key}) FROM {crossing.source_table})"
    statements = [
        crossing.insert(last, conflict=crossing.on_conflict_update(only_if_different=True))
    ]
    counted = [
        half.name for half in (mapping.old, mapping.new) if _counts_up(connection, half.name)
    ]
    if counted:
        names = ", ".join(map(quote_text, counted))
        most = f"(SELECT max(seq) FROM sqlite_sequence WHERE name IN ({names}))"
        statements += [
            f"INSERT INTO sqlite_sequence (name, seq) SELECT {quote_text(name)}, 0 "
            f"WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = {quote_text(name)})"
            for name in counted
        ]
        statements.append(f"UPDATE sqlite_sequence SET seq = {most} WHERE name IN ({names})")
    return statements


def _counts_up(connection: Connection, table: str) -> bool:
    text = execute(
        connection, f"SELECT sql FROM sqlite_master WHERE name = {PARAMETER}", [table]
    ).scalar()
    return re.search(r"\bAUTOINCREMENT\b", str(text), re.IGNORECASE) is not None
