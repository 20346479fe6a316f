"""The state of legacy: what each worker publishes on the board, and what follows from all workers together.

Pure. Every worker publishes the newest evidence that it has: an answer, a failure or a probe. The newest
evidence of all workers determines the state of legacy, so that every reader of the board gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from overgrow.text import rfc3339


class UpstreamState(NamedTuple):
    """Whether legacy answers, since when, the reason if it does not, and the time of the evidence.

    Times are unix seconds. If there is no evidence, legacy counts as up, and `since_s` is None.
    """

    up: bool = True
    since_s: float | None = None
    error: str | None = None  # a code of FAILURES
    is_unreachable: bool = False  # no connection could be made: a connection shows that it is back
    at_s: float = 0.0  # when the evidence was found

    def with_answer(self, now_s: float) -> UpstreamState:
        """Return the state after an answer."""
        since_s = self.since_s if self.up and self.since_s is not None else now_s
        return UpstreamState(since_s=since_s, at_s=now_s)

    def with_failure(self, code: str, now_s: float, *, is_unreachable: bool) -> UpstreamState:
        """Return the state after a failure that shows that legacy does not answer."""
        since_s = now_s if self.up else self.since_s
        return UpstreamState(False, since_s, code, is_unreachable, now_s)

    def at_most(self, now_s: float) -> UpstreamState:
        """Return the state with times after `now_s` replaced by `now_s`.

        Such times remain when the clock is set back.
        """
        since_s = None if self.since_s is None else min(self.since_s, now_s)
        return self._replace(since_s=since_s, at_s=min(self.at_s, now_s))


UNKNOWN = UpstreamState()


def newest_state(workers: Iterable[Mapping[str, Any]]) -> UpstreamState:
    """Return the newest state that a worker has published on the board."""
    published = (worker.get("upstream") for worker in workers)  # none from an earlier version
    states = (_read_state(each) for each in published if each)
    return max(states, key=lambda state: state.at_s, default=UNKNOWN)


def _read_state(published: Mapping[str, Any]) -> UpstreamState:
    """Return a published state; a later version may publish more fields."""
    known = {name: published[name] for name in UpstreamState._fields if name in published}
    return UpstreamState(**known)


def upstream_json(workers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what /readyz says about legacy: {"up", "since", "error"}."""
    state = newest_state(workers)
    since = None if state.since_s is None else rfc3339(state.since_s)
    return {"up": state.up, "since": since, "error": state.error}
