"""When a worker's garbage collector walks its whole heap: seldom, and never more than it can afford.

Each full collection stops the loop for as long as the heap is large, and thousands of open streams are
a large heap. But what ends after it has grown old (a tunnel, an event stream) may leave a cycle that
only a full collection finds: without any, a worker would grow for ever.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

EVERY_S = 60.0
SHARE = 1_000  # at most a thousandth of the time goes into full collections


def calm() -> None:
    """Freeze what is here after boot, which stays, and leave full collections to a Tidier.

    The young generations take care of themselves: what a request leaves behind is in them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 1_000)


class Tidier:
    """Makes a full collection when one is due; `stopwatch` gives seconds that never go back."""

    def __init__(self, stopwatch: Callable[[], float] = time.perf_counter) -> None:
        self._stopwatch = stopwatch
        self._due_s = stopwatch() + EVERY_S

    def tidy(self) -> None:
        """Collect, unless the last time was too recent for what it took."""
        began_s = self._stopwatch()
        if began_s < self._due_s:
            return
        gc.collect()
        ended_s = self._stopwatch()
        self._due_s = ended_s + max(EVERY_S, SHARE * (ended_s - began_s))
