"""Who gives new rows their ids: one sequence for both tables while triggers join them.

PostgreSQL: the new table takes its ids from the legacy table's sequence, and gets its own back at `complete` or `none`.
SQLite has no sequences to share. There the row with the greatest key crosses at once, so that both tables count
on from the same number, and each insert crosses in its own transaction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
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
    if connection.dialect.name == "sqlite":
        is_one = len(mapping.new.key) == 1
        return IdPlan(tuple(_sqlite_statements(connection, mapping)) if is_one else ())
    statements: list[str] = []
    own: dict[str, Any] = {}
    for at, old_key in enumerate(mapping.old.key):
        if (sequence := _sequence_of(connection, mapping.old.name, old_key)) is not None:
            own[mapping.new.key[at]] = _id_source(connection, mapping.new.name, mapping.new.key[at])
            statements += _take_ids_from(sequence, mapping, at, own[mapping.new.key[at]])
    if not own:
        return IdPlan(())
    return IdPlan(tuple(statements), remembered or json.dumps(own))


def _take_ids_from(
    sequence: str, mapping: TableMapping, at: int, own: dict[str, Any]
) -> Iterator[str]:
    head = _alter_key(mapping, at)
    if own["identity"]:
        yield f"{head} DROP IDENTITY"
    yield f"{head} SET DEFAULT nextval({quote_text(sequence)}::regclass)"
    yield _raise_sequence(mapping, at, sequence)


def own_ids(
    mapping: TableMapping, kind: str, remembered: str | None, *, is_end: bool = False
) -> tuple[str, ...]:
    """Return the statements that give the new table its own ids back, above all that exist.

    At the end of a move a column of integers that had none of its own gets an identity: without one, the INSERTs
    of the app, which took ids from the legacy table's sequence, would fail from then on.
    """
    if kind == "sqlite" or remembered is None:
        return ()
    statements: list[str] = []
    for name, own in json.loads(remembered).items():
        at = mapping.new.key.index(name)
        is_bare = not (own["identity"] or own["default"])
        if is_end and is_bare and _type_of(mapping, name) in ("smallint", "integer", "bigint"):
            own["identity"] = "d"
        statements += _give_back(mapping, at, own)
    return tuple(statements)


def _give_back(mapping: TableMapping, at: int, own: dict[str, Any]) -> Iterator[str]:
    head = _alter_key(mapping, at)
    yield f"{head} DROP DEFAULT"
    if own["identity"]:
        always = "ALWAYS" if own["identity"] == "a" else "BY DEFAULT"
        yield f"{head} ADD GENERATED {always} AS IDENTITY"
    elif own["default"]:
        yield f"{head} SET DEFAULT {own['default']}"
    if found := _NEXTVAL.search(own["default"] or ""):
        yield _raise_sequence(mapping, at, found[1].replace("''", "'"))
    elif own["identity"]:
        table = quote_table(mapping.new.name, "postgresql")
        named = f"pg_get_serial_sequence({quote_text(table)}, {quote_text(mapping.new.key[at])})"
        yield f"SELECT setval({named}, {_greatest(mapping, at)})"


def _alter_key(mapping: TableMapping, at: int) -> str:
    table, column = quote_table(mapping.new.name, "postgresql"), quote(mapping.new.key[at])
    return f"ALTER TABLE {table} ALTER COLUMN {column}"


def _type_of(mapping: TableMapping, name: str) -> str:
    return next(column.type for column in mapping.new.columns if column.name == name)


def _greatest(mapping: TableMapping, at: int) -> str:
    maxima = [
        f"(SELECT max({quote(half.key[at])}) FROM {quote_table(half.name, 'postgresql')})"
        for half in (mapping.old, mapping.new)
    ]
    return f"GREATEST({', '.join(maxima)}, 1)"


def _raise_sequence(mapping: TableMapping, at: int, sequence: str) -> str:
    """Return the statement that raises a sequence above all keys; it never lowers one."""
    name, most = quote_text(sequence), _greatest(mapping, at)
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
