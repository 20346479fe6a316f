"""What the parser takes and what it refuses, one step on either side of each bound."""

from __future__ import annotations

import asyncio

import pytest
from gunicorn.asgi.parser import LimitRequestHeaders, LimitRequestLine, ParseError

from overgrow.server.listener import ClientLimits
from overgrow.server.request_parser import HEAD_BYTES, RequestParser
from tests.unit.server.test_serving_connection import Visit, reading

LIMITS = ClientLimits()
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"


def parser():
    """A parser with a worker's own limits."""
    return RequestParser(
        limit_request_line=LIMITS.line_bytes,
        limit_request_fields=LIMITS.fields,
        limit_request_field_size=LIMITS.field_bytes,
    )


def outcome(data, cut=None):
    """The parser once it has read this, in two pieces where `cut` says so; or the error's type."""
    found = parser()
    try:
        for piece in [data] if cut is None else [data[:cut], data[cut:]]:
            found.feed(piece)
    except ParseError as error:
        return type(error)
    return found


def is_taken(data, cut=None):
    return not isinstance(outcome(data, cut), type)


def head_of(size):
    """A GET whose headers together have this size."""
    block = b"Host: a\r\n"
    while size - len(block) > 16_000:
        block += b"X-A: " + b"x" * 7_993 + b"\r\n"
    block += b"X-B: " + b"x" * (size - len(block) - 5)
    return b"GET / HTTP/1.1\r\n" + block + b"\r\n\r\n"


@pytest.mark.parametrize("cut", [None, 20, 40_000])
@pytest.mark.parametrize(("size", "taken"), [(HEAD_BYTES, True), (HEAD_BYTES + 1, False)])
def test_headers_of_64_kib_are_taken_and_not_a_byte_more(size, taken, cut):
    assert is_taken(head_of(size), cut) is taken


@pytest.mark.parametrize("cut", [None, 200])
@pytest.mark.parametrize(("count", "taken"), [(100, True), (101, False)])
def test_a_hundred_fields_are_taken_and_not_one_more(count, taken, cut):
    data = GET + b"X: y\r\n" * (count - 1) + b"\r\n"

    assert is_taken(data, cut) is taken
    assert taken or outcome(data, cut) is LimitRequestHeaders


@pytest.mark.parametrize(("size", "taken"), [(8190, True), (8191, False)])
def test_a_line_of_8190_bytes_is_taken_and_not_a_byte_more(size, taken):
    line = b"GET /" + b"x" * (size - len(b"GET / HTTP/1.1")) + b" HTTP/1.1"
    data = line + b"\r\nHost: a\r\n\r\n"

    assert is_taken(data) is taken
    assert taken or outcome(data) is LimitRequestLine


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(
            HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", id="both framings"
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", id="the other way"
        ),
        pytest.param(
            HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n",
            id="chunked in HTTP/1.0",
        ),
        pytest.param(b"GET / HTTP/1.1\r\nX-A: b\r\n\r\n", id="HTTP/1.1 without Host"),
    ],
)
@pytest.mark.parametrize("cut", [None, 20])
def test_a_head_that_two_readers_could_frame_in_two_ways_is_refused(head, cut):
    """RFC 9112 6.1, 6.3 and 3.2."""
    assert not is_taken(head, cut)


UPGRADE = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize(
    ("head", "is_upgrade"),
    [
        pytest.param(UPGRADE, True, id="a handshake"),
        pytest.param(GET + b"Upgrade: websocket\r\n", False, id="no Connection"),
        pytest.param(UPGRADE.replace(b"Upgrade\r\n", b"close\r\n", 1), False, id="another option"),
        pytest.param(UPGRADE.replace(b"websocket", b"h2c"), False, id="another protocol"),
        pytest.param(UPGRADE.replace(b"GET", b"POST"), False, id="another method"),
        pytest.param(UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"), False, id="HTTP/1.0"),
        pytest.param(UPGRADE + b"Content-Length: 1\r\n", False, id="a body"),
    ],
)
def test_an_upgrade_is_a_handshake_in_every_point(head, is_upgrade):
    """RFC 6455 4.1."""
    assert outcome(head + b"\r\n").is_upgrade is is_upgrade


@pytest.mark.parametrize(
    ("size", "is_refused"), [(b"7fffffffffffffff", False), (b"8000000000000000", True)]
)
def test_a_chunk_may_have_as_many_bytes_as_everybody_can_count(size, is_refused):
    async def scenario():
        visitor = Visit(reading)
        written = await visitor.send(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\nab"
        )
        if turn := visitor.connection._cycle:
            turn.task.cancel()
        await visitor.leave()
        return written.startswith(b"HTTP/1.1 400 ")

    assert asyncio.run(scenario()) is is_refused


def test_a_body_is_read_each_time_though_its_head_came_before():
    bodies = []
    found = RequestParser(on_body=bodies.append)
    for _ in range(4):
        data = HEAD + b"Content-Length: 3\r\n\r\nabc"
        assert not found.try_parse_repeated_request(data)
        found.feed(data)
        assert found.is_complete
        assert found.prepare_for_next_request() == b""

    assert bodies == [b"abc"] * 4


@pytest.mark.parametrize("target", [b"ftp://a/", b"http://user@a/", b"nonsense"])
def test_a_target_is_looked_at_each_time_though_its_headers_came_before(target):
    found = parser()
    for _ in range(3):
        if not found.try_parse_repeated_request(GET + b"\r\n"):
            found.feed(GET + b"\r\n")
        found.prepare_for_next_request()

    with pytest.raises(ParseError):
        found.feed(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")


def test_a_line_is_measured_each_time_though_its_headers_came_before():
    found = parser()
    for _ in range(3):
        if not found.try_parse_repeated_request(GET + b"\r\n"):
            found.feed(GET + b"\r\n")
        found.prepare_for_next_request()

    assert not found.try_parse_repeated_request(
        b"GET /" + b"x" * 8190 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    )
