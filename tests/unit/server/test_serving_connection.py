"""Connections and turns against a transport that only remembers: ASGI's rules, and a fuzz."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.exchange import Failure
from overgrow.server.connection import RESPONSE_AFTER_EOF_S, HttpConnection
from overgrow.server.listener import ClientLimits, ListenerState
from overgrow.server.pace import SlowClientPolicy
from overgrow.server.request_cycle import ClientDisconnected


class RememberedTransport(asyncio.Transport):
    """Keeps what is written; `unsent` is what a slow client has not taken."""

    def __init__(self, **extra) -> None:
        super().__init__({"peername": ("192.0.2.1", 5), "sockname": ("192.0.2.2", 80)} | extra)
        self.written = b""
        self.is_closed = self.is_aborted = self.has_ended = False
        self.unsent = 0

    def set_write_buffer_limits(self, high=None, low=None):
        self.high = high

    def get_write_buffer_size(self):
        return self.unsent

    def write(self, data):
        self.written += data

    def writelines(self, parts):
        self.written += b"".join(parts)

    def write_eof(self):
        self.has_ended = True

    def close(self):
        self.is_closed = True

    def abort(self):
        self.is_closed = self.is_aborted = True

    def is_closing(self):
        return self.is_closed

    def pause_reading(self):
        self.is_paused = True

    def resume_reading(self):
        self.is_paused = False


class Visit:
    """One connection to an app, inside a running loop."""

    def __init__(self, app, **limits) -> None:
        self.listener_state = ListenerState(
            "public", app, asyncio.get_running_loop(), ClientLimits(**limits)
        )
        self.connection = HttpConnection(self.listener_state)
        self.transport = RememberedTransport()
        self.connection.connection_made(self.transport)

    async def send(self, data: bytes) -> bytes:
        """Deliver bytes; what was written until nothing is left to do."""
        if not self.transport.is_closed:
            self.connection.data_received(data)
        for _ in range(20):
            await asyncio.sleep(0)
        return self.transport.written

    async def leave(self) -> None:
        self.connection.connection_lost(None)
        for _ in range(5):
            await asyncio.sleep(0)


def visited(app, *pieces: bytes, **limits) -> bytes:
    """What an app's visitor is sent, for the pieces it sends."""

    async def visit() -> bytes:
        visitor = Visit(app, **limits)
        for piece in pieces:
            await visitor.send(piece)
        written = visitor.transport.written
        await visitor.leave()
        return written

    return asyncio.run(visit())


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"body"}
MORE = {**BODY, "more_body": True}
TRAILERS = {"type": "http.response.trailers", "headers": []}


def sends(*messages):
    """An app that sends these messages and keeps what they raise."""

    async def app(scope, receive, send):
        for message in messages:
            try:
                await send(message)
            except RuntimeError as error:
                app.errors.append(str(error))

    app.errors = []
    return app


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([BODY], id="a body before its start"),
        pytest.param([START, START], id="two starts"),
        pytest.param([START, BODY, BODY], id="a body after the last"),
        pytest.param([{**START, "trailers": True}, BODY, BODY], id="a body before the trailers"),
        pytest.param([START, BODY, TRAILERS], id="trailers that were not announced"),
        pytest.param([{**START, "trailers": True}, MORE, TRAILERS], id="trailers before the end"),
        pytest.param([{**START, "status": 101}], id="a switch that is none"),
        pytest.param(
            [START, {"type": "http.response.informational", "status": 103}], id="late 103"
        ),
        pytest.param([{"type": "http.response.informational", "status": 101}], id="a bare 101"),
        pytest.param([{"type": "websocket.send"}], id="another protocol's message"),
        pytest.param([{**START, "headers": [(b"content-length", b"x")]}], id="no number"),
        pytest.param(
            [{**START, "headers": [(b"content-length", b"1"), (b"content-length", b"2")]}],
            id="two lengths",
        ),
        pytest.param(
            [{**START, "headers": [(b"content-length", b"3")]}, BODY], id="more than its length"
        ),
        pytest.param(
            [{**START, "headers": [(b"content-length", b"5")]}, BODY], id="less than its length"
        ),
        pytest.param([{**START, "headers": [(b"x y", b"1")]}], id="a name that is none"),
    ],
)
def test_an_app_that_breaks_the_protocol_is_told(messages):
    app = sends(*messages)

    visited(app, GET)

    assert len(app.errors) == 1


def test_equal_lengths_are_one():
    length = (b"content-length", b"4")

    written = visited(sends({**START, "headers": [length, length]}, BODY), GET)

    assert written.count(b"content-length: 4") == 1
    assert written.endswith(b"\r\n\r\nbody")


def test_a_status_without_a_phrase_is_sent_without_one():
    assert visited(sends({**START, "status": 299}, BODY), GET).startswith(b"HTTP/1.1 299 \r\n")


def test_a_refusal_has_its_body_though_the_requests_before_it_were_head():
    head = GET.replace(b"GET", b"HEAD")

    written = visited(sends(START, BODY), head, head, head, b"GARBAGE\r\n")

    assert written.endswith(b"\r\n\r\nThe request is malformed.\n")


def test_an_app_hears_disconnect_after_its_answer():
    heard = []

    async def app(scope, receive, send):
        heard.append((await receive())["type"])
        await send(START)
        await send(BODY)
        heard.append((await receive())["type"])

    visited(app, GET)

    assert heard == ["http.request", "http.disconnect"]


def test_an_app_that_sends_to_a_client_that_left_gets_an_os_error():
    async def visit() -> list[BaseException]:
        caught: list[BaseException] = []
        left = asyncio.Event()

        async def app(scope, receive, send):
            await left.wait()
            try:
                await send(START)
            except OSError as error:
                caught.append(error)
            scope["overgrow"].on_disconnect(lambda: caught.append(EOFError()))

        visitor = Visit(app)
        await visitor.send(GET)
        await visitor.leave()
        left.set()
        await asyncio.sleep(0.01)
        return caught

    # A callback that comes too late is called at once.
    assert [type(error) for error in asyncio.run(visit())] == [ClientDisconnected, EOFError]


def test_only_an_upgrade_without_an_answer_can_be_taken_over():
    errors = []

    async def app(scope, receive, send):
        try:
            scope["overgrow"].switch_protocol(asyncio.Protocol(), b"")
        except RuntimeError as error:
            errors.append(str(error))

    visited(app, GET)

    assert errors == ["Only an upgrade that has no response yet can be taken over"]


def test_draining_is_what_the_house_says():
    async def visit() -> list[bool]:
        seen = []

        async def app(scope, receive, send):
            seen.append(scope["overgrow"].is_draining)
            await send(START)
            await send(BODY)

        visitor = Visit(app)
        await visitor.send(GET)
        visitor.listener_state.is_leaving = True
        written = await visitor.send(GET)
        assert b"connection: close" in written
        return seen

    assert asyncio.run(visit()) == [False, True]


def test_a_slow_client_that_takes_something_is_given_more_time():
    async def visit() -> tuple[bool, bool]:
        async def app(scope, receive, send):
            await send(START)
            while True:
                await send(MORE)

        visitor = Visit(app, idle_s=5)
        visitor.transport.unsent = 100
        visitor.connection.data_received(GET)
        visitor.connection.pause_writing()
        await visitor.send(b"")
        now = visitor.connection.deadline + 0.1
        visitor.transport.unsent = 60
        visitor.listener_state.end_overdue_connections(now)
        was_given_more = not visitor.transport.is_aborted and visitor.connection.deadline > now
        visitor.listener_state.end_overdue_connections(visitor.connection.deadline + 0.1)
        await visitor.leave()
        return was_given_more, visitor.transport.is_aborted

    assert asyncio.run(visit()) == (True, True)


@pytest.mark.parametrize(
    ("unsent", "fate"),
    [
        pytest.param([0], "closed", id="has taken everything"),
        pytest.param([60, 60], "aborted", id="took something, then nothing"),
        pytest.param([60, 0], "closed", id="took everything in the end"),
    ],
)
def test_a_client_that_keeps_an_answer_waiting_is_not_idle(unsent, fate):
    async def visit() -> str:
        visitor = Visit(sends(START, BODY), keepalive_s=5)
        visitor.transport.unsent = 100
        await visitor.send(GET)
        for size in unsent:
            visitor.transport.unsent = size
            visitor.listener_state.end_overdue_connections(visitor.connection.deadline + 0.1)
        found = "aborted" if visitor.transport.is_aborted else "closed"
        return found if visitor.transport.is_closed else "open"

    assert asyncio.run(visit()) == fate


def test_far_beyond_the_limit_a_connection_is_reset_without_a_word():
    async def visit() -> tuple[bool, bool]:
        visitor = Visit(sends(), connections=0)
        visitor.listener_state.connections |= {
            HttpConnection(visitor.listener_state) for _ in range(1001)
        }
        late = HttpConnection(visitor.listener_state)
        transport = RememberedTransport()
        late.connection_made(transport)
        return visitor.transport.is_aborted, transport.is_aborted

    assert asyncio.run(visit()) == (False, True)


def test_a_body_is_read_only_as_far_as_the_app_keeps_up():
    async def visit() -> tuple[bool, bool]:
        go = asyncio.Event()

        async def app(scope, receive, send):
            await go.wait()
            while (await receive())["more_body"]:
                pass
            await send(START)
            await send(BODY)

        visitor = Visit(app)
        await visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n")
        for _ in range(4):
            await visitor.send(b"x" * 70_000)
        was_paused = visitor.transport.is_paused
        go.set()
        await visitor.send(b"")
        return was_paused, visitor.transport.is_paused

    assert asyncio.run(visit()) == (True, False)


POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
TINY = b"1\r\na\r\n"


def test_tiny_chunks_count_for_more_than_their_data():
    async def visit() -> bool:
        async def app(scope, receive, send):
            await asyncio.sleep(60)

        visitor = Visit(app)
        await visitor.send(POST)
        for _ in range(10):
            await visitor.send(TINY * 1_000)
        was_paused = visitor.transport.is_paused
        turn = visitor.connection._cycle
        turn.task.cancel()
        await visitor.leave()
        return was_paused

    assert asyncio.run(visit())


def test_tiny_chunks_are_read_in_steps_and_handed_over_in_few_pieces():
    async def visit() -> tuple[bool, bool, list[int]]:
        pieces: list[int] = []
        is_done = asyncio.Event()

        async def app(scope, receive, send):
            more = True
            while more:
                message = await receive()
                more = message["more_body"]
                pieces.append(len(message["body"]))
            is_done.set()
            await send(START)
            await send(BODY)

        visitor = Visit(app)
        visitor.connection.data_received(POST + TINY * 40_000 + b"0\r\n\r\n")
        was_paused = visitor.transport.is_paused
        arrived = visitor.connection._cycle.buffered_bytes
        await asyncio.wait_for(is_done.wait(), 60)
        await visitor.send(b"")
        is_paused = visitor.transport.is_paused
        await visitor.leave()
        assert arrived < 40_000 * 65 // 4
        return was_paused, is_paused, pieces

    was_paused, is_paused, pieces = asyncio.run(visit())

    assert (was_paused, is_paused, sum(pieces)) == (True, False, 40_000)
    assert len(pieces) < 400


def test_what_is_left_to_read_of_a_refused_request_is_dropped():
    async def visit() -> bytes:
        visitor = Visit(echo)
        visitor.connection.data_received(POST + TINY * 5_000 + b"zz" + TINY * 5_000)
        return await visitor.send(TINY)

    written = asyncio.run(visit())

    assert (written.count(b"HTTP/1.1 "), written[:12]) == (1, b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="chunked"),
        pytest.param([(b"content-length", b"9")], id="of a known length"),
    ],
)
def test_an_answer_that_breaks_at_once_is_cut_off_behind_its_head(headers):
    async def app(scope, receive, send):
        await send({**START, "headers": headers})
        raise OSError

    assert visited(app, GET).startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_answer_longer_than_its_length_is_cut_off_behind_its_head():
    app = sends({**START, "headers": [(b"content-length", b"3")]}, BODY)

    assert visited(app, GET).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "is_kept"),
    [
        pytest.param(GET, True, id="a whole request"),
        pytest.param(POST + b"1\r\na\r\n0\r\n\r\n", True, id="a whole body"),
        pytest.param(POST + TINY, False, id="half a body"),
        pytest.param(GET[:-2], False, id="half a head"),
        pytest.param(b"", False, id="no request"),
        pytest.param(
            GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", False, id="an upgrade"
        ),
    ],
)
def test_a_half_closed_client_is_waited_for_only_after_a_whole_request(request_bytes, is_kept):
    async def visit() -> bool:
        async def app(scope, receive, send):
            await asyncio.sleep(60)

        visitor = Visit(app)
        await visitor.send(request_bytes)
        found = visitor.connection.eof_received()
        if turn := visitor.connection._cycle:
            turn.task.cancel()
        await visitor.leave()
        return found

    assert asyncio.run(visit()) is is_kept


@pytest.mark.parametrize("behind", [b"", GET, GET[:-2]])
def test_the_last_response_to_a_half_closed_client_ends_its_connection(behind):
    async def visit() -> tuple[int, bool]:
        go = asyncio.Event()

        async def app(scope, receive, send):
            await go.wait()
            await send({**START, "headers": [(b"content-length", b"4")]})
            await send(BODY)

        visitor = Visit(app)
        await visitor.send(GET + behind)
        assert visitor.connection.eof_received()
        go.set()
        written = await visitor.send(b"")
        return written.count(b"HTTP/1.1 200"), visitor.transport.is_closed

    assert asyncio.run(visit()) == (2 if behind == GET else 1, True)


def test_a_refusal_is_told_to_whoever_asked():
    async def visit() -> list[Failure]:
        told: list[Failure] = []
        visitor = Visit(sends())
        visitor.listener_state.on_refused = told.append
        await visitor.send(b"nonsense\r\n\r\n")
        return told

    assert [(found.code, found.party) for found in asyncio.run(visit())] == [
        ("bad-request", "client")
    ]


async def echo(scope, receive, send):
    """Answer with the body, in chunks as they come or at once."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    length = (b"content-length", str(len(body)).encode())
    await send({**START, "headers": [length, (b"date", b"now")]})
    await send({"type": "http.response.body", "body": body})


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
SIZED = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd"
requests = st.lists(st.sampled_from([GET, CHUNKED, SIZED]), min_size=1, max_size=4)
sizes = st.lists(st.integers(1, 50), min_size=1, max_size=6)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data in pieces of these sizes, again and again."""
    pieces = []
    while data:
        for size in sizes:
            pieces.append(data[:size])
            data = data[size:]
    return [piece for piece in pieces if piece]


@given(requests, sizes)
@settings(deadline=None, max_examples=60)
def test_where_requests_are_cut_makes_no_difference_to_their_answers(requests, sizes):
    data = b"".join(requests)

    assert visited(echo, *cut(data, sizes)) == visited(echo, data)
    assert visited(echo, data).count(b"HTTP/1.1 200 ") == len(requests)


@given(
    st.lists(
        st.sampled_from([GET, CHUNKED, SIZED, b"\r\n", b"\x00", b"5\r\n"]) | st.binary(max_size=40)
    ),
    sizes,
)
@settings(deadline=None, max_examples=150)
def test_no_bytes_upset_a_connection_and_every_answer_is_one_of_ours(noise, sizes):
    written = visited(echo, *cut(b"".join(noise), sizes))

    answers = re.findall(rb"HTTP/1\.1 (\d{3}) ", written)
    assert set(answers) <= {b"200", b"400", b"414", b"431", b"501"}
    assert answers.count(b"200") >= len(answers) - 1  # after a refusal nothing more is answered


UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n"


@pytest.mark.parametrize(
    ("takes", "more", "is_gone"),
    [
        pytest.param(True, b"", False, id="its bytes are taken"),
        pytest.param(True, b"x" * 60_000, False, id="as much comes as is taken"),
        pytest.param(False, b"", True, id="nothing moves"),
    ],
)
def test_a_half_closed_client_has_left_once_its_body_is_not_read(takes, more, is_gone):
    """RFC 9112 9.6: its end shows long before what stands in front of it has been read."""

    async def app(scope, receive, send):
        while await taken.acquire():
            await receive()

    async def visit(own):
        visitor = Visit(app)
        visitor.connection._transport = visitor.transport = RememberedTransport(socket=own)
        for piece in [UPLOAD, *[b"x" * 60_000] * 8]:
            await visitor.send(piece)
        for _ in range(4):
            if takes:
                taken.release()
            await visitor.send(more)
            visitor.listener_state.end_overdue_connections(0)
        await asyncio.sleep(RESPONSE_AFTER_EOF_S * 1.5)
        return visitor.transport.is_aborted

    taken = asyncio.Semaphore(0)
    own, client = socket.socketpair()
    with own, client:
        client.shutdown(socket.SHUT_WR)
        assert asyncio.run(visit(own)) is is_gone


def test_a_client_that_takes_no_answers_is_asked_for_no_more_requests():
    served = []

    async def app(scope, receive, send):
        served.append(scope)
        await send(START)
        await send(BODY)

    async def run():
        visitor = Visit(app)
        await visitor.send(GET)
        visitor.connection.pause_writing()
        visitor.transport.unsent = 100_000
        await visitor.send(GET * 3)
        before, is_paused = len(served), visitor.transport.is_paused
        visitor.connection.resume_writing()
        await visitor.send(b"")
        after = len(served)
        await visitor.leave()
        return before, is_paused, after, visitor.transport.is_paused

    assert asyncio.run(run()) == (1, True, 4, False)


def paced(app, *pieces, is_events=False, slow_looks=2):
    """A visitor that has sent its pieces, seen at two looks a period apart."""

    async def run():
        visitor = Visit(app, slow=SlowClientPolicy(1024, 10.0))
        for piece in pieces:
            await visitor.send(piece)
        turn = visitor.connection._cycle
        turn.is_events = is_events
        for look in range(slow_looks):
            visitor.connection.measure_pace(1000.0 + 10 * look)
        rate = visitor.connection.rate_if_too_slow
        visitor.connection.end_slow_request()
        found = rate, visitor.transport.written, visitor.transport.is_aborted, turn.ended_as
        await visitor.leave()
        return found

    return asyncio.run(run())


async def reading(scope, receive, send):
    await receive()
    await receive()


HALF = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"


def test_a_slow_upload_is_ended_with_408_before_the_answer():
    rate, written, is_aborted, ended_as = paced(reading, HALF)

    assert rate == 0
    assert written.startswith(b"HTTP/1.1 408 ")
    assert b"x-overgrow-error: client-timeout\r\n" in written
    assert (is_aborted, ended_as.code, ended_as.party) == (False, "client-timeout", "client")


def test_a_slow_upload_is_broken_off_behind_the_head_of_its_answer():
    async def app(scope, receive, send):
        await send(START)
        await send(MORE)
        await reading(scope, receive, send)

    rate, written, is_aborted, _ = paced(app, HALF)

    assert (rate, is_aborted) == (0, True)
    assert b"408" not in written


def test_an_event_stream_is_never_slow():
    assert paced(reading, HALF, is_events=True)[0] is None


def test_a_client_whose_app_asks_for_nothing_is_not_slow():
    async def app(scope, receive, send):
        await asyncio.Event().wait()

    assert paced(app, HALF)[0] is None
