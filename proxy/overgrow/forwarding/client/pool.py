"""A bounded number of connections to one upstream; the idle connection that was used most recently is used next.

Rule: a slot is taken before dialling. The slot is freed as soon as its connection can serve no further request,
also after a cancellation. A free slot goes directly to a waiter, in the order of
proxy/overgrow/slow_clients/fair_queue.py. The last free slots, a sixteenth of all, are reserved for clients
that have received a response before. One timer checks all deadlines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import httpx

from overgrow.forwarding.client.connection import NEVER, UpstreamConnection
from overgrow.forwarding.client.errors import ResponseCut, transport_error
from overgrow.forwarding.client.timeouts import UpstreamTimeouts
from overgrow.slow_clients.fair_queue import FairQueue
from overgrow.slow_clients.read_scheduler import ReadScheduler

# A deadline is acted on this late at most; the timer runs no more often.
_TIMER_STEP_S = 0.01

# Closing takes one iteration of the loop; nobody waits longer than this for a socket to close.
_CLOSING_S = 1.0

# Connects a connection, within this many seconds if it knows how to hurry.
Dial = Callable[[UpstreamConnection, float | None], Awaitable[object]]

LOG = logging.getLogger("overgrow.forwarding")
REUSE_SUSPENDED_S = 60
KNOWN_CLIENTS_SHARE = (
    16  # one of so many slots is reserved for clients that have received a response before
)
OTHER_LOOP = "this LegacyTransport belongs to another event loop; make one per loop"


class ConnectionLifetime(NamedTuple):
    """How long a connection may be idle between two requests, and how old it may become."""

    idle_s: float
    whole_s: float


class QueueingTerms(NamedTuple):
    """A request for a connection: its target, and whether its client has received a response before."""

    target: bytes = b""
    is_known: bool = True


DEFAULT_REQUEST = QueueingTerms()


class PoolSlot:
    """A counted slot for a connection that the pool does not own. Freeing it a second time does nothing."""

    __slots__ = ("_free",)

    def __init__(self, free: Callable[[], None]) -> None:
        self._free: Callable[[], None] | None = free

    def free(self) -> None:
        """Free the slot."""
        free, self._free = self._free, None
        if free is not None:
            free()


class ConnectionPool:
    """Connections of one event loop to one upstream."""

    def __init__(
        self,
        dial: Dial,
        *,
        max_connections: int,
        kept_for: ConnectionLifetime,
        leniencies: frozenset[str],
        upstream: object = None,
    ) -> None:
        self.upstream = upstream  # what its connections lead to, for comparison
        self.loop = asyncio.get_running_loop()
        self.read_scheduler = ReadScheduler(self.loop)
        self.has_seen_shared_login = False
        self.has_announced_login = False
        self._presumed: set[UpstreamConnection] = set()  # logins that clients alone speak of
        self.counted = 0
        self._is_closed = False
        self._dial = dial
        self._max_connections = max_connections
        self._open_to_all = max_connections - max_connections // KNOWN_CLIENTS_SHARE
        self._idle_s, self._age_s = kept_for
        self._opened_count = 0
        self._leniencies = leniencies
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._waiting: FairQueue[asyncio.Future[UpstreamConnection | None]] = FairQueue()
        self.on_scarce: Callable[[], None] | None = None  # called when few are free
        self._timer: asyncio.TimerHandle | None = None
        self.wake_at = NEVER
        self._no_reuse_until = 0.0
        self._all_lost: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<ConnectionPool {self.counted}/{self._max_connections} counted, {len(self._idle)} idle, {len(self._open)} open, {len(self._waiting)} waiting>"

    @property
    def waiting_requests(self) -> int:
        """How many requests wait for a connection."""
        return len(self._waiting)

    @property
    def has_only_reserved_slots(self) -> bool:
        """Whether all free slots are reserved for clients that have received a response before."""
        return self.counted - len(self._idle) >= self._open_to_all

    @property
    def are_connections_scarce(self) -> bool:
        """Whether fewer than an eighth of the connections are free."""
        maximum = self._max_connections
        return self.counted - len(self._idle) > maximum - maximum // 8 or bool(self._waiting)

    def _call_on_scarce_if_scarce(self) -> None:
        if self.on_scarce is not None and self.are_connections_scarce:
            self.on_scarce()

    # Taking.

    def pop_idle_connection(self, *, for_known_client: bool = False) -> UpstreamConnection | None:
        """Return the connection that was idle for the shortest time; None if no connection is idle.

        If the pool is almost full, the last connections are reserved for clients that have received a response
        before, and a request of any other client gets None. A system call checks the connection's socket first.
        Without this check, bytes that came after the last response could be mistaken for the next response,
        even that of another client.

        Raises:
            RuntimeError: the event loop of these connections has stopped.

        """
        # What has_only_reserved_slots says, without a call for every request.
        if self.counted - len(self._idle) >= self._open_to_all and not for_known_client:
            return None
        if not self.loop.is_running():
            raise RuntimeError(OTHER_LOOP)
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open_without_unexpected_bytes():
                return connection
            connection.close()
        return None

    async def acquire_connection(
        self, limits: UpstreamTimeouts, request: QueueingTerms = DEFAULT_REQUEST
    ) -> UpstreamConnection:
        """Return a new connection. If the pool is full, wait for a connection that becomes free and return it.

        Raises:
            RuntimeError: in another event loop. Only new connections check this, because asking
                asyncio for the running loop costs a system call on Python 3.11.

        """
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError(OTHER_LOOP)
        while True:
            connection = await self._acquire_slot_or_connection(limits, request)
            if connection is None:
                return await self._connect_in_acquired_slot(limits)
            if not connection.is_closing:
                return connection

    async def acquire_new_connection(self, limits: UpstreamTimeouts) -> UpstreamConnection:
        """Return a new connection. If the pool is full, close an idle connection to make room."""
        await self._acquire_slot(limits)
        return await self._connect_in_acquired_slot(limits)

    async def reserve_slot(self, limits: UpstreamTimeouts) -> PoolSlot:
        """Count a connection that the caller opens itself.

        If the pool is full, close an idle connection to make room.
        """
        await self._acquire_slot(limits)
        return PoolSlot(self._release_slot)

    async def _acquire_slot(self, limits: UpstreamTimeouts) -> None:
        if self.counted >= self._max_connections and self._idle:
            self._idle[0].close()
        while (
            connection := await self._acquire_slot_or_connection(limits, DEFAULT_REQUEST)
        ) is not None:
            if connection.counted:
                connection.counted = False  # its slot is ours now
                connection.close()
                break

    async def _acquire_slot_or_connection(
        self, limits: UpstreamTimeouts, request: QueueingTerms
    ) -> UpstreamConnection | None:
        """Wait for a connection or a slot. Return the connection; return None for a slot, which is counted already."""
        may_go_on = request.is_known or not self.has_only_reserved_slots
        if self.counted < self._max_connections and may_go_on:
            self.counted += 1
            self._call_on_scarce_if_scarce()
            return None
        waiter: asyncio.Future[UpstreamConnection | None] = self.loop.create_future()
        self._waiting.add(waiter, request.target, is_known=request.is_known)
        self._call_on_scarce_if_scarce()
        try:
            async with asyncio.timeout(limits.queue_s):
                return await waiter
        except TimeoutError:
            self._pass_slot_on(waiter, request)
            text = f"All {self._max_connections} connections to the upstream were busy for {limits.queue_s} s."
            raise transport_error(httpx.PoolTimeout, "queue", text) from None
        except BaseException:
            self._pass_slot_on(waiter, request)
            raise

    def _pass_slot_on(
        self, waiter: asyncio.Future[UpstreamConnection | None], request: QueueingTerms
    ) -> None:
        """Pass a slot or connection on to the next waiter, because the waiter that got it was cancelled."""
        if not waiter.done() or waiter.cancelled():
            waiter.cancel()
            self._waiting.remove(waiter, request.target, is_known=request.is_known)
        elif waiter.exception() is None:
            connection = waiter.result()
            if connection is None:
                self._release_slot()
            elif not connection.is_closing:
                self.release(connection)

    async def _connect_in_acquired_slot(self, limits: UpstreamTimeouts) -> UpstreamConnection:
        """Dial in a slot that is already counted."""
        connection = UpstreamConnection(self.loop, self, self._leniencies)
        try:
            async with asyncio.timeout(limits.connect_s):
                await self._dial(connection, limits.connect_s)
        except BaseException as error:
            connection.close()
            # uvloop does not call connection_lost for a connection whose dialling was cancelled.
            self._open.discard(connection)
            if isinstance(error, TimeoutError):
                text = f"No connection to the upstream within {limits.connect_s} s."
                raise transport_error(httpx.ConnectTimeout, "connect", text) from error
            if isinstance(error, (OSError, UnicodeError)):  # UnicodeError: not a possible host name
                raise transport_error(httpx.ConnectError, "connect", f"{error}") from error
            raise
        if self._is_closed:
            connection.close()
            raise transport_error(httpx.ConnectError, "connect", "The transport was closed.")
        if connection.is_closing:
            text = "The upstream ended the connection before a request could be sent on it."
            raise transport_error(ResponseCut, "send", text)
        return connection

    # Owner, as connections see it.

    def release(self, connection: UpstreamConnection) -> None:
        """Give a free connection to the longest waiter.

        If nobody waits, keep the connection while it is young enough.
        """
        now = self.loop.time()
        if now < self._no_reuse_until or now >= connection.use_by or not connection.counted:
            connection.close()
            return
        if self._waiting.count and (waiter := self._pop_next_waiter()) is not None:
            waiter.set_result(connection)
            return
        self._idle.append(connection)
        connection.deadline = deadline = min(now + self._idle_s, connection.use_by)
        if deadline < self.wake_at:
            self.set_timer_no_later_than(deadline)

    def remove_connection(self, connection: UpstreamConnection) -> None:
        """Free the slot of a connection that serves no request any more."""
        if connection in self._idle:
            self._idle.remove(connection)
        self.stop_counting(connection)

    def stop_counting(self, connection: UpstreamConnection) -> None:
        """Free the slot of a connection, if it has one."""
        if connection.counted:
            connection.counted = False
            self._release_slot()

    def _pop_next_waiter(self) -> asyncio.Future[UpstreamConnection | None] | None:
        """Return the next waiter; None if nobody waits.

        The waiter takes over the caller's slot, which stays counted.
        """
        if not self._waiting:
            return None
        only_known = self.counted - len(self._idle) > self._open_to_all
        while (waiter := self._waiting.pop(only_known=only_known)) is not None:
            if not waiter.done():
                return waiter
        return None

    def _release_slot(self) -> None:
        """Give a free slot to a waiter. If nobody waits, stop counting the slot."""
        waiter = self._pop_next_waiter()
        if waiter is not None:
            waiter.set_result(None)
            return
        self.counted -= 1

    def on_socket_open(self, connection: UpstreamConnection) -> None:
        """Note that a socket is open, and decide until when it may be used.

        Each connection may be used for 90 to 100% of the maximum age, so that connections that were opened
        together do not end together.
        """
        self._open.add(connection)
        self._opened_count += 1
        age_s = self._age_s * (1 - self._opened_count % 16 / 160)
        connection.use_by = self.loop.time() + age_s

    def on_socket_closed(self, connection: UpstreamConnection) -> None:
        """Take note that a socket is closed."""
        self._open.discard(connection)
        self._presumed.discard(connection)
        if self._all_lost is not None and not self._open and not self._all_lost.done():
            self._all_lost.set_result(None)

    # Time.

    def suspend_reuse(self) -> None:
        """Do not reuse connections for a while, because this upstream sends bytes after its responses."""
        if self.loop.time() >= self._no_reuse_until:
            LOG.warning(
                "the legacy app sent bytes after a complete response; its connections are not "
                "reused for %d s, so that they reach nobody else",
                REUSE_SUSPENDED_S,
            )
        self._no_reuse_until = max(self._no_reuse_until, self.loop.time() + REUSE_SUSPENDED_S)

    def try_admit_login(self, connection: UpstreamConnection) -> bool:
        """If a connection with a login may stay open for its client, count it separately and return True.

        Else return False. Any client can claim to have a login. Until the upstream itself announces a login, at
        most `max_connections` connections stay open for such claims, in addition to the ordinary connections.
        """
        if not self.has_announced_login:
            if len(self._presumed) >= self._max_connections:
                return False
            self._presumed.add(connection)
        return True

    def set_timer_no_later_than(self, deadline: float) -> None:
        """Make the timer run at this time or earlier."""
        if deadline < self.wake_at:
            if self._timer is not None:
                self._timer.cancel()
            self.wake_at = deadline
            self._timer = self.loop.call_at(deadline, self._check_deadlines)

    def _check_deadlines(self) -> None:
        """Act on the deadlines that have passed and set the timer to the next."""
        self._timer, self.wake_at = None, NEVER
        now = self.loop.time()
        for connection in [c for c in self._open if c.deadline <= now]:
            connection.on_deadline()
        following = min((c.deadline for c in self._open), default=NEVER)
        if following != NEVER:
            self.set_timer_no_later_than(max(following, now + _TIMER_STEP_S))

    async def aclose(self) -> None:
        """Close every connection and fail every waiter."""
        self._is_closed, self._no_reuse_until = True, NEVER
        if self._timer is not None:
            self._timer.cancel()
        while (waiter := self._waiting.pop()) is not None:
            if not waiter.done():
                error = transport_error(httpx.PoolTimeout, "queue", "The transport was closed.")
                waiter.set_exception(error)
        for connection in list(self._open):
            exchange = connection.exchange
            if exchange is not None:
                exchange.fail(
                    transport_error(httpx.ReadError, exchange.stage, "The transport was closed.")
                )
            connection.close()
        if self._open:
            self._all_lost = self.loop.create_future()
            await asyncio.wait([self._all_lost], timeout=_CLOSING_S)
