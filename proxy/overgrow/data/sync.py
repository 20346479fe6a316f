"""The triggers between two tables, created and dropped in either kind of database."""

from __future__ import annotations

from sqlalchemy import Connection

from overgrow.data.database import execute
from overgrow.data.mapping import TableMapping
from overgrow.data.triggers import postgres, sqlite


def create_sync(connection: Connection, mapping: TableMapping, leader: str) -> list[str]:
    """Return the statements that create the triggers of both directions, after dropping earlier ones."""
    if connection.dialect.name == "sqlite":
        return [*sqlite.drop_sync(mapping), *sqlite.create_sync(mapping, leader)]
    path = execute(connection, "SELECT current_schemas(false)::text[]").scalar()
    return [*postgres.drop_sync(mapping), *postgres.create_sync(mapping, leader, path)]


def drop_sync(connection: Connection, mapping: TableMapping) -> list[str]:
    """Return the statements that drop all our triggers of a table's move."""
    kind = connection.dialect.name
    return [*(sqlite if kind == "sqlite" else postgres).drop_sync(mapping)]


def create_blocks(connection: Connection, mapping: TableMapping) -> list[str]:
    """Return the statements that refuse writes to the legacy table, after dropping the triggers between the tables."""
    part = sqlite if connection.dialect.name == "sqlite" else postgres
    return [*part.drop_sync(mapping), *part.create_blocks(mapping)]
