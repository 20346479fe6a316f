"""Opens, reads and writes the database of both apps, in short transactions and with errors for commands.

This module hides two differences of SQLite and PostgreSQL: how a transaction begins, and how long a lock is
awaited. Statements are text, because they hold expressions that people wrote. PARAMETER marks the place of a
value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

__all__ = ["Connection", "DataError", "Database", "execute", "open_database"]

PARAMETER = "\x01"
LOCK_TIMEOUT_MS = 2_000
STATEMENT_TIMEOUT_MS = 600_000
CONNECT_TIMEOUT_S = 5
# SQLSTATEs: a lock that was not free in time, a deadlock, a conflict of transactions.
_LOCKED = frozenset({"55P03", "40P01", "40001"})
# SQLSTATEs of classes 08 and 57: the connection is gone, or the server shuts down or starts.
_AWAY = ("08", "57P")


class DataError(Exception):
    """A command on the data cannot be carried out: a code, what and why, and the fix."""

    def __init__(self, code: str, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.code, self.what, self.fix = code, what, fix


class DatabaseAway(DataError):
    """The database cannot be reached, or went away; the same command may work later."""


class DatabaseLocked(DataError):
    """A lock was not free in time. Nothing was changed, and the same command may work later."""


class Database:
    """An open database; `kind` is "sqlite" or "postgresql"."""

    def __init__(self, engine: Engine, shown: str) -> None:
        self._engine, self.shown = engine, shown
        self.kind = engine.dialect.name

    @contextmanager
    def write(
        self, *, lock_timeout_ms: int = LOCK_TIMEOUT_MS, is_synced: bool = True
    ) -> Iterator[Connection]:
        """Hold a transaction that writes. It is committed at the end of the block, and undone after an exception.

        Without `is_synced` a power cut, but no crash of a process, may undo the last such transactions of a SQLite
        file with a write-ahead log, each of them whole.
        """
        with self._errors(), self._engine.connect() as connection:
            if self.kind == "sqlite":
                connection.exec_driver_sql(f"PRAGMA busy_timeout={lock_timeout_ms}").close()
                level = "FULL" if is_synced else "NORMAL"
                connection.exec_driver_sql(f"PRAGMA synchronous={level}").close()
                connection.exec_driver_sql("BEGIN IMMEDIATE").close()
            else:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {lock_timeout_ms}").close()
            yield connection
            connection.commit()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Hold a transaction that sees one state of the database and only reads."""
        with self._errors(), self._engine.connect() as connection:
            if self.kind == "sqlite":
                connection.exec_driver_sql("BEGIN").close()
            else:
                begin = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
                connection.exec_driver_sql(begin).close()
            yield connection
            connection.rollback()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self.error_of(error) from error

    def error_of(self, error: DBAPIError) -> DataError:
        """Return an error of the driver as one that a command can report."""
        why = first_line(error)
        state = getattr(error.orig, "sqlstate", None) or ""
        if state in _LOCKED or (self.kind == "sqlite" and "locked" in why):
            fix = (
                "Nothing was changed. Wait for the transaction that holds the lock, then try again."
            )
            return DatabaseLocked("data-locked", f"{self.shown} is locked: {why}", fix)
        gone = error.connection_invalidated or state.startswith(_AWAY)
        if gone or (not state and self.kind == "postgresql" and _is_operational(error)):
            return DatabaseAway(
                "data-away",
                f"{self.shown} cannot be reached: {why}",
                "Check that it runs and that this machine may connect.",
            )
        if self.kind == "sqlite" and "unable to open" in why:
            fix = "Check the path in data.yaml, and its permissions."
            return DatabaseAway("data-away", f"{self.shown} cannot be opened: {why}", fix)
        fix = "Nothing was changed. overgrow data check names what does not fit."
        return DataError("data-refused", f"{self.shown} refused a statement: {why}", fix)


def _is_operational(error: DBAPIError) -> bool:
    return type(error).__name__ in ("OperationalError", "InterfaceError")


def first_line(error: DBAPIError) -> str:
    """Return the first line of what the driver says, without the statement."""
    text = str(error.orig).strip()
    return (
        text.splitlines()[0].removeprefix("ERROR:").strip() if text else type(error.orig).__name__
    )


def execute(connection: Connection, statement: str, values: Sequence[Any] = ()) -> Any:
    """Run a statement with its values in place of PARAMETER, and return the result."""
    if connection.dialect.name == "sqlite":
        return connection.exec_driver_sql(statement.replace(PARAMETER, "?"), tuple(values))
    if not values:
        return connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    escaped = statement.replace("%", "%%").replace(PARAMETER, "%s")
    return connection.exec_driver_sql(escaped, tuple(values))


def open_database(text: str, folder: Path) -> Database:
    """Return the database of a URL; a relative SQLite file is relative to `folder`. It does not connect yet.

    Raises:
        DataError: if the text is not a URL, the database is of another kind, or its driver is missing.

    """
    url = _supported_url(text)
    shown = url.set(query={}).render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        path = folder / str(url.database)
        url = url.set(database=str(path))
        if not path.is_file():
            fix = "Check the path in data.yaml, or create the database first."
            raise DatabaseAway("data-away", f"{path} does not exist", fix)
        return Database(_sqlite_engine(url), str(path))
    options = (
        f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c idle_in_transaction_session_timeout=60000"
    )
    try:
        engine = create_engine(
            url,
            pool_size=1,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "options": options},
        )
    except ModuleNotFoundError:
        fix = "Install it: pip install 'overgrow[postgres]'"
        raise DataError("data-url", f"{shown} needs the PostgreSQL driver", fix) from None
    return Database(engine, shown)


def _supported_url(text: str) -> URL:
    fix = "Write postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE."
    try:
        url = make_url(text)
        kind = url.get_backend_name()
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise DataError("data-url", "database is not a database URL", fix) from None
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if kind == "sqlite" and url.database not in (None, "", ":memory:"):
        return url.set(drivername="sqlite")
    what = f"database names a {kind} database; only SQLite files and PostgreSQL are supported"
    raise DataError("data-url", what, fix)


def _sqlite_engine(url: URL) -> Engine:
    # Last in, first out: one connection is used again and again, so that PRAGMA data_version tells of others alone.
    engine = create_engine(
        url, pool_use_lifo=True, connect_args={"timeout": LOCK_TIMEOUT_MS / 1000}
    )

    @event.listens_for(engine, "connect")
    def _begin_by_hand(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    return engine
