"""Our client of the upstream: an httpx.AsyncBaseTransport on asyncio, fast and strict, with llhttp for chunks.

It sends exactly the request it is given and returns exactly the response it gets, or raises an
httpx.TransportError that names the stage. It knows nothing of routes, decisions or header rules.
Limits: HTTP/1.1 only, no proxies, no upgrades (101 is an error); belongs to one event loop.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import httpx

from overgrow.forwarding.client.connection import UpstreamConnection
from overgrow.forwarding.client.dialling import Dialler, Resolve, dialler_of
from overgrow.forwarding.client.dialling import resolve as plain_resolve
from overgrow.forwarding.client.errors import ResponseCut
from overgrow.forwarding.client.httpx_messages import RawResponse
from overgrow.forwarding.client.login import ConnectionLogin
from overgrow.forwarding.client.pool import (
    DEFAULT_REQUEST,
    ConnectionLifetime,
    ConnectionPool,
    PoolSlot,
    QueueingTerms,
)
from overgrow.forwarding.client.request import NO_BODY, OutgoingRequest, build_outgoing_request
from overgrow.forwarding.client.request_body import send_body
from overgrow.forwarding.client.response_body import ResponseBody, WholeBody
from overgrow.forwarding.client.response_cycle import ResponseCycle
from overgrow.forwarding.client.response_parser import LENIENCIES, ResponseHead
from overgrow.forwarding.client.retry import may_retry
from overgrow.forwarding.client.timeouts import UpstreamTimeouts

__all__ = [
    "LENIENCIES",
    "NO_BODY",
    "LegacyTransport",
    "PoolSlot",
    "ResponseBody",
    "ResponseCut",
    "UpstreamTimeouts",
]


# Map 12 (docs/architecture.md#a-request-by-numbers)
class LegacyTransport(httpx.AsyncBaseTransport):
    """All connections to one upstream, `http://host[:port]`, `https://...` or `unix:/path`.

    Nothing starts before the first request; from then on the transport belongs to the event loop of that
    request. Per request: extensions "target" (bytes), "overgrow" (UpstreamTimeouts) or "timeout",
    "on_informational" (async callable), "login" (the ConnectionLogin of the client's connection, if it has
    one), "owner" (callable: the client's connection to which a new login belongs), "client" (the client's
    connection, which determines the place of the request in the queue).
    """

    def __init__(  # noqa: PLR0913  the settings of one upstream, named
        self,
        url: str,
        *,
        max_connections: int = 256,
        tls_ca: str | Path | ssl.SSLContext | None = None,
        tls_name: str | None = None,
        idle_limit_s: float = 30.0,
        max_age_s: float = 300.0,
        leniencies: frozenset[str] = frozenset(),
        resolve: Resolve = plain_resolve,
    ) -> None:
        unknown = sorted(leniencies - LENIENCIES.keys())
        if unknown:
            raise ValueError(f"unknown leniency {unknown[0]!r}; known are: {', '.join(LENIENCIES)}")
        if resolve is plain_resolve:  # tunnels know what was learned of the same addresses
            self._dialler = dialler_of(url, tls_ca, tls_name)
        else:
            self._dialler = Dialler(url, tls_ca, tls_name, resolve=resolve)
        self.upstream = (url, tls_ca, tls_name)  # by what logins know where they hold
        self._max_connections = max_connections
        self._kept_for = ConnectionLifetime(idle_limit_s, max_age_s)
        self._leniencies = frozenset(leniencies)
        self._pool: ConnectionPool | None = None
        self._is_closed = False
        self.on_scarce: Callable[[], None] | None = None  # called when few connections are free

    _build_outgoing_request = staticmethod(build_outgoing_request)

    @property
    def waiting_requests(self) -> int:
        """How many requests wait for one of `max_connections`."""
        return self._pool.waiting_requests if self._pool is not None else 0

    @property
    def are_connections_scarce(self) -> bool:
        """Whether few of `max_connections` are free."""
        return self._pool is not None and self._pool.are_connections_scarce

    def __repr__(self) -> str:
        return f"<LegacyTransport {self._dialler.address.geturl()} {self._pool or 'not used yet'}>"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, and return the response as soon as its head has come."""
        outgoing = self._build_outgoing_request(request)
        pool = self._pool or self._pool_of_this_loop()
        if outgoing.carries_login or "login" in request.extensions:
            return await self._send_on_login_connection(outgoing, request)
        connection = pool.pop_idle_connection()
        if connection is None:
            pool_request = (
                _queueing_terms_of(request) if pool.has_only_reserved_slots else DEFAULT_REQUEST
            )
            connection = (
                pool.pop_idle_connection(for_known_client=True) if pool_request.is_known else None
            )
            if connection is None:
                connection = await pool.acquire_connection(outgoing.limits, pool_request)
        was_reused = connection.is_reused
        exchange = _start_cycle(connection, outgoing)
        try:
            response_head = await exchange.response_head
            if response_head.status < 200:
                response_head = await _await_final_head(exchange, response_head, request)
        except BaseException as error:
            exchange.abandon()
            if not may_retry(exchange.describe_attempt(was_reused=was_reused), error):
                raise
        else:
            return _build_response(response_head, exchange.readable_body)
        return await self._resend_lost_request(pool, outgoing, request)

    @property
    def has_seen_shared_login(self) -> bool:
        """Whether a user has logged in over a client's connection that several users share."""
        return self._pool is not None and self._pool.has_seen_shared_login

    async def _send_on_login_connection(
        self, outgoing: OutgoingRequest, request: httpx.Request
    ) -> httpx.Response:
        """Send a request on the connection with the client's login.

        If the client has no login yet, use a new connection.
        """
        login: ConnectionLogin[UpstreamConnection] | None = request.extensions.get("login")
        if login is not None:
            return await _send_once(login.check_and_return_connection(), outgoing, request)
        connection = await self._pool_of_this_loop().acquire_new_connection(outgoing.limits)
        return await _send_once(connection, outgoing, request)

    async def reserve_slot(self, limits: UpstreamTimeouts) -> PoolSlot:
        """Reserve one of `max_connections` for a connection that the caller opens itself; the caller frees the slot.

        Raises:
            httpx.PoolTimeout: no slot became free in time.

        """
        return await self._pool_of_this_loop().reserve_slot(limits)

    async def _resend_lost_request(
        self, pool: ConnectionPool, outgoing: OutgoingRequest, request: httpx.Request
    ) -> httpx.Response:
        """Send once more a request that was lost because its reused connection closed (RFC 9112 9.3.1)."""
        connection = await pool.acquire_new_connection(outgoing.limits)
        try:
            return await _send_once(connection, outgoing, request)
        except httpx.TransportError as error:
            error.retried = True  # type: ignore[attr-defined]
            raise

    def _pool_of_this_loop(self) -> ConnectionPool:
        """Return the pool; the first use makes it."""
        pool = self._pool
        if pool is None:
            if self._is_closed:
                raise RuntimeError("this LegacyTransport has been closed")
            pool = self._pool = ConnectionPool(
                self._dialler.dial,
                max_connections=self._max_connections,
                kept_for=self._kept_for,
                leniencies=self._leniencies,
                upstream=self.upstream,
            )
            pool.on_scarce = self.on_scarce
        return pool

    async def aclose(self) -> None:
        """Close all connections, so that requests under way fail. The transport cannot be used again."""
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()


def _queueing_terms_of(request: httpx.Request) -> QueueingTerms:
    """Return what the pool needs to know about a request that may have to wait."""
    extensions = request.extensions
    client = extensions.get("client")
    target = extensions.get("target", b"").partition(b"?")[0]
    return QueueingTerms(target, client is None or client.has_taken_response)


async def _send_once(
    connection: UpstreamConnection, outgoing: OutgoingRequest, request: httpx.Request
) -> httpx.Response:
    """Send a request that is not repeated on another connection."""
    exchange = _start_cycle(connection, outgoing)
    try:
        response_head = await _await_final_head(exchange, await exchange.response_head, request)
    except BaseException:
        exchange.abandon()
        raise
    return _build_response(response_head, exchange.readable_body)


def _start_cycle(connection: UpstreamConnection, outgoing: OutgoingRequest) -> ResponseCycle:
    """Write the head of a request; if there is a body to stream, start a task that sends it."""
    exchange = connection.start_exchange(outgoing)
    if outgoing.stream is not None:
        exchange.sender = connection.loop.create_task(send_body(exchange, connection))
    return exchange


async def _await_final_head(
    exchange: ResponseCycle, response_head: ResponseHead, request: httpx.Request
) -> ResponseHead:
    """Return the head of the final response. Interim responses go to whoever asked for them."""
    while response_head.status < 200:
        await request.extensions["on_informational"](response_head.status, response_head.headers)
        response_head = await exchange.next_head()
    return response_head


def _build_response(response_head: ResponseHead, body: ResponseBody | WholeBody) -> httpx.Response:
    """Return the response as an httpx.Response."""
    status, reason, version, headers, *_ = response_head
    extensions = {"http_version": version, "reason_phrase": reason, "trailers": body.trailers}
    return RawResponse(status, headers, body, extensions)
