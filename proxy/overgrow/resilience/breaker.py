"""When to stop sending requests to one side of one route, and how to start again.

Pure: time comes in as monotonic seconds, and nothing here knows requests, servers or threads. Rule: only
`_enter` changes the state, and TRANSITIONS lists every allowed change.

A breaker counts responses over a sliding window. When too many fail or are slow, the breaker opens, and the
side gets no requests for a while. Then the breaker is half-open: it lets one request at a time through as a
probe. The first good response starts the recovery. During the recovery, the share of requests that the breaker
lets through grows linearly from none to all. Too many bad responses during the recovery open the breaker again.
If the side was unreachable before, one good probe closes the breaker at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

State = Literal["closed", "open", "half-open", "recovering"]
Event = Literal["failing", "slow", "cooled", "answered", "reached", "recovered", "reset"]
Judgement = Literal["good", "slow", "failed", "unreachable"]

STATES: dict[State, str] = {
    "closed": "everything is let through",
    "open": "nothing is let through",
    "half-open": "one request at a time is let through, as a probe",
    "recovering": "a share is let through that grows from none to all",
}
EVENTS: dict[Event, str] = {
    "failing": "too many responses in the window failed (when half-open: the probe failed)",
    "slow": "too many responses in the window were slow or failed (when half-open: the probe was slow)",
    "cooled": "`open_s` have passed",
    "answered": "the probe got a good response",
    "reached": "the probe got a good response, and before it no connection could be made",
    "recovered": "`recovery_s` have passed",
    "reset": "somebody reset the breaker",
}
TRANSITIONS: dict[tuple[State, Event], State] = {
    ("closed", "failing"): "open",
    ("closed", "slow"): "open",
    ("open", "cooled"): "half-open",
    ("half-open", "failing"): "open",
    ("half-open", "slow"): "open",
    ("half-open", "answered"): "recovering",
    ("half-open", "reached"): "closed",
    ("recovering", "failing"): "open",
    ("recovering", "slow"): "open",
    ("recovering", "recovered"): "closed",
    ("closed", "reset"): "closed",
    ("open", "reset"): "closed",
    ("half-open", "reset"): "closed",
    ("recovering", "reset"): "closed",
}


def transitions_as_markdown() -> str:
    """Return the table of states and transitions for the documents."""
    rows = [
        f"| `{state}`: {STATES[state]} | {EVENTS[event]} | `{after}` |"
        for (state, event), after in TRANSITIONS.items()
        if event != "reset"
    ]
    rows.append(f"| any | {EVENTS['reset']} | `closed` |")
    return "\n".join(["| State | When | Next |", "|---|---|---|", *rows])


@dataclass(frozen=True, slots=True)
class Policy:
    """When a breaker opens, and how it closes again. Shares are numbers from 0 to 1; times are in seconds."""

    # Longer than one garbage collection or one deployment's short failure, and short enough that
    # a failing side gets no more requests within seconds.
    window_s: float = 10.0
    # Of fewer than 20 responses half may fail by chance: at an error rate of 10%, ten or more
    # of 20 fail less than once in 100,000 windows. A route with less traffic never opens its breaker
    # and needs none: fallback serves its users one by one.
    min_answers: int = 20
    # Half: at a lower share, more users get a good response from the side than would lose one.
    failing_share: float = 0.5
    slow_share: float = 0.5
    # What counts as slow, as a share of the route's response_timeout: a route that is slow by
    # nature has a longer timeout, and needs no second number to say so.
    slow_part: float = 0.5
    # A restart of a worker takes some seconds; a shorter rest would only probe it while it boots.
    open_s: float = 5.0
    # As long as the window: the side is judged on a whole window before it gets all traffic again,
    # and its caches and pools warm up under a tenth of the load, then two tenths.
    recovery_s: float = 10.0
    # A recovering side gets few requests; waiting for 20 responses would hurt most of 20 users.
    min_answers_recovering: int = 5


# Nobody else can answer for legacy: an open breaker means 503. So it opens only if nearly every
# response fails to come, or takes nearly all the time it may; `BreakerServer` says what fails.
# The rest is short: a probe costs one user a failure that everybody has anyway.
LEGACY_POLICY = Policy(failing_share=0.9, slow_share=0.9, slow_part=0.9, open_s=1.0)
MIGRATED_POLICY = Policy()


def policies_as_markdown() -> str:
    """Return the policies of both sides as a table for the documents."""
    rows = [
        f"| `{each.name}` | {getattr(MIGRATED_POLICY, each.name):g} | "
        f"{getattr(LEGACY_POLICY, each.name):g} |"
        for each in fields(Policy)
    ]
    return "\n".join(["| Number | migrated | legacy |", "|---|---|---|", *rows])


class BreakerOutcome(NamedTuple):
    """The outcome of a request that the breaker let through. `began_s` is the time at which it was let through."""

    judgement: Judgement
    began_s: float


class BreakerCounts(NamedTuple):
    """The number of counted responses, how many of them failed, and how many of the others were slow."""

    answers: int
    failed: int
    slow: int

    def __str__(self) -> str:
        return f"{self.failed} failed and {self.slow} slow of {self.answers}"


class Window:
    """Counts of the responses of the last `length_s` seconds, in ten cells of equal length."""

    __slots__ = ("_cell_s", "_cells")

    CELLS = 10

    def __init__(self, length_s: float) -> None:
        self._cell_s = length_s / self.CELLS
        self._cells = [[-1, 0, 0, 0] for _ in range(self.CELLS)]  # tick, responses, failed, slow

    def add(self, judgement: Judgement, now_s: float) -> None:
        """Count one response."""
        cell = self.add_good(now_s)
        if judgement != "good":
            cell[3 if judgement == "slow" else 2] += 1

    def add_good(self, now_s: float) -> list[int]:
        """Count one good response; return the cell that counts it."""
        tick = int(now_s / self._cell_s)
        cell = self._cells[tick % self.CELLS]
        if cell[0] != tick:
            cell[:] = [tick, 0, 0, 0]
        cell[1] += 1
        return cell

    def counts(self, now_s: float) -> BreakerCounts:
        """Return the counts of the window that ends now."""
        return self._since(int(now_s / self._cell_s))

    def last_counts(self) -> BreakerCounts:
        """Return the counts of the window that ended when the newest response was added."""
        return self._since(max(cell[0] for cell in self._cells))

    def _since(self, tick: int) -> BreakerCounts:
        fresh = [cell for cell in self._cells if cell[0] > tick - self.CELLS and cell[0] >= 0]
        return BreakerCounts(*(sum(cell[at] for cell in fresh) for at in (1, 2, 3)))

    def clear(self) -> None:
        """Forget everything."""
        for cell in self._cells:
            cell[0] = -1


class Breaker:
    """Decides whether requests may be sent to one side of one route, in one worker process.

    `on_change(before, event, after)` is called at every change of state, for the log.
    """

    __slots__ = (
        "_credit",
        "_on_change",
        "_probe_s",
        "_since_s",
        "_was_unreachable",
        "_window",
        "opened_by",
        "policy",
        "state",
    )

    def __init__(
        self,
        policy: Policy = MIGRATED_POLICY,
        on_change: Callable[[State, Event, State], None] | None = None,
    ) -> None:
        self.policy = policy
        self._on_change = on_change
        self._window = Window(policy.window_s)
        self._since_s = -math.inf
        self._probe_s: float | None = None  # when the probe that is under way was let through
        self._was_unreachable = False  # whether the answer that opened it never had a connection
        self._credit = 0.0  # what recovery has saved up towards letting the next request through
        self.state: State = "closed"
        self.opened_by: BreakerCounts | None = None  # what made it open; None while it is closed

    def __repr__(self) -> str:
        if self.opened_by is None:
            return f"<Breaker closed: {self._window.last_counts()}>"
        return f"<Breaker {self.state} since {self._since_s:g} s: {self.opened_by}>"

    def allows(self, now_s: float) -> bool:
        """Return whether to let one request through now. If the result is True, count the request as let through."""
        if self.state == "closed":
            return True
        self._apply_time(now_s)
        return self._allows_in_state(now_s)

    def record(self, outcome: BreakerOutcome, now_s: float) -> None:
        """Record the outcome of a request that was let through.

        A request that was let through before the current state began is ignored. Otherwise a late response from
        before the breaker opened could be mistaken for that of a probe.
        """
        judgement, began_s = outcome
        if self.state != "closed":
            self._apply_time(now_s)
        if began_s < self._since_s or self.state == "open":
            return
        self._window.add(judgement, now_s)
        if judgement != "good":
            self._judge(judgement, now_s)
        elif self.state == "half-open":
            self._enter("reached" if self._was_unreachable else "answered", now_s)

    def record_good(self, began_s: float, now_s: float) -> None:
        """Record a good response of a closed breaker. This is faster than `record`, and most responses are good."""
        if began_s >= self._since_s:
            self._window.add_good(now_s)

    def reset(self, now_s: float) -> None:
        """Close the breaker, and forget what it has counted."""
        self._enter("reset", now_s)

    def retry_after_s(self, now_s: float) -> int:
        """Return the whole seconds after which a request may be let through again; at least 1."""
        if self.state != "open":
            return 1
        return max(1, math.ceil(self._since_s + self.policy.open_s - now_s))

    def counts(self, now_s: float) -> BreakerCounts:
        """Return the counts of the window that ends now."""
        return self._window.counts(now_s)

    def share(self, now_s: float) -> float:
        """Return the share of requests that is let through, from 0 to 1.

        The share is 0 while only probes are let through.
        """
        if self.state == "recovering":
            return min(1.0, (now_s - self._since_s) / self.policy.recovery_s)
        return float(self.state == "closed")

    def _apply_time(self, now_s: float) -> None:
        """Make the changes of state that are due at `now_s` because time has passed."""
        if self.state == "open" and now_s - self._since_s >= self.policy.open_s:
            self._enter("cooled", now_s)
        elif self.state == "recovering" and now_s - self._since_s >= self.policy.recovery_s:
            self._enter("recovered", now_s)

    def _allows_in_state(self, now_s: float) -> bool:
        if self.state == "half-open":
            return self._begin_probe(now_s)
        if self.state == "recovering":
            return self._spend_credit(now_s)
        return self.state == "closed"

    def _begin_probe(self, now_s: float) -> bool:
        """If no probe is under way, begin one. A probe that hangs is given up after `open_s`."""
        if self._probe_s is not None and now_s - self._probe_s < self.policy.open_s:
            return False
        self._probe_s = now_s
        return True

    def _spend_credit(self, now_s: float) -> bool:
        """Let the current share of requests through, evenly spaced.

        Each request adds the share to a credit. If the credit is at least 1, the request is let through, and
        the credit falls by 1.
        """
        self._credit += self.share(now_s)
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True

    def _judge(self, judgement: Judgement, now_s: float) -> None:
        """After a bad response, open the breaker if the window has too many bad ones, or this one came to a probe."""
        self._was_unreachable = judgement == "unreachable"
        if self.state == "half-open":
            self._enter("slow" if judgement == "slow" else "failing", now_s)
            return
        policy, (answers, failed, slow) = self.policy, self._window.counts(now_s)
        is_closed = self.state == "closed"
        if answers < (policy.min_answers if is_closed else policy.min_answers_recovering):
            return
        if failed >= policy.failing_share * answers:
            self._enter("failing", now_s)
        # A failed response is not a fast one, so failed and slow ones count together as slow.
        elif failed + slow >= policy.slow_share * answers:
            self._enter("slow", now_s)

    def _enter(self, event: Event, now_s: float) -> None:
        before, self.state = self.state, TRANSITIONS[self.state, event]
        if self.state == "open":
            self.opened_by = self._window.counts(now_s)
        elif self.state == "closed":
            self.opened_by = None
        self._since_s = now_s
        self._probe_s = None
        self._credit = 0.0
        self._window.clear()
        if self._on_change is not None:
            self._on_change(before, event, self.state)
