"""The client's end of a WebSocket that a mounted app accepted: frames on one side, messages on the other.

Rule: the library `websockets` implements the protocol, without I/O. This module moves the bytes and bounds
how many wait: while the client does not read, the app's `send` waits; while the app does not receive, nothing
more is read from the client.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal, cast

from websockets.extensions import Extension
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from overgrow.asgi.response import AsgiClientDisconnected

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
BUFFER_BYTES = 64 * 1024  # of whole messages that wait for the app, and of bytes towards the client
MESSAGE_COST_BYTES = 64  # so that empty messages count too
CLOSE_HANDSHAKE_S = 10.0  # for the client to answer a close
HALF_CLOSED_S = 5.0  # for the client to end its sending after ours has ended

EndedBy = Literal["client", "migrated", "idle"]


class WebSocketConnection(asyncio.Protocol):
    """One open WebSocket. The event `lost` fires when the connection is gone; the app calls `close`."""

    transport: asyncio.Transport

    def __init__(self, extensions: Sequence[Extension], idle_s: float) -> None:
        self.opened = asyncio.Event()  # connected, or never to be
        self.lost = asyncio.Event()
        self.received_bytes = self.sent_bytes = 0
        self.ended_by: EndedBy | None = None
        self._loop = asyncio.get_running_loop()
        self._protocol = ServerProtocol(state=State.OPEN, max_size=MAX_MESSAGE_BYTES)
        self._protocol.extensions = list(extensions)
        self._idle_s = idle_s
        self._active_at_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._is_connected = False
        self._pieces: list[bytes] = []  # of a message whose end has not come
        self._is_text = False
        self._inbox: deque[dict[str, Any]] = deque()
        self._inbox_bytes = 0
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._disconnect: dict[str, Any] | None = None

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the messages of the app to the client from now on."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._is_connected = True
        self._timer = self._loop.call_later(self._idle_s, self._check_idle)
        self.opened.set()

    def data_received(self, data: bytes) -> None:
        """Feed the protocol, answer pings and close frames, and keep whole messages for the app."""
        self.received_bytes += len(data)
        self._active_at_s = self._loop.time()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._handle_frame(event)
        self._flush_and_check_end()

    def eof_received(self) -> bool:
        """Close the WebSocket: the client sends no more, and WebSocket has no half-closed state."""
        self._protocol.receive_eof()
        self._note_ended_by("client")
        self._flush_and_check_end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Tell the app that the connection is gone, and wake whoever waits."""
        self._is_connected = False
        self._note_ended_by("client")
        if self._timer is not None:
            self._timer.cancel()
        self._protocol.receive_eof()
        self._queue_disconnect()
        self.lost.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """Make the app's `send` wait, and stop reading from the client, because the client does not keep up."""
        self._writable.clear()
        self._update_reading()

    def resume_writing(self) -> None:
        """Let the app send again, because the client has caught up."""
        self._writable.set()
        self._update_reading()

    # For the app.

    @property
    def has_ended(self) -> bool:
        """Whether the WebSocket has ended. If so, the app gets the disconnect after the waiting messages."""
        return self._disconnect is not None

    async def next_message(self) -> dict[str, Any]:
        """Return the next message; after the last one the disconnect, with its code."""
        while not self._inbox:
            if self._disconnect is not None:
                return dict(self._disconnect)
            self._changed.clear()
            await self._changed.wait()
        found = self._inbox.popleft()
        self._inbox_bytes -= _cost_of(found)
        self._update_reading()
        return found

    async def send(self, data: str | bytes) -> None:
        """Send one message; wait while the client reads slowly.

        Raises:
            AsgiClientDisconnected: the WebSocket is closed or closing.

        """
        if not self._is_connected or self._protocol.state is not State.OPEN:
            raise AsgiClientDisconnected("The WebSocket is closed")
        if isinstance(data, str):
            self._protocol.send_text(data.encode())
        else:
            self._protocol.send_binary(data)
        self._active_at_s = self._loop.time()
        self._write_pending()
        await self._writable.wait()

    def close(self, code: int, reason: str = "") -> None:
        """If the closing handshake has not started, start it; drop the messages that the app has not read.

        Raises:
            websockets.exceptions.ProtocolError: a code or reason that cannot be sent.

        """
        if not self._is_connected or self._protocol.state is not State.OPEN:
            return
        self._protocol.send_close(code, reason)
        self._note_ended_by("migrated")
        self._write_pending()
        self._inbox.clear()
        self._inbox_bytes = 0
        self._update_reading()
        self._abort_after(CLOSE_HANDSHAKE_S)

    def close_for_restart(self) -> None:
        """Start the closing handshake with 1012, Service Restart (RFC 6455 7.4.1): the client connects again."""
        self.close(CloseCode.SERVICE_RESTART)

    def abandon(self) -> None:
        """Abort the connection; the app gets the disconnect."""
        self.opened.set()
        if self._is_connected:
            self.transport.abort()
        else:
            self.lost.set()
            self._queue_disconnect()

    # Within.

    def _handle_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._note_ended_by("client")
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            self._pieces.append(bytes(frame.data))
            if frame.fin:
                self._queue_message(b"".join(self._pieces))
                self._pieces.clear()

    def _queue_message(self, data: bytes) -> None:
        if self._protocol.close_sent and not self._protocol.close_rcvd:
            return  # the app has closed: it gets nothing but the disconnect
        message: dict[str, Any] = {"type": "websocket.receive", "bytes": data}
        if self._is_text:
            try:
                message = {"type": "websocket.receive", "text": data.decode()}
            except UnicodeDecodeError:
                self._fail_connection(CloseCode.INVALID_DATA, "the text is not UTF-8")
                return
        self._inbox.append(message)
        self._inbox_bytes += _cost_of(message)
        self._changed.set()

    def _fail_connection(self, code: CloseCode, reason: str) -> None:
        if not self._protocol.eof_sent:
            self._protocol.fail(code, reason)

    def _flush_and_check_end(self) -> None:
        """Send the protocol's replies to the bytes received, and check whether the connection ends."""
        self._write_pending()
        if self._protocol.eof_sent or self._protocol.close_rcvd is not None:
            self._queue_disconnect()
        self._update_reading()

    def _write_pending(self) -> None:
        for data in self._protocol.data_to_send():
            if not self._is_connected or self.transport.is_closing():
                continue
            if data:
                self.transport.write(data)
                self.sent_bytes += len(data)
            else:
                self._end_sending()

    def _end_sending(self) -> None:
        """If the closing handshake is complete, close (RFC 6455 7.1.1); else half-close, and read on for a while.

        Closing with unread bytes of the client could reset the connection, and our close frame would
        be lost.
        """
        is_clean = self._protocol.close_rcvd is not None and self._protocol.close_sent is not None
        if self.transport.can_write_eof() and not is_clean:
            self.transport.write_eof()
            self._abort_after(HALF_CLOSED_S)
        else:
            self.transport.close()

    def _update_reading(self) -> None:
        if not self._is_connected or self.transport.is_closing():
            return
        is_full = self._inbox_bytes >= BUFFER_BYTES or not self._writable.is_set()
        if is_full and self._protocol.state is State.OPEN:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _note_ended_by(self, name: EndedBy) -> None:
        self.ended_by = self.ended_by or name

    def _queue_disconnect(self) -> None:
        if self._disconnect is None:
            close = self._protocol.close_rcvd or self._protocol.close_sent
            code = close.code if close else int(CloseCode.ABNORMAL_CLOSURE)
            reason = close.reason if close else ""
            self._disconnect = {"type": "websocket.disconnect", "code": int(code), "reason": reason}
            self._changed.set()

    def _abort_after(self, seconds: float) -> None:
        """Abort the connection if it has not ended after `seconds`."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self.transport.abort)

    def _check_idle(self) -> None:
        left_s = self._active_at_s + self._idle_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check_idle)
            return
        self._note_ended_by("idle")
        self._fail_connection(CloseCode.GOING_AWAY, "idle")
        self._flush_and_check_end()


def _cost_of(message: dict[str, Any]) -> int:
    return len(message.get("text") or message.get("bytes") or b"") + MESSAGE_COST_BYTES
