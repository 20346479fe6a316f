"""The values of one request: Inbound, Reply, Failure, Exchange; the protocols Server and Sink.

Band 0: it imports the standard library and routing only. If the network fails, a Server does not raise: it
returns a Reply whose `failure` names the code. The table FAILURES is closed;
docs/wire.md#answers-of-the-front-door lists it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from overgrow.connection_login import ClientConnection, comes_through_a_proxy
from overgrow.routing.facts import Head, Headers
from overgrow.routing.model import Decision

T = TypeVar("T")

Party = Literal["client", "front", "legacy", "migrated"]
Stage = Literal["read", "decide", "queue", "connect", "send", "head", "body"]


class Failure(NamedTuple):
    """Why an exchange failed: a code of FAILURES, the stage, the party, and an optional detail.

    `detail` is for logs only, never for the client.
    """

    code: str
    stage: Stage
    party: Party
    detail: str = ""
    retry_after_s: int | None = None


# code -> (status, what the client reads). X-Overgrow-Error carries the code.
FAILURES: dict[str, tuple[int, str]] = {
    "legacy-connect": (502, "The application could not be reached."),
    "legacy-protocol": (502, "The application sent a response that cannot be forwarded."),
    "legacy-closed": (502, "The application ended the connection before answering."),
    "legacy-timeout": (504, "The application took too long to answer."),
    "migrated-timeout": (504, "The application took too long to answer."),
    "front-busy": (503, "Too many connections; try again shortly."),
    "legacy-busy": (503, "The application is busy; try again shortly."),
    "legacy-open": (503, "The application is recovering; try again shortly."),
    "migrated-open": (503, "The application is recovering; try again shortly."),
    "local-busy": (503, "The application is busy; try again shortly."),
    "identity-unavailable": (503, "Who is signed in cannot be checked now; try again shortly."),
    "draining": (503, "The server is restarting; try again shortly."),
    "migrated-crash": (500, "The application failed to answer."),
    "gone": (410, "This address is no longer in use."),
    "no-upgrade": (501, "This address does not accept upgrades."),
    "loop": (508, "The request came back to where it was sent from."),
    "bad-request": (400, "The request is malformed."),
    "ambiguous-path": (400, "The path of the request can be read in more than one way."),
    "client-timeout": (408, "The request took too long to arrive."),
    "body-too-large": (413, "The body of the request is too large."),
    "target-too-long": (414, "The address is too long."),
    "head-too-large": (431, "The headers of the request are too large."),
}


class TunnelSummary(NamedTuple):
    """The record of an upgraded connection: bytes to legacy, bytes to the client, and who ended the connection."""

    sent_bytes: int
    received_bytes: int
    ended_by: Literal["client", "legacy", "migrated", "idle"]


# Hands a client's connection over: writes the bytes given, then the protocol owns the connection. It
# is an asyncio.Protocol, which band 0 does not import.
SwitchProtocol = Callable[[Any, bytes], None]


class SendResponse(Protocol):
    """Sends a whole response in one step; raises OSError when the client is gone."""

    def __call__(
        self, status: int, headers: Headers, body: bytes, reason: bytes | None = None, /
    ) -> None:
        """Send status, headers and body."""
        ...


class NativeScope(Protocol):
    """The type of `scope["overgrow"]`: facts about one request, and calls that the server carries out.

    Beyond ASGI it has the target byte for byte, the client's connection, and control over how the
    request ends. On any other ASGI server `overgrow.path.plain_scope` takes its place.
    """

    idle_s: float  # how long the client may neither send nor take bytes; the front door sets it
    is_events: bool  # an event stream is never ended for being slow; the front door sets it

    @property
    def is_native(self) -> bool:
        """Whether the server itself provides these attributes.

        False for PlainScope, the substitute on other servers.
        """
        ...

    @property
    def target(self) -> bytes:
        """The request target, byte for byte as in the request line."""
        ...

    @property
    def peer(self) -> str:
        """The address of the peer; "unix" for a unix socket, "" if unknown."""
        ...

    @property
    def decision(self) -> Decision | None:
        """The decision, if it was made before the call of the front door; else None."""
        ...

    @property
    def client_connection(self) -> ClientConnection | None:
        """The connection that the request came on."""
        ...

    @property
    def accepts_trailers(self) -> bool:
        """Whether trailers can be sent after the body."""
        ...

    @property
    def can_switch_protocol(self) -> bool:
        """Whether the request is an upgrade whose connection the server can hand over."""
        ...

    @property
    def task(self) -> Any:
        """The asyncio.Task that runs the app; None if the server does not know it."""
        ...

    @property
    def ended_as(self) -> Failure | None:
        """Why the server itself ended the request; None if the server has not ended it."""
        ...

    @property
    def send_response(self) -> SendResponse | None:
        """Sends a whole response in one step; None if the server cannot."""
        ...

    def switch_protocol(self, protocol: Any, head: bytes, /) -> None:
        """Write `head`, then give the connection to the asyncio.Protocol `protocol`."""
        ...

    def on_disconnect(self, callback: Callable[[], object], /) -> None:
        """Call `callback` once if the client leaves before its response is complete."""
        ...

    def abort(self) -> None:
        """Break the client's connection, so that it never sees a whole response."""
        ...


class ClientGone(Exception):
    """The client closed its connection or stopped sending in the middle of its body."""


class BodyBroken(Exception):
    """A reply's body ended early: the client must see a broken connection, not a short body.

    Raised by a Reply's `body` iterator; `failure` names the party that caused it.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code} ({failure.party}, {failure.stage}): {failure.detail}")
        self.failure = failure


@dataclass(slots=True)
class Inbound:
    """A request as it arrives: its head, and its body as a stream that can be read once.

    `body` yields non-empty chunks and raises ClientGone when the client breaks off. A request has a body if it
    has Transfer-Encoding or a Content-Length above 0; otherwise `body` is None.
    """

    head: Head
    body: AsyncIterator[bytes] | None = None
    inform: Callable[[int, Headers], Awaitable[None]] | None = (
        None  # sends a 1xx response, if possible
    )
    started: bool = field(default=False)  # True as soon as one body chunk was read
    switch_protocol: SwitchProtocol | None = (
        None  # for an upgrade, where the server can hand its client over
    )
    # Called by the app, in its thread, just before it commits a transaction; raises when too late.
    commit: Callable[[], None] | None = None
    is_copy: bool = False  # marked X-Overgrow-Shadow: no user gets its response
    client_connection: ClientConnection | None = None  # None if the server does not know it

    def owner(self) -> ClientConnection | None:
        """Return the client's connection if it belongs to one user; None if several users may share it."""
        head = self.head
        if head.peer_trusted or comes_through_a_proxy(head.headers):
            return None
        return self.client_connection


USUAL_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


@lru_cache(maxsize=256)
def custom_reason(status: int, phrase: bytes | None) -> bytes | None:
    """Return the reason phrase for a Reply.

    Return None for the usual phrase of the status, and for a phrase that cannot be sent.
    """
    if phrase is None or phrase == USUAL_REASONS.get(status, b""):
        return None
    return None if _UNSENDABLE.search(phrase) is not None else phrase


_UNSENDABLE = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")  # RFC 9112 4


async def close_nothing() -> None:
    """Do nothing: the `close` of a reply that holds no resources."""


class FellBack(NamedTuple):
    """The outcome of migrated for a request that fell back to legacy. `detail` is for logs only."""

    code: str  # of FAILURES, or the status where the app itself answered
    status: int
    detail: str = ""


@dataclass(slots=True)
class Reply:
    """A response: status, headers as ordered pairs, body as bytes (whole) or as a stream.

    `close` must be called once when the exchange ends, even if nobody read the body. It releases connections
    and cancels running tasks. `trailers` are read after the end of the body.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | AsyncIterable[bytes] = b""
    failure: Failure | None = None
    close: Callable[[], Awaitable[None]] = close_nothing
    trailers: Callable[[], Headers] | None = None
    upgraded: Callable[[Headers], Awaitable[TunnelSummary]] | None = (
        None  # relays a 101 and what follows
    )
    decision: Decision | None = None  # who answered in the end, if a Server asked another side
    fallback: FellBack | None = None
    reason: bytes | None = None  # the side's own reason phrase; None: the usual one


class TraceIds(NamedTuple):
    """The span of a request, in the hexadecimal form of W3C Trace Context."""

    trace_id: str
    span_id: str
    is_sampled: bool  # the trace is exported, so that a reader can look it up


class Exchange(NamedTuple):
    """One finished request, for sinks. Times are seconds; sizes are bytes of body."""

    head: Head
    decision: Decision
    status: int  # the status sent to the client; 0 if none was
    failure: Failure | None
    started_at: float  # unix time
    duration_s: float  # from the request's head to the last byte handed over
    first_byte_s: float  # from the request's head to the response's; duration_s if there is none
    request_bytes: int
    response_bytes: int
    fallback: FellBack | None = None
    trace: TraceIds | None = None  # of our own span; None without OpenTelemetry


class Server(Protocol):
    """One side, which answers inbound requests. It returns network failures as replies, and keeps its time limits.

    The caller owns the Reply and calls `close` exactly once.
    """

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Return a reply. If the side did not answer properly, `Reply.failure` says why."""
        ...


class Sink(Protocol):
    """Something that records every finished exchange. It must not block and must not raise."""

    def record(self, exchange: Exchange) -> None:
        """Record one exchange."""
        ...


class SpooledBody(Protocol):
    """The bytes of one body on disk, first in, first out. Its methods block: call them in threads.

    One thread appends bytes and another thread takes them. Any thread may call `close`, which does not block.
    """

    @property
    def size_bytes(self) -> int:
        """How many bytes were appended in all."""
        ...

    @property
    def unread_bytes(self) -> int:
        """How many appended bytes have not been taken."""
        ...

    def append(self, data: bytes | memoryview) -> bool:
        """Add bytes. If there is no room for all of them, add none and return False."""
        ...

    def take(self, max_bytes: int) -> bytes:
        """Return the oldest bytes; b"" if no bytes are left. Raises OSError if they cannot be read."""
        ...

    def close(self) -> None:
        """Discard the bytes that are left."""
        ...


class Spool(Protocol):
    """Bounded room on disk for the bodies that a worker keeps for slow clients."""

    def open(self) -> SpooledBody:
        """Return a new, empty body."""
        ...

    async def run_in_thread(self, act: Callable[..., T], *arguments: Any) -> T:
        """Run a file call in a thread, so that it does not block the event loop."""
        ...


def failure_reply(failure: Failure) -> Reply:
    """Return the short response for a failure: status and text from FAILURES, X-Overgrow-Error, Retry-After."""
    status, text = FAILURES[failure.code]
    body = f"{text}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-overgrow-error", failure.code.encode()),
    ]
    if failure.retry_after_s is not None:
        headers.append((b"retry-after", str(failure.retry_after_s).encode()))
    return Reply(status, headers, body, failure)
