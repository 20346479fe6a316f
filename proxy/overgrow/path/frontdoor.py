"""The path of one request: read, decide, serve, relay, record.

Band 2: it imports only the values of a request (exchange, routing). Servers, sinks and the live table come in
by argument. Every request runs through `FrontDoor.__call__`. This method has no `except`, one `async with` owns
the reply, and it stays under 20 lines. Features leave it unchanged: a feature is a fact, a Server that wraps a
Server, a Sink, or an outside reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from overgrow.app_types import Receive, Scope, Send
from overgrow.caches.header_memo import HeaderMemo
from overgrow.exchange import Exchange, NativeScope, Server, Sink
from overgrow.http import OWN_COOKIES
from overgrow.path.client_id_cookie import id_cookie, may_caches_share_response
from overgrow.path.in_flight import InFlightRequest
from overgrow.path.plain_scope import PlainScope
from overgrow.routing.decide import decide
from overgrow.routing.facts import Facts, Head, Headers, head_of
from overgrow.routing.match import Matcher
from overgrow.routing.model import Decision, Timeouts, TrustedProxies


class TableSource(Protocol):
    """The source of the table in force. The front door reads `matcher` once for each request."""

    @property
    def matcher(self) -> Matcher:
        """The matcher of the table in force."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """The objects and functions that the front door works with.

    `facts` is called once for each request. It returns facts for `decide` that do not come from the request.
    """

    servers: Mapping[str, Server]
    facts: Callable[[], Facts]
    clock: Callable[[], float]  # unix time in seconds
    stopwatch: Callable[[], float]  # seconds that never go back
    new_id: Callable[[], str]
    sinks: Sequence[Sink] = ()  # the caller's own list: filled when a worker opens, after the fork
    expose: bool = False  # X-Overgrow on every response


class FrontDoor:
    """An ASGI callable for `http` scopes that sends each request to the side its route names."""

    own_cookies = OWN_COOKIES

    def __init__(self, tables: TableSource, collaborators: Collaborators) -> None:
        self._tables = tables
        self._servers = collaborators.servers
        self._sinks = collaborators.sinks
        self._facts = collaborators.facts
        self.clock = collaborators.clock
        self.stopwatch = collaborators.stopwatch
        self._new_id = collaborators.new_id
        self._expose = collaborators.expose

    # Map 4 (docs/architecture.md#a-request-by-numbers)
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request through the five stations: read, decide, serve, relay, record."""
        table = self._tables.matcher.table
        native: NativeScope = scope.get("overgrow") or PlainScope(scope)
        head = read_head(scope, native, table.trusted_proxies)
        decision = native.decision or self.decide(head)
        timeouts = decision.route.timeouts if decision.route else table.legacy.timeouts
        request = InFlightRequest(self, native, receive, send, head, decision, timeouts)
        async with request:
            server = self._servers[decision.side]
            request.reply = reply = await server.serve(request.inbound, decision)
            decided = reply.decision or decision
            reply.headers = self.add_own_headers(decided, head, reply.headers, reply.status)
            await request.relay_response()

    def decide(self, head: Head) -> Decision:
        """Decide with the table in force. The WSGI mount calls this method too."""
        return decide(self._tables.matcher, head, self._facts())

    def add_own_headers(
        self, decision: Decision, head: Head, headers: Headers, status: int = 200
    ) -> list[tuple[bytes, bytes]]:
        """Return a response's headers with the front door's own added: X-Overgrow, and a cookie with the client id."""
        if not (decision.assign_id or self._expose or decision.reason == "override"):
            return headers if isinstance(headers, list) else list(headers)
        added = list(headers)
        if decision.assign_id and not may_caches_share_response(status, headers, self.clock()):
            added.append((b"set-cookie", id_cookie(self._new_id(), head.scheme)))
        if self._expose or decision.reason == "override":
            added.append((b"x-overgrow", overgrow_header(decision)))
        return added

    # Map 16 (docs/architecture.md#a-request-by-numbers)
    def record(self, exchange: Exchange) -> None:
        """Give a finished exchange to every sink."""
        for sink in self._sinks:
            sink.record(exchange)


# Map 5 (docs/architecture.md#a-request-by-numbers)
def read_head(scope: Scope, native: NativeScope, trusted: TrustedProxies) -> Head:
    """Station 1: return the head of an ASGI scope. `native` has the request's target byte for byte."""
    headers = scope["headers"]
    return head_of(
        scope["method"],
        native.target,
        headers,
        peer=native.peer,
        scheme=scope.get("scheme", "http"),
        trusted=trusted,
        http_version=scope.get("http_version", "1.1"),
        known_host=headers.host if type(headers) is HeaderMemo else None,
    )


def overgrow_header(decision: Decision) -> bytes:
    """Return the X-Overgrow header: `route=...; side=...; reason=...; revision=...`."""
    return (
        f"route={decision.route_name}; side={decision.side}; "
        f"reason={decision.reason}; revision={decision.revision}"
    ).encode()


class SingleServerApp:
    """An ASGI callable that sends every request to one server: the admin listener's path.

    It neither decides nor records, and it trusts no forwarding header.
    """

    own_cookies: tuple[bytes, ...] = ()  # the server is the front door's own

    def __init__(self, server: Server, *, stopwatch: Callable[[], float]) -> None:
        self._server = server
        self.stopwatch = stopwatch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        native: NativeScope = scope.get("overgrow") or PlainScope(scope)
        head = read_head(scope, native, TrustedProxies())
        request = InFlightRequest(
            self, native, receive, send, head, _MIGRATED_BY_DEFAULT, Timeouts()
        )
        async with request:
            request.reply = await self._server.serve(request.inbound, _MIGRATED_BY_DEFAULT)
            await request.relay_response()

    def record(self, exchange: Exchange) -> None:
        """Record nothing: requests for the admin listener are not counted as traffic."""

    def clock(self) -> float:
        """Return 0: exchanges are not recorded here, so that times do not matter."""
        return 0.0


_MIGRATED_BY_DEFAULT = Decision(None, "migrated", "default", "")
