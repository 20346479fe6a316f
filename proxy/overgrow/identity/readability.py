"""Whether a reader can read sessions at all: a wrong secret makes every one of them unreadable.

It counts by the second for a minute. Values that are refused for what they say (expired, unknown, signed out) were
read; those whose form or signature is wrong were not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

WINDOW_S = 60
MIN_VALUES = 3  # one odd cookie of one visitor says nothing about the secret
_UNREAD = frozenset({"bad-signature", "malformed", "unknown-key", "unknown-format", "objects"})
_UNKNOWN = frozenset({"unavailable", "no-value", "too-large", "not-trusted"})

_ADVICE = {
    "bad-signature": "compare identity.secret with legacy's",
    "malformed": "check from, cookie and serializer; if legacy keeps another format, write from: ask",
    "objects": "the user's id is inside an object of legacy's language, so write from: ask",
    "unknown-format": "write from: ask",
    "unknown-key": "check identity.jwt.jwks",
}


class Readability:
    """What one reader could and could not read in the last minute."""

    def __init__(self, stopwatch: Callable[[], float]) -> None:
        self._stopwatch = stopwatch
        self._seconds: dict[int, Counter[str]] = {}

    def note(self, outcome: str) -> None:
        """Count one outcome of the reader."""
        if outcome in _UNKNOWN:
            return
        second = int(self._stopwatch())
        counts = self._seconds.get(second)
        if counts is None:
            self._forget_before(second - WINDOW_S)
            counts = self._seconds[second] = Counter()
        counts[outcome if outcome in _UNREAD else "read"] += 1

    def _forget_before(self, second: int) -> None:
        for old in [each for each in self._seconds if each < second]:
            del self._seconds[old]

    @property
    def problem(self) -> str | None:
        """Why no session of the last minute could be read; None if one could, or if there were too few."""
        self._forget_before(int(self._stopwatch()) - WINDOW_S)
        total: Counter[str] = Counter()
        for counts in self._seconds.values():
            total.update(counts)
        if total["read"] or total.total() < MIN_VALUES:
            return None
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(total.items()) if count)
        advice = _ADVICE[max(total, key=total.__getitem__)]
        return f"no session of the last minute could be read ({reasons}); {advice}"
