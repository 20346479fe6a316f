"""LocalApp: the migrated side, a Server over a WSGI app in threads.

Rule: an event loop never waits for the app and the app never waits for a client longer than it
must. A thread is taken only when the first 64 KiB of the body, or all of it, is here; the answer
runs at most 256 KiB ahead. It must not know routes.yaml, HTTP on the wire or who calls it.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextvars import copy_context
from functools import partial
from typing import IO, Any, NamedTuple

from proxy.exchange import ClientGone, Failure, Inbound, Reply, Spool, failure_reply
from proxy.local_answer import Answer
from proxy.local_environ import environ_of
from proxy.local_faults import Faults
from proxy.local_input import Inflow
from proxy.local_pool import RETRY_AFTER_S, Call, Pool, broken_upload, busy
from proxy.local_unsent import Unsent
from proxy.routing.model import Decision, Timeouts

FIRST_BYTES = 64 * 1024

WsgiApp = Callable[..., Iterable[bytes]]


class _Start(NamedTuple):
    """What of a body is here before a thread is taken; `rest` is None when that is all."""

    chunks: list[bytes]
    rest: AsyncIterator[bytes] | None


class LocalApp:
    """A WSGI app as a Server: its calls run in a bounded pool of threads.

    The pool is made at the first call and belongs to the event loop of that call; a call on
    another loop gets a fresh one. A call that is past its response timeout is answered 504
    `migrated-timeout` and keeps its thread until it returns: Python cannot stop it. `stuck` counts
    such threads, `mostly_stuck_since` (of `clock`) tells since when they are more than half.
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
    ) -> None:
        self._app = wsgi_app
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
        if pool.is_full:
            return busy()
        timeouts = decision.route.timeouts if decision.route else Timeouts()
        try:
            start = await _start_of(inbound, timeouts.idle_s)
        except (ClientGone, TimeoutError) as error:
            return failure_reply(broken_upload(error))
        return await self._called(pool, inbound, start, decision.route_name, timeouts)

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

    async def _called(
        self, pool: Pool, inbound: Inbound, start: _Start, route: str, timeouts: Timeouts
    ) -> Reply:
        head = inbound.head
        what = f"{head.method} {head.target.partition(b'?')[0].decode('latin-1')}"
        inflow = Inflow(pool.loop, start.chunks) if start.rest is not None else None
        wsgi_input: IO[bytes] | Any = (
            io.BytesIO(b"".join(start.chunks))
            if inflow is None
            else io.BufferedReader(inflow, FIRST_BYTES)
        )

        environ = partial(
            environ_of,
            head,
            wsgi_input,
            multiprocess=self._multiprocess,
            commit=inbound.commit,
        )

        def work(answer: Answer) -> None:
            answer.call(self._app, environ, self._faults)

        call = Call(pool, what, route, timeouts, inflow)
        if not call.begin(copy_context(), work, start.rest):
            return busy()
        return await call.reply()


async def _start_of(inbound: Inbound, idle_s: float) -> _Start:
    """Wait for the first 64 KiB of the body, or for its end.

    Raises:
        ClientGone: the client broke off.
        TimeoutError: no byte came for `idle_s`.

    """
    if inbound.body is None:
        return _Start([], None)
    body, size = aiter(inbound.body), 0
    chunks: list[bytes] = []
    while size < FIRST_BYTES:
        async with asyncio.timeout(idle_s):
            chunk = await anext(body, None)
        if chunk is None:
            return _Start(chunks, None)
        inbound.started = True
        chunks.append(chunk)
        size += len(chunk)
    return _Start(chunks, body)
