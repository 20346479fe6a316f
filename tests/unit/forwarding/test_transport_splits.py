"""However the bytes are cut on their way, the answer is the same."""

import asyncio
import itertools
import socket

import h11
import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overgrow.forwarding.client.connection import UpstreamConnection
from overgrow.forwarding.client.request import OutgoingRequest
from overgrow.forwarding.client.response_parser import LENIENCIES
from overgrow.forwarding.client.timeouts import DEFAULT_TIMEOUTS

RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nL: m\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "close": b"HTTP/1.0 200\r\n\r\nuntil the end",
    "excess": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
    "excess chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n",
    "bad header": b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX",
    "truncated": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    "garbage": b"garbage\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\nA: b\n c\nContent-Length: 2, 2\n\nok",
}


class SilentTransport(asyncio.Transport):
    """Takes everything, sends nothing, and knows whether it was closed."""

    closing = False

    def set_write_buffer_limits(self, high=None, low=None): ...
    def write(self, data): ...
    def pause_reading(self): ...
    def resume_reading(self): ...

    def is_closing(self):
        return self.closing

    def get_extra_info(self, name, default=None):
        return default

    def abort(self):
        self.closing = True


class Owner:
    """A pool of nothing that notes what became of the connection."""

    wake_at = float("inf")

    def __init__(self):
        self.released = False

    def release(self, connection):
        self.released = True

    def remove_connection(self, connection):
        self.released = False

    def stop_counting(self, connection): ...
    def on_socket_closed(self, connection): ...
    def on_socket_open(self, connection): ...
    def suspend_reuse(self): ...

    def set_timer_no_later_than(self, deadline): ...


async def read(pieces, leniencies, method):
    """Feed pieces to a connection; returns everything that can be seen of the answer."""
    owner, transport = Owner(), SilentTransport()
    connection = UpstreamConnection(asyncio.get_running_loop(), owner, leniencies)
    connection.connection_made(transport)
    outgoing = OutgoingRequest(method, b"", None, None, DEFAULT_TIMEOUTS, informs=True)
    exchange = connection.start_exchange(outgoing)
    for piece in pieces:
        if not transport.closing:
            connection.data_received(piece)
    connection.connection_lost(None)
    return await seen(exchange), owner.released


async def seen(exchange):
    """List the heads, the body, the trailers and the error of an exchange."""
    heads, body = [], b""
    try:
        heads.append(await exchange.response_head)
        while heads[-1].status < 200:
            heads.append(await exchange.next_head())
        async for chunk in exchange.readable_body:
            body += chunk
    except httpx.TransportError as error:
        return heads, body, [], (type(error), error.stage, str(error))
    return heads, body, exchange.readable_body.trailers(), None


def cut(data, places):
    """Cut data at these places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


ALL = frozenset(LENIENCIES)


@pytest.mark.parametrize("leniencies", [frozenset(), ALL], ids=["strict", "lenient"])
@pytest.mark.parametrize("name", RESPONSES)
def test_an_answer_byte_by_byte_is_the_same_answer(name, leniencies):
    data = RESPONSES[name]

    whole, _ = asyncio.run(read([data], leniencies, "GET"))
    pieces, _ = asyncio.run(read([bytes([byte]) for byte in data], leniencies, "GET"))

    assert pieces == whole


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(RESPONSES)),
    st.lists(st.integers(0, 200), max_size=6),
    st.sampled_from(["GET", "HEAD"]),
    st.booleans(),
)
@example("chunks", [40, 55, 56, 57], "GET", False)
def test_an_answer_cut_anywhere_is_the_same_answer(name, places, method, lenient):
    data, leniencies = RESPONSES[name], ALL if lenient else frozenset()

    whole, _ = asyncio.run(read([data], leniencies, method))
    pieces, _ = asyncio.run(read(cut(data, places), leniencies, method))

    assert pieces == whole


FRAMING_TRAILERS = [
    pytest.param([(b"Content-Length", b"3")], id="the length"),
    pytest.param([(b"content-length", b"99")], id="another length"),
    pytest.param([(b"Content-Length", b"nonsense")], id="no length"),
    pytest.param([(b"Content-Length", b"")], id="an empty length"),
    pytest.param([(b"Content-Length", b"1"), (b"Content-Length", b"2")], id="two lengths"),
    pytest.param([(b"X-Sum", b"1"), (b"CONTENT-LENGTH", b"9" * 40)], id="behind another"),
    pytest.param([(b"Content-Length", b"1"), (b"X-Sum", b"1")], id="before another"),
    pytest.param([(b"0", b"1"), (b"Content-Length", b"1")], id="behind a name of a zero"),
    pytest.param([(b"Transfer-Encoding", b"gzip")], id="a coding"),
    pytest.param([(b"Transfer-Encoding", b"chunked"), (b"Connection", b"close")], id="chunked"),
    pytest.param([(b"Connection", b"upgrade"), (b"Upgrade", b"h2c")], id="an upgrade"),
]


@pytest.mark.parametrize("body", [b"abc", b"\r\n0\r\nContent-Length: 3\r\n\r\n"])
@pytest.mark.parametrize("trailers", FRAMING_TRAILERS)
def test_trailers_that_look_like_framing_frame_nothing(trailers, body):
    fields = b"".join(b"%b: %b\r\n" % pair for pair in trailers)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = head + b"%x\r\n%b\r\n000;a=b\r\n%b\r\n" % (len(body), body, fields)
    pieces = [[data[:at], data[at:]] for at in range(1, len(data))]
    pieces += [[data], [bytes([byte]) for byte in data]]

    for each in pieces:
        (_, read_body, read_trailers, error), _ = asyncio.run(read(each, frozenset(), "GET"))
        assert (read_body, read_trailers, error) == (body, trailers, None), each


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_any_chunks_come_out_as_they_went_in(parts, places):
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"

    (heads, body, trailers, error), _ = asyncio.run(read(cut(data, places), frozenset(), "GET"))

    assert (len(heads), body, trailers, error) == (1, b"".join(parts), [], None)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 80), st.lists(st.integers(0, 200), max_size=4))
def test_noise_never_raises_anything_but_transport_errors(noise, at, places):
    data = RESPONSES["chunks"]
    noisy = data[:at] + noise + data[at:]

    whole, _ = asyncio.run(read([noisy], frozenset(), "GET"))
    pieces, _ = asyncio.run(read(cut(noisy, places), frozenset(), "GET"))

    assert (pieces[1], pieces[2], pieces[3] is None) == (whole[1], whole[2], whole[3] is None)


@pytest.mark.parametrize(
    ("name", "reusable"),
    [
        ("length", True),
        ("chunks", True),
        ("interim", True),
        ("excess", False),
        ("excess chunk", False),
        ("close", False),
    ],
)
def test_only_an_answer_that_ends_exactly_leaves_the_connection_usable(
    name, reusable
):  # RFC 9112 9.3
    async def released():
        owner, transport = Owner(), SilentTransport()
        connection = UpstreamConnection(asyncio.get_running_loop(), owner, frozenset())
        connection.connection_made(transport)
        connection.start_exchange(
            OutgoingRequest("GET", b"", None, None, DEFAULT_TIMEOUTS, informs=True)
        )
        connection.data_received(RESPONSES[name])
        return owner.released and not transport.closing

    assert asyncio.run(released()) is reusable


FIELDS = [
    b"Content-Length: 2", b"Content-Length: 3", b"content-length:2 ", b"Content-Length: 2, 2", b"Content-Length: 02",
    b"Content-Length : 2", b"Content-Length: +2", b"Content-Length:", b"Content-Length: 2;", b"Content-Length: \t2",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked ", b"transfer-encoding:chunked", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked,", b"Transfer_Encoding: chunked", b"Transfer-Encoding:",
    b"Connection: close", b"Connection: keep-alive", b"A: b", b"A:", b" folded: x", b"\tContent-Length: 3", b"A: b\rC: d",
    b"A: b\nContent-Length: 3", b"A: \xe4", b"A: \x00", b"A: \x0b", b"A", b": b", b"A\x00: b", b"X: y\r", b"\r",
]  # fmt: skip
BODIES = [
    b"ok",
    b"okay",
    b"2\r\nok\r\n0\r\n\r\n",
    b"2\r\nok\r\n0\r\n\r\nrest",
    b"0\r\n\r\n",
    b"2\nok\n0\n\n",
    b"2;a=b\r\nok\r\n0\r\nT: u\r\n\r\n",
    b"",
    b"g\r\n",
]
STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 204 No",
    b"HTTP/1.1 304 X",
    b"HTTP/1.1 200",
    b"HTTP/1.1 100 C",
]


def h11_reads(data, method):
    """Return status, headers and body as h11 reads them; None if it refuses."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    client.receive_data(b"")
    head, body = None, b""
    try:
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return head.status_code, [(n, v.lower()) for n, v in head.headers], body
            elif event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(STATUS_LINES),
    st.lists(st.sampled_from(FIELDS), max_size=4),
    st.sampled_from(BODIES),
    st.sampled_from(["GET", "HEAD"]),
)
def test_what_is_accepted_another_strict_reader_reads_alike(
    line, fields, body, method
):  # RFC 9112 11.2
    data = b"".join(part + b"\r\n" for part in (line, *fields, b"")) + body

    (heads, received, _, error), _ = asyncio.run(read([data], frozenset(), method))

    if error is None:
        final = heads[-1]
        headers = [(name.lower(), value.lower()) for name, value in final.headers]
        assert (final.status, headers, received) == h11_reads(data, method)


@pytest.mark.parametrize(
    ("head", "statuses", "size"),
    [
        pytest.param(
            b"HTTP/1.1 413 No\r\nContent-Length: 65494\r\n\r\n", [413], 65_494, id="whole"
        ),
        pytest.param(b"HTTP/1.1 413 No\r\nA b: c\r\n\r\n", [], 0, id="not HTTP"),
    ],
)
def test_of_what_a_reset_overtook_nothing_is_read_beyond_the_answer(head, statuses, size):
    """It is read in pieces of 65,536 bytes; here the first of them says all."""

    class Socketed(SilentTransport):
        def get_extra_info(self, name, default=None):
            return ours if name == "socket" else default

    async def lost():
        connection = UpstreamConnection(asyncio.get_running_loop(), Owner(), frozenset())
        connection.connection_made(Socketed())
        stream = httpx.ByteStream(b"unsent")
        outgoing = OutgoingRequest("POST", b"", stream, 6, DEFAULT_TIMEOUTS, informs=False)
        exchange = connection.start_exchange(outgoing)
        connection.connection_lost(ConnectionResetError())
        return await seen(exchange)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(head.ljust(65_536, b"x") + b"more")
        theirs.shutdown(socket.SHUT_WR)
        heads, body, *_ = asyncio.run(lost())

    assert ([each.status for each in heads], len(body)) == (statuses, size)
