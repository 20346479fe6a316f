"""A bounded pool of threads for WSGI calls, owned by one event loop.

Rule: the event loop starts and ends threads and decides about every call. A thread only takes calls, and
reports when each call has returned. slow_clients/fair_queue.py decides the order of waiting calls. One lock
protects the counts that threads and loop share. Threads are not daemons: they end by themselves when the loop
is closed or the program ends.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextvars import Context
from functools import partial
from queue import Empty, SimpleQueue

from overgrow.connection_login import ClientConnection
from overgrow.exchange import ClientGone, Failure, Reply, Spool, failure_reply
from overgrow.routing.model import Timeouts
from overgrow.slow_clients.fair_queue import FairQueue
from overgrow.slow_clients.slowest import end_slowest
from overgrow.wsgi.large_responses import LargeResponseLimiter
from overgrow.wsgi.loop_calls import call_on_loop, release_waiter
from overgrow.wsgi.request_body import WsgiInput
from overgrow.wsgi.response import WsgiResponse
from overgrow.wsgi.streaming_slots import StreamingSlot, StreamingSlots
from overgrow.wsgi.unsent_memory import UnsentMemory

IDLE_CHECK_S = 0.5  # how often an idle thread looks whether its loop still lives
IDLE_S = 30.0  # threads that a period of this length did not need are ended
RETRY_AFTER_S = 1
RESERVED_SHARE = (
    16  # one call for so many may wait besides, of clients that have taken a response before
)
SLOW_CHECK_S = 0.5  # how often it is looked, while calls wait, who may be made to give way


class WsgiCall:
    """One request on its way through the pool. Only `run_app` runs in a thread; the rest happens on the event loop."""

    __slots__ = (
        "_began_at_s",
        "_body",
        "_context",
        "_input",
        "_is_closed",
        "_loop",
        "_pool",
        "_pump",
        "_reply",
        "_response",
        "_slot",
        "_timeouts",
        "_timer",
        "_work",
        "client",
        "expected_bytes",
        "is_known",
        "is_stuck",
        "returned",
        "route",
        "started",
        "target",
        "withdrawn",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - one noun and what is known of it
        self,
        pool: ThreadPool,
        label: str,
        route: str,
        timeouts: Timeouts,
        feed: WsgiInput | None = None,
        slot: StreamingSlot | None = None,
        client: ClientConnection | None = None,
    ) -> None:
        self._loop = loop = pool.loop
        self._pool = pool
        self.route = route
        self.expected_bytes = 0  # of a response in one piece, while it is being made
        self._timeouts = timeouts
        self._input = feed
        self.client = client
        self.target = label.encode("latin-1")
        self.is_known = client is None or client.has_taken_response
        self._slot = slot  # among the calls whose body is still arriving
        self._body: AsyncIterator[bytes] | None = None
        self._is_closed = False
        self._pump: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._response = WsgiResponse(label, loop, timeouts, pool.unsent_memory, self._deliver)
        self._reply: asyncio.Future[Reply] | None = loop.create_future()
        self._context: Context | None = None
        self._work: Callable[[WsgiResponse], None] | None = None
        self.started = self.returned = self.is_stuck = self.withdrawn = (
            False  # under the pool's lock
        )

    def submit(
        self,
        context: Context,
        work: Callable[[WsgiResponse], None],
        body: AsyncIterator[bytes] | None,
        *,
        reads_at_once: bool = True,
    ) -> bool:
        """Queue the call. If the queue is full, return False.

        `body` yields the part that is still to come from the client. If `reads_at_once` is False, this part is
        read only when the app first asks for it.
        """
        self._context, self._work = context, work
        self._began_at_s = self._loop.time()
        if not self._pool.admit(self):
            return False
        self._timer = self._loop.call_later(self._timeouts.response_s, self._expire)
        if self._input is not None and body is not None:
            self._body = body
            if reads_at_once:
                self._start_reading()
            else:
                self._input.on_first_read = partial(call_on_loop, self._loop, self._start_reading)
        return True

    def _start_reading(self) -> None:
        if self._input is not None and self._body is not None and not self.returned:
            self._pump = self._loop.create_task(self._pump_body(self._input, self._body))

    async def wait_for_reply(self) -> Reply:
        """Wait for the call's reply, once. If the caller is cancelled, the call is abandoned."""
        reply = self._reply
        assert reply is not None  # noqa: S101 - asked once
        try:
            return await reply
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            self._reply = None  # a reply leads back to its call, by its `close`

    def run_app(self) -> None:
        """Run the app in the thread that took the call, in the context of its request."""
        assert self._context is not None and self._work is not None  # noqa: S101, PT018 - begun
        self._context.run(self._work, self._response)

    @property
    def whole_bytes(self) -> int:
        """The size of a response that came in one large piece; else 0."""
        return self._response.whole_bytes

    def refuse_from_thread(self) -> None:
        """Answer 503 because there is no room for this call. This is called in a thread."""
        call_on_loop(self._loop, self._refuse)

    def _refuse(self) -> None:
        if self._pool.withdraw(self):
            self._set_reply(busy_reply())
            self.release_request()
            self.release_slot()

    def release_slot(self) -> None:
        """Release the slot among the calls whose body is still arriving."""
        if self._slot is not None:
            self._slot.release()

    def release_request(self) -> None:
        """Drop all references to the request, because the call is over or will never run."""
        self._context = self._work = self._body = self.client = None
        self._response.detach()
        if self._input is not None:
            self._input.release_spool()

    def abandon(self, failure: Failure | None = None) -> None:
        """Give the call up, because nobody waits for it.

        If the call has not started, it never starts. If it is running, it stops when it next sends or reads.
        """
        self.client = None
        if not self._pool.withdraw(self):
            self._response.abandon(failure)
        else:
            self.release_request()
            self.release_slot()
            if self._timer is not None:
                self._timer.cancel()
        if self._input is not None:
            self._input.break_off()

    async def close(self) -> None:
        """End a streamed response. If the thread does not notice in time, it counts as stuck."""
        self.abandon()
        if not self.returned:
            self._is_closed = True
            self._timer = self._loop.call_later(self._timeouts.response_s, self._expire)

    def stop_body_feed(self) -> None:
        """Stop reading the request body, because the app has returned. This is called in the thread."""
        if self._input is not None or self._is_closed:
            call_on_loop(self._loop, self._stop_body_feed)

    def _stop_body_feed(self) -> None:
        self.release_slot()
        if self._pump is not None:
            self._pump.cancel()
        if self._is_closed and self._timer is not None:
            self._timer.cancel()

    def _deliver(self, reply: Reply) -> None:
        if reply.body.__class__ is not bytes:
            reply.close = self.close
        call_on_loop(self._loop, self._set_reply, reply)

    def _set_reply(self, reply: Reply) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def _expire(self) -> None:
        """Answer 504 for a call that exceeds its response timeout. If the call waits for the client, do not."""
        deadline_s = self._deadline_s()
        if deadline_s > self._loop.time():
            self._timer = self._loop.call_at(deadline_s, self._expire)
        elif self._pool.withdraw(self):
            self._set_reply(busy_reply())
            self.abandon()
        elif self._pool.mark_stuck(self):
            detail = f"no answer for {self._timeouts.response_s:g} s"
            self._set_reply(failure_reply(Failure("migrated-timeout", "head", "migrated", detail)))
            self.abandon()

    def _deadline_s(self) -> float:
        """Return when the response timeout ends, counted from the last byte of the request."""
        since_s = self._began_at_s
        if self._input is not None:
            waits = self._input.waits_for_client
            since_s = self._loop.time() if waits else max(since_s, self._input.last_byte_at_s)
        return since_s + self._timeouts.response_s

    async def _pump_body(self, feed: WsgiInput, body: AsyncIterator[bytes]) -> None:
        try:
            await feed.pump(body, self._timeouts.idle_s)
        except (ClientGone, TimeoutError) as error:
            failure = upload_failure(error)
            self._set_reply(failure_reply(failure))
            self.abandon(failure)
        finally:
            self.release_slot()


class ThreadPool:
    """At most `threads` threads, and at most `queue` calls that wait for a thread."""

    def __init__(
        self,
        *,
        threads: int,
        queue: int,
        clock: Callable[[], float],
        name: str,
        spool: Spool | None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.unsent_memory = UnsentMemory(self._has_waiting_calls, spool)
        self.unsent_memory.on_room = self._requeue_parked_call
        self.streaming_slots = StreamingSlots(max(1, threads // 2), self.schedule_slow_client_check)
        self._large = LargeResponseLimiter(self.unsent_memory)
        self._is_check_scheduled = False
        self._running: set[WsgiCall] = set()
        self._parked: deque[WsgiCall] = deque()  # until there is memory for their responses
        self._threads_max = threads
        self._queue_max = queue
        self._calls_max = threads + queue  # beside those that are parked
        self._reserved = self._calls_max // RESERVED_SHARE  # beyond that
        self._clock = clock
        self._name = name
        self._waiting: FairQueue[WsgiCall] = FairQueue()  # under the lock
        self._signals: SimpleQueue[bool] = (
            SimpleQueue()
        )  # for one thread each: a call waits, or end
        self._lock = threading.Lock()
        self._calls = 0  # admitted and not yet returned
        self._peak = 0  # the most calls at once since the last reaping
        self._threads = 0
        self._started = 0  # for names
        self._drained: asyncio.Future[None] | None = None
        self.stuck_threads = 0
        self.mostly_stuck_since: float | None = None

    @property
    def active_calls(self) -> int:
        """How many calls are queued or running."""
        return self._calls

    @property
    def waiting_calls(self) -> int:
        """How many calls wait for a thread."""
        return max(0, self._calls - self._threads_max)

    def is_full_for(self, client: ClientConnection | None) -> bool:
        """Whether the queue is full for a call of this client.

        A few places are reserved for clients that have taken a response before.
        """
        over = self._calls - len(self._parked) - self._calls_max
        if over < 0:
            return False
        return over >= self._reserved or client is None or not client.has_taken_response

    def _has_waiting_calls(self) -> bool:
        """Whether calls wait for a thread."""
        return self._calls > self._threads_max

    def admit(self, call: WsgiCall) -> bool:
        """Queue a call, and start a thread for it if needed. If there is no room, return False."""
        with self._lock:
            if self.is_full_for(call.client):
                return False
            self._calls = calls = self._calls + 1
            self._waiting.add(call, call.target, is_known=call.is_known)
        self._peak = max(self._peak, calls)
        if self._threads < min(calls, self._threads_max):
            self._start_thread()
        self._signals.put(True)
        if calls > self._threads_max:
            self.unsent_memory.wake_all()
            self.schedule_slow_client_check()
        return True

    def schedule_slow_client_check(self) -> None:
        """Schedule a check that ends the requests of slow clients. It is repeated while calls wait for a thread."""
        if not self._is_check_scheduled:
            self._is_check_scheduled = True
            self.loop.call_later(SLOW_CHECK_S, self._end_slow_clients)

    def _end_slow_clients(self) -> None:
        self._is_check_scheduled = False
        waiting = self.streaming_slots.waiting + self.waiting_calls
        if waiting:
            end_slowest([call.client for call in tuple(self._running)], waiting)
            self.schedule_slow_client_check()

    def withdraw(self, call: WsgiCall) -> bool:
        """Take back a call that no thread has taken yet. If it is too late, return False."""
        with self._lock:
            if call.started or call.withdrawn:
                return call.withdrawn
            call.withdrawn = True
            self._calls -= 1
            if call in self._parked:
                self._parked.remove(call)
        return True

    def mark_stuck(self, call: WsgiCall) -> bool:
        """Count the call's thread as stuck. If the call has returned, return False."""
        with self._lock:
            if not call.returned:
                call.is_stuck = True
                self._count_stuck(+1)
        return call.is_stuck

    async def wait_until_drained(self, grace_s: float) -> None:
        """Wait at most `grace_s` until all calls have ended; then end the threads."""
        with self._lock:
            self._drained = self.loop.create_future()
            busy_now = self._calls > 0
        if busy_now:
            await asyncio.wait([self._drained], timeout=grace_s)
        self._end_threads(self._threads)

    def _start_thread(self) -> None:
        if not self._threads:
            self.loop.call_later(IDLE_S, self._end_unneeded_threads)
        self._threads += 1
        self._started += 1
        threading.Thread(target=self._run_thread, name=f"{self._name}-{self._started}").start()

    def _end_threads(self, count: int) -> None:
        self._threads -= count
        for _ in range(count):
            self._signals.put(False)

    def _end_unneeded_threads(self) -> None:
        """End the threads that had no work in the last period."""
        self._end_threads(max(0, self._threads - self._peak))
        self._peak = self._calls
        if self._threads:
            self.loop.call_later(IDLE_S, self._end_unneeded_threads)

    def _run_thread(self) -> None:
        """Run call after call, until told to end, or until the loop or the program has ended."""
        while True:
            try:
                goes_on = self._signals.get(timeout=IDLE_CHECK_S)
            except Empty:
                if self.loop.is_closed() or not threading.main_thread().is_alive():
                    return
                continue
            if not goes_on:
                return
            with self._lock:
                call = self._waiting.pop()
            if call is not None and self._count_or_park(call) and self._start_call(call):
                call.run_app()
                call.release_request()
                self._finish_call(call)
            del call  # an idle thread holds no request

    def _count_or_park(self, call: WsgiCall) -> bool:
        """Reserve memory for the response of a call. If too little is left, park the call (set it aside) and return False."""
        expected = self._large.begin(call.route)
        if expected is not None:
            call.expected_bytes = expected
            return True
        with self._lock:
            has_room = len(self._parked) < self._queue_max
            if has_room and not call.withdrawn:
                self._parked.append(call)
        if not has_room:
            call.refuse_from_thread()
        return False

    def _requeue_parked_call(self) -> None:
        """Queue the first parked call again, because memory has become free."""
        if self._parked:
            with self._lock:
                call = self._parked.popleft() if self._parked else None
                if call is not None:
                    self._waiting.add(call, call.target, is_known=call.is_known)
            if call is not None:
                self._signals.put(True)

    def _start_call(self, call: WsgiCall) -> bool:
        with self._lock:
            call.started = not call.withdrawn
            if call.started:
                self._running.add(call)
        if not call.started:
            self._large.finish(call.route, call.expected_bytes, 0)
        return call.started

    def _finish_call(self, call: WsgiCall) -> None:
        self._large.finish(call.route, call.expected_bytes, call.whole_bytes)
        self._requeue_parked_call()
        with self._lock:
            self._calls -= 1
            self._running.discard(call)
            call.returned = True
            if call.is_stuck:
                self._count_stuck(-1)
            drained = self._drained if not self._calls else None
        call.stop_body_feed()
        if drained is not None:
            call_on_loop(self.loop, release_waiter, drained)

    def _count_stuck(self, change: int) -> None:
        self.stuck_threads += change
        if self.stuck_threads * 2 <= self._threads_max:
            self.mostly_stuck_since = None
        elif self.mostly_stuck_since is None:
            self.mostly_stuck_since = self._clock()


def busy_reply() -> Reply:
    """Return the reply for a call that got no thread. The app was not called, so that a retry is safe."""
    return failure_reply(Failure("local-busy", "queue", "migrated", retry_after_s=RETRY_AFTER_S))


def upload_failure(error: Exception) -> Failure:
    """Return the failure of a request whose body did not arrive completely."""
    code = "client-timeout" if isinstance(error, TimeoutError) else "bad-request"
    return Failure(code, "read", "client", str(error) or "the body broke off")
