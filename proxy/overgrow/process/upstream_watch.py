"""Judges once a second whether legacy answers, by requests, by the evidence of other workers, and by probes.

Rules: the newest evidence wins, whichever worker found it. If a connection cannot be made, legacy counts as
down at once. After other failures, legacy counts as down only if FAILURES_IN_ROW of them came in a row, because
a single page may be broken. One worker probes for all workers. Time comes in as a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from overgrow.exchange import Failure
from overgrow.forwarding.outcomes import LegacyOutcome
from overgrow.observe.upstream import UNKNOWN, newest_state
from overgrow.routing.model import Legacy

FAILURES_IN_ROW = 3
IDLE_S = 30.0  # without an answer; then `legacy.probe` is asked
QUIET_S = 60.0  # without a failure; then a connection alone shows that legacy is back
REFRESH_S = (
    10.0  # the age at which evidence on the board is replaced by newer evidence that says the same
)


class UpstreamWatch:
    """What one worker knows about legacy, and what it has published about legacy."""

    def __init__(self) -> None:
        self.state = UNKNOWN
        self._published = UNKNOWN
        self._url: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the state for the board."""
        return self.state._asdict()

    def follow_table(self, legacy: Legacy, now_s: float) -> None:
        """Forget what is known about legacy if the table now names another legacy app."""
        if self._url is not None and self._url != legacy.url:
            self.state = UNKNOWN._replace(at_s=now_s)
        self._url = legacy.url

    def adopt(self, workers: Sequence[Mapping[str, Any]], now_s: float) -> None:
        """Take over newer evidence of other workers, so that the evidence remains when these workers end.

        Evidence with a future time, which remains when the clock is set back, gets the present time. Otherwise
        it would stay the newest until the clock has caught up.
        """
        newest = newest_state(workers)
        if newest.at_s > self.state.at_s:
            self.state = newest
        self.state = self.state.at_most(now_s)

    def judge_outcome(self, outcome: LegacyOutcome | None, now_s: float) -> None:
        """Judge the outcome of this worker's requests."""
        if outcome is None:
            return
        if outcome.failure is None:
            self.state = self.state.with_answer(now_s)
        elif outcome.is_unreachable or outcome.failures_in_row >= FAILURES_IN_ROW:
            self._note_failure(outcome.failure, now_s)

    def judge_probe(self, failure: Failure | None, began_s: float, now_s: float) -> None:
        """Judge the outcome of a probe.

        Ignore a failure that legacy did not cause, and one that a later answer disproves.
        """
        has_answered = self.state.up and self.state.at_s >= began_s
        if failure is None:
            self.state = self.state.with_answer(now_s)
        elif failure.party == "legacy" and not has_answered:
            self._note_failure(failure, now_s)

    def needs_probe(self, legacy: Legacy, now_s: float) -> bool:
        """Whether to probe legacy now. Only one worker may call this, once a second."""
        age_s = now_s - self.state.at_s
        if legacy.probe is not None:
            return not self.state.up or age_s >= IDLE_S
        return not self.state.up and (self.state.is_unreachable or age_s >= QUIET_S)

    def needs_publishing(self) -> bool:
        """Whether the state has changed since the last publication. If it has, the caller publishes `as_json`."""
        state, published = self.state, self._published
        is_new = state._replace(at_s=0.0) != published._replace(at_s=0.0)
        if is_new or abs(state.at_s - published.at_s) > REFRESH_S:
            self._published = state
            return True
        return False

    def _note_failure(self, failure: Failure, now_s: float) -> None:
        unreachable = failure.stage == "connect"
        self.state = self.state.with_failure(failure.code, now_s, is_unreachable=unreachable)
