"""The shop's SQLite file: one connection for each request that asks for one.

The legacy shop may write the same file at the same time: WAL, and transactions that take the
write lock first. A missing file is made and seeded, so that this app also runs without legacy.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask, current_app, g

SCHEMA = Path(__file__).with_name("shop.sql")
BUSY_TIMEOUT_S = 15
_PREPARED: set[Path] = set()  # files that this process has prepared


def register(app: Flask) -> None:
    """Close the connection at the end of every request."""
    app.teardown_appcontext(close)


def connection() -> sqlite3.Connection:
    """Return the request's connection, in autocommit mode."""
    if "database" not in g:
        g.database = open_database(Path(current_app.config["SHOP_DATA"]))
    opened: sqlite3.Connection = g.database
    return opened


def close(_error: BaseException | None) -> None:
    """Close the request's connection if it opened one."""
    if (opened := g.pop("database", None)) is not None:
        opened.close()


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file; make and seed it first if it is missing."""
    if path not in _PREPARED:
        # Not by looking at the file: it has a header before another thread has committed its tables.
        prepare(path)
        _PREPARED.add(path)
    opened = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    opened.row_factory = sqlite3.Row
    return opened


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


def rows(query: str, *values: object) -> list[dict[str, Any]]:
    """Return the rows of a query."""
    return [dict(row) for row in connection().execute(query, values)]


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    """Commit what is written inside, or nothing of it."""
    opened = connection()
    opened.execute("BEGIN IMMEDIATE")
    try:
        yield opened
    except BaseException:
        opened.execute("ROLLBACK")
        raise
    opened.execute("COMMIT")
