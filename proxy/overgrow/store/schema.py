"""Migrates a store's tables to the version that this code knows. The versions are in migrations/.

A store of a newer version is left alone, so that an older front door does not break it.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, column, inspect, select, table, text

from overgrow.store.tables import VERSION_TABLE

MIGRATIONS = Path(__file__).with_name("migrations")
HEAD = max(each.stem[1:5] for each in (MIGRATIONS / "versions").glob("v*_*.py"))
_LOCK = 0x6F766572  # "over": any number that all our processes share


def has_current_version(connection: Connection) -> bool:
    """Return whether the tables have the version that this code knows."""
    return version_of(connection) == HEAD


def version_of(connection: Connection) -> str | None:
    """Return the version of the tables; None before the first migration."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    versions = table(VERSION_TABLE, column("version_num"))
    return connection.execute(select(versions.c.version_num)).scalar()


def migrate(connection: Connection) -> None:
    """Run the missing migrations within the connection's transaction.

    Raises:
        alembic.util.CommandError: if the store has a version that this code does not know.

    """
    if connection.dialect.name == "postgresql":
        _wait_for_turn(connection)
    command.upgrade(alembic_config(connection), "head")


def _wait_for_turn(connection: Connection) -> None:
    """Wait until all other migrations of the store have ended, because a table that they lock would make this one fail.

    The session's lock_timeout is meant for locks of tables. It is too short for the migration of another
    process. During this wait it is therefore turned off, and statement_timeout ends the wait. Afterwards
    lock_timeout applies again, because a migration that waits long for a table would block everybody who uses
    the table.
    """
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    connection.execute(text("SET LOCAL lock_timeout TO DEFAULT"))


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's settings without a file. Workers, tests and `alembic revision` use the same settings."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
