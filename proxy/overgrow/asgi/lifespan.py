"""ASGI's lifespan of one mounted app in one worker, for apps that support it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

LOG = logging.getLogger("overgrow.mounted")

STARTUP_S = 30.0
SHUTDOWN_S = 5.0


class LifespanStartupFailed(RuntimeError):
    """The app reported that it cannot start. Its requests get 500."""


class Lifespan:
    """The lifespan of one app. `state` is shared with the app's requests; `failure` is set if the app could not start.

    If the app raises or returns when it is called with a lifespan scope, it has no lifespan; ASGI allows that.
    """

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        self.app = app
        self.state: dict[str, Any] = {}
        self.failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self._inbox: asyncio.Queue[dict[str, str]] | None = None
        self._replies: asyncio.Queue[Mapping[str, Any]] | None = None

    async def start(self) -> None:
        """Send the startup event; wait until the app has started, failed, or shown that it has no lifespan."""
        self.state, self.failure = {}, None
        self._inbox, self._replies = asyncio.Queue(), asyncio.Queue()
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        self._task = asyncio.create_task(self._run_app(scope, self._inbox.get, self._replies.put))
        await self._send_and_wait("lifespan.startup", STARTUP_S)

    async def stop(self) -> None:
        """Send the shutdown event, wait for the app, and end its task."""
        task, self._task = self._task, None
        if task is None:
            return
        if not task.done():
            await self._send_and_wait("lifespan.shutdown", SHUTDOWN_S, task)
        task.cancel()
        await asyncio.wait({task}, timeout=SHUTDOWN_S)

    async def _run_app(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except (Exception, SystemExit) as error:  # noqa: BLE001  ASGI: it has no lifespan
            LOG.debug("A mounted app has no lifespan: %r", error)

    async def _send_and_wait(
        self, event: str, seconds: float, task: asyncio.Task[None] | None = None
    ) -> None:
        """Send one event, and wait until the app replies or ends."""
        task = task or self._task
        if task is None or self._inbox is None or self._replies is None:
            return
        self._inbox.put_nowait({"type": event})
        reply = asyncio.ensure_future(self._replies.get())
        await asyncio.wait({reply, task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            reply.cancel()
            if not task.done():
                LOG.warning("A mounted app did not answer %s within %g s", event, seconds)
        elif reply.result()["type"] == f"{event}.failed":
            self._note_failure(event, reply.result())

    def _note_failure(self, event: str, message: Mapping[str, Any]) -> None:
        why = message.get("message") or "it did not say why"
        LOG.error("A mounted app failed at %s: %s", event, why)
        self.failure = LifespanStartupFailed(why)
