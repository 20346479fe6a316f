"""The statements that carry rows from one table of a mapping to the other. Pure.

A row *stands for* a row of the other table if the mapping makes that row from it. Triggers, backfill and verify
all use this fact: a write is carried over only if no row stands for it already. Therefore a write crosses once,
whatever other triggers fire. No mark is needed that a crash could leave behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from overgrow.data.mapping import Half, MappedColumn, TableMapping
from overgrow.data.sql import key_of_row, quote, quote_list, quote_table


@dataclass(frozen=True, slots=True)
class Crossing:
    """One direction of a mapping: rows of `source` are carried to `target`."""

    source: Half
    target: Half
    kind: str  # of the database: sqlite or postgresql

    @property
    def source_table(self) -> str:
        """The quoted name of the source."""
        return quote_table(self.source.name, self.kind)

    @property
    def target_table(self) -> str:
        """The quoted name of the target."""
        return quote_table(self.target.name, self.kind)

    def source_is(self, key: str) -> str:
        """Return the condition that a row of the source has a key, such as `(NEW."id")`."""
        return f"{key_of_row('', self.source.key)} = {key}"

    def target_is(self, key: str) -> str:
        """Return the condition that a row of the target has a key."""
        return f"{key_of_row('', self.target.key)} = {key}"

    def values(self, where: str) -> str:
        """Return a SELECT that computes the target's values from those rows of the source that meet a condition."""
        values = ", ".join(f"({column.expression})" for column in self.target.columns)
        return f"SELECT {values} FROM {self.source_table} WHERE {where}"

    def stands_for(self, key: str) -> str:
        """Return the condition that the target's row of this key stands for the source's row of this key."""
        columns = self.source.columns
        own = ", ".join(
            f"{comparable(quote(one.name), one, self.kind)} AS c{at}"
            for at, one in enumerate(columns)
        )
        given = ", ".join(
            f"{comparable(one.expression, one, self.kind)} AS c{at}"
            for at, one in enumerate(columns)
        )
        same = " AND ".join(
            is_same(f"s.c{at}", f"t.c{at}", self.kind) for at in range(len(columns))
        )
        return (
            f"EXISTS (SELECT 1 FROM (SELECT {own} FROM {self.source_table} WHERE {self.source_is(key)}) AS s, "
            f"(SELECT {given} FROM {self.target_table} WHERE {self.target_is(key)}) AS t WHERE {same})"
        )

    def arrives(self, key: str) -> str:
        """Return the condition that the target's row of this key has the values that the source's row implies."""
        return Crossing(self.target, self.source, self.kind).stands_for(key)

    def update(self, source_key: str, target_key: str) -> str:
        """Return the UPDATE of the target's row by the source's row."""
        return self._update(self.target.columns, source_key, target_key)

    def update_values(self, key: str) -> str | None:
        """Return the UPDATE that leaves the key as it is; None if the target has no other columns.

        PostgreSQL refuses each UPDATE of a column that is GENERATED ALWAYS, even to the value that it has.
        """
        columns = tuple(one for one in self.target.columns if one.name not in self.target.key)
        return self._update(columns, key, key) if columns else None

    def _update(self, columns: Sequence[MappedColumn], source_key: str, target_key: str) -> str:
        names = quote_list(column.name for column in columns)
        values = ", ".join(f"({column.expression})" for column in columns)
        select = f"SELECT {values} FROM {self.source_table} WHERE {self.source_is(source_key)}"
        return (
            f"UPDATE {self.target_table} SET ({names}) = ({select}) "
            f"WHERE {self.target_is(target_key)}"
        )

    def insert_of_record(self, record: str) -> str:
        """Return the INSERT of the row that a trigger holds in a record, such as OLD, unless a row stands there.

        PostgreSQL alone.
        """
        names = quote_list(column.name for column in self.target.columns)
        values = ", ".join(f"({column.expression})" for column in self.target.columns)
        alias = quote(self.source.name.rpartition(".")[2])
        return (
            f"INSERT INTO {self.target_table} ({names}){self._overriding} "
            f"SELECT {values} FROM (SELECT {record}.*) AS {alias} ON CONFLICT DO NOTHING"
        )

    @property
    def _overriding(self) -> str:
        is_always = any(column.is_always_identity for column in self.target.columns)
        return " OVERRIDING SYSTEM VALUE" if is_always else ""

    def insert(self, where: str, *, conflict: str = "") -> str:
        """Return the INSERT of those rows of the source that meet a condition. `conflict` is an ON CONFLICT clause."""
        names = quote_list(column.name for column in self.target.columns)
        tail = f" {conflict}" if conflict else ""
        return f"INSERT INTO {self.target_table} ({names}){self._overriding} {self.values(where)}{tail}"

    def on_conflict_update(self, *, only_if_different: bool = False) -> str:
        """Return the ON CONFLICT clause that gives an existing row the values of the new one."""
        names = [
            column.name for column in self.target.columns if column.name not in self.target.key
        ]
        key = quote_list(self.target.key)
        if not names:
            return f"ON CONFLICT ({key}) DO NOTHING"
        pairs = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in names)
        clause = f"ON CONFLICT ({key}) DO UPDATE SET {pairs}"
        return f"{clause} WHERE {self._differs()}" if only_if_different else clause

    def _differs(self) -> str:
        found = []
        for column in self.target.columns:
            if column.name not in self.target.key:
                mine = comparable(f"{self.target_table}.{quote(column.name)}", column, self.kind)
                theirs = comparable(f"excluded.{quote(column.name)}", column, self.kind)
                found.append(f"NOT ({is_same(mine, theirs, self.kind)})")
        return " OR ".join(found)


def to_new(mapping: TableMapping, kind: str) -> Crossing:
    """Return the crossing from the legacy table to the new one."""
    return Crossing(mapping.old, mapping.new, kind)


def to_old(mapping: TableMapping, kind: str) -> Crossing:
    """Return the crossing from the new table to the legacy one."""
    return Crossing(mapping.new, mapping.old, kind)


def both_ways(mapping: TableMapping, kind: str) -> Iterator[Crossing]:
    """Yield both crossings."""
    yield to_new(mapping, kind)
    yield to_old(mapping, kind)


# Types of PostgreSQL whose values are equal only if they are the same, as far as an app can tell.
_EXACT = re.compile(
    r"smallint|integer|bigint|boolean|uuid|date|bytea|real|double precision|numeric(\(|$)|time(stamp)?\b[^\[]*$"
)


def comparable(expression: str, column: MappedColumn, kind: str) -> str:
    """Return an expression as a value that can be compared with a value of the column.

    A write whose value compares as equal does not cross. So values that an app can tell apart must differ here, and all
    that `verify` tells apart: the case of citext, `1 day` and `24:00:00`, 1 and 1.0 in JSON. Those are compared as text.
    """
    if kind == "sqlite":
        return f"({expression})"
    value = typed_value(expression, column)
    is_exact = _EXACT.match(column.type) and not column.type.endswith("[]")
    return value if is_exact else f'CAST({value} AS text) COLLATE "C"'


def typed_value(expression: str, column: MappedColumn) -> str:
    """Return an expression of PostgreSQL as a value of the column's type; JSON as jsonb, which has an order of keys."""
    return f"CAST(({expression}) AS {'jsonb' if column.type == 'json' else column.type})"


def is_same(one: str, other: str, kind: str) -> str:
    """Return the condition that two values are equal, or both NULL."""
    if kind == "sqlite":  # a column may have a collation that takes 'a' and 'A' for the same
        return f"{one} IS {other} COLLATE BINARY"
    return f"{one} IS NOT DISTINCT FROM {other}"
