"""ASGI apps mounted in the team's Flask app: a Server over those, by the prefix of a path.

Band 1: asyncio and `websockets`. Rule: an app runs on the worker's own loop, in a task of its own,
so that what it does after its answer goes on; when its client is gone it is told, and cancelled if
it has not ended ABANDONED_S later. It must not know routes.yaml, Flask or who calls it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from overgrow.asgi.http_call import HttpCall
from overgrow.asgi.large_responses import LargeCalls
from overgrow.asgi.lifespan import Lifespan
from overgrow.asgi.response import Answer, Gone, Memory, crash
from overgrow.asgi.scope import http_scope, websocket_scope
from overgrow.asgi.websocket_call import SocketCall, agreed
from overgrow.exchange import Failure, Inbound, Reply, Server, failure_reply
from overgrow.routing.facts import path_of
from overgrow.routing.model import Decision, Timeouts

LOG = logging.getLogger("overgrow.mounted")

ABANDONED_S = 30.0  # for an app to end by itself once it was told that its client is gone
_CANCEL_S = 1.0  # for an app that was cancelled
_BUSY = Failure("local-busy", "queue", "migrated", retry_after_s=1)

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


class Call(Protocol):
    """One call of an app, as the one who runs it sees it."""

    scope: dict[str, Any]
    answer: Answer

    @property
    def late_at_s(self) -> float:
        """When patience with the head ends, on the loop's clock."""
        ...

    async def receive(self) -> dict[str, Any]:
        """ASGI receive."""
        ...

    async def send(self, message: Any) -> None:
        """ASGI send."""
        ...

    def ended(self, error: BaseException | None) -> None:
        """The app has returned or raised."""
        ...

    def close(self) -> None:
        """The exchange is over."""
        ...


class Mounted:
    """A Server that asks the app mounted at or above a path, and `otherwise` for any other path.

    `mounts` are pairs of a prefix on whole segments and an ASGI 3 app; the longest prefix wins.
    `memory` bounds what large answers of theirs hold for slow clients.
    """

    def __init__(
        self,
        mounts: Sequence[tuple[str, AsgiApp]],
        otherwise: Server,
        *,
        memory: Callable[[], Memory | None] = lambda: None,
    ) -> None:
        longest_first = sorted(mounts, key=lambda mount: len(mount[0]), reverse=True)
        self._mounts = [(prefix, Lifespan(app)) for prefix, app in longest_first]
        self._otherwise = otherwise
        self._memory = memory
        self._large = LargeCalls()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start the apps: each is called with a lifespan scope once; one that knows none is fine."""
        for _, life in self._mounts:
            await life.start()

    async def aclose(self, grace_s: float = 5.0) -> None:
        """Wait for calls that still run, cancel them after `grace_s`, and stop the apps."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_CANCEL_S)
        for _, life in self._mounts:
            await life.stop()

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Call the app; cancelling this, or closing the Reply, tells it that its client is gone."""
        if not self._mounts:
            return await self._otherwise.serve(inbound, decision)
        mount = self._mount_of(inbound.head.target)
        if mount is None:
            return await self._otherwise.serve(inbound, decision)
        prefix, life = mount
        timeouts = decision.route.timeouts if decision.route else Timeouts()
        if life.failure is not None:
            return failure_reply(crash(life.failure))
        if not inbound.head.upgrade or inbound.body is not None:
            memory = self._memory()
            making = await self._large.begin(decision.route_name, memory, timeouts.response_s)
            if making is None:
                return failure_reply(_BUSY)
            scope = http_scope(inbound, prefix, life.state)
            return await self._answered(
                life.app, HttpCall(scope, inbound, timeouts, memory, making)
            )
        if inbound.take_over is None:
            return failure_reply(Failure("no-upgrade", "decide", "front"))
        agreement = agreed(inbound.head)
        if agreement is None:
            return _no_handshake()
        scope = websocket_scope(inbound, prefix, life.state)
        return await self._answered(life.app, SocketCall(scope, inbound, agreement, timeouts))

    def _mount_of(self, target: bytes) -> tuple[str, Lifespan] | None:
        path = path_of(target)
        if path is None or not path.startswith("/"):
            return None
        below = f"{path}/"
        for mount in self._mounts:
            if below.startswith(mount[0].rstrip("/") + "/"):
                return mount
        return None

    async def _answered(self, app: AsgiApp, call: Call) -> Reply:
        task = asyncio.create_task(_run(app, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            reply = await _head_of(call, task)
        except asyncio.CancelledError:
            _let_go(call, task)
            raise
        reply.close = partial(_close, call, task)
        return reply


async def _run(app: AsgiApp, call: Call) -> None:
    """Call the app, and say how it ended; whatever it raises ends here."""
    try:
        await app(call.scope, call.receive, call.send)
    except asyncio.CancelledError as error:
        call.ended(error)
        raise
    except Gone:
        call.ended(None)
    except (Exception, SystemExit) as error:
        LOG.exception("The mounted app failed at %s", call.scope["path"])
        call.ended(error)
    else:
        call.ended(None)


async def _head_of(call: Call, task: asyncio.Task[None]) -> Reply:
    """Wait for the head as long as the route allows."""
    loop, reply = asyncio.get_running_loop(), call.answer.reply
    while not reply.done():
        left_s = call.late_at_s - loop.time()
        if left_s <= 0:
            call.close()
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_S)
            return failure_reply(Failure("migrated-timeout", "head", "migrated", "no answer"))
        await asyncio.wait({reply}, timeout=left_s)
    return call.answer.hand_over()


async def _close(call: Call, task: asyncio.Task[None]) -> None:
    _let_go(call, task)


def _let_go(call: Call, task: asyncio.Task[None]) -> None:
    """Tell the app that nobody listens; one whose answer is complete may work on."""
    is_complete = call.answer.is_complete
    call.close()
    if not is_complete and not task.done():
        patience = asyncio.get_running_loop().call_later(ABANDONED_S, task.cancel)
        task.add_done_callback(lambda _: patience.cancel())


def _no_handshake() -> Reply:
    """400 for a handshake that is not valid, with the one version there is (RFC 6455 4.4)."""
    reply = failure_reply(Failure("bad-request", "read", "client", "no WebSocket handshake"))
    reply.headers.append((b"sec-websocket-version", b"13"))
    return reply
