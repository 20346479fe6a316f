"""Computes how a row of the legacy table becomes a row of the new table, and back. Pure.

A declaration contains only what is not obvious. This module completes it from the columns of both tables, and
refuses mappings that are ambiguous or lose information. `resolve` returns all problems. Each of them names
table, column, what, why and the fix.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from overgrow.data.catalog import Column, TableShape
from overgrow.data.declaration import TableDeclaration
from overgrow.data.expressions import bare_column, names_in, quoted_names
from overgrow.data.sql import quote
from overgrow.yaml_file.scalars import FieldError, nearest_word


class MappedColumn(NamedTuple):
    """A column whose value comes from the other table's row: its name and type, and the SQL over that row."""

    name: str
    type: str
    expression: str
    is_always_identity: bool = False


class Half(NamedTuple):
    """One table of a mapping: its name, its key, and the columns that come from the other table."""

    name: str
    key: tuple[str, ...]
    columns: tuple[MappedColumn, ...]


@dataclass(frozen=True, slots=True)
class TableMapping:
    """A complete mapping between a legacy table and the new one. The keys have the same order on both sides."""

    old: Half
    new: Half

    @property
    def fingerprint(self) -> str:
        """A text that differs if the mapping differs in any way."""
        halves = [
            [half.name, half.key, [column[:3] for column in half.columns]]
            for half in (self.old, self.new)
        ]
        return hashlib.sha256(json.dumps(halves).encode()).hexdigest()[:16]


class FieldProblem(NamedTuple):
    """A problem at a field of a table, such as `columns.total`."""

    field: str
    error: FieldError


class ResolvedMapping(NamedTuple):
    """A mapping, or the problems that prevent it."""

    mapping: TableMapping | None
    problems: tuple[FieldProblem, ...]


def resolve(
    table: TableDeclaration, old: TableShape | None, new: TableShape | None
) -> ResolvedMapping:
    """Complete the declaration of a table that moves, from the shapes of both tables.

    A shape is None if its table is missing.
    """
    missing = [*_missing_tables(table, old, new)]
    if old is None or new is None:
        return ResolvedMapping(None, tuple(missing))
    draft = _MappingDraft(table, old, new)
    problems = tuple(draft.problems())
    if problems:
        return ResolvedMapping(None, problems)
    return ResolvedMapping(draft.build_mapping(), ())


def _missing_tables(
    table: TableDeclaration, old: TableShape | None, new: TableShape | None
) -> Iterator[FieldProblem]:
    if old is None:
        what = f"table {table.source}, from which {table.name} comes, is not in the database"
        yield FieldProblem(
            "from", FieldError("table-absent", what, "Write its name as it is there.")
        )
    if new is None:
        what = f"table {table.name} is not in the database"
        fix = "Create it with a migration of yours first."
        yield FieldProblem("", FieldError("table-absent", what, fix))


class _MappingDraft:
    """A declaration with the shapes of its two tables."""

    def __init__(self, table: TableDeclaration, old: TableShape, new: TableShape) -> None:
        self.table, self.old, self.new = table, old, new
        self.forward = self._forward()
        self.back = self._back()

    def _forward(self) -> dict[str, str]:
        """Return {new column: SQL over the legacy row}."""
        found = dict(self.table.columns)
        for name, column in self.new.columns.items():
            is_plain = name in self.old.columns and name not in self.table.drops
            if name not in found and is_plain and not column.is_generated:
                found[name] = quote(name)
        return {name: found[name] for name in self.new.columns if name in found}

    def _back(self) -> dict[str, str]:
        """Return {legacy column: SQL over the new row}. Columns without a known way back are left out."""
        found = dict(self.table.back)
        for name, column in self.old.columns.items():
            renamed = self._renames_of(name)
            if name not in found and len(renamed) == 1 and not column.is_generated:
                found[name] = quote(renamed[0])
        return {name: found[name] for name in self.old.columns if name in found}

    def _renames_of(self, old_name: str) -> list[str]:
        """Return the new columns that only rename this legacy column."""
        return [name for name, sql in self.forward.items() if bare_column(sql) == old_name]

    def build_mapping(self) -> TableMapping:
        """Return the mapping. Call this only if there are no problems."""
        key = self.table.key
        old_key = tuple(str(bare_column(self.forward[name])) for name in key)
        old = tuple(_map_column(self.old.columns[name], sql) for name, sql in self.back.items())
        new = tuple(_map_column(self.new.columns[name], sql) for name, sql in self.forward.items())
        return TableMapping(Half(self.old.name, old_key, old), Half(self.new.name, key, new))

    def problems(self) -> Iterator[FieldProblem]:
        """Yield every problem that the shapes alone show."""
        yield from self._problems_of_row_names()
        yield from self._problems_of_names("columns", self.table.columns, self.new, self.old)
        yield from self._problems_of_names("back", self.table.back, self.old, self.new)
        yield from self._problems_of_drops()
        yield from self._problems_of_key()
        yield from self._problems_of_old_columns()
        yield from self._problems_of_new_columns()

    def _problems_of_row_names(self) -> Iterator[FieldProblem]:
        """Refuse a table that has the name of a row in a trigger: each statement would compare that table with itself."""
        for shape, field in ((self.old, "from"), (self.new, "")):
            if shape.name.rpartition(".")[2].casefold() in _ROW_NAMES:
                what = f"the table {shape.name} has the name by which triggers call a row, so it cannot move"
                fix = "Rename the table, or move its rows by a migration of yours."
                yield FieldProblem(field, FieldError("table-name", what, fix))

    def _problems_of_names(
        self, field: str, written: Mapping[str, str], to: TableShape, source: TableShape
    ) -> Iterator[FieldProblem]:
        for name, sql in written.items():
            place = f"{field}.{name}"
            if name not in to.columns:
                yield FieldProblem(place, _absent(to, name))
                continue
            if to.columns[name].is_generated:
                what = f"{to.name}.{name} is computed by the database"
                yield FieldProblem(place, FieldError("column-unmapped", what, "Remove the line."))
            bare = bare_column(sql)
            named = {bare} if bare is not None and bare.lower() not in _CONSTANTS else set()
            for one in sorted((named | quoted_names(sql)) - source.columns.keys()):
                yield FieldProblem(place, _absent(source, one))

    def _problems_of_drops(self) -> Iterator[FieldProblem]:
        for name in self.table.drops:
            column = self.old.columns.get(name)
            if column is None:
                yield FieldProblem("drops", _absent(self.old, name))
            elif not (column.is_nullable or column.has_default or name in self.table.back):
                what = (
                    f"{self.old.name}.{name} is dropped, but it may not be NULL and has no default"
                )
                fix = f"Write back: {{{name}: VALUE}} for rows that are written to the new table."
                yield FieldProblem("drops", FieldError("column-unmapped", what, fix))

    def _problems_of_key(self) -> Iterator[FieldProblem]:
        for name in self.table.key:
            if name not in self.new.columns:
                yield FieldProblem("key", _absent(self.new, name))
                return
            old_name = bare_column(self.forward.get(name, ""))
            if old_name is None or bare_column(self.back.get(old_name, "")) != name:
                what = f"the key column {self.new.name}.{name} is not one column of {self.old.name}"
                fix = "Name a key whose columns are the same, or only renamed, in both tables."
                yield FieldProblem("key", FieldError("key-unusable", what, fix))
                return
        old_key = tuple(str(bare_column(self.forward[name])) for name in self.table.key)
        for shape, key in ((self.old, old_key), (self.new, self.table.key)):
            if not shape.is_key(key):
                what = f"({', '.join(key)}) of {shape.name} may be NULL, or is not unique"
                fix = "Name a primary key, or a unique key of columns that are NOT NULL."
                yield FieldProblem("key", FieldError("key-unusable", what, fix))

    def _problems_of_old_columns(self) -> Iterator[FieldProblem]:
        used = frozenset().union(*map(names_in, self.forward.values()))
        for name, column in self.old.columns.items():
            if name in self.table.drops or column.is_generated:
                continue
            where = f"{self.old.name}.{name}"
            if name not in used:
                what = f"{where} is carried to no column of {self.new.name}, so its values would be lost"
                fix = f"Write it into columns, or list it: drops: [{name}]."
                yield FieldProblem("columns", FieldError("column-unmapped", what, fix))
            elif name not in self.back:
                yield FieldProblem("back", self._no_way_back(name))

    def _no_way_back(self, name: str) -> FieldError:
        renamed = self._renames_of(name)
        what = f"the way back of {self.old.name}.{name} is not given"
        if renamed:
            what += f", and {' and '.join(renamed)} both hold it"
        fix = f"Write back: {{{name}: SQL over a row of {self.new.name}}}."
        return FieldError("mapping-ambiguous", what, fix)

    def _problems_of_new_columns(self) -> Iterator[FieldProblem]:
        for name, column in self.new.columns.items():
            has_value = column.is_nullable or column.has_default or column.is_generated
            if name in self.forward or has_value:
                continue
            what = f"{self.new.name}.{name} may not be NULL, has no default, and gets no value"
            fix = f"Write columns: {{{name}: SQL over a row of {self.old.name}}}."
            yield FieldProblem("columns", FieldError("column-unmapped", what, fix))


_CONSTANTS = frozenset({"null", "true", "false"})
_ROW_NAMES = frozenset({"old", "new", "excluded"})


def _map_column(column: Column, expression: str) -> MappedColumn:
    return MappedColumn(column.name, column.type, expression, column.identity == "a")


def _absent(shape: TableShape, name: str) -> FieldError:
    near = nearest_word(name, shape.columns)
    fix = f"Did you mean {near}?" if near else f"Its columns are {', '.join(shape.columns)}."
    return FieldError("column-absent", f"table {shape.name} has no column {name}", fix)
