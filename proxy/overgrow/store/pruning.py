"""Keeps the store small: it deletes a bounded number of rows that are too old or too many, the oldest hours first."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Table, delete, func, select, tuple_

from overgrow.store import tables

MAX_HOURS_AT_ONCE = 24
MAX_GROUPS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Retention:
    """The limits of the store: the age of evidence, the number of rows in each table, and the number of groups."""

    keep_days: int = 30
    max_rows: int = 200_000
    max_groups: int = 2_000


def prune(connection: Connection, retention: Retention, now_hour: int) -> int:
    """Delete evidence beyond the retention, at most a bounded number of rows.

    Return how many. The current hour stays.
    """
    removed = sum(_prune_hours(connection, each, retention, now_hour) for each in tables.HOURLY)
    return removed + _prune_groups(connection, retention, now_hour)


def _prune_hours(connection: Connection, table: Table, retention: Retention, now_hour: int) -> int:
    oldest_kept = now_hour - retention.keep_days * 24
    rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
    hours = connection.execute(
        select(table.c.hour, func.count())
        .where(table.c.hour < now_hour)
        .group_by(table.c.hour)
        .order_by(table.c.hour)
        .limit(MAX_HOURS_AT_ONCE)
    )
    removed, last = 0, None
    for hour, count in hours:
        if hour >= oldest_kept and rows - removed <= retention.max_rows:
            break
        removed, last = removed + count, hour
    if last is not None:
        connection.execute(delete(table).where(table.c.hour <= last))
    return removed


def _prune_groups(connection: Connection, retention: Retention, now_hour: int) -> int:
    """Delete groups that are too old. If there are still too many, delete those that were seen least recently."""
    group = tables.mismatch_group.c
    oldest_kept_at = (now_hour - retention.keep_days * 24) * 3600.0
    rows = connection.execute(
        select(group.route, group.control, group.key, group.last_seen_at).order_by(
            group.last_seen_at.desc(), group.key
        )
    ).all()
    over = [
        row[:3]
        for place, row in enumerate(rows)
        if place >= retention.max_groups or row[3] < oldest_kept_at
    ]
    doomed = [tuple(each) for each in over[-MAX_GROUPS_AT_ONCE:]]
    for table in tables.OF_GROUPS if doomed else ():
        keys = tuple_(table.c.route, table.c.control, table.c.key)
        connection.execute(delete(table).where(keys.in_(doomed)))
    return len(doomed)
