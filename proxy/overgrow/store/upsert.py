"""Merges many rows into few: first in memory, then into a table. Every write of evidence is an upsert of this kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, case
from sqlalchemy.dialects import postgresql, sqlite

from overgrow.evidence import SEVERAL
from overgrow.store.cells import Row

_MERGES: Mapping[str, Callable[[Any, Any], Any]] = {
    "sum": lambda before, now: before + now,
    "min": min,
    "max": max,
    "last": lambda _before, now: now,
    "shared": lambda before, now: before if before == now else SEVERAL,
}


def merge_rows(table: Table, rows: Iterable[Row]) -> list[Row]:
    """Merge rows with equal keys, and sort the rows by key, so that two writers never deadlock."""
    keys = [column.name for column in table.primary_key.columns]
    merges = {column.name: _MERGES[column.info["merge"]] for column in _value_columns(table)}
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        before = found.get(key)
        found[key] = row if before is None else _merge_two(before, row, merges)
    return [found[key] for key in sorted(found)]


def _merge_two(before: Row, now: Row, merges: Mapping[str, Callable[[Any, Any], Any]]) -> Row:
    return {**before, **{name: merge(before[name], now[name]) for name, merge in merges.items()}}


def upsert(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Write the rows; merge each with the stored row of its key, if there is one."""
    merged = merge_rows(table, rows)
    if not merged:
        return
    of_dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert: Any = of_dialect.insert(table)  # both dialects have the same insert, but no common type
    changes = {
        column.name: _merge_expression(column, insert.excluded[column.name])
        for column in _value_columns(table)
    }
    connection.execute(
        insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changes),
        [dict(row) for row in merged],
    )


def _merge_expression(before: Column[Any], now: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return SQL for a merge in _MERGES, in a form that both SQLite and PostgreSQL understand."""
    match before.info["merge"]:
        case "sum":
            return before + now
        case "min":
            return case((now < before, now), else_=before)
        case "max":
            return case((now > before, now), else_=before)
        case "shared":
            return case((now == before, before), else_=SEVERAL)
    return now


def _value_columns(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if not column.primary_key]
