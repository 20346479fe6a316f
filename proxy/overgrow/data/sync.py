"""The triggers between two tables, created and dropped in either kind of database."""

from __future__ import annotations

from sqlalchemy import Connection

from overgrow.data.database import PARAMETER, execute
from overgrow.data.mapping import TableMapping
from overgrow.data.sql import quote_table
from overgrow.data.stages import LAST, stage_named
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


def missing_triggers(connection: Connection, mapping: TableMapping, stage: str) -> list[str]:
    """Return the names of triggers that a stage needs and the database has not, or has disabled.

    A migration of legacy may take them away: many tools change a table of SQLite by making it anew.
    """
    part = sqlite if connection.dialect.name == "sqlite" else postgres
    if stage == LAST:
        needed = [*part.block_triggers(mapping)]
    else:
        needed = [*part.sync_triggers(mapping)] if stage_named(stage).is_synced else []
    return [str(one if part is sqlite else one[0]) for one in needed if not _has(connection, one)]


def _has(connection: Connection, trigger: str | tuple[str, str]) -> bool:
    if isinstance(trigger, str):
        query = f"SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name = {PARAMETER}"
        return bool(execute(connection, query, [trigger]).scalar())
    name, table = trigger
    query = (
        f"SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass({PARAMETER}) "
        f"AND tgname = {PARAMETER} AND tgenabled IN ('O', 'A')"
    )
    return bool(execute(connection, query, [quote_table(table, "postgresql"), name]).scalar())
