"""A Server for the ASGI apps that are mounted in the team's Flask app: it finds the app by the prefix of the path.

This module may use asyncio and `websockets`. Rule: an app runs on the worker's own event loop, in a task of its own, so
that it may go on after its response. If its client leaves, the app gets a disconnect; ABANDONED_S later the
task is cancelled. This module must not know routes.yaml, Flask or who calls it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from overgrow.app_types import AsgiApp, Message, Scope
from overgrow.asgi.http_call import HttpCall
from overgrow.asgi.large_responses import LargeResponseQueue
from overgrow.asgi.lifespan import Lifespan
from overgrow.asgi.response import (
    AsgiClientDisconnected,
    AsgiResponse,
    ResponseMemory,
    crash_failure,
)
from overgrow.asgi.scope import http_scope, websocket_scope
from overgrow.asgi.websocket_call import WebSocketCall, accept_handshake
from overgrow.exchange import Failure, Inbound, Reply, Server, failure_reply
from overgrow.routing.facts import path_of
from overgrow.routing.model import Decision, Timeouts

LOG = logging.getLogger("overgrow.mounted")

ABANDONED_S = 30.0  # for an app to end by itself, once it knows that its client is gone
_CANCEL_S = 1.0  # for an app that was cancelled
_BUSY = Failure("local-busy", "queue", "migrated", retry_after_s=1)


class AsgiCall(Protocol):
    """One call of an app, as its caller sees it."""

    scope: Scope
    response: AsgiResponse

    @property
    def deadline_s(self) -> float:
        """When the response timeout ends, on the loop's clock."""
        ...

    async def receive(self) -> Message:
        """ASGI receive."""
        ...

    async def send(self, message: Any) -> None:
        """ASGI send."""
        ...

    def finish(self, error: BaseException | None) -> None:
        """Note that the app has returned or raised."""
        ...

    def close(self) -> None:
        """Note that the exchange is over."""
        ...


class AsgiMounts:
    """A Server that calls the app whose prefix the path has. If no prefix fits, it calls the Server `otherwise`.

    `mounts` are pairs of a prefix of whole segments and an ASGI 3 app; the longest prefix wins. `response_memory`
    bounds the memory in which large responses wait for slow clients.
    """

    def __init__(
        self,
        mounts: Sequence[tuple[str, AsgiApp]],
        otherwise: Server,
        *,
        response_memory: Callable[[], ResponseMemory | None] = lambda: None,
    ) -> None:
        longest_first = sorted(mounts, key=lambda mount: len(mount[0]), reverse=True)
        self._mounts = [(prefix, Lifespan(app)) for prefix, app in longest_first]
        self._otherwise = otherwise
        self._response_memory = response_memory
        self._large = LargeResponseQueue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start the apps: call each of them once with a lifespan scope. An app may do without a lifespan."""
        for _, lifespan in self._mounts:
            await lifespan.start()

    async def aclose(self, grace_s: float = 5.0) -> None:
        """Wait for running calls, cancel them after `grace_s`, and stop the apps."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_CANCEL_S)
        for _, lifespan in self._mounts:
            await lifespan.stop()

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Call the app. If this call is cancelled, or the Reply is closed, the app learns that its client is gone."""
        if not self._mounts:
            return await self._otherwise.serve(inbound, decision)
        mount = self._find_mount(inbound.head.target)
        if mount is None:
            return await self._otherwise.serve(inbound, decision)
        prefix, lifespan = mount
        timeouts = decision.route.timeouts if decision.route else Timeouts()
        if lifespan.failure is not None:
            return failure_reply(crash_failure(lifespan.failure))
        if not inbound.head.upgrade or inbound.body is not None:
            response_memory = self._response_memory()
            share = await self._large.begin(
                decision.route_name, response_memory, timeouts.response_s
            )
            if share is None:
                return failure_reply(_BUSY)
            scope = http_scope(inbound, prefix, lifespan.state, decision.identity)
            return await self._call_app(
                lifespan.app, HttpCall(scope, inbound, timeouts, response_memory, share)
            )
        if inbound.switch_protocol is None:
            return failure_reply(Failure("no-upgrade", "decide", "front"))
        handshake = accept_handshake(inbound.head)
        if handshake is None:
            return _bad_handshake_reply()
        scope = websocket_scope(inbound, prefix, lifespan.state, decision.identity)
        return await self._call_app(
            lifespan.app, WebSocketCall(scope, inbound, handshake, timeouts)
        )

    def _find_mount(self, target: bytes) -> tuple[str, Lifespan] | None:
        path = path_of(target)
        if path is None or not path.startswith("/"):
            return None
        below = f"{path}/"
        for mount in self._mounts:
            if below.startswith(mount[0].rstrip("/") + "/"):
                return mount
        return None

    async def _call_app(self, app: AsgiApp, call: AsgiCall) -> Reply:
        task = asyncio.create_task(_run_app(app, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            reply = await _wait_for_head(call, task)
        except asyncio.CancelledError:
            _release_call(call, task)
            raise
        reply.close = partial(_close, call, task)
        return reply


async def _run_app(app: AsgiApp, call: AsgiCall) -> None:
    """Call the app, and tell the call how the app ended. An exception of the app goes no further."""
    try:
        await app(call.scope, call.receive, call.send)
    except asyncio.CancelledError as error:
        call.finish(error)
        raise
    except AsgiClientDisconnected:
        call.finish(None)
    except (Exception, SystemExit) as error:
        LOG.exception("The mounted app failed at %s", call.scope["path"])
        call.finish(error)
    else:
        call.finish(None)


async def _wait_for_head(call: AsgiCall, task: asyncio.Task[None]) -> Reply:
    """Wait for the head of the response, as long as the route allows."""
    loop, reply = asyncio.get_running_loop(), call.response.reply
    while not reply.done():
        left_s = call.deadline_s - loop.time()
        if left_s <= 0:
            call.close()
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_S)
            return failure_reply(Failure("migrated-timeout", "head", "migrated", "no answer"))
        await asyncio.wait({reply}, timeout=left_s)
    return call.response.take_reply()


async def _close(call: AsgiCall, task: asyncio.Task[None]) -> None:
    _release_call(call, task)


def _release_call(call: AsgiCall, task: asyncio.Task[None]) -> None:
    """Tell the app that its client is gone. If the app's response is complete, the app may go on."""
    is_complete = call.response.is_complete
    call.close()
    if not is_complete and not task.done():
        timeout = asyncio.get_running_loop().call_later(ABANDONED_S, task.cancel)
        task.add_done_callback(lambda _: timeout.cancel())


def _bad_handshake_reply() -> Reply:
    """Return 400 for an invalid handshake.

    The response names the only version of WebSocket that exists (RFC 6455 4.4).
    """
    reply = failure_reply(Failure("bad-request", "read", "client", "no WebSocket handshake"))
    reply.headers.append((b"sec-websocket-version", b"13"))
    return reply
