"""Reads groups of mismatches from their tables: chosen groups with examples, or many groups without examples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, func, select, true

from overgrow.evidence import Example, Group, Part, StoredGroups
from overgrow.store import tables
from overgrow.store.cells import hour_of, storable_text
from overgrow.store.row_builder import example_from_row, part_from_row

_OWNER = ("route", "control", "key")  # of a group's rows


def select_groups(
    connection: Connection, chosen: Callable[[Table], ColumnElement[bool]], since: float
) -> tuple[Group, ...]:
    """Return the groups that `chosen` selects and that were seen since `since`, with their parts and examples."""
    group = tables.mismatch_group
    rows = connection.execute(
        select(group)
        .where(chosen(group), group.c.last_seen_at >= since)
        .order_by(group.c.severity.desc(), group.c.times.desc(), group.c.key)
    ).all()
    hours = tables.group_hour
    query = select(hours).where(chosen(hours), hours.c.hour >= hour_of(since))
    recent: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in connection.execute(query):
        recent[row[:3]] += row.times
    parts = _rows_by_group(connection, tables.group_part, chosen)
    examples = _rows_by_group(connection, tables.example, chosen)
    return tuple(
        _group_from_row(
            row,
            recent[row[:3]],
            map(part_from_row, parts[row[:3]]),
            map(example_from_row, examples[row[:3]]),
        )
        for row in rows
    )


def select_stored_groups(
    connection: Connection, routes: Collection[str] | None, limit: int
) -> StoredGroups:
    """Return at most `limit` groups without examples: of some routes, or of all routes for None."""
    group, part = tables.mismatch_group, tables.group_part
    names = None if routes is None else [storable_text(each) for each in routes]
    mine = true() if names is None else group.c.route.in_(names)
    total = connection.execute(select(func.count()).select_from(group).where(mine)).scalar_one()
    order = (group.c.severity.desc(), group.c.times.desc(), group.c.key, group.c.route)
    wanted = select(group).where(mine).order_by(*order).limit(limit)
    rows = connection.execute(wanted).all()
    query = select(part).where(true() if names is None else part.c.route.in_(names))
    if total > limit:
        first = wanted.subquery()
        owner = zip(_OWNER, (first.c[name] for name in _OWNER), strict=True)
        query = query.join(first, and_(*(part.c[name] == column for name, column in owner)))
    parts: dict[tuple[str, str, str], list[Part]] = defaultdict(list)
    for row in connection.execute(query.order_by(*part.primary_key.columns)):
        parts[row[:3]].append(part_from_row(row))
    groups = (_group_from_row(row, row.times, parts[row[:3]], ()) for row in rows)
    return StoredGroups(tuple(groups), total)


def _group_from_row(
    row: Any, recent: int, parts: Iterable[Part], examples: Iterable[Example]
) -> Group:
    return Group(
        route=row.route,
        control=row.control,
        key=row.key,
        title=row.title,
        severity=tables.SEVERITIES[row.severity],
        count=row.times,
        recent=recent,
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        parts=tuple(parts),
        examples=tuple(examples),
    )


def _rows_by_group(
    connection: Connection, table: Table, chosen: Callable[[Table], ColumnElement[bool]]
) -> dict[tuple[str, str, str], list[Any]]:
    found: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    order = list(table.primary_key.columns)
    for row in connection.execute(select(table).where(chosen(table)).order_by(*order)):
        found[row.route, row.control, row.key].append(row)
    return found
