"""Stores the gains of the counters of one front door exactly once, even if workers or the store fail.

The counters survive a killed worker, and the marks in the store say which counts the store has. Therefore a new
worker reads the marks and finds what its predecessor did not store. While the store is unavailable, gains wait
in memory, ordered by their time. If this worker dies in the meantime, the next one finds the gains in the
counters.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Protocol

from sqlalchemy import URL, Connection
from sqlalchemy.exc import IntegrityError

from overgrow.store.connection import StoreConnection
from overgrow.store.history.door import Door, OtherTurnError, UnknownDoorError
from overgrow.store.history.packing import Counts
from overgrow.store.history.pending import GainsByWindow, Place
from overgrow.store.history.pruning import HistoryPruner

LOG = logging.getLogger("overgrow")
UNAVAILABLE = (
    "the history of requests cannot be stored in %s: %s. Traffic is not touched, and nothing is lost: it is "
    "stored when the store is back."
)
BACK = "the history of requests is stored in %s again"
PRUNE_S = 60.0


class CounterSource(Protocol):
    """The counters of all workers (overgrow.observe.counter_totals.CounterTotals)."""

    @property
    def size(self) -> int:
        """How many counters there are for each route and side."""
        ...

    def read_changes(self) -> Mapping[Place, Counts]:
        """Return the totals that have changed since the last call."""
        ...

    def read_all(self) -> Mapping[Place, Counts]:
        """Return all totals."""
        ...


class HistoryWriter(StoreConnection):
    """Stores the gains of one front door. Only one thread at a time may use it.

    `is_new` says that the counters began with this front door. If it is True and the store has no marks, no
    marks were ever written. If it is False, the store has lost them.
    """

    refusals = (IntegrityError, OtherTurnError, UnknownDoorError)

    def __init__(self, url: URL, door: str, *, is_new: bool) -> None:
        super().__init__(url, UNAVAILABLE, BACK)
        self._door = Door(door, secrets.token_hex(8))
        self._is_new = is_new
        self._gains: GainsByWindow | None = None
        self._is_unsure = False
        self._pruner = HistoryPruner()
        self._retry_s = self._prune_s = 0.0

    @property
    def door(self) -> str:
        """The name of the front door in the store."""
        return self._door.name

    @property
    def is_new(self) -> bool:
        """Whether, as far as is known, the store has nothing of this front door yet."""
        return self._is_new

    def record(
        self, totals: CounterSource, now_s: float, clock_s: float, *, is_last: bool = False
    ) -> bool:
        """Collect the gains of the counters. If it is time, store them. Return whether all gains are stored.

        `now_s` is unix time, and `clock_s` is the time of a monotonic clock.
        """
        if self._gains is not None:
            self._gains.add_totals(totals.read_changes(), now_s)
        if clock_s < self._retry_s and not is_last:
            return False
        if self._gains is None and not self._begin(totals, now_s):
            self._retry_s = clock_s + self.pause_s
            return False
        is_stored = self._settle() and self._save(now_s, is_last=is_last)
        self._retry_s = clock_s + self.pause_s if self.problem else clock_s
        return is_stored

    def prune(self, now_s: float, clock_s: float, max_bytes: int) -> None:
        """Once a minute, delete rows that are too old and rows beyond `max_bytes`."""
        if clock_s >= max(self._prune_s, self._retry_s):
            self._prune_s = clock_s + PRUNE_S
            self.attempt(lambda connection: self._pruner.prune(connection, now_s, max_bytes))

    def _begin(self, totals: CounterSource, now_s: float) -> bool:
        """Read the marks. If the store cannot be read, return False."""
        marks: list[dict[Place, Counts] | None] = []
        if self.attempt(lambda each: marks.append(self._door.read_marks(each, totals.size))):
            return False
        self._is_unsure = False
        self._gains = GainsByWindow(marks[0] or {})
        if marks[0] is None and not self._is_new:
            LOG.warning(
                "the store holds no history of this front door: its history begins now. Totals are not touched."
            )
            self._gains.skip(totals.read_all())
        else:
            self._gains.add_totals(totals.read_all(), now_s)
        return True

    def _settle(self) -> bool:
        """If it is unknown whether the last transaction was committed, find out. Return False if it stays unknown."""
        if not self._is_unsure or self._gains is None:
            return True
        answers: list[bool] = []
        error = self.attempt(lambda each: answers.append(self._door.is_committed(each)))
        if error is not None:
            self._note_refusal(error)
            return False
        self._is_unsure = False
        if answers[0]:
            self._confirm(self._gains)
        else:
            self._gains.resume()
        return True

    def _save(self, now_s: float, *, is_last: bool) -> bool:
        gains = self._gains
        if gains is None:
            return False
        pending = gains.begin_attempt()
        if not pending and not is_last and not self._door.needs_roll(now_s):
            gains.confirm()
            return True

        def work(connection: Connection) -> None:
            self._door.save(connection, pending, now_s, is_last=is_last)

        error = self.attempt(work)
        if error is None:
            self._confirm(gains)
            return True
        self._is_unsure = True
        self._note_refusal(error)
        return False

    def _confirm(self, gains: GainsByWindow) -> None:
        self._door.confirm()
        gains.confirm()
        self._is_new = False

    def _note_refusal(self, error: Exception) -> None:
        """If an error shows that the store differs from what this process knows, act on it.

        Ignore other errors: the next attempt meets them.
        """
        if isinstance(error, UnknownDoorError) and self._gains is not None:
            self._door.forget()
            self._gains.resume()
            self._gains.mark_all()
            self._is_unsure = False
        elif isinstance(error, self.refusals):  # another process writes: read its marks
            self._gains = None
            self._is_unsure = False
