"""LocalApp: the migrated side, a Server over a WSGI app in threads.

Rule: an event loop never waits for the app and the app never waits for a client longer than it
must. A thread is taken only when all of the body is here (or, where the route streams or the spool
has no room, its first 64 KiB); the answer runs ahead of its client as wsgi/outflow.py says. It must
not know routes.yaml, HTTP on the wire or who calls it.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextvars import copy_context
from functools import partial
from typing import IO

from overgrow.exchange import ClientGone, Failure, Inbound, Reply, Spool, failure_reply
from overgrow.http import declared_length
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Timeouts
from overgrow.slow_clients.gathering import FIRST_BYTES, Gathered, gather
from overgrow.wsgi.environ import environ_of
from overgrow.wsgi.error_log import Faults
from overgrow.wsgi.request_body import ClientDisconnected, Inflow
from overgrow.wsgi.response import Answer
from overgrow.wsgi.streamed_calls import Place
from overgrow.wsgi.thread_pool import RETRY_AFTER_S, Call, Pool, broken_upload, busy
from overgrow.wsgi.unsent_bytes import Unsent

WsgiApp = Callable[..., Iterable[bytes]]


class LocalApp:
    """A WSGI app as a Server: its calls run in a bounded pool of threads.

    The pool is made at the first call and belongs to the event loop of that call; a call on
    another loop gets a fresh one. A call that is past its response timeout is answered 504
    `migrated-timeout` and keeps its thread until it returns: Python cannot stop it. `stuck` counts
    such threads, `mostly_stuck_since` (of `clock`) tells since when they are more than half.
    `most_body` says what length of a body the app refuses by itself: its thread is taken at once.
    `broken_off` is what its reader of a body that breaks off is told.
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
        most_body: Callable[[], int | None] = lambda: None,
        broken_off: type[ClientDisconnected] = ClientDisconnected,
    ) -> None:
        self._app = wsgi_app
        self._spool = spool
        self._most_body = most_body
        self._broken_off = broken_off
        self._multiprocess = multiprocess
        self._faults = Faults(clock)
        self._new_pool = partial(
            Pool, threads=threads, queue=queue, clock=clock, name=name, spool=spool
        )
        self._pool: Pool | None = None
        self._closing = False

    @property
    def running(self) -> int:
        """Calls that are queued or running."""
        return self._pool.running if self._pool else 0

    @property
    def stuck(self) -> int:
        """Threads whose call was answered 504 and has not returned yet."""
        return self._pool.stuck if self._pool else 0

    @property
    def mostly_stuck_since(self) -> float | None:
        """Since when more than half of the threads are stuck; None when they are not."""
        return self._pool.mostly_stuck_since if self._pool else None

    @property
    def unsent(self) -> Unsent:
        """What the answers of this side hold together; other servers of the side count there too."""
        return self._pool_here().unsent

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Call the app; the Reply's body is bytes when the answer is known to be whole.

        Cancelling this, or closing the Reply early, abandons the call: `wsgi.input` fails, the
        iteration stops at the next block, close() is called.
        """
        if self._closing:
            return failure_reply(Failure("draining", "queue", "front", retry_after_s=RETRY_AFTER_S))
        pool = self._pool_here()
        if pool.is_full_for(inbound.client_connection):
            return busy()
        timeouts = decision.route.timeouts if decision.route else Timeouts()
        if inbound.body is None:
            return await self._called(pool, inbound, None, decision.route_name, timeouts)
        try:
            start = await self._gathered(inbound, inbound.body, decision)
        except (ClientGone, TimeoutError) as error:
            return failure_reply(broken_upload(error))
        if start.rest is None or self._is_refused(inbound.head):
            return await self._called(pool, inbound, start, decision.route_name, timeouts)
        place = await pool.streams.take(timeouts.response_s)
        if place is None:
            start.close()
            return busy()
        return await self._called(pool, inbound, start, decision.route_name, timeouts, place)

    def _is_refused(self, head: Head) -> bool:
        """Whether the app refuses the body for its declared length, so that nobody need read it."""
        most = self._most_body()
        return most is not None and declared_length(head.headers) > most

    async def _gathered(
        self, inbound: Inbound, body: AsyncIterator[bytes], decision: Decision
    ) -> Gathered:
        """Wait for all of the body; for its first 64 KiB where the route streams; for nothing of a refused one.

        Raises:
            ClientGone: the client broke off.
            TimeoutError: no byte came for the idle timeout.

        """
        if self._is_refused(inbound.head):
            return Gathered(aiter(body))
        route = decision.route
        spool = None if route is not None and route.stream else self._spool
        inbound.started = True
        return await gather(body, spool, (route.timeouts if route else Timeouts()).idle_s)

    async def aclose(self, grace_s: float = 25.0) -> None:
        """Refuse new calls, wait for the running ones at most `grace_s`, end the threads."""
        self._closing = True
        if self._pool is not None:
            await self._pool.drained(grace_s)

    def _pool_here(self) -> Pool:
        loop = asyncio.get_running_loop()
        if self._pool is None or self._pool.loop is not loop:
            self._pool = self._new_pool()
        return self._pool

    async def _called(  # noqa: PLR0913, PLR0917 - one call and what is known of it
        self,
        pool: Pool,
        inbound: Inbound,
        start: Gathered | None,
        route: str,
        timeouts: Timeouts,
        place: Place | None = None,
    ) -> Reply:
        head = inbound.head
        what = f"{head.method} {head.target.partition(b'?')[0].decode('latin-1')}"
        inflow, wsgi_input = _input_of(pool.loop, start, self._broken_off)
        environ = partial(
            environ_of,
            head,
            wsgi_input,
            multiprocess=self._multiprocess,
            commit=inbound.commit,
        )

        def work(answer: Answer) -> None:
            answer.call(self._app, environ, self._faults)

        call = Call(pool, what, route, timeouts, inflow, place, inbound.client_connection)
        rest = None if start is None else start.rest
        reads_at_once = place is not None  # else nobody reads what the app refuses
        if not call.begin(copy_context(), work, rest, reads_at_once=reads_at_once):
            call.leave()
            return busy()
        return await call.reply()


def _input_of(
    loop: asyncio.AbstractEventLoop, start: Gathered | None, broken_off: type[ClientDisconnected]
) -> tuple[Inflow | None, IO[bytes]]:
    """`wsgi.input`, and what is to be fed for it: nothing where all of a small body is in memory."""
    if start is None:
        return None, io.BytesIO()
    if start.rest is None and start.spooled is None:
        return None, io.BytesIO(start.held)
    inflow = Inflow(loop, start, broken_off)
    return inflow, io.BufferedReader(inflow, FIRST_BYTES)
