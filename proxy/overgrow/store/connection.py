"""A connection to the store that survives failures: it is opened when needed, and tried again after a failure.

Rule: no error of the store leaves this module. A temporary failure (a lock, a full disk, a server that is down)
is logged once, and the connection is tried again, less and less often. A damaged file is moved aside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError

from overgrow.store.engine import (
    file_of,
    inode_of,
    is_damaged_file_error,
    open_engine,
    replace_damaged,
    without_password,
)

LOG = logging.getLogger("overgrow")
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 60.0
CONTENT_ERRORS = (DataError, IntegrityError, ValueError, TypeError, KeyError, OverflowError)


class StoreConnection:
    """The connection of one thread to the store at `url`.

    `unavailable` is the log line for a store that cannot be used, with a %s for the store and a %s for the
    reason. `back` is the log line for its return, with a %s for the store.
    """

    refusals: tuple[type[Exception], ...] = CONTENT_ERRORS  # errors of the work, not of the store

    def __init__(self, url: URL, unavailable: str, back: str) -> None:
        self.url = url
        self.problem: str | None = None
        self._unavailable, self._back = unavailable, back
        self._engine: Engine | None = None
        self._inode = 0
        self._failures = 0

    @property
    def pause_s(self) -> float:
        """The time to wait before the next attempt. It doubles with each failure in a row, up to a maximum."""
        return float(min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures, 20)))

    def attempt(self, work: Callable[[Connection], object]) -> Exception | None:
        """Run one transaction. Return the error that prevented it; None if it was committed.

        An error of a class in `refusals` comes from the work itself, and would come again. All other errors are
        failures of the store.
        """
        try:
            with self._open().begin() as connection:
                work(connection)
        except Exception as error:  # noqa: BLE001 - a store may fail in any way; the thread lives on
            if not isinstance(error, self.refusals):
                self._note_failure(error)
            return error
        self._note_success()
        return None

    def prepare(self, engine: Engine) -> None:
        """Do what must be done once after each opening. Subclasses may override this method."""

    def disconnect(self) -> None:
        """Close the store. The next attempt opens it again."""
        if self._engine is not None:
            self._engine.dispose()
        self._engine, self._inode = None, 0

    def _open(self) -> Engine:
        file = file_of(self.url)
        if file is not None and inode_of(file) != self._inode:
            self.disconnect()  # the file was deleted or replaced: nobody would see what is written to the old one
        if self._engine is None:
            self._engine = open_engine(self.url)
            self._inode = inode_of(file) if file is not None else 0
            self.prepare(self._engine)
        return self._engine

    def _note_failure(self, error: Exception) -> None:
        """Close the store until the next attempt, because writing failed."""
        file = file_of(self.url)
        if file is not None and is_damaged_file_error(error):
            replace_damaged(file, self._inode)
        self.disconnect()
        self._failures += 1
        self.problem = first_line(error)
        if self._failures == 2:  # the first may be a lock that is soon released
            LOG.warning(self._unavailable, without_password(self.url), self.problem)

    def _note_success(self) -> None:
        if self._failures >= 2:
            LOG.warning(self._back, without_password(self.url))
        self._failures, self.problem = 0, None


def first_line(error: Exception) -> str:
    """Describe an error in one line, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {str(cause).partition(chr(10))[0]}"
