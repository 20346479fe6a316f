"""The store of one writer of evidence: stores batches and deletes old evidence.

Rule: no error of the store leaves this module. After a temporary failure a batch is tried again. If the
database refuses the content of a batch, the batch is dropped, so that it does not block later batches.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, Connection, Engine

from overgrow.evidence import Record
from overgrow.store.cells import hour_of
from overgrow.store.connection import CONTENT_ERRORS, StoreConnection, first_line
from overgrow.store.loss_counter import LossCounter, dead_writers
from overgrow.store.pruning import Retention, prune
from overgrow.store.row_builder import RowBuilder
from overgrow.store.saving import BatchMark, record_losses, save

LOG = logging.getLogger("overgrow")
UNAVAILABLE = (
    "the evidence store %s cannot be used: %s. Traffic is not touched; evidence waits in "
    "memory, then is dropped and counted, until the store is back."
)
BACK = "the evidence store %s is back"


class TakenCounts(NamedTuple):
    """How many records a writer has accepted, and how many it has dropped, since it started."""

    accepted: int
    dropped: int


class RetryingStore(StoreConnection):
    """One writer's connection to the store. Only the writer's thread uses it, except for `note_counts`."""

    def __init__(self, url: URL, counter_folder: Path | None, now: Callable[[], float]) -> None:
        super().__init__(url, UNAVAILABLE, BACK)
        self.boot = secrets.token_hex(8)
        self._counter_folder = counter_folder
        self._now = now
        self._began_at = now()
        self._row_builder = RowBuilder(self.boot)
        self.refused = 0  # records in batches that the database will never take
        self._batch_size = 0
        self._stored_dropped = 0
        self._stored = 0
        self._loss_counter: LossCounter | None = None

    def start_counting(self) -> None:
        """Start the loss counter. Without a loss counter, the losses of a killed process are unknown."""
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
        """Close the store. If some records were not stored, keep the loss counter's file."""
        if self._loss_counter is not None:
            self._loss_counter.close(is_settled=counts == (self._stored, self._stored_dropped))
            self._loss_counter = None
        self.disconnect()

    def put(self, records: Sequence[Record], counts: TakenCounts) -> bool:
        """Store a batch. If the store is unavailable and the batch is to be tried again, return False."""

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
        """Run one transaction. Return False if it should be tried again: it failed, and may succeed later."""
        error = self.attempt(work)
        if isinstance(error, CONTENT_ERRORS):
            self.refused += self._batch_size
            LOG.warning(
                "the evidence store refuses a batch, which is dropped: %s", first_line(error)
            )
            return True
        return error is None

    def prepare(self, engine: Engine) -> None:
        """Record the losses of writers that were killed."""
        for dead in dead_writers(self._counter_folder) if self._counter_folder else ():
            with engine.begin() as connection:
                lost = record_losses(connection, dead, self._now())
            dead.path.unlink(missing_ok=True)
            if lost:
                LOG.warning("a worker was killed before it stored %d records of evidence", lost)
