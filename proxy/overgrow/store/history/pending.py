"""Collects what the counters of a front door have gained and the store does not have yet, by windows of time.

Pure: totals and times are arguments. Rule: a gain is the difference between two successive totals. If a total
is skipped, its gain is part of the next one. If a total is read twice, its gain counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from overgrow.store.history.packing import Counts, add_counts

Place = tuple[str, str]  # route, side

WINDOW_S = 10
# Counters only grow. Those that fell are being written again after somebody removed their file, or a power cut took
# their last seconds. So they are watched for a while, and then they count from where they are.
HOLD_S = 10.0
MAX_ENTRIES = 50_000  # of windows and places, while the store is away; beyond it the oldest windows are joined


class PendingGains(NamedTuple):
    """Gains for the store as {begin of a window: {place: gain}}, and the totals that include these gains."""

    windows: Mapping[int, Mapping[Place, Counts]]
    marks: Mapping[Place, Counts]

    def __bool__(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.windows or self.marks)


class GainsByWindow:
    """Collects gains. `marks` are the totals whose gains are stored. A place without a mark begins at zero."""

    def __init__(self, marks: Mapping[Place, Counts]) -> None:
        self._marks = dict(marks)
        self._windows: dict[int, dict[Place, Counts]] = {}
        self._changed: set[Place] = set()
        self._attempted: PendingGains | None = None
        self._fallen: dict[Place, tuple[float, Counts]] = {}  # since when, and the newest total

    def add_totals(self, totals: Mapping[Place, Counts], now_s: float) -> None:
        """Add what the totals have gained since the last call to the window of `now_s`."""
        window = int(now_s // WINDOW_S) * WINDOW_S
        for place, total in totals.items():
            before = self._marks.get(place)
            gain = total if before is None else tuple(map(int.__sub__, total, before))
            if gain and min(gain) < 0:
                self._fallen[place] = (self._fallen.get(place, (now_s,))[0], total)
                continue
            self._fallen.pop(place, None)
            if any(gain):
                self._add(window, place, gain)
                self._marks[place] = total
                self._changed.add(place)
        self._accept_fallen(now_s)

    def skip(self, totals: Mapping[Place, Counts]) -> None:
        """Regard these totals as stored, because nobody knows at what time they were counted."""
        self._marks.update(totals)
        self._changed.update(totals)

    def mark_all(self) -> None:
        """Include every mark in the next attempt, because the store has lost the marks."""
        self._changed.update(self._marks)

    def begin_attempt(self) -> PendingGains:
        """Return everything to store. Before the next attempt, `confirm` or `resume` must be called."""
        marks = {place: self._marks[place] for place in self._changed}
        self._attempted = PendingGains(self._windows, marks)
        self._windows, self._changed = {}, set()
        return self._attempted

    def confirm(self) -> None:
        """Forget the gains of the last attempt, because they are stored."""
        self._attempted = None

    def resume(self) -> None:
        """Take back the gains of the last attempt, because it failed."""
        attempted, self._attempted = self._attempted, None
        if attempted is not None:
            for window, gains in attempted.windows.items():
                for place, gain in gains.items():
                    self._add(window, place, gain)
            self._changed.update(attempted.marks)
            self._join_oldest()

    def _add(self, window: int, place: Place, gain: Counts) -> None:
        gains = self._windows.setdefault(window, {})
        before = gains.get(place)
        gains[place] = gain if before is None else add_counts(before, gain)

    def _accept_fallen(self, now_s: float) -> None:
        for place, (since_s, total) in list(self._fallen.items()):
            if abs(now_s - since_s) > HOLD_S:
                del self._fallen[place]
                self._marks[place] = total
                self._changed.add(place)

    def _join_oldest(self) -> None:
        """Join the oldest windows, so that memory stays bounded while the store is unavailable for a long time."""
        entries = sum(map(len, self._windows.values()))
        while entries > MAX_ENTRIES and len(self._windows) > 1:
            oldest, other = sorted(self._windows)[:2]
            gains = self._windows.pop(oldest)
            entries -= len(gains.keys() & self._windows[other].keys())
            for place, gain in gains.items():
                self._add(other, place, gain)
