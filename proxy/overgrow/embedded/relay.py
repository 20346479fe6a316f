"""Passes the response to one request from the ASGI front door on the background loop to a WSGI server.

Rule: the caller's thread reads from the client and writes to it; the loop does the rest. The two wait for each
other, so that at most 256 KiB of a response are in memory. If a request body breaks off, the app gets a
disconnect. If a response breaks off, the server gets ResponseBroken. In both cases the body never looks
complete.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from enum import Enum, auto
from queue import SimpleQueue
from typing import Any

from overgrow.app_types import AsgiApp, Message, Scope, StartResponse
from overgrow.embedded.background_loop import BackgroundLoop
from overgrow.embedded.request_body import DISCONNECT, EnvironBody
from overgrow.exchange import USUAL_REASONS, Failure, failure_reply
from overgrow.routing.model import Decision

LOG = logging.getLogger("overgrow.wsgi")

LIMIT_BYTES = 256 * 1024


class ResponseBroken(ConnectionError):
    """The response ended early; raised in the server, so that it breaks the connection."""


class RelayStep(Enum):
    """What the loop sends to the caller's thread: a part of the response, or a request to read more of the body."""

    READ = auto()
    HEAD = auto()
    CHUNK = auto()
    END = auto()
    BROKEN = auto()


class MountExtension:
    """`scope["overgrow"]` behind a WSGI server: implements overgrow.exchange.NativeScope."""

    is_native = True
    listener = "public"
    is_draining = False
    accepts_trailers = False
    can_switch_protocol = False  # a WSGI server cannot hand over its connection
    client_connection = None  # nor does it say which requests came on the same one
    task = None
    ended_as = None
    send_response = None

    def __init__(self, target: bytes, peer: str) -> None:
        self.target = target
        self.peer = peer
        self.idle_s = 0.0  # the WSGI server has limits of its own
        self.is_events = False
        self.decision: Decision | None = None  # the mount decides before it calls the front door
        self.callback: Callable[[], object] | None = None
        self.is_lost = False

    def switch_protocol(self, _protocol: object, _head: bytes) -> None:
        """Refuse, because a WSGI server does not give connections away."""
        raise RuntimeError("A WSGI server cannot hand over a client's connection")

    def on_disconnect(self, callback: Callable[[], object] | None) -> None:
        """Call `callback` once when the client leaves; call it now if the client has already left."""
        self.callback = callback
        if self.is_lost:
            self.handle_disconnect()

    def handle_disconnect(self) -> bool:
        """Note that the client has left; return False if no callback was set."""
        self.is_lost = True
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()
        return callback is not None

    def abort(self) -> None:
        """Do nothing: a response that ends before its last chunk is recognisably broken."""


class WsgiRelay:
    """The response as the iterable that a WSGI server wants; `close()` cancels what still runs."""

    def __init__(
        self, background_loop: BackgroundLoop, extension: MountExtension, body: EnvironBody
    ) -> None:
        self._background = background_loop
        self._loop = background_loop.loop
        self._extension = extension
        self._body = body
        self._steps: SimpleQueue[tuple[RelayStep, Any]] = SimpleQueue()
        self._running: Future[Any] | None = None
        self._first = True
        self._over = False  # for the caller's thread
        # The rest belongs to the loop.
        self._messages: list[Message] = []
        self._message_came = asyncio.Event()
        self._asked = False
        self._body_read = False
        self._broken = False
        self._task: asyncio.Task[Any] | None = None
        self._complete = False
        self._held_bytes = 0
        self._room = asyncio.Event()

    def start(self, asgi: AsgiApp, scope: Scope, start_response: StartResponse) -> WsgiRelay:
        """Run the app until it sends the head, and pass the head to the server.

        Raises:
            Exception: the app raised before it sent the head.

        """
        self._running = self._background.submit(self._run_app(asgi, scope))
        step, payload = self._next_step()
        if step is RelayStep.HEAD:
            start_response(*payload)
        elif payload is not None:
            raise payload
        else:
            self._send_refusal(start_response)
        return self

    def __iter__(self) -> Iterator[bytes]:
        """Return self: chunks are returned as they come."""
        return self

    def __next__(self) -> bytes:
        """Return the next chunk.

        If no chunk has come at the first call, return an empty one, so that the server sends the head.
        """
        if self._over:
            raise StopIteration
        first, self._first = self._first, False
        if first and self._steps.empty():
            return b""
        step, payload = self._next_step()
        if step is RelayStep.CHUNK:
            self._loop.call_soon_threadsafe(self._release_bytes, len(payload))
            return payload  # type: ignore[no-any-return]
        self._over = True
        if step is RelayStep.BROKEN:
            raise ResponseBroken("the response broke off after its head") from payload
        raise StopIteration

    def close(self) -> None:
        """End the exchange. If the response is not complete, the client has left."""
        if not self._over:
            self._over = True
            self._loop.call_soon_threadsafe(self._cancel)

    def _next_step(self) -> tuple[RelayStep, Any]:
        """Wait for the loop's next step, and read the client's body whenever the loop asks for it."""
        while True:
            step, payload = self._steps.get()
            if step is not RelayStep.READ:
                return step, payload
            self._loop.call_soon_threadsafe(self._add_message, self._body.next_message())

    def _send_refusal(self, start_response: StartResponse) -> None:
        """Answer 400, because the app ended without a response. It does so if it believes that the client has left."""
        reply = failure_reply(Failure("bad-request", "read", "client"))
        start_response(*_wsgi_head(reply.status, reply.headers))
        self._steps.put((RelayStep.CHUNK, reply.body))
        self._steps.put((RelayStep.END, None))

    async def _run_app(self, asgi: AsgiApp, scope: Scope) -> None:
        self._task = asyncio.current_task()
        error: BaseException | None = None
        try:
            await asgi(scope, self._receive, self._send)
        except Exception as raised:  # noqa: BLE001 - passed to the caller's thread
            error = raised
        finally:
            self._steps.put((RelayStep.BROKEN, error))  # after END it is never looked at

    async def _receive(self) -> Message:
        while not self._messages:
            if self._broken or self._extension.is_lost:
                return DISCONNECT
            if not self._asked and not self._body_read:
                self._asked = True
                self._steps.put((RelayStep.READ, None))
            self._message_came.clear()
            await self._message_came.wait()
        return self._messages.pop(0)

    async def _send(self, message: Message) -> None:
        if self._extension.is_lost:
            raise ResponseBroken("the client has left")
        if message["type"] == "http.response.start":
            head = _wsgi_head(message["status"], message.get("headers", []), message.get("reason"))
            self._steps.put((RelayStep.HEAD, head))
        elif message["type"] == "http.response.body":
            await self._send_chunk(message)

    async def _send_chunk(self, message: Message) -> None:
        chunk = message.get("body", b"")
        if chunk:
            self._held_bytes += len(chunk)
            self._steps.put((RelayStep.CHUNK, chunk))
        if not message.get("more_body", False):
            self._complete = True
            self._steps.put((RelayStep.END, None))
        elif self._held_bytes >= LIMIT_BYTES:
            self._room.clear()
            await self._room.wait()

    def _add_message(self, message: Message) -> None:
        self._asked = False
        self._body_read = not message.get("more_body", False)
        self._broken = message is DISCONNECT
        self._messages.append(message)
        self._message_came.set()

    def _release_bytes(self, size: int) -> None:
        self._held_bytes -= size
        if self._held_bytes < LIMIT_BYTES:
            self._room.set()

    def _cancel(self) -> None:
        """Cancel the request by the callback that the app set. If there is no callback, cancel the task."""
        self._message_came.set()
        self._room.set()
        if self._complete:
            self._extension.is_lost = True
        elif not self._extension.handle_disconnect() and self._task is not None:
            self._task.cancel()


def _wsgi_head(
    status: int, headers: list[tuple[bytes, bytes]], own_reason: bytes | None = None
) -> tuple[str, list[tuple[str, str]]]:
    """Return status line and headers in the form of PEP 3333. Leave the framing of the body to the server."""
    reason = (own_reason or USUAL_REASONS.get(status) or b"Unknown").decode("latin-1")
    pairs = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name.lower() not in {b"transfer-encoding", b"connection"}
    ]
    return f"{status} {reason}", pairs
