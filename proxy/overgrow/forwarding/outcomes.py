"""Remembers what requests to legacy have shown since the last call of `take_new_outcome_of_legacy`.

The outcome is an answer, or a number of failures in a row. The outcome is an answer, or a number of failures in
a row. Rule: a request that is answered costs nothing extra. The Forwarder notes only the first answer after
each call of `take_new_outcome_of_legacy`, and counts only failures.
"""

from __future__ import annotations

from typing import NamedTuple

from overgrow.exchange import Failure


class LegacyOutcome(NamedTuple):
    """The latest outcome: an answer (`failure` is None), or a failure and the number of failures since the last answer."""

    failure: Failure | None
    failures_in_row: int = 0

    @property
    def is_unreachable(self) -> bool:
        """Whether no connection could be made."""
        return self.failure is not None and self.failure.stage == "connect"


class FailureStreak:
    """The failures of legacy since its last answer."""

    def __init__(self) -> None:
        self._count = 0
        self._new: Failure | None = None

    def add(self, failure: Failure) -> None:
        """Count a failure."""
        self._count += 1
        self._new = failure

    def reset(self) -> None:
        """Forget the failures, because legacy has answered."""
        self._count, self._new = 0, None

    def take_new(self) -> LegacyOutcome | None:
        """Return the latest failure; None if there is no failure, or if an earlier call has returned it."""
        failure, self._new = self._new, None
        return None if failure is None else LegacyOutcome(failure, self._count)
