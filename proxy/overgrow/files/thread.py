"""Runs file calls beside an event loop: in order, one at a time, in a thread that nobody joins.

`asyncio.to_thread` is not used. Its threads are joined at the end of the process, so that a call that hangs in
a mount would block that end for ever. Each such call would also occupy another thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

IDLE_S = 5.0  # a thread that has no call for so long ends


class _FileCall(NamedTuple):
    """One queued call: what to run, and the future of its result."""

    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    work: Callable[[], Any]


class FileThread:
    """One thread for the file calls of one concern. The first call starts the thread, so a fork before that does no harm."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_FileCall] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns, or raise what it raises.

        If the call is cancelled before it begins, `work` does not run.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._calls.put(_FileCall(loop, answer, partial(work, *args, **kwargs)))
        self._ensure_thread()
        return await answer

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run_calls, name=self._name, daemon=True
                )
                self._thread.start()

    def _run_calls(self) -> None:
        while True:
            try:
                call = self._calls.get(timeout=IDLE_S)
            except Empty:
                if self._may_end():
                    return
                continue
            if not call.answer.cancelled():
                _run_call(call)
            del call  # an idle thread holds nothing

    def _may_end(self) -> bool:
        """Return whether this thread may end: it may if no call waits. The next call then starts a new thread."""
        with self._lock:
            if self._calls.empty():
                self._thread = None
            return self._thread is None


def _run_call(call: _FileCall) -> None:
    try:
        found = call.work()
    except BaseException as error:  # noqa: BLE001 - the caller gets it
        tell = partial(_set_error, call.answer, error)
    else:
        tell = partial(_set_result, call.answer, found)
    with suppress(RuntimeError):  # the loop has closed: nobody waits
        call.loop.call_soon_threadsafe(tell)


def _set_result(answer: asyncio.Future[Any], found: Any) -> None:
    if not answer.done():
        answer.set_result(found)


def _set_error(answer: asyncio.Future[Any], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
