"""Opening the store: where it is, how its connections behave, what is done with a broken file.

A SQLite file that is none, or is damaged, is set aside (one such file is kept) and made anew: it held
evidence, and traffic must not care. A PostgreSQL database is never touched beyond our own tables.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from overgrow.store.schema import is_current, migrate

LOG = logging.getLogger("overgrow")
FILE = "store.sqlite3"
DAMAGED_SUFFIX = ".damaged"
BUSY_TIMEOUT_MS = 2_000
CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_MS = 5_000
STATEMENT_TIMEOUT_MS = 30_000


class StoreError(Exception):
    """The store cannot be used; the text says why and what to do. It never holds a password."""


def store_url(state: Path, configured: str | None) -> URL:
    """Where the store is: as asked (OVERGROW_STORE_URL), else a SQLite file in the state folder.

    Raises:
        StoreError: for text that is no URL, or names a database of another kind.

    """
    if not configured:
        return URL.create("sqlite", database=str(state.absolute() / FILE))
    try:
        url = make_url(configured)
    except ArgumentError:
        raise StoreError(
            "OVERGROW_STORE_URL is no database URL. Write postgresql://USER:PASSWORD@HOST/NAME, "
            "or sqlite:////PATH, or leave it out."
        ) from None
    return _require_supported(url)


def _require_supported(url: URL) -> URL:
    kind = url.get_backend_name()
    if kind in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    if kind == "sqlite" and url.database not in {None, "", ":memory:"}:
        return url
    raise StoreError(
        f"OVERGROW_STORE_URL names {without_password(url)}; the store is a SQLite file or a PostgreSQL database. "
        "Write postgresql://USER:PASSWORD@HOST/NAME, or leave it out."
    )


def without_password(url: URL) -> str:
    """The URL for logs: without its password."""
    return url.render_as_string(hide_password=True)


def file_of(url: URL) -> Path | None:
    """The file of a SQLite store; None for PostgreSQL."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def engine_of(url: URL) -> Engine:
    """An engine whose connections wait a little for a lock, and no longer. Connects to nothing yet.

    Raises:
        StoreError: if the driver is not installed.

    """
    if file_of(url) is not None:
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
        event.listen(engine, "connect", _configure_sqlite)
        return engine
    try:
        return create_engine(
            url,
            pool_size=1,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS}",
            },
        )
    except ModuleNotFoundError:
        raise StoreError(
            f"{without_password(url)} needs the PostgreSQL driver. Install it: pip install 'overgrow[postgres]'"
        ) from None


def _configure_sqlite(connection: Any, _record: object) -> None:
    """WAL lets readers read while a worker writes; NORMAL is safe in it but for the last moments before a power cut."""
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "journal_size_limit=16777216",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def open_store(url: URL) -> Engine:
    """The store, ready to write: made, migrated, a damaged file set aside. One process at a time does it.

    Raises:
        StoreError, sqlalchemy.exc.SQLAlchemyError, OSError: if it cannot be used now.

    """
    file = file_of(url)
    if file is None:
        return _connect_and_migrate(url)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _hold_file_lock(file):
        try:
            return _open_or_create(url, file)
        except DatabaseError as error:
            if not is_damaged_file_error(error):
                raise
            _move_aside(file)
            return _open_or_create(url, file)


def _open_or_create(url: URL, file: Path) -> Engine:
    """The store in a file that only its owner can read, as SQLite's journals then are too."""
    if not file.exists():
        file.touch(mode=0o600)
    return _connect_and_migrate(url)


def _connect_and_migrate(url: URL) -> Engine:
    engine = engine_of(url)
    try:
        with engine.connect() as connection:
            if not is_current(connection):
                migrate(connection)
                connection.commit()
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def _hold_file_lock(file: Path) -> Iterator[None]:
    """Hold a lock beside the file: workers start together, and one is to make or mend it."""
    descriptor = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# SQLITE_CORRUPT and SQLITE_NOTADB: the file's content is at fault, not the moment.
_DAMAGE = frozenset({11, 26})


def is_damaged_file_error(error: BaseException) -> bool:
    """Whether an error says that the SQLite file itself is broken."""
    cause = getattr(error, "orig", error)
    code = getattr(cause, "sqlite_errorcode", 0) or 0
    return isinstance(cause, sqlite3.DatabaseError) and code & 0xFF in _DAMAGE


def replace_damaged(file: Path, inode: int) -> None:
    """Set the damaged file aside, unless another worker has done so: it is no longer that one."""
    with suppress(OSError), _hold_file_lock(file):
        if inode_of(file) == inode:
            _move_aside(file)


def inode_of(file: Path) -> int:
    """Which file stands at the path; 0 for none."""
    try:
        return file.stat().st_ino
    except OSError:
        return 0


def _move_aside(file: Path) -> None:
    """Move a damaged file out of the way, over the one set aside before; its journals go."""
    file.replace(f"{file}{DAMAGED_SUFFIX}")
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    LOG.warning(
        "the evidence store %s is damaged: it was set aside as %s and a new one is made. Evidence "
        "collected before is lost; traffic is not touched.",
        file,
        file.name + DAMAGED_SUFFIX,
    )
