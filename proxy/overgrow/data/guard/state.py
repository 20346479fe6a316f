"""The state of the guard for `overgrow data check`: whether it is up to date, and which role runs the migrations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from overgrow.data.declaration import DataDeclaration
from overgrow.data.guard.table_guard import rights_of_role
from overgrow.data.guard.writing import GuardError, find_migrations, owners_of, plan_guard

GuardState = Literal["current", "outdated", "missing", "no-migrations", "unusable"]
CONNECT_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class MigrationsRole:
    """The role that runs migrations, and the tables of other owners that it may change.

    If it is unknown, `error` says why.
    """

    role: str | None
    may_change: tuple[str, ...] = ()
    error: str | None = None


def guard_state(folder: Path, declaration: DataDeclaration) -> tuple[GuardState, str]:
    """Return the state of the guard below the folder of data.yaml, and a sentence about it."""
    try:
        migrations = find_migrations(folder)
    except GuardError as error:
        return "no-migrations", error.what
    try:
        files = plan_guard(migrations, declaration)
    except GuardError as error:
        return "unusable", f"{error.what} {error.fix}"
    if all(each.is_current for each in files):
        return "current", f"The guard in {migrations} is up to date."
    if files[0].before is None:
        return "missing", f"{migrations} has no guard. Write it: overgrow data guard"
    return "outdated", f"The guard in {migrations} is out of date. Write it: overgrow data guard"


def migrations_role(declaration: DataDeclaration) -> MigrationsRole | None:
    """Ask PostgreSQL what the role of the migrations may change. None for another database, or if no role is named."""
    if declaration.migrations is None:
        return None
    try:
        url = make_url(declaration.migrations)
        if url.get_backend_name() != "postgresql":
            return None
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        engine = create_engine(
            url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_S}
        )
        with engine.connect() as connection:
            role, may_change = rights_of_role(connection, owners_of(declaration))
    except (ArgumentError, ValueError):  # the text may repeat the URL, with its password
        return MigrationsRole(None, error="`migrations` is not the URL of a database.")
    except (SQLAlchemyError, ImportError) as error:
        return MigrationsRole(None, error=str(getattr(error, "orig", None) or error).strip())
    return MigrationsRole(role, tuple(may_change))
