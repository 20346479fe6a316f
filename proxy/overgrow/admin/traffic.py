"""The counters, as all pages of one worker show them: totals, and the last minutes. They are read at most once a tick.

Each read adds only what has changed since the previous read, so that an open page costs little even with
thousands of routes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from overgrow.files import within
from overgrow.observe.counter_totals import CounterTotals
from overgrow.observe.metrics import BUCKETS_S
from overgrow.observe.rates_reader import RateCounts, RatesReader
from overgrow.observe.recent_counts import WINDOW_S, last_requests
from overgrow.observe.recent_rates import WINDOWS_S, covered_s

READ_S = 10.0  # the first read of a large table takes seconds on a busy machine
TICK_S = 1.9  # less than the pause of an open page, so that no page misses a tick
PAUSE_S = 300.0  # for longer than this a file of rates keeps its lines
MINUTE, MINUTES = "last_minute", "last_five_minutes"
Place = tuple[str, str]  # route, side
Counts = tuple[int, ...]  # errors, then the requests in each bucket of the histogram


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests of all workers, by route and side: `recent` by window, `totals` since the counters started.

    `last_s` has the unix time of the latest request of each route and side, exact to some seconds. Routes and
    sides without requests are left out.
    """

    recent: Mapping[str, Mapping[Place, RateCounts]]
    totals: Mapping[Place, Counts]
    last_s: Mapping[Place, float]
    oldest_s: Mapping[str, float] = field(default_factory=dict)  # by window, unix time

    def window_s(self, name: str, now_s: float, began_s: float | None) -> int:
        """Return how long a window is, in seconds; `began_s` is when the front door started."""
        return covered_s(WINDOWS_S[name], now_s, began_s, self.oldest_s.get(name, now_s))


NO_TRAFFIC = Traffic({MINUTE: {}, MINUTES: {}}, {}, {})


class CounterReader:
    """Reads the counters in one folder. `clock` returns monotonic seconds."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._rates = RatesReader(folder, len(BUCKETS_S) + 1)
        self._totals = CounterTotals(folder, BUCKETS_S)
        self._before: Mapping[Place, float] = {}
        self._last: tuple[float, Traffic] | None = None
        self._lock = Lock()  # the readers keep what they have read

    @property
    def folder(self) -> Path:
        """The folder of the counters."""
        return self._folder

    def read(self, now_s: float, max_age_s: float = TICK_S) -> Traffic:
        """Return the counts until now, or counts that were read at most `max_age_s` ago.

        Raises:
            OSError: if the state folder does not respond.

        """
        return within(READ_S, self._folder, lambda: self._read(now_s, max_age_s))

    def _read(self, now_s: float, max_age_s: float) -> Traffic:
        with self._lock:
            if self._last is None or self._clock() - self._last[0] >= max_age_s:
                recent = self._rates.read(now_s)
                totals, last_s = self._totals.read_all(), self._last_requests(now_s)
                found = Traffic(recent, totals, last_s, self._rates.oldest())
                self._last = (self._clock(), found)
            return self._last[1]

    def _last_requests(self, now_s: float) -> dict[Place, float]:
        """Return the times of the latest requests.

        After a long pause between two reads, the rates files may have lost lines that were never read. In that
        case the times in the files of recent counts are used, too.
        """
        if self._last is None or self._clock() - self._last[0] > PAUSE_S:
            rings = last_requests(self._folder)
            self._before = {place: window + WINDOW_S / 2 for place, window in rings.items()}
        latest = self._rates.latest
        places = {**self._before, **latest}
        return {
            place: min(now_s, max(self._before.get(place, 0.0), latest.get(place, 0.0)))
            for place in places
        }
