"""Decides when a worker's garbage collector runs: full collections are rare, and their time is bounded.

A full collection stops the event loop. The larger the heap, the longer it takes, and thousands of open streams
make a large heap. But a long-lived object (a tunnel, an event stream) may leave a reference cycle that only a
full collection finds. Without full collections, a worker would grow forever.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from collections.abc import Callable

EVERY_S = 60.0
SHARE = 1_000  # at most a thousandth of the time goes into full collections
YOUNG = 1  # the generation of what the last requests made
YOUNG_EVERY_S = 0.5
YOUNG_SHARE = 100  # at most a hundredth of the time goes into these
MAPPED_BYTES = 1024 * 1024  # memory of this size is given back to the system as soon as it is free
KEPT_BYTES = 4 * 1024 * 1024  # free memory at the end of a heap that is kept for what comes next
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def freeze_before_fork() -> None:
    """Freeze the objects that the master has imported, so that the collectors of the workers skip them.

    Workers then start sooner and share the memory of these objects: a collector would write to each object that
    it visits.
    """
    gc.freeze()


def freeze_startup_heap() -> None:
    """Freeze the objects that exist after boot, and leave full collections to a GcSchedule.

    The young generations, which hold the objects that a request leaves behind, are collected as usual.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 1_000)
    configure_malloc()


def configure_malloc() -> None:
    """Make glibc return the memory of large bodies to the system as soon as it is free.

    By default glibc raises its limit for such memory after the first 20 MB body. From then on it keeps memory
    of that size, in each thread's arena. Under another C library this function does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


class GcSchedule:
    """Runs a collection when one is due. `stopwatch` returns monotonic seconds."""

    def __init__(self, stopwatch: Callable[[], float] = time.perf_counter) -> None:
        self._stopwatch = stopwatch
        self._due_s = stopwatch() + EVERY_S
        self._young_due_s = 0.0
        self._left = 0

    def collect_if_due(self, departed_clients: int = 0) -> None:
        """Collect if enough time has passed. The longer the last collection took, the longer the wait.

        `departed_clients` is the number of clients that have left in the middle of a request so far. The
        objects that an app made for these clients may be large and belong to a reference cycle, such as an
        exception and its traceback. Such objects are young, so that a collection of the young generations finds
        them.
        """
        began_s = self._stopwatch()
        if began_s >= self._due_s:
            gc.collect()
            ended_s = self._stopwatch()
            self._due_s = ended_s + max(EVERY_S, SHARE * (ended_s - began_s))
        elif departed_clients != self._left and began_s >= self._young_due_s:
            gc.collect(YOUNG)
            ended_s = self._stopwatch()
            self._young_due_s = ended_s + max(YOUNG_EVERY_S, YOUNG_SHARE * (ended_s - began_s))
        else:
            return
        self._left = departed_clients
