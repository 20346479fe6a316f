"""Finds and opens the store, configures its connections, and replaces a damaged file.

If the file is damaged, or is not a SQLite database, it is moved aside and a new file is made. One file of this
kind is kept. Only evidence is lost, and traffic goes on. In a PostgreSQL database only our own tables are
touched.
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

from overgrow.store.schema import has_current_version, migrate

LOG = logging.getLogger("overgrow")
FILE = "store.sqlite3"
DAMAGED_SUFFIX = ".damaged"
BUSY_TIMEOUT_MS = 2_000
CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_MS = 5_000
STATEMENT_TIMEOUT_MS = 30_000


class StoreError(Exception):
    """The store cannot be used. The text says why and what to do, and never contains a password."""


def store_url(state: Path, configured: str | None) -> URL:
    """Return the address of the store: OVERGROW_STORE_URL, or else a SQLite file in the state folder.

    Raises:
        StoreError: if the text is not a URL, or names a database of another kind.

    """
    if not configured:
        return URL.create("sqlite", database=str(state.absolute() / FILE))
    try:
        url = make_url(configured)
    except ArgumentError:
        raise StoreError(
            "OVERGROW_STORE_URL is not a database URL. Write postgresql://USER:PASSWORD@HOST/NAME, "
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
    """Return the URL without its password, for logs.

    Parameters are left out, because they may contain a password too.
    """
    return url.set(query={}).render_as_string(hide_password=True)


def file_of(url: URL) -> Path | None:
    """Return the file of a SQLite store; None for PostgreSQL."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def engine_of(url: URL) -> Engine:
    """Return an engine whose connections wait a limited time for a lock. It does not connect yet.

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
    """Let readers read while a worker writes (WAL). After a power cut, at most the last moments are lost (NORMAL)."""
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "journal_size_limit=16777216",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def open_engine(url: URL) -> Engine:
    """Open the store for writing. Only one process at a time runs this.

    A missing store is created, an older one is migrated to this version, and one with a damaged file is
    replaced by a new one.

    Raises:
        StoreError, sqlalchemy.exc.SQLAlchemyError, OSError: if the store cannot be used now.

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
    """Open the file, or create one that only its owner can read. SQLite's journals get the same mode."""
    if not file.exists():
        file.touch(mode=0o600)
    return _connect_and_migrate(url)


def _connect_and_migrate(url: URL) -> Engine:
    engine = engine_of(url)
    try:
        with engine.connect() as connection:
            if not has_current_version(connection):
                migrate(connection)
                connection.commit()
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def _hold_file_lock(file: Path) -> Iterator[None]:
    """Hold a lock beside the file, so that only one of several starting workers creates or replaces the store's file."""
    descriptor = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# SQLITE_CORRUPT and SQLITE_NOTADB: the content of the file is broken, so that trying again does not help.
_DAMAGE = frozenset({11, 26})


def is_damaged_file_error(error: BaseException) -> bool:
    """Return whether an error says that the SQLite file itself is damaged."""
    cause = getattr(error, "orig", error)
    code = getattr(cause, "sqlite_errorcode", 0) or 0
    return isinstance(cause, sqlite3.DatabaseError) and code & 0xFF in _DAMAGE


def replace_damaged(file: Path, inode: int) -> None:
    """Move the damaged file aside. If another worker has replaced it already, do nothing."""
    with suppress(OSError), _hold_file_lock(file):
        if inode_of(file) == inode:
            _move_aside(file)


def inode_of(file: Path) -> int:
    """Return the inode of the file at the path; 0 if there is none."""
    try:
        return file.stat().st_ino
    except OSError:
        return 0


def _move_aside(file: Path) -> None:
    """Rename a damaged file and delete its journals. The former renamed file, if any, is replaced."""
    file.replace(f"{file}{DAMAGED_SUFFIX}")
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    LOG.warning(
        "the evidence store %s is damaged: it was set aside as %s and a new one is made. Evidence "
        "collected before is lost; traffic is not touched.",
        file,
        file.name + DAMAGED_SUFFIX,
    )
