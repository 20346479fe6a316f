"""Threads for calls to a store, which may hang: nobody joins them, so a store that hangs never holds a worker's end.

A call goes to the thread with the fewest calls before it. A thread counts as busy until its call has really ended, also
when nobody waits for the answer any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from overgrow.files.thread import FileThread

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8  # of one reader: as many questions to a store at the same time


class _Turn:
    """One call: counted from when it is made until it has run, or will never run."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._has_begun = False
        self._end = end

    def run(self, work: Callable[[], Any]) -> Any:
        """Run the call, in its thread."""
        with self._lock:
            self._has_begun = True
        try:
            return work()
        finally:
            self._end()

    def give_up(self) -> None:
        """Count the call no more if it has not begun: nobody waits for it, so it is never run."""
        with self._lock:
            is_waiting, self._has_begun = not self._has_begun, True
        if is_waiting:
            self._end()


class StoreThreads:
    """The threads of one reader. The first call starts the first of them."""

    def __init__(self, name: str) -> None:
        self._threads = [FileThread(f"{name}-{number}") for number in range(THREADS)]
        self._waiting = [0] * THREADS
        self._lock = threading.Lock()

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns, or raise what it raises."""
        with self._lock:
            at = min(range(THREADS), key=self._waiting.__getitem__)
            self._waiting[at] += 1
        turn = _Turn(partial(self._end_call, at))
        answer = self._threads[at].call(turn.run, partial(work, *args, **kwargs))
        try:
            found: T = await answer
        except BaseException:
            turn.give_up()
            raise
        return found

    def _end_call(self, at: int) -> None:
        with self._lock:
            self._waiting[at] -= 1
