"""The store of one writer: opens it when needed, closes it after a failure, and tries again later.

Rule: no error of the store leaves this module. After a temporary failure (a lock, a full disk, a server that
is down) it tries again, less and less often, and logs once. A damaged file is moved aside. A batch whose
content the database refuses is dropped, so that it does not block the following ones.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError

from overgrow.evidence import Record
from overgrow.store.cells import hour_of
from overgrow.store.engine import (
    file_of,
    inode_of,
    is_damaged_file_error,
    open_engine,
    replace_damaged,
    without_password,
)
from overgrow.store.loss_counter import LossCounter, dead_writers
from overgrow.store.pruning import Retention, prune
from overgrow.store.row_builder import RowBuilder
from overgrow.store.saving import BatchMark, record_losses, save

LOG = logging.getLogger("overgrow")
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 60.0
_CONTENT_ERRORS = (DataError, IntegrityError, ValueError, TypeError, KeyError, OverflowError)


class TakenCounts(NamedTuple):
    """How many records a writer has accepted, and how many it has dropped, since it started."""

    accepted: int
    dropped: int


class RetryingStore:
    """One writer's connection to the store. Only the writer's thread uses it, except for `note_counts`."""

    def __init__(self, url: URL, counter_folder: Path | None, now: Callable[[], float]) -> None:
        self.url = url
        self.problem: str | None = None
        self.boot = secrets.token_hex(8)
        self._counter_folder = counter_folder
        self._now = now
        self._began_at = now()
        self._row_builder = RowBuilder(self.boot)
        self._engine: Engine | None = None
        self._inode = 0
        self._failures = 0
        self.refused = 0  # records in batches that the database will never take
        self._batch_size = 0
        self._stored_dropped = 0
        self._stored = 0
        self._loss_counter: LossCounter | None = None

    @property
    def pause_s(self) -> float:
        """How long to wait before the next attempt: the time doubles with each failure in a row, up to a maximum."""
        return float(min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures, 20)))

    def start_counting(self) -> None:
        """Start the loss counter; without one, the losses of a killed process are not counted."""
        if self._counter_folder is not None:
            try:
                self._loss_counter = LossCounter(self._counter_folder, self.boot)
            except OSError as error:
                LOG.warning("the losses of a killed worker will not be counted: %s", error)

    def note_counts(self, counts: TakenCounts) -> None:
        """Note how many records the writer has accepted and dropped so far."""
        if self._loss_counter is not None:
            self._loss_counter.note_counts(*counts)

    def close(self, counts: TakenCounts) -> None:
        """Close the store. The loss counter's file stays if some records are not stored."""
        if self._loss_counter is not None:
            self._loss_counter.close(is_settled=counts == (self._stored, self._stored_dropped))
            self._loss_counter = None
        self._disconnect()

    def put(self, records: Sequence[Record], counts: TakenCounts) -> bool:
        """Store a batch; return False if the store is unavailable and the batch is to be tried again."""

        def work(connection: Connection) -> None:
            mark = BatchMark(
                self.boot, self._began_at, counts.accepted, counts.dropped, self._now()
            )
            save(connection, self._row_builder.build_rows(records), mark)

        self._batch_size = len(records)
        done = self._try_transaction(work)
        self._batch_size = 0
        if done:
            self._stored, self._stored_dropped = counts
        return done

    def prune(self, retention: Retention) -> None:
        """Delete evidence beyond the retention."""
        self._try_transaction(lambda connection: prune(connection, retention, hour_of(self._now())))

    def _try_transaction(self, work: Callable[[Connection], object]) -> bool:
        """Run one transaction. Return True if it succeeded or never can, so that it must not be repeated; else False."""
        try:
            with self._open().begin() as connection:
                work(connection)
        except Exception as error:  # noqa: BLE001 - evidence may fail in any way; the thread lives on
            if not isinstance(error, _CONTENT_ERRORS):
                return self._note_failure(error)
            self.refused += self._batch_size
            LOG.warning(
                "the evidence store refuses a batch, which is dropped: %s", _first_line(error)
            )
            return True
        self._note_success()
        return True

    def _open(self) -> Engine:
        file = file_of(self.url)
        if file is not None and inode_of(file) != self._inode:
            self._disconnect()  # the file was deleted or replaced: nobody would see what is written to the old one
        if self._engine is None:
            self._engine = open_engine(self.url)
            self._inode = inode_of(file) if file is not None else 0
            self._record_losses_of_dead_writers(self._engine)
        return self._engine

    def _record_losses_of_dead_writers(self, engine: Engine) -> None:
        """Record the losses of writers that were killed."""
        for dead in dead_writers(self._counter_folder) if self._counter_folder else ():
            with engine.begin() as connection:
                lost = record_losses(connection, dead, self._now())
            dead.path.unlink(missing_ok=True)
            if lost:
                LOG.warning("a worker was killed before it stored %d records of evidence", lost)

    def _note_failure(self, error: Exception) -> bool:
        """Close the store until the next attempt, because nothing was written; return False."""
        file = file_of(self.url)
        if file is not None and is_damaged_file_error(error):
            replace_damaged(file, self._inode)
        self._disconnect()
        self._failures += 1
        self.problem = _first_line(error)
        if self._failures == 2:  # the first may be a lock that is soon released
            LOG.warning(
                "the evidence store %s cannot be used: %s. Traffic is not touched; evidence waits in "
                "memory, then is dropped and counted, until the store is back.",
                without_password(self.url),
                self.problem,
            )
        return False

    def _note_success(self) -> None:
        if self._failures >= 2:
            LOG.warning("the evidence store %s is back", without_password(self.url))
        self._failures, self.problem = 0, None

    def _disconnect(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        self._engine, self._inode = None, 0


def _first_line(error: Exception) -> str:
    """Describe an error without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {str(cause).partition(chr(10))[0]}"
