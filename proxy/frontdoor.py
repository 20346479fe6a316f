"""The path of one request: read, decide, serve, relay, record.

Band 2: it knows only the words (exchange, routing). Servers, sinks and the live table come in by
argument. `FrontDoor.__call__` is the heart: it has no `except`, one `async with` owns the reply,
and it stays under 20 lines. A feature never edits it; it enters as a fact, a Server that wraps a
Server, a Sink, or an outside reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, Self

from proxy.exchange import (
    BodyBroken,
    ClientGone,
    Exchange,
    Failure,
    Inbound,
    Reply,
    Server,
    Sink,
    failure_reply,
)
from proxy.routing.decide import decide
from proxy.routing.facts import Facts, Head, Headers, head_of
from proxy.routing.match import Matcher
from proxy.routing.model import Decision, TrustedProxies

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CLIENT_GONE = Failure("client-gone", "body", "client")  # recorded, never sent: nobody is there
ID_COOKIE = "overgrow_id"
_ID_AGE_S = 365 * 24 * 3600
_OVERRIDE = b"overgrow_override"


class Live(Protocol):
    """What of the running table the path reads: by attribute, once a request."""

    @property
    def matcher(self) -> Matcher:
        """The matcher of the table in force."""
        ...

    @property
    def killed(self) -> bool:
        """Whether a kill file exists."""
        ...


class FrontDoor:
    """An ASGI callable for `http` scopes that sends each request to the side its route names."""

    def __init__(  # noqa: PLR0913  the collaborators of the five stations, named
        self,
        live: Live,
        servers: Mapping[str, Server],
        sinks: Sequence[Sink] = (),
        *,
        clock: Callable[[], float],
        stopwatch: Callable[[], float],
        new_id: Callable[[], str],
        secret: bytes | None = None,
        expose: bool = False,
    ) -> None:
        self._live = live
        self._servers = servers
        self._sinks = sinks  # the caller's own list: filled when a worker opens, after the fork
        self._clock = clock
        self._stopwatch = stopwatch
        self._new_id = new_id
        self._secret = secret
        self._expose = expose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one request through the five stations."""
        head = read(scope, self._live.matcher.table.trusted_proxies)
        decision = getattr(scope.get("overgrow"), "decision", None) or self.decide(head)
        passage = Passage(self, scope, receive, send, head, decision)
        async with passage:
            passage.reply = await self._servers[decision.side].serve(passage.inbound, decision)
            passage.reply.headers = self.marked(decision, head, passage.reply.headers)
            await passage.relay()

    def decide(self, head: Head) -> Decision:
        """Ask the table in force; the only question the WSGI mount asks too."""
        facts = Facts(self._live.killed, self._secret, self._clock())
        return decide(self._live.matcher, head, facts)

    def marked(self, decision: Decision, head: Head, headers: Headers) -> list[tuple[bytes, bytes]]:
        """An answer's headers with what the front door itself has to say: a client id, X-Overgrow."""
        added = list(headers)
        if decision.assign_id and not _is_shared(headers):
            added.append((b"set-cookie", _id_cookie(self._new_id(), head.scheme)))
        if self._expose or decision.reason == "override":
            added.append((b"x-overgrow", exposed(decision)))
        return added

    def record(self, exchange: Exchange) -> None:
        """Tell every sink of a finished exchange."""
        for sink in self._sinks:
            sink.record(exchange)

    def now(self) -> tuple[float, float]:
        """Unix time and a monotonic stopwatch reading, in seconds."""
        return self._clock(), self._stopwatch()


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket that the server, not ours, has already taken apart into messages."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", ()):
        await send({"type": "websocket.close", "code": 1000})
        return
    reply = failure_reply(Failure("no-upgrade", "read", "front"))
    await send(
        {"type": "websocket.http.response.start", "status": reply.status, "headers": reply.headers}
    )
    await send({"type": "websocket.http.response.body", "body": reply.body})


def read(scope: Scope, trusted: TrustedProxies) -> Head:
    """Station 1: the head of an ASGI scope. Our worker adds the target byte for byte."""
    ours = scope.get("overgrow")
    client = scope.get("client")
    return head_of(
        scope["method"],
        ours.target if ours else _target(scope),
        scope["headers"],
        peer=ours.peer if ours else (client[0] if client else "unix"),
        scheme=scope.get("scheme", "http"),
        trusted=trusted,
        http_version=scope.get("http_version", "1.1"),
    )


def _target(scope: Scope) -> bytes:
    """The request target as closely as a plain ASGI server tells it."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("latin-1")
    query: bytes = scope.get("query_string", b"")
    return raw + b"?" + query if query and b"?" not in raw else raw


def without_private_parts(head: Head) -> Head:
    """The head either side may see: no X-Overgrow-*, no underscore names, no override cookie.

    A name with an underscore is dropped because WSGI maps it onto its twin with a hyphen: a client
    could otherwise say X_Forwarded_For and be believed.
    """
    for name, value in head.headers:
        # In line, not by _is_private: this runs for every header of every request.
        if b"_" in name or name[:10] == b"x-overgrow" or (name == b"cookie" and _OVERRIDE in value):
            return head._replace(headers=_public(head.headers))
    return head


def _is_private(name: bytes) -> bool:
    return b"_" in name or name[:10] == b"x-overgrow"


def _public(headers: Headers) -> list[tuple[bytes, bytes]]:
    clean = [_without_override(pair) for pair in headers if not _is_private(pair[0])]
    return [pair for pair in clean if pair[0] != b"cookie" or pair[1]]


def _without_override(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    name, value = pair
    if name != b"cookie" or _OVERRIDE not in value:
        return pair
    crumbs = [crumb for crumb in value.split(b";") if crumb.partition(b"=")[0].strip() != _OVERRIDE]
    return (name, b";".join(crumbs).strip())


def exposed(decision: Decision) -> bytes:
    """The X-Overgrow header: `route=...; side=...; reason=...; revision=...`."""
    return (
        f"route={decision.route_name}; side={decision.side}; "
        f"reason={decision.reason}; revision={decision.revision}"
    ).encode()


def _id_cookie(client_id: str, scheme: str) -> bytes:
    secure = "; Secure" if scheme == "https" else ""
    return (
        f"{ID_COOKIE}={client_id}; Path=/; Max-Age={_ID_AGE_S}; HttpOnly; SameSite=Lax{secure}"
    ).encode()


def _is_shared(headers: Headers) -> bool:
    """Whether a cache may hand the answer to others: a client id on it would be handed on too."""
    return any(
        name.lower() == b"cache-control"
        and (b"public" in value.lower() or b"s-maxage" in value.lower())
        for name, value in headers
    )


class Direct:
    """An ASGI callable that sends every request to one server: the admin listener's path.

    Nothing is decided or recorded, and no proxy in front of it is believed.
    """

    def __init__(self, server: Server, *, stopwatch: Callable[[], float]) -> None:
        self._server = server
        self._stopwatch = stopwatch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        head = read(scope, TrustedProxies())
        passage = Passage(self, scope, receive, send, head, _BY_DEFAULT)
        async with passage:
            passage.reply = await self._server.serve(passage.inbound, _BY_DEFAULT)
            await passage.relay()

    def record(self, exchange: Exchange) -> None:
        """Admin requests are nobody's traffic."""

    def now(self) -> tuple[float, float]:
        """The stopwatch alone: nothing here is dated."""
        return 0.0, self._stopwatch()


_BY_DEFAULT = Decision(None, "migrated", "default", "")


class NoUpgrade:
    """A Server that refuses upgrades with 501 `no-upgrade` and passes the rest on."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Answer 501 to a WebSocket handshake; ask the wrapped server for anything else."""
        if inbound.head.upgrade:
            return failure_reply(Failure("no-upgrade", "decide", "front"))
        return await self._server.serve(inbound, decision)


class Recorder(Protocol):
    """What a passage needs of the door it went through."""

    def record(self, exchange: Exchange) -> None:
        """Take note of a finished exchange."""
        ...

    def now(self) -> tuple[float, float]:
        """Unix time and a monotonic stopwatch reading, in seconds."""
        ...


class Passage:
    """One request on its way: owns the reply, watches the client, and files the exchange."""

    __slots__ = (
        "_door",
        "_first_byte",
        "_gone",
        "_ours",
        "_received",
        "_send",
        "_sent",
        "_started",
        "_status",
        "_task",
        "_watcher",
        "decision",
        "failure",
        "inbound",
        "reply",
        "trailers_allowed",
    )

    def __init__(  # noqa: PLR0913, PLR0917  the ASGI triple and what was read and decided
        self,
        door: Recorder,
        scope: Scope,
        receive: Receive,
        send: Send,
        head: Head,
        decision: Decision,
    ) -> None:
        self._door = door
        self._ours = scope.get("overgrow")
        self._send = send
        self._started = door.now()
        self._task: asyncio.Task[Any] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._received = Received(receive, has_body(head))
        self._gone = False
        self._status = self._sent = 0
        self._first_byte: float | None = None
        self.decision = decision
        self.failure: Failure | None = None
        self.reply: Reply | None = None
        self.trailers_allowed = "http.response.trailers" in scope.get("extensions", ())
        body = self._received.chunks() if self._received.expected else None
        self.inbound = Inbound(without_private_parts(head), body, self._inform)
        if head.upgrade and getattr(self._ours, "can_take_over", False):
            self.inbound.take_over = self._ours.take_over  # type: ignore[union-attr]

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._ours is not None:
            self._ours.on_disconnect(self._client_left)
        else:
            self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Close the reply, blame whoever broke off, file the exchange. True: nothing to raise."""
        if self._watcher is not None:
            self._watcher.cancel()
        left = isinstance(error, asyncio.CancelledError) and self._gone
        if left and self._task is not None:
            self._task.uncancel()
        if self.reply is not None:
            await self.reply.close()
        self._blame(error, left=left)
        self._file()
        if left or not self._is_broken(error):
            return left
        if self._ours is None:
            return False  # a plain ASGI server breaks the connection when the exception reaches it
        self._ours.abort()
        return True

    def _blame(self, error: BaseException | None, *, left: bool) -> None:
        """Settle who failed in this exchange, if anybody did."""
        if left or isinstance(error, ClientGone | OSError):
            self.failure = CLIENT_GONE
        elif isinstance(error, BodyBroken):
            self.failure = error.failure
        elif self.reply is not None:
            self.failure = self.reply.failure

    def _is_broken(self, error: BaseException | None) -> bool:
        """Whether the connection must break: half an answer went out, or none can.

        Any other exception is a fault of ours: it goes up and is logged by the server.
        """
        no_answer = error is None and self.reply is not None and self.reply.status == 0
        return no_answer or isinstance(error, ClientGone | BodyBroken | OSError)

    async def relay(self) -> None:
        """Station 4: head, then chunks as fast as the client takes them."""
        reply = self.reply
        if reply is None or reply.status == 0:
            return
        self._first_byte = self._door.now()[1]
        self._status = reply.status
        if reply.upgraded is not None:
            moved = await reply.upgraded(reply.headers)
            self._received.count, self._sent = moved.sent_bytes, moved.received_bytes
            return
        start = {"type": "http.response.start", "status": reply.status, "headers": reply.headers}
        if isinstance(reply.body, bytes):
            await self._send(start)
            self._sent = len(reply.body)
            await self._send({"type": "http.response.body", "body": reply.body})
            return
        trailing = self.trailers_allowed and reply.trailers is not None
        await self._send({**start, "trailers": trailing})
        if self._ours is None:
            # A plain ASGI server may hold the head back until the first chunk.
            await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        async for chunk in reply.body:
            self._sent += len(chunk)
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})
        if trailing and reply.trailers is not None:
            await self._send({"type": "http.response.trailers", "headers": list(reply.trailers())})

    async def _inform(self, status: int, headers: Headers) -> None:
        """Pass a 1xx on, where the server can carry one."""
        await self._send(
            {"type": "http.response.informational", "status": status, "headers": list(headers)}
        )

    def _client_left(self) -> None:
        """Cancel the exchange: nobody reads the answer, so legacy need not finish it."""
        self._gone = True
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        """On servers that do not call us: wait for the disconnect once the body is read."""
        await self._received.until_disconnected()
        self._client_left()

    def _file(self) -> None:
        ended = self._door.now()[1]
        wall, began = self._started
        first = ended if self._first_byte is None else self._first_byte
        self._door.record(
            Exchange(
                self.inbound.head,
                self.decision,
                self._status,
                self.failure,
                wall,
                ended - began,
                first - began,
                self._received.count,
                self._sent,
            )
        )


class Received:
    """The client's body as a stream, and the place where a disconnect shows."""

    __slots__ = ("_finished", "_receive", "count", "expected")

    def __init__(self, receive: Receive, expected: bool) -> None:  # noqa: FBT001  one fact, named
        self._receive = receive
        self._finished = asyncio.Event() if expected else None
        self.expected = expected
        self.count = 0  # bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body's non-empty chunks; raises ClientGone when it ends early."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            chunk = message.get("body", b"")
            self.count += len(chunk)
            if chunk:
                yield chunk
        if self._finished is not None:
            self._finished.set()

    async def until_disconnected(self) -> None:
        """Return once the client is gone. Only one reader at a time: first the body is awaited."""
        if self._finished is not None:
            await self._finished.wait()
        with suppress(asyncio.CancelledError):
            while (await self._receive())["type"] != "http.disconnect":
                pass
            return
        raise asyncio.CancelledError


def has_body(head: Head) -> bool:
    """Whether the request's framing announces a body (RFC 9112 6.3)."""
    for name, value in head.headers:
        if name == b"transfer-encoding":
            return True
        if name == b"content-length":
            return value.strip(b"0") != b""
    return False


class Refusals:
    """The Server for decisions that no side answers: gone, and paths that are refused."""

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:  # noqa: ARG002
        """410 `gone` or 400 `ambiguous-path`, as decided."""
        code = "gone" if decision.side == "gone" else "ambiguous-path"
        return failure_reply(Failure(code, "decide", "front"))
