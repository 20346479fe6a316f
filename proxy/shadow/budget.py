"""How much work comparisons may be: a share of one core, with a little saved up for bursts.

Pure: time comes in by argument. A budget may be overdrawn by one comparison and is refilled by time.
"""

from __future__ import annotations

from collections.abc import Callable


class Budget:
    """Seconds of work, `share` of each second that passes, at most `most_s` saved up."""

    __slots__ = ("_at_s", "_left_s", "_most_s", "_share", "_stopwatch")

    def __init__(
        self, stopwatch: Callable[[], float], *, share: float = 0.1, most_s: float = 0.5
    ) -> None:
        self._stopwatch = stopwatch
        self._share = share
        self._most_s = self._left_s = most_s
        self._at_s: float | None = None

    @property
    def is_left(self) -> bool:
        """Whether more work may be begun."""
        now_s = self._stopwatch()
        if self._at_s is not None:
            earned_s = (now_s - self._at_s) * self._share
            self._left_s = min(self._most_s, self._left_s + earned_s)
        self._at_s = now_s
        return self._left_s > 0

    def spend(self, work_s: float) -> None:
        """Charge work that was done."""
        self._left_s -= work_s
