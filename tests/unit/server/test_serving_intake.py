"""Of many uploads that come at once a few are read in one turn of the loop."""

from __future__ import annotations

import asyncio

from overgrow.server.connection import MAX_BODY_BYTES, HttpConnection
from overgrow.server.listener import ListenerState
from overgrow.slow_clients.read_scheduler import SMALL_BYTES, ReadScheduler
from tests.unit.server.test_serving_connection import RememberedTransport

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n"


class Socket(RememberedTransport):
    is_paused = False


class Uploads:
    """Connections of one listener, two of which are read in one turn, each in the middle of an upload."""

    def __init__(self, count, app):
        self.listener_state = ListenerState("public", app, asyncio.get_running_loop())
        self.listener_state.read_scheduler = ReadScheduler(self.listener_state.loop, 2)
        self.made = []
        for _ in range(count):
            connection, transport = HttpConnection(self.listener_state), Socket()
            connection.connection_made(transport)
            connection.data_received(HEAD)
            self.made.append((connection, transport))

    def send(self, size):
        for connection, transport in self.made:
            if not transport.is_paused:
                connection.data_received(b"x" * size)

    @property
    def read(self):
        return [not transport.is_paused for _, transport in self.made]

    async def end(self):
        for connection, _ in self.made:
            connection.connection_lost(None)
        await asyncio.sleep(0.01)


def with_uploads(count, act, app=None):
    async def waits(scope, receive, send):
        await asyncio.sleep(60)

    async def run():
        uploads = Uploads(count, app or waits)
        try:
            return await act(uploads)
        finally:
            await uploads.end()

    return asyncio.run(run())


def test_many_uploads_are_read_a_few_at_a_time():
    async def act(uploads):
        uploads.send(SMALL_BYTES)
        at_once = uploads.read
        await asyncio.sleep(0)
        return at_once, uploads.read

    at_once, later = with_uploads(6, act)

    assert at_once == [True, True, False, False, False, False]
    assert later == [True, True, True, True, False, False]


def test_small_pieces_of_uploads_wait_for_no_turn():
    async def act(uploads):
        uploads.send(SMALL_BYTES - 1)
        return uploads.read

    assert all(with_uploads(6, act))


def test_an_upload_that_its_app_does_not_take_is_not_read_in_its_turn():
    async def act(uploads):
        uploads.send(SMALL_BYTES)
        waits, _ = uploads.made[2]
        waits.data_received(b"x" * MAX_BODY_BYTES)  # read before it was paused
        for _ in range(4):
            await asyncio.sleep(0)
        return uploads.read

    assert with_uploads(3, act) == [True, True, False]


def test_uploads_that_their_apps_take_go_on_a_few_at_a_time():
    may_take = []

    async def takes(scope, receive, send):
        await may_take[0].wait()
        await receive()
        await asyncio.sleep(60)

    async def act(uploads):
        may_take.append(asyncio.Event())
        await asyncio.sleep(0)
        uploads.send(MAX_BODY_BYTES)
        before = uploads.read
        may_take[0].set()
        read = []
        for _ in range(8):
            await asyncio.sleep(0)
            read.append(sum(uploads.read))
        return before, read

    before, read = with_uploads(6, act, takes)

    assert not any(before)
    assert max(now - then for then, now in zip([0, *read], read, strict=False)) <= 4
    assert read[-1] == 6


def test_a_client_that_leaves_while_it_waits_is_forgotten():
    async def act(uploads):
        uploads.send(SMALL_BYTES)
        uploads.made[2][0].connection_lost(None)
        return len(uploads.listener_state.read_scheduler._waiting)

    assert with_uploads(3, act) == 0


def test_an_upload_that_ends_while_it_waits_lets_its_client_ask_again():
    async def act(uploads):
        uploads.send(SMALL_BYTES)
        connection, transport = uploads.made[2]
        connection.start_next_request_or_close(connection._cycle, is_last=False)
        return transport.is_paused, len(uploads.listener_state.read_scheduler._waiting)

    assert with_uploads(3, act) == (False, 0)
