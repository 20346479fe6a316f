"""The migrated side: WsgiServer calls a WSGI app in threads.

Rule: the event loop never waits for the app, and the app waits for its client as little as possible. A call
gets a thread only when its whole request body has come. If the route streams, or the spool is full, the first
64 KiB of the body are enough. wsgi/response_stream.py decides how far a response runs ahead of its client. This
module must not know routes.yaml, HTTP on the wire or who calls it.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from contextvars import copy_context
from functools import partial
from typing import IO

from overgrow.app_types import WsgiApp
from overgrow.exchange import ClientGone, Failure, Inbound, Reply, Spool, failure_reply
from overgrow.http import declared_length
from overgrow.legacy_calls.calls import LegacyCalls, LegacyDoor
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Timeouts
from overgrow.slow_clients.buffered_body import MEMORY_BYTES, BufferedBody, buffer_body
from overgrow.wsgi.environ import add_legacy_and_user, build_environ
from overgrow.wsgi.error_log import AppErrorLog
from overgrow.wsgi.request_body import WsgiClientDisconnected, WsgiInput
from overgrow.wsgi.response import WsgiResponse
from overgrow.wsgi.streaming_slots import StreamingSlot
from overgrow.wsgi.thread_pool import (
    RETRY_AFTER_S,
    ThreadPool,
    WsgiCall,
    busy_reply,
    upload_failure,
)
from overgrow.wsgi.unsent_memory import UnsentMemory


class WsgiServer:
    """A Server that calls a WSGI app in a bounded pool of threads.

    The first call creates the pool, which belongs to the event loop of this call. A call on another loop gets a
    new pool. If a call exceeds its response timeout, the client gets 504 `migrated-timeout`. The call keeps its
    thread until it returns, because Python cannot stop it. `stuck_threads` counts such threads.
    `mostly_stuck_since` (by `clock`) says since when more than half of all threads are stuck. `max_body_bytes`
    returns the length above which the app itself refuses a body: a call with a longer body gets its thread
    without waiting for the body. `disconnect_error` is raised in the app when it reads a body that breaks off.
    """

    def __init__(  # noqa: PLR0913 - one noun and what stands around it, by keyword
        self,
        wsgi_app: WsgiApp,
        *,
        threads: int = 16,
        queue: int = 64,
        multiprocess: bool = True,
        clock: Callable[[], float] = time.monotonic,
        name: str = "migrated",
        spool: Spool | None = None,
        max_body_bytes: Callable[[], int | None] = lambda: None,
        disconnect_error: type[WsgiClientDisconnected] = WsgiClientDisconnected,
        legacy_door: LegacyDoor | None = None,
    ) -> None:
        self._app = wsgi_app
        self._legacy_door = legacy_door
        self._spool = spool
        self._max_body_bytes = max_body_bytes
        self._disconnect_error = disconnect_error
        self._multiprocess = multiprocess
        self._error_log = AppErrorLog(clock)
        self._new_pool = partial(
            ThreadPool, threads=threads, queue=queue, clock=clock, name=name, spool=spool
        )
        self._pool: ThreadPool | None = None
        self._closing = False

    @property
    def active_calls(self) -> int:
        """How many calls are queued or running."""
        return self._pool.active_calls if self._pool else 0

    @property
    def waiting_calls(self) -> int:
        """How many calls wait for a thread."""
        return self._pool.waiting_calls if self._pool else 0

    @property
    def stuck_threads(self) -> int:
        """How many threads run a call whose client got a 504 and that has not returned yet."""
        return self._pool.stuck_threads if self._pool else 0

    @property
    def mostly_stuck_since(self) -> float | None:
        """Since when more than half of the threads are stuck; None if at most half of them are."""
        return self._pool.mostly_stuck_since if self._pool else None

    @property
    def unsent_memory(self) -> UnsentMemory:
        """The memory of unsent responses of this side, including those of mounted ASGI apps."""
        return self._current_pool().unsent_memory

    # Map 13 (docs/architecture.md#a-request-by-numbers)
    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Call the app. If the response is known to be whole, the Reply's body is bytes.

        If this call is cancelled, or the Reply is closed early, the app's call is abandoned: `wsgi.input`
        fails, the iteration stops at the next block, and close() is called.
        """
        if self._closing:
            return failure_reply(Failure("draining", "queue", "front", retry_after_s=RETRY_AFTER_S))
        pool = self._current_pool()
        if pool.is_full_for(inbound.client_connection):
            return busy_reply()
        timeouts = decision.route.timeouts if decision.route else Timeouts()
        if inbound.body is None:
            return await self._call_app(pool, inbound, None, decision, timeouts)
        try:
            start = await self._buffer_body(inbound, inbound.body, decision)
        except (ClientGone, TimeoutError) as error:
            return failure_reply(upload_failure(error))
        if start.rest is None or self._app_refuses_body(inbound.head):
            return await self._call_app(pool, inbound, start, decision, timeouts)
        slot = await pool.streaming_slots.acquire(timeouts.response_s)
        if slot is None:
            start.close()
            return busy_reply()
        return await self._call_app(pool, inbound, start, decision, timeouts, slot)

    def _app_refuses_body(self, head: Head) -> bool:
        """Whether the app refuses the body because of its declared length. Such a body need not be read."""
        max_bytes = self._max_body_bytes()
        return max_bytes is not None and declared_length(head.headers) > max_bytes

    async def _buffer_body(
        self, inbound: Inbound, body: AsyncIterator[bytes], decision: Decision
    ) -> BufferedBody:
        """Wait for the whole body; if the route streams, only for its first 64 KiB.

        If the app refuses the body, do not wait.

        Raises:
            ClientGone: the client broke off.
            TimeoutError: no byte came for the idle timeout.

        """
        if self._app_refuses_body(inbound.head):
            return BufferedBody(aiter(body))
        route = decision.route
        spool = None if route is not None and route.stream else self._spool
        inbound.started = True
        return await buffer_body(body, spool, (route.timeouts if route else Timeouts()).idle_s)

    async def aclose(self, grace_s: float = 25.0) -> None:
        """Refuse new calls, wait at most `grace_s` for the running calls, and end the threads."""
        self._closing = True
        if self._pool is not None:
            await self._pool.wait_until_drained(grace_s)

    def _current_pool(self) -> ThreadPool:
        loop = asyncio.get_running_loop()
        if self._pool is None or self._pool.loop is not loop:
            self._pool = self._new_pool()
        return self._pool

    async def _call_app(  # noqa: PLR0913, PLR0917 - one call and what is known of it
        self,
        pool: ThreadPool,
        inbound: Inbound,
        start: BufferedBody | None,
        decision: Decision,
        timeouts: Timeouts,
        slot: StreamingSlot | None = None,
    ) -> Reply:
        head = inbound.head
        label = f"{head.method} {head.target.partition(b'?')[0].decode('latin-1')}"
        feed, wsgi_input = _create_input(pool.loop, start, self._disconnect_error)
        environ = partial(
            build_environ,
            head,
            wsgi_input,
            multiprocess=self._multiprocess,
            commit=inbound.commit,
        )
        door, calls = self._legacy_door, None
        if door is not None:
            calls = LegacyCalls(door, pool.loop, head, decision)
            environ = partial(add_legacy_and_user, environ, calls, decision.identity)

        def work(response: WsgiResponse) -> None:
            response.run_app(self._app, environ, self._error_log)

        call = WsgiCall(
            pool, label, decision.route_name, timeouts, feed, slot, inbound.client_connection
        )
        rest = None if start is None else start.rest
        reads_at_once = slot is not None  # else nobody reads what the app refuses
        if not call.submit(copy_context(), work, rest, reads_at_once=reads_at_once):
            call.release_slot()
            return busy_reply()
        reply = await call.wait_for_reply()
        if calls is not None and calls.count:
            reply.decision = decision._replace(legacy_calls=calls.count)
        return reply


def _create_input(
    loop: asyncio.AbstractEventLoop,
    start: BufferedBody | None,
    disconnect_error: type[WsgiClientDisconnected],
) -> tuple[WsgiInput | None, IO[bytes]]:
    """Return (raw stream, `wsgi.input`). The raw stream is None if the whole body is small and already in memory."""
    if start is None:
        return None, io.BytesIO()
    if start.rest is None and start.spooled is None:
        return None, io.BytesIO(start.held)
    feed = WsgiInput(loop, start, disconnect_error)
    return feed, io.BufferedReader(feed, MEMORY_BYTES)
