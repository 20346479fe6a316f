"""Who is let in, who is turned away and who is let go, to the exact number and moment."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest

from overgrow.caches.header_memo import PreparedHeaders
from overgrow.server.connection import YOUNG_IDLE_S, HttpConnection
from overgrow.server.listener import MAX_OVER_LIMIT, ClientLimits, ListenerState
from overgrow.server.pace import SlowClientPolicy
from overgrow.server.request_cycle import ClientDisconnected
from overgrow.server.response_head import build_header_block, date_line
from tests.unit.server.test_serving_connection import (
    BODY,
    GET,
    HALF,
    MORE,
    START,
    RememberedTransport,
    Visit,
    reading,
    sends,
    visited,
)

HANDSHAKE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


class Guests:
    """Clients of one listener, one after the other."""

    def __init__(self, most: int) -> None:
        self.listener_state = ListenerState(
            "public", sends(), asyncio.get_running_loop(), ClientLimits(connections=most)
        )

    def arrive(self) -> tuple[HttpConnection, RememberedTransport]:
        connection, transport = HttpConnection(self.listener_state), RememberedTransport()
        connection.connection_made(transport)
        return connection, transport

    def is_let_in(self) -> bool:
        return b" 503 " not in self.arrive()[1].written


def test_as_many_clients_are_let_in_as_may_be_and_not_one_more():
    async def scenario():
        guests = Guests(2)
        return [guests.is_let_in() for _ in range(4)]

    assert asyncio.run(scenario()) == [True, True, False, False]


def test_clients_turned_away_and_gone_leave_the_limit_as_it_was():
    async def scenario():
        guests = Guests(1)
        guests.arrive()
        for _ in range(3):
            refused, _ = guests.arrive()
            refused.connection_lost(None)
        return guests.is_let_in(), len(guests.listener_state.over_limit)

    assert asyncio.run(scenario()) == (False, 1)


def test_clients_turned_away_that_linger_take_no_room():
    async def scenario():
        guests = Guests(1)
        let_in, _ = guests.arrive()
        guests.arrive()
        let_in.connection_lost(None)
        return guests.is_let_in()

    assert asyncio.run(scenario())


def test_of_those_turned_away_the_oldest_makes_room():
    async def scenario():
        guests = Guests(0)
        arrived = [guests.arrive()[1] for _ in range(MAX_OVER_LIMIT + 1)]
        return [transport.is_closed for transport in arrived]

    assert asyncio.run(scenario()) == [True, *[False] * MAX_OVER_LIMIT]


@pytest.mark.parametrize(
    ("age_s", "unread", "is_closed"),
    [
        pytest.param(YOUNG_IDLE_S + 1, b"", True, id="idle"),
        pytest.param(YOUNG_IDLE_S / 2, b"", False, id="it may have a request under way"),
        pytest.param(YOUNG_IDLE_S + 1, b"G", False, id="a request has come"),
    ],
)
def test_a_leaving_worker_closes_what_waits_for_nothing(age_s, unread, is_closed):
    async def scenario(own):
        visitor = Visit(sends(START, BODY))
        visitor.connection._transport = visitor.transport = RememberedTransport(socket=own)
        visitor.connection.close_if_idle(visitor.listener_state.loop.time() + age_s)
        return visitor.transport.is_closed

    own, client = socket.socketpair()
    with own, client:
        client.send(unread)
        assert asyncio.run(scenario(own)) is is_closed


@pytest.mark.parametrize("closes_idle", [False, True])
def test_a_refused_client_that_still_sends_is_read_until_the_worker_ends(closes_idle):
    async def scenario():
        visitor = Visit(sends())
        await visitor.send(b"nonsense\r\n\r\n")
        visitor.listener_state.closes_idle = closes_idle
        visitor.connection.deadline = before = visitor.connection.deadline - 1.0
        await visitor.send(b"more")
        return visitor.connection.deadline > before, visitor.transport.is_closed

    assert asyncio.run(scenario()) == (not closes_idle, False)


def test_a_refused_client_is_not_listened_to_beyond_the_limit():
    async def scenario():
        visitor = Visit(sends(), linger_s=5.0, linger_max_s=7.0)
        await visitor.send(b"nonsense\r\n\r\n")
        last = visitor.connection._linger_by
        visitor.connection._linger_by -= 6.0  # as if it had sent for so long
        visitor.connection.deadline = 0.0
        await visitor.send(b"more")
        return last - visitor.connection.deadline

    assert asyncio.run(scenario()) == pytest.approx(6.0)


def test_an_app_that_waits_for_a_slow_client_hears_of_its_leaving():
    caught = []

    async def app(scope, receive, send):
        await send(START)
        try:
            while True:
                await send(MORE)
        except ClientDisconnected as error:
            caught.append(error)

    async def scenario():
        visitor = Visit(app)
        visitor.connection.data_received(GET)
        visitor.connection.pause_writing()
        await visitor.send(b"")
        await visitor.leave()

    asyncio.run(scenario())

    assert len(caught) == 1


def test_what_belongs_to_a_client_ends_with_it():
    class AttachedLogin:
        ended = 0

        def end_connection_to_legacy(self):
            self.ended += 1

    async def scenario():
        visitor = Visit(sends())
        visitor.connection.attached_login = attached_login = AttachedLogin()
        await visitor.leave()
        return attached_login.ended

    assert asyncio.run(scenario()) == 1


def test_a_connection_that_is_over_is_held_by_nothing_of_its_own():
    async def scenario():
        visitor = Visit(sends(START, BODY))
        await visitor.send(GET)
        await visitor.leave()
        del visitor
        return alive() - before

    def alive():
        return {id(each) for each in gc.get_objects() if type(each) is HttpConnection}

    gc.collect()
    gc.disable()
    before = alive()
    try:
        assert asyncio.run(scenario()) == set()
    finally:
        gc.enable()


def test_a_malformed_rest_breaks_the_response_without_a_second_one():
    async def app(scope, receive, send):
        await send(START)
        await send(MORE)
        await reading(scope, receive, send)

    async def scenario():
        visitor = Visit(app)
        await visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        written = await visitor.send(b"zz\r\n")
        return written.count(b"HTTP/1.1 "), visitor.transport.is_aborted

    assert asyncio.run(scenario()) == (1, True)


def test_connect_is_refused_before_any_app_hears_of_it():
    """RFC 9110 9.3.6: this is no proxy to tunnel through."""
    app = sends(START, BODY)

    async def scenario():
        return await Visit(app).send(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")

    written = asyncio.run(scenario())
    assert written.startswith(b"HTTP/1.1 501 ")
    assert written.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(("moved", "is_slow"), [(10_239, True), (10_240, False)])
def test_a_client_exactly_at_the_rate_is_not_slow(moved, is_slow):
    async def scenario():
        visitor = Visit(reading, slow=SlowClientPolicy(1024, 10.0))
        await visitor.send(HALF)
        visitor.connection.measure_pace(1000.0)
        visitor.connection.moved_bytes += moved
        visitor.connection.measure_pace(1010.0)
        rate = visitor.connection.rate_if_too_slow
        visitor.connection._cycle.task.cancel()
        await visitor.leave()
        return rate is not None

    assert asyncio.run(scenario()) is is_slow


@pytest.mark.parametrize("leaves_first", [False, True])
def test_a_connection_is_taken_over_once_while_its_client_is_connected(leaves_first):
    errors = []

    async def app(scope, receive, send):
        await go.wait()
        for _ in range(2):
            try:
                scope["overgrow"].switch_protocol(asyncio.Protocol(), b"")
            except (RuntimeError, ClientDisconnected) as error:
                errors.append(type(error))

    async def scenario():
        visitor = Visit(app)
        await visitor.send(HANDSHAKE)
        if leaves_first:
            await visitor.leave()
        go.set()
        await visitor.send(b"")

    go = asyncio.Event()
    asyncio.run(scenario())

    assert errors == ([ClientDisconnected] * 2 if leaves_first else [RuntimeError])


def ready(length=b"4"):
    """Headers of an answer whose lines are made, as most answers of legacy have them."""
    fields = PreparedHeaders([(b"content-length", length)])
    fields.lines, fields.length = b"content-length: %b\r\n" % length, length
    fields.has_date = True
    return fields


def answered_in_one_step(request_bytes, *, is_leaving=False, headers=None):
    async def app(scope, receive, send):
        scope["overgrow"].send_response(200, headers or ready(), b"body")

    async def scenario():
        visitor = Visit(app)
        visitor.listener_state.is_leaving = is_leaving
        return await visitor.send(request_bytes), visitor.transport

    written, transport = asyncio.run(scenario())
    return written, transport.is_closed or transport.has_ended


OLD = b"GET / HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "is_leaving", "last_line", "body", "is_over"),
    [
        pytest.param(GET, False, b"content-length: 4", b"body", False, id="stays"),
        pytest.param(GET, True, b"connection: close", b"body", True, id="the worker leaves"),
        pytest.param(HALF, False, b"connection: close", b"body", True, id="half a body"),
        pytest.param(OLD, False, b"connection: close", b"body", True, id="HTTP/1.0"),
        pytest.param(
            GET.replace(b"GET", b"HEAD"), False, b"content-length: 4", b"", False, id="HEAD"
        ),
        pytest.param(
            OLD[:-2] + b"Connection: keep-alive\r\n\r\n", False, b"connection: keep-alive",
            b"body", False, id="HTTP/1.0 that stays",
        ),
    ],
)  # fmt: skip
def test_an_answer_in_one_step_is_framed_like_any_other(
    request_bytes, is_leaving, last_line, body, is_over
):
    written, has_ended = answered_in_one_step(request_bytes, is_leaving=is_leaving)

    head, _, found = written.partition(b"\r\n\r\n")
    assert (head.rpartition(b"\r\n")[2], found, has_ended) == (last_line, body, is_over)


def test_a_reason_that_could_end_its_line_is_never_sent():
    errors = []

    async def app(scope, receive, send):
        try:
            scope["overgrow"].send_response(200, ready(), b"body", b"OK\r\nset-cookie: a=1")
        except RuntimeError as error:
            errors.append(str(error))

    async def scenario():
        return await Visit(app).send(GET)

    assert b"set-cookie" not in asyncio.run(scenario())
    assert errors == ["A reason phrase is not valid"]


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_cannot_have_a_body_has_neither_body_nor_framing(status):
    """RFC 9110 15.3.5 and 15.4.5: what stood behind it would be the next answer."""
    written = visited(sends({**START, "status": status}, BODY), GET)

    head, _, body = written.partition(b"\r\n\r\n")
    assert (body, b"transfer-encoding" in head, b"content-length" in head) == (b"", False, False)


@pytest.mark.parametrize(("status", "is_kept"), [(204, False), (304, True), (200, True)])
def test_a_204_alone_loses_its_length(status, is_kept):
    """RFC 9110 8.6."""
    headers = [(b"content-length", b"4")]

    written = visited(sends({**START, "status": status, "headers": headers}, BODY), GET)

    assert (b"content-length: 4" in written) is is_kept


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param((b"x-a", b"b\r\nset-cookie: c=1"), id="a line of its own"),
        pytest.param((b"x-a", b"b\r\n\r\nbody"), id="the end of the head"),
        pytest.param((b"x-a: b\r\nx-c", b"d"), id="a name that begins another line"),
        pytest.param((b"x-a", b"b\nc"), id="a bare LF"),
    ],
)
def test_a_header_that_could_become_two_is_never_sent(pair):
    with pytest.raises(RuntimeError, match="not valid"):
        build_header_block([pair])


@pytest.mark.parametrize("name", [b"Transfer-Encoding", b"Connection", b"Keep-Alive"])
def test_what_is_the_connections_own_business_is_not_an_apps_to_say(name):
    """RFC 9110 7.6.1."""
    written = visited(sends({**START, "headers": [(name, b"odd"), (b"X-Kept", b"1")]}, BODY), GET)

    assert b"odd" not in written
    assert b"X-Kept: 1\r\n" in written


def test_what_was_taken_of_a_body_counts_no_more():
    """What a chunk costs beside its data is taken with it: else the client would wait for ever."""
    counted = []

    async def app(scope, receive, send):
        for _ in range(100):
            await receive()
            counted.append(scope["overgrow"].buffered_bytes)

    async def scenario():
        visitor = Visit(app)
        await visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            await visitor.send(b"1\r\na\r\n")
        await visitor.leave()

    asyncio.run(scenario())

    assert counted == [0] * 100


def test_a_client_that_waits_to_be_asked_is_asked_once():
    """RFC 9110 15.2.1."""

    async def scenario():
        visitor = Visit(reading)
        expecting = HALF.replace(b"\r\n\r\nhalf", b"\r\nExpect: 100-continue\r\n\r\n")
        await visitor.send(expecting)
        asked_first = visitor.transport.written
        written = await visitor.send(b"half")
        await visitor.leave()
        return asked_first, written

    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert asyncio.run(scenario()) == (go_on, go_on)


def test_each_second_has_a_date_of_its_own(monkeypatch):
    now_s = [1_700_000_000]
    monkeypatch.setattr("overgrow.server.response_head.time.time", lambda: now_s[0])
    first = date_line()
    now_s[0] += 1

    assert (first, date_line()) == (
        b"date: Tue, 14 Nov 2023 22:13:20 GMT\r\n",
        b"date: Tue, 14 Nov 2023 22:13:21 GMT\r\n",
    )
