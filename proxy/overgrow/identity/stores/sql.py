"""Sessions and users in a SQL database, by queries that routes.yaml may state.

A query is fixed text. An id comes in as the parameter `:id`, and the time as `:now` (seconds since 1970). Only
the statement that renews a session writes to the database.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from overgrow.identity.reader import LookupFailed, StoreAway

MAX_ROWS = 500
_MYSQL_UNKNOWN = frozenset({1054, 1064, 1142, 1143, 1146})  # column, syntax, rights, table
WAIT_S = 2
Row = Mapping[str, Any]
_MILLISECONDS_FROM = 1e11  # a number above is in milliseconds: in seconds it would be the year 5138
_CONNECT_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "postgresql": {  # no options: a pool such as pgbouncer refuses them
        "connect_timeout": WAIT_S,
        "tcp_user_timeout": 2_000 * WAIT_S,
        "keepalives_idle": 5,
        "keepalives_interval": WAIT_S,
        "keepalives_count": 2,
    },
    "mysql": {"connect_timeout": WAIT_S, "read_timeout": WAIT_S, "write_timeout": WAIT_S},
    "mariadb": {"connect_timeout": WAIT_S, "read_timeout": WAIT_S, "write_timeout": WAIT_S},
    "sqlite": {"timeout": WAIT_S},
}


class SqlStore:
    """One database. It connects at the first query, so that a table loads even if the store is unavailable."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: sqlalchemy.Engine | None = None
        self._lock = threading.Lock()

    @property
    def dialect(self) -> str:
        """The name of the database: postgresql, mysql, sqlite."""
        return self._open().dialect.name

    def rows(self, query: str, parameters: Mapping[str, object]) -> list[Row]:
        """The rows of a query, as mappings from column names in lower case; at most MAX_ROWS.

        Raises:
            StoreAway: the database does not answer, or refuses the query.

        """
        return self._run(query, parameters)

    def execute(self, statement: str, parameters: Mapping[str, object]) -> None:
        """Change a row. If the row is gone, do nothing.

        Raises:
            StoreAway: the database does not answer, or refuses the statement.

        """
        self._run(statement, parameters)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def _run(self, statement: str, parameters: Mapping[str, object]) -> list[Row]:
        """Run a statement. If the database had closed the connection, run it a second time."""
        for is_last in (False, True):
            try:
                return _fetch(self._open(), statement, parameters)
            except (
                sqlalchemy.exc.DataError
            ) as error:  # about the value, such as a text in place of a number
                raise LookupFailed(_sentence(error)) from None
            except sqlalchemy.exc.DBAPIError as error:
                if is_last or not error.connection_invalidated:
                    raise StoreAway(_sentence(error)) from None
            except (SQLAlchemyError, OSError) as error:
                raise StoreAway(_sentence(error)) from None
        return []

    def _open(self) -> sqlalchemy.Engine:
        with self._lock:
            if self._engine is None:
                self._engine = _create_engine(self._url)
            return self._engine


def _fetch(
    engine: sqlalchemy.Engine, statement: str, parameters: Mapping[str, object]
) -> list[Row]:
    with engine.connect() as connection:
        result = connection.execute(sqlalchemy.text(statement), dict(parameters))
        if not result.returns_rows:
            return []
        rows = result.mappings().fetchmany(MAX_ROWS)
        return [{str(name).lower(): value for name, value in row.items()} for row in rows]


def instant_s(value: object) -> float | None:
    """Seconds since 1970 of a column with a time: a date, its text, seconds or milliseconds. Without a zone it is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value / 1000 if value > _MILLISECONDS_FROM else float(value)


def _create_engine(url: str) -> sqlalchemy.Engine:
    try:
        parsed = _with_known_driver(sqlalchemy.make_url(url))
        is_sqlite = parsed.get_backend_name() == "sqlite"
        bounds: dict[str, Any] = (
            # A file may be replaced: a connection that is kept would read the former one for ever.
            {"poolclass": NullPool}
            if is_sqlite
            else {"pool_size": 2, "max_overflow": 6, "pool_timeout": WAIT_S}
        )
        return sqlalchemy.create_engine(
            _with_existing_file(parsed) if is_sqlite else parsed,
            connect_args=dict(_CONNECT_ARGUMENTS.get(parsed.get_backend_name(), {})),
            isolation_level="AUTOCOMMIT",  # no BEGIN and ROLLBACK around each query
            hide_parameters=True,
            **bounds,
        )
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise StoreAway(_sentence(error)) from None


def _with_existing_file(url: sqlalchemy.URL) -> sqlalchemy.URL:
    """A SQLite file that must be there: without this, a missing one would be made, and empty."""
    path = url.database or ""
    if path in {"", ":memory:"} or path.startswith("file:"):
        return url
    return url.set(database=f"file:{quote(path)}").update_query_dict({"mode": "rw", "uri": "true"})


def _with_known_driver(url: sqlalchemy.URL) -> sqlalchemy.URL:
    """Return the URL with psycopg 3, the driver of the extra `postgres`, for `postgresql://` and `postgres://`."""
    known = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    return url.set(drivername=known.get(url.drivername, url.drivername))


def _sentence(error: Exception) -> str:
    """Describe an error without any part of an address: the text of the driver may quote one."""
    if isinstance(error, sqlalchemy.exc.OperationalError | OSError) and not _is_of_query(error):
        return "the database does not answer"
    if isinstance(error, ImportError | sqlalchemy.exc.NoSuchModuleError):
        return "the driver of the database is not installed"
    if isinstance(error, sqlalchemy.exc.ArgumentError | ValueError):
        return "the store is not a URL that SQLAlchemy understands"
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return "all connections to the database are busy"
    return f"the database refuses the query ({type(error).__name__})"


def _is_of_query(error: Exception) -> bool:
    """Whether an operational error is about the query: SQLite and MySQL have no other kind for an unknown table."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, sqlite3.OperationalError):
        return cause.sqlite_errorcode == sqlite3.SQLITE_ERROR
    return bool(cause is not None and cause.args and cause.args[0] in _MYSQL_UNKNOWN)
