"""Reads the shape of a table from the database: its columns, and the columns that identify a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from overgrow.data.database import PARAMETER, execute
from overgrow.data.sql import quote, quote_table


class Column(NamedTuple):
    """One column; `type` is as the database writes it, such as numeric(10,2)."""

    name: str
    type: str
    is_nullable: bool
    has_default: bool
    is_generated: bool = False
    identity: str = ""  # PostgreSQL: "a" always, "d" by default


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table as it is in the database; `keys` are the column lists that are unique."""

    name: str
    columns: Mapping[str, Column]
    keys: tuple[tuple[str, ...], ...]

    def is_key(self, names: tuple[str, ...]) -> bool:
        """Return whether the columns identify exactly one row: they are unique and never NULL."""
        is_unique = any(sorted(key) == sorted(names) for key in self.keys)
        return is_unique and not any(self.columns[name].is_nullable for name in names)


def read_shape(connection: Connection, name: str) -> TableShape | None:
    """Return the shape of a table; None if there is no such table."""
    if connection.dialect.name == "sqlite":
        return _sqlite_shape(connection, name)
    return _postgres_shape(connection, name)


def _sqlite_shape(connection: Connection, name: str) -> TableShape | None:
    kind = execute(connection, f"SELECT type FROM sqlite_master WHERE name = {PARAMETER}", [name])
    if kind.scalar() != "table":
        return None
    rows = execute(connection, f"PRAGMA table_xinfo({quote(name)})").all()
    primary = tuple(row[1] for row in sorted(rows, key=lambda row: row[5]) if row[5])
    is_rowid = len(primary) == 1 and any(row[5] and row[2].upper() == "INTEGER" for row in rows)
    listing = execute(connection, f"PRAGMA table_list({quote(name)})").all()
    is_strict = any(row[4] for row in listing)  # WITHOUT ROWID: a primary key is never NULL
    never_null = set(primary) if is_rowid or is_strict else set()
    columns = {
        row[1]: Column(
            row[1],
            row[2],
            not row[3] and row[1] not in never_null,
            row[4] is not None or (is_rowid and row[1] in primary),
            row[6] in (2, 3),
        )
        for row in rows
        if row[6] != 1
    }
    return TableShape(name, columns, (primary, *_sqlite_uniques(connection, name)))


def _sqlite_uniques(connection: Connection, name: str) -> list[tuple[str, ...]]:
    found = []
    for row in execute(connection, f"PRAGMA index_list({quote(name)})").all():
        is_unique, is_partial = row[2], row[4]
        columns = execute(connection, f"PRAGMA index_info({quote(row[1])})").all()
        names = tuple(column[2] for column in columns)
        if is_unique and not is_partial and None not in names:
            found.append(names)
    return found


_COLUMNS = f"""
SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
       a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', a.attidentity
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attrelid = to_regclass({PARAMETER}) AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
ORDER BY a.attnum
"""
_KEYS = f"""
SELECT array_agg(a.attname::text ORDER BY k.place)
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = to_regclass({PARAMETER}) AND i.indisunique AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indimmediate
GROUP BY i.indexrelid, i.indisprimary ORDER BY i.indisprimary DESC
"""


def _postgres_shape(connection: Connection, name: str) -> TableShape | None:
    quoted = quote_table(name, "postgresql")
    rows = execute(connection, _COLUMNS, [quoted]).all()
    if not rows:
        return None
    columns = {row[0]: Column(*row) for row in rows}
    keys = execute(connection, _KEYS, [quoted]).all()
    return TableShape(name, columns, tuple(tuple(row[0]) for row in keys))
