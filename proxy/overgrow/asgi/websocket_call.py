"""One WebSocket of a mounted ASGI app: the handshake, the app's response to the handshake, and the messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from websockets.datastructures import Headers as WebSocketHeaders
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.server import ServerProtocol

from overgrow.app_types import Message, Scope
from overgrow.asgi.response import (
    AsgiClientDisconnected,
    AsgiResponse,
    crash_failure,
    sanitize_headers,
)
from overgrow.asgi.scope import offered_subprotocols
from overgrow.asgi.websocket import WebSocketConnection
from overgrow.exchange import BodyBroken, Failure, Inbound, Reply, TunnelSummary
from overgrow.routing.facts import Head, Headers
from overgrow.routing.model import Timeouts

Phase = Literal["connecting", "refusing", "open"]

# 4 KiB windows: compression costs a connection some 40 KB instead of 300.
_DEFLATE = ServerPerMessageDeflateFactory(
    server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
)
# Headers of the handshake itself, and Date: the app may not set these.
_HANDSHAKES = (b"sec-websocket-", b"date")


class AcceptedHandshake(NamedTuple):
    """The result of a valid handshake: the headers for the 101 response, and the extensions in use."""

    headers: list[tuple[bytes, bytes]]
    extensions: list[Extension]


def accept_handshake(head: Head) -> AcceptedHandshake | None:
    """Check a handshake; return None if it is not valid (RFC 6455 4.2.1)."""
    headers = WebSocketHeaders()
    for name, value in head.headers:
        headers[name.decode("latin-1")] = value.decode("latin-1")
    protocol = ServerProtocol(extensions=[_DEFLATE])
    response = protocol.accept(Request(head.target.decode("latin-1"), headers))
    if response.status_code != 101:
        return None
    pairs = [(name.lower(), value) for name, value in response.headers.raw_items()]
    lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    return AcceptedHandshake(lines, list(protocol.extensions))


class WebSocketCall:
    """One call of an app: the app uses `receive` and `send`, and its caller uses all other methods."""

    def __init__(
        self,
        scope: Scope,
        inbound: Inbound,
        handshake: AcceptedHandshake,
        timeouts: Timeouts,
    ) -> None:
        self.scope = scope
        self.response = AsgiResponse("GET", timeouts)
        self.deadline_s = asyncio.get_running_loop().time() + timeouts.response_s
        self._head = inbound.head
        self._switch_protocol = inbound.switch_protocol
        self._handshake = handshake
        self._socket = WebSocketConnection(handshake.extensions, timeouts.stream_idle_s)
        self._phase: Phase = "connecting"
        self._is_connect_sent = False
        self._failure: Failure | None = None
        self._senders: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "websocket.accept": self._accept,
            "websocket.send": self._send,
            "websocket.close": self._close,
            "websocket.http.response.start": self._relay_refusal,
            "websocket.http.response.body": self._relay_refusal,
        }

    async def receive(self) -> Message:
        """Implement ASGI's receive: return the connect, then messages, then the disconnect."""
        if not self._is_connect_sent:
            self._is_connect_sent = True
            return {"type": "websocket.connect"}
        return await self._socket.next_message()

    async def send(self, message: Mapping[str, Any]) -> None:
        """ASGI send."""
        sender = self._senders.get(message["type"])
        if sender is None:
            raise RuntimeError(f"Unknown ASGI message {message['type']!r}")
        await sender(message)

    def finish(self, error: BaseException | None) -> None:
        """Close with 1000 if the app has returned, 1011 if it raised, 1012 if it was cancelled (RFC 6455 7.4.1)."""
        if self._phase != "open":
            self.response.finish(error)
            self._socket.abandon()
        elif isinstance(error, asyncio.CancelledError):
            self._socket.close(1012)
        elif error is not None:
            # Many apps raise when they receive the disconnect.
            self._failure = None if self._socket.has_ended else crash_failure(error, "body")
            self._socket.close(1011)
        else:
            self._socket.close(1000)

    def close(self) -> None:
        """Note that the exchange is over."""
        self.response.close()
        self._socket.abandon()

    async def relay_messages(self, headers: Headers) -> TunnelSummary:
        """Write the 101 with `headers`, then relay messages until the connection is gone.

        Raises:
            BodyBroken: the app crashed; the client got close code 1011.
            OSError: the client left before the 101 was written.

        """
        lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        socket = self._socket
        try:
            if self._switch_protocol is not None:
                self._switch_protocol(socket, b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n" % lines)
                await socket.lost.wait()
        finally:
            socket.abandon()
        if self._failure is not None:
            raise BodyBroken(self._failure)
        return TunnelSummary(socket.received_bytes, socket.sent_bytes, socket.ended_by or "client")

    async def _accept(self, message: Mapping[str, Any]) -> None:
        self._expect("connecting", message)
        headers = self._handshake.headers + _own_headers(message.get("headers") or ())
        chosen = message.get("subprotocol")
        if chosen is not None:
            if chosen not in offered_subprotocols(self._head):
                raise RuntimeError(f"The client did not offer the subprotocol {chosen!r}")
            headers.append((b"sec-websocket-protocol", chosen.encode("latin-1")))
        if self.response.reply.done():
            raise AsgiClientDisconnected("The client closed the connection")
        self._phase = "open"
        self.response.reply.set_result(Reply(101, headers, upgraded=self.relay_messages))
        await self._socket.opened.wait()

    async def _send(self, message: Mapping[str, Any]) -> None:
        self._expect("open", message)
        text = message.get("text")
        await self._socket.send(text if text is not None else bytes(message["bytes"]))

    async def _close(self, message: Mapping[str, Any]) -> None:
        if self._phase == "open":
            code = message.get("code")
            self._socket.close(1000 if code is None else code, message.get("reason") or "")
            return
        self._expect("connecting", message)
        self._phase = "refusing"
        await self.response.take_message({"type": "websocket.http.response.start", "status": 403})
        await self.response.take_message({"type": "websocket.http.response.body"})

    async def _relay_refusal(self, message: Mapping[str, Any]) -> None:
        if message["type"].endswith("start"):
            self._expect("connecting", message)
            self._phase = "refusing"
        await self.response.take_message(message)

    def _expect(self, phase: Phase, message: Mapping[str, Any]) -> None:
        if self._phase != phase:
            raise RuntimeError(f"{message['type']!r} is not possible while {self._phase}")


def _own_headers(headers: Any) -> list[tuple[bytes, bytes]]:
    return [pair for pair in sanitize_headers(headers) if not pair[0].startswith(_HANDSHAKES)]
