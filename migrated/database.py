"""The database of the shop: Flask-SQLAlchemy, over the tables that the legacy shop made.

Rule: both shops write to it at the same time. On SQLite that means WAL, and a transaction that writes takes the write
lock first: one that has read already may not be able to write any more. SHOP_DB names any database, such as a
PostgreSQL; without it there is an SQLite file, which is made and seeded when missing, so that this app also runs
without legacy.
"""

from __future__ import annotations

import fcntl
import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, has_request_context, request
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import URL, Connection, ExceptionContext, Executable, event
from sqlalchemy.orm import DeclarativeBase, scoped_session
from sqlalchemy.pool import ConnectionPoolEntry

SCHEMA = Path(__file__).with_name("shop.sql")
BUSY_TIMEOUT_S = 15
WRITES = {"shop_writes": True}  # marks a connection whose transaction will write
_PREPARED: set[Path] = set()  # files that this process has prepared


class Base(DeclarativeBase):
    """What all models are made of."""


db = SQLAlchemy(model_class=Base)
if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model


def register(app: Flask) -> None:
    """Give the app its database; nothing is opened before the first query."""
    file = None if app.config["SHOP_DB"] else Path(app.config["SHOP_DATA"]).absolute()
    url = app.config["SHOP_DB"] or URL.create("sqlite", database=str(file))
    app.config.setdefault("SQLALCHEMY_DATABASE_URI", url)
    # Threads are few and bounded; none of them should wait for a connection.
    # A server may have closed one in the meantime; a file has not.
    options = {"max_overflow": -1, "pool_pre_ping": file is None}
    app.config.setdefault("SQLALCHEMY_ENGINE_OPTIONS", options)
    db.init_app(app)
    with app.app_context():
        engine = db.engine
    weakref.finalize(app, engine.dispose)  # its connections end with the app, not some time later
    event.listen(engine, "commit", before_commit)
    event.listen(engine, "checkout", begin_copy)
    event.listen(engine, "checkin", end_copy)
    event.listen(engine, "handle_error", report_refused_write)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", partial(before_connect, file))
        event.listen(engine, "begin", begin_on_sqlite)


def before_connect(file: Path | None, *connecting: Any) -> None:
    """Let the driver begin no transactions by itself, and seed the file first if it is missing."""
    connecting[-1].update(isolation_level=None, timeout=BUSY_TIMEOUT_S)
    if file is not None and file not in _PREPARED:
        # Not by looking at the file: it has a header before another thread has committed its tables.
        prepare(file)
        _PREPARED.add(file)


def begin_on_sqlite(connection: Connection) -> None:
    """Begin a transaction, with the write lock if it will write."""
    writes = connection.get_execution_options().get("shop_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def before_commit(connection: Connection) -> None:
    """Tell the server about a commit: it then lets nobody else answer the request. See docs/fallback.md."""
    if has_request_context():
        try:
            request.environ.get("overgrow.commit", bool)()
        except Exception:
            connection.connection.rollback()
            raise


def begin_copy(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Make a connection read-only for a copy of a request, which must change nothing. See docs/shadowing.md."""
    if has_request_context() and request.environ.get("overgrow.shadow"):
        record.info["is_read_only"] = True
        set_read_only(connection, is_on=True)


def end_copy(connection: Any, record: ConnectionPoolEntry) -> None:
    """Let the connection of a copy write again, or throw it away: the next request is a user's."""
    if record.info.pop("is_read_only", False) and connection is not None:
        try:
            set_read_only(connection, is_on=False)
        except Exception:  # noqa: BLE001 - whatever a driver raises
            record.invalidate()


def set_read_only(connection: Any, *, is_on: bool) -> None:
    """Let a connection of SQLite or PostgreSQL refuse every write, or take it again."""
    cursor = connection.cursor()
    if isinstance(connection, sqlite3.Connection):
        cursor.execute(f"PRAGMA query_only = {int(is_on)}")
    else:
        mode = "ONLY" if is_on else "WRITE"
        cursor.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION READ {mode}")
        connection.commit()
    cursor.close()


def report_refused_write(error: ExceptionContext) -> None:
    """Tell the front door that a view tried to write while it served a copy."""
    cause = error.original_exception
    is_write = "SQLITE_READONLY" in str(getattr(cause, "sqlite_errorname", ""))
    if has_request_context() and (is_write or getattr(cause, "sqlstate", "") == "25006"):
        request.environ.get("overgrow.wrote", bool)()


def prepare(path: Path) -> None:
    """Create and seed the file unless that was done; one process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        opened = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        if opened.execute("PRAGMA user_version").fetchone()[0] == 0:
            opened.execute("PRAGMA journal_mode = WAL")
            opened.executescript(f"BEGIN IMMEDIATE;\n{SCHEMA.read_text('utf-8')}\nCOMMIT;")
        opened.close()


def rows(query: Executable, values: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a query."""
    found = db.session.connection().execute(query, values).mappings()
    return [dict(row) for row in found]


@contextmanager
def transaction() -> Iterator[scoped_session[Session]]:
    """Commit what is written inside, or nothing of it; what the request read before is read anew."""
    db.session.rollback()
    db.session.connection(execution_options=WRITES)
    try:
        yield db.session
    except BaseException:
        db.session.rollback()
        raise
    db.session.commit()
