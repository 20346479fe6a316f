"""The WSGI mount: the front door around a Flask app under any WSGI server.

For tests, `flask run` and servers such as gunicorn gthread; in production use ASGI. Rule: a request for
migrated is plain Flask in the caller's own thread with the caller's environ. Any other request is answered by
the ASGI front door on the one background loop of the process. The front door's own `decide` makes the decision
for every request.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from overgrow.app_types import Environ, Scope, StartResponse, WsgiApp
from overgrow.embedded.background_loop import (
    BackgroundLoop,
    FrontDoorLifespan,
    background_loop,
    process_lock,
)
from overgrow.embedded.relay import MountExtension, WsgiRelay
from overgrow.embedded.request_body import EnvironBody, wrap_input
from overgrow.embedded.scope import (
    build_scope,
    drop_headers,
    hand_over_identity,
    peer_of,
    sanitize_environ,
    target_of,
)
from overgrow.embedded.traced_call import CallTracer, RecordingDoor, TracedApp, TracedDoor
from overgrow.exchange import Exchange, Failure
from overgrow.http import is_own_header
from overgrow.legacy_calls.calls import ENVIRON_KEY, LegacyCalls
from overgrow.routing.facts import Head, Headers
from overgrow.routing.model import Decision


class DecidedRequest(NamedTuple):
    """A decision, the cookies that renew the session of its user, and the calls of legacy that its view may make."""

    decision: Decision
    cookies: Headers = ()
    calls: LegacyCalls | None = None


class MountedFrontDoor(Protocol):
    """What the mount needs from the front door; implemented by the ASGI app."""

    def head_of(self, scope: Scope) -> Head:
        """Read a head from a scope of type http, as the ASGI path does."""
        ...

    def decide(self, head: Head) -> Decision:
        """Decide with the table in force."""
        ...

    async def identify(self, head: Head, decision: Decision) -> tuple[Decision, Headers]:
        """Return the decision for an undecided request, made when its user is known, and the session's new cookies."""
        ...

    def legacy_calls(
        self, head: Head, decision: Decision, loop: asyncio.AbstractEventLoop
    ) -> LegacyCalls:
        """Return the calls of legacy that a view may make for a request; they run on `loop`."""
        ...

    def response_headers(self, head: Head, decision: Decision, headers: Headers) -> Headers:
        """Return the headers of a migrated response after the front door has added and removed its own."""
        ...

    def record(self, exchange: Exchange) -> None:
        """Record a migrated exchange in the sinks; called in the caller's thread."""
        ...

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer a request that is not for migrated (ASGI). The lifespan of this ASGI app runs once per process."""
        ...


class WsgiMount:
    """A WSGI callable to put in the place of a Flask app's `wsgi_app`.

    Every request, also one for migrated, first makes sure that the background loop runs and that the front
    door's lifespan has started there. This lifespan watches the route table.

    Limits: no upgrades, trailers or 1xx; repeated request headers arrive as WSGI joins them; an early response
    to an upload waits until the current piece (64 KiB) has been read; the server's Date and Server replace
    legacy's; fallback and shadow do not wrap migrated responses; it works at the root of the server only.
    """

    def __init__(  # noqa: PLR0913 - two that are served, and by keyword what watches them
        self,
        wsgi_app: WsgiApp,
        front_door: MountedFrontDoor,
        *,
        tracer: CallTracer | None = None,
        note_call: Callable[[Head, Decision], None] | None = None,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = wsgi_app
        self._front_door = front_door
        self._tracer = tracer
        self._note_call = note_call  # called in the thread of each migrated request, before the app
        self._now = lambda: (clock(), stopwatch())
        self._background: BackgroundLoop | None = None
        self._lifespan: FrontDoorLifespan | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request: in this thread if it is for migrated, else through the background loop."""
        background = self._ensure_started()
        extension = MountExtension(target_of(environ), peer_of(environ))
        scope = build_scope(environ, extension)
        head = self._front_door.head_of(scope)
        decision = self._front_door.decide(head)
        cookies: Headers = ()
        if decision.side == "undecided":
            decision, cookies = background.submit(
                self._front_door.identify(head, decision)
            ).result()
        if decision.side == "migrated":
            sanitize_environ(environ, head)
            drop_headers(environ, scope["headers"], head.headers)
            hand_over_identity(environ, decision)
            environ[ENVIRON_KEY] = calls = self._front_door.legacy_calls(
                head, decision, background.loop
            )
            known = DecidedRequest(decision, cookies, calls)
            if self._note_call is not None:
                self._note_call(head, decision)
            if self._tracer is not None:
                return self._run_traced(self._tracer, environ, start_response, head, known)
            call = MigratedCall(self._front_door, head, known, self._now)
            return call.run_app(self._app, environ, start_response)
        extension.decision = decision
        return WsgiRelay(background, extension, EnvironBody(environ)).start(
            self._front_door, scope, start_response
        )

    def _run_traced(
        self,
        tracer: CallTracer,
        environ: Environ,
        start_response: StartResponse,
        head: Head,
        known: DecidedRequest,
    ) -> Iterable[bytes]:
        """Call the app for a migrated request, in a trace of the request."""
        trace = tracer.begin_call(head)
        app = TracedApp(self._app, trace)
        door = TracedDoor(self._front_door, trace)
        return MigratedCall(door, head, known, self._now).run_app(app, environ, start_response)

    def close(self) -> None:
        """End the front door's lifespan; a later request starts a new lifespan."""
        with process_lock():
            if self._lifespan is not None:
                self._lifespan.request_stop_threadsafe()
            self._background = self._lifespan = None

    def _ensure_started(self) -> BackgroundLoop:
        """Return the loop of this process, with the front door's lifespan started on it."""
        background = background_loop()
        if self._background is not background:
            with process_lock():
                if self._background is not background:
                    self._lifespan = background.start_lifespan(self._front_door)
                    weakref.finalize(self, self._lifespan.request_stop_threadsafe).atexit = False
                    self._background = background
        return background


class MigratedCall:
    """A migrated request in the caller's thread: it adds the front door's headers and records one exchange."""

    def __init__(
        self,
        front_door: RecordingDoor,
        head: Head,
        known: DecidedRequest,
        now: Callable[[], tuple[float, float]],
    ) -> None:
        self._front_door = front_door
        self._now = now
        self._head = head
        self._decision, self._cookies, self._calls = known
        self._started_at, self._began_s = now()
        self._first_byte_s: float | None = None
        self._status = 0
        self._request_bytes: Callable[[], int] = int
        self._response_bytes = 0
        self._blocks: Iterator[bytes] = iter(())
        self._result: Iterable[bytes] = ()
        self._failure: Failure | None = Failure("client-gone", "body", "client")  # until it is over
        self._recorded = False

    def run_app(
        self, app: WsgiApp, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Call the app; an exception of the app goes to the caller, as in plain Flask."""
        self._request_bytes = wrap_input(environ)

        def start_marked(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            self._status = int(status[:3])
            self._first_byte_s = self._now()[1]
            return start_response(status, self._mark_headers(headers), *exc_info)

        try:
            self._result = app(environ, start_marked)
            self._blocks = iter(self._result)
        except BaseException as error:
            self._status = 500  # what every server makes of it
            self._record(Failure("migrated-crash", "head", "migrated", repr(error)))
            raise
        return self

    def __iter__(self) -> Iterator[bytes]:
        """Return self."""
        return self

    def __next__(self) -> bytes:
        """Return the app's next block."""
        try:
            block = next(self._blocks)
        except StopIteration:
            self._failure = None
            self._record(None)  # not every caller calls close(): Flask's test client does not
            raise
        except BaseException as error:
            self._failure = Failure("migrated-crash", "body", "migrated", repr(error))
            raise
        self._response_bytes += len(block)
        return block

    def close(self) -> None:
        """Close the app's response and record the exchange."""
        try:
            if (close := getattr(self._result, "close", None)) is not None:
                close()
        finally:
            self._record(self._failure)

    def _mark_headers(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the app's headers after the front door has added and removed its own."""
        wire = [(_encode(name), _encode(value)) for name, value in headers]
        own = [pair for pair in wire if not is_own_header(pair[0].lower())]
        own += self._cookies
        marked = self._front_door.response_headers(self._head, self._decision, own)
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in marked]

    def _record(self, failure: Failure | None) -> None:
        if self._recorded:
            return
        self._recorded = True
        duration_s = self._now()[1] - self._began_s
        first_byte_s = duration_s
        if self._first_byte_s is not None:
            first_byte_s = self._first_byte_s - self._began_s
        made = self._calls
        self._front_door.record(
            Exchange(
                self._head,
                self._decision
                if made is None
                else self._decision._replace(legacy_calls=made.count),
                self._status,
                failure,
                self._started_at,
                duration_s,
                first_byte_s,
                self._request_bytes(),
                self._response_bytes,
            )
        )


def _encode(text: str) -> bytes:
    return text.encode("latin-1", "replace")
