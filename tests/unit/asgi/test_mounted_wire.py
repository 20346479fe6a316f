"""An open WebSocket against a connection that only remembers: what waits, and for how long."""

from __future__ import annotations

import asyncio

import pytest
from websockets.frames import Frame, Opcode

from overgrow.asgi import websocket as mounted_wire
from overgrow.asgi.websocket import (
    BUFFER_BYTES,
    MAX_MESSAGE_BYTES,
    MESSAGE_COST_BYTES,
    WebSocketConnection,
)

WAIT_S = 60.0  # a bound on a wait that succeeds costs nothing


class Transport(asyncio.Transport):
    """A connection that only remembers."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.is_paused = False
        self.aborted = asyncio.Event()

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def is_closing(self):
        return self.aborted.is_set()

    def can_write_eof(self):
        return False

    def write(self, data):
        self.written += data

    def pause_reading(self):
        self.is_paused = True

    def resume_reading(self):
        self.is_paused = False

    def close(self):
        pass

    def abort(self):
        self.aborted.set()


def binary(data):
    return Frame(Opcode.BINARY, data).serialize(mask=True)


def opened(idle_s=60.0):
    socket, transport = WebSocketConnection([], idle_s), Transport()
    socket.connection_made(transport)
    return socket, transport


def running(work):
    """What `work(socket, transport)` finds, in a loop that ends the connection afterwards."""

    async def scenario():
        socket, transport = opened()
        found = work(socket, transport)
        found = await found if asyncio.iscoroutine(found) else found
        socket.connection_lost(None)
        return found

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("size", "is_refused"), [(MAX_MESSAGE_BYTES, False), (MAX_MESSAGE_BYTES + 1, True)]
)
def test_a_message_of_16_mib_is_taken_and_not_a_byte_more(size, is_refused):
    """RFC 6455 7.4.1: 1009, told by the frame's head before its bytes are here."""

    def work(socket, transport):
        socket.data_received(b"\x82\xff" + size.to_bytes(8) + b"\0\0\0\0")
        return (1009).to_bytes(2) in transport.written

    assert MAX_MESSAGE_BYTES == 16 * 1024 * 1024
    assert running(work) is is_refused


@pytest.mark.parametrize(
    ("messages", "is_paused"),
    [
        pytest.param(
            [b""] * (BUFFER_BYTES // MESSAGE_COST_BYTES - 1), False, id="a few empty ones"
        ),
        pytest.param([b""] * (BUFFER_BYTES // MESSAGE_COST_BYTES), True, id="many empty ones"),
        pytest.param([b"x" * BUFFER_BYTES], True, id="a large one"),
    ],
)
def test_a_client_is_read_no_further_than_its_app_receives(messages, is_paused):
    async def work(socket, transport):
        socket.data_received(b"".join(map(binary, messages)))
        before = transport.is_paused
        for _ in messages:
            await socket.next_message()
        return before, transport.is_paused

    assert running(work) == (is_paused, False)


def test_a_client_that_takes_nothing_is_not_read_either():
    """Each ping is answered: who only asks would fill the memory."""

    def work(socket, transport):
        socket.pause_writing()
        paused = transport.is_paused
        socket.resume_writing()
        return paused, transport.is_paused

    assert running(work) == (True, False)


def test_a_close_that_the_client_does_not_answer_ends_in_time(monkeypatch):
    monkeypatch.setattr(mounted_wire, "CLOSE_HANDSHAKE_S", 0.01)

    async def work(socket, transport):
        socket.close(1000)
        async with asyncio.timeout(WAIT_S):
            await transport.aborted.wait()
        return transport.aborted.is_set()

    assert running(work)


@pytest.mark.parametrize("from_client", [True, False])
def test_a_message_either_way_keeps_a_websocket_open(from_client):
    async def work(socket, _transport):
        socket._active_at_s = 0.0
        if from_client:
            socket.data_received(binary(b"a"))
        else:
            await socket.send(b"a")
        return socket._active_at_s > 0

    assert running(work)


def test_a_websocket_that_is_over_waits_for_nothing():
    async def scenario():
        socket, _ = opened()
        socket.connection_lost(None)
        return socket._timer.cancelled()

    assert asyncio.run(scenario())
