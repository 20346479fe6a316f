"""The one background event loop of a process, for asynchronous work under a WSGI server.

Rule: the loop is created on first use, never at import. A forked child drops the loop and creates its own, so
that `--preload` works. An atexit function closes the loop properly. The loop's thread is a daemon, because
Python joins all other threads before it runs the atexit functions.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from overgrow.app_types import AsgiApp, Message

LOG = logging.getLogger("overgrow.wsgi")

START_S = 30.0  # how long a first request waits at most for the start of the ASGI app
STOP_S = 5.0  # how long an exit waits at most for its end


class BackgroundLoop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._lifespans: set[FrontDoorLifespan] = set()
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="overgrow-wsgi", daemon=True
        )
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Start work on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def start_lifespan(self, asgi: AsgiApp) -> FrontDoorLifespan:
        """Start the lifespan of an ASGI app here.

        Return when the app is ready, or has shown that it has no lifespan.
        """
        lifespan = FrontDoorLifespan(self.loop, asgi)
        self._lifespans.add(lifespan)
        running = self.submit(lifespan.run_app())
        running.add_done_callback(lambda _: self._lifespans.discard(lifespan))
        if not lifespan.ready.wait(START_S):
            LOG.warning(
                "the front door was not ready within %g s; requests are served anyway", START_S
            )
        return lifespan

    def close(self) -> None:
        """Shut the ASGI apps down, cancel what still runs, stop the loop and its thread."""
        if self.loop.is_closed():
            return
        with suppress(TimeoutError):
            self.submit(self._shut_down()).result(STOP_S * 2)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_S)
        if not self._thread.is_alive():
            self.loop.close()

    async def _shut_down(self) -> None:
        for lifespan in list(self._lifespans):
            lifespan.request_stop()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=0.1)
            for task in late:
                task.cancel()
            await asyncio.wait(tasks, timeout=STOP_S)
        await self.loop.shutdown_asyncgens()


class FrontDoorLifespan:
    """The ASGI lifespan of one app; an app that raises when called with a lifespan scope does not support it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, asgi: AsgiApp) -> None:
        self.ready = threading.Event()
        self.state: dict[str, Any] = {}
        self._loop = loop
        self._asgi = asgi
        self._stopped = asyncio.Event()
        self._is_started = False

    async def run_app(self) -> None:
        """Call the app with its lifespan scope; this lasts from startup to shutdown."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}
        try:
            await self._asgi(scope, self._receive, self._send)
        except Exception as error:  # noqa: BLE001 - ASGI: an app may raise at a scope it does not know
            LOG.debug("no lifespan: %r", error)
        finally:
            self.ready.set()

    def request_stop(self) -> None:
        """Ask the app to shut down; called on the loop."""
        self._stopped.set()

    def request_stop_threadsafe(self) -> None:
        """Ask the app to shut down; called from any thread. Do nothing if the loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _receive(self) -> Message:
        if not self._is_started:
            self._is_started = True
            return {"type": "lifespan.startup"}
        await self._stopped.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            LOG.error("the front door could not start: %s", message.get("message", ""))
        self.ready.set()


class _Process:
    """What belongs to this process alone. A forked child starts with a new object."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.background: BackgroundLoop | None = None
        self.inherited: list[object] = []


_process = _Process()


def background_loop() -> BackgroundLoop:
    """Return the loop of this process; the first call creates it."""
    with _process.lock:
        if _process.background is None or _process.background.loop.is_closed():
            _process.background = BackgroundLoop()
            atexit.register(_process.background.close)
        return _process.background


def process_lock() -> threading.RLock:
    """Return the lock under which things are created once per process."""
    return _process.lock


def _reset_after_fork() -> None:
    """Start anew in a forked child, where the thread of the parent's loop does not exist.

    The parent's loop is kept, never closed: its epoll set is shared, and closing would empty it.
    """
    global _process
    inherited, _process = _process, _Process()
    if inherited.background is not None:
        atexit.unregister(inherited.background.close)
        _process.inherited = [*inherited.inherited, inherited.background]


os.register_at_fork(after_in_child=_reset_after_fork)
