"""The bounds of what an upstream may send, to the exact byte and number."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from overgrow.forwarding.client.errors import Malformed
from overgrow.forwarding.client.request import OutgoingRequest
from overgrow.forwarding.client.response_cycle import _INTERIM_LIMIT, STATES, ResponseCycle
from overgrow.forwarding.client.response_parser import HEAD_LIMIT_BYTES, find_head_end, parse_head
from overgrow.forwarding.client.timeouts import DEFAULT_TIMEOUTS

STRICT = frozenset()
LINE = b"HTTP/1.1 200 OK\r\n"


class Quiet:
    """A connection that does nothing."""

    leniencies = STRICT
    is_private = False
    login = None

    def __init__(self):
        self.loop = asyncio.get_running_loop()

    def release_or_close(self, *, reusable):
        self.is_reusable = reusable

    def close(self):
        pass


def head_of_size(size):
    filler = size - len(LINE) - len(b"a: \r\n\r\n")
    return LINE + b"a: " + b"x" * filler + b"\r\n\r\n"


def test_a_head_of_64_kib_is_taken():
    head = head_of_size(HEAD_LIMIT_BYTES)

    assert find_head_end(head, 0, STRICT) == HEAD_LIMIT_BYTES == 65_536


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_head_of_one_byte_more_is_refused_whole_or_not(is_whole):
    head = head_of_size(HEAD_LIMIT_BYTES + 1 + (0 if is_whole else 4))

    with pytest.raises(Malformed, match="larger than 65536 bytes"):
        find_head_end(head if is_whole else head[:-4], 0, STRICT)


@pytest.mark.parametrize(
    ("length", "is_taken"),
    [(2**63 - 1, True), (2**63, False), (10**18, True), (10**19, False)],
)
def test_a_length_is_a_number_below_two_to_the_63(length, is_taken):
    head = LINE + b"content-length: %d\r\n\r\n" % length
    if is_taken:
        assert parse_head(head, "GET", STRICT).length == length
        return
    with pytest.raises(Malformed):
        parse_head(head, "GET", STRICT)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_cannot_have_a_body_has_none_whatever_it_says(status):
    head = b"HTTP/1.1 %d x\r\ncontent-length: 5\r\n\r\n" % status

    assert parse_head(head, "GET", STRICT).length == 0


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        (b"1.1", b"x", True),
        (b"1.1", b"x, close", False),
        (b"1.0", b"x", False),
        (b"1.0", b"keep-alive", True),
        (b"1.0", b"keep-alive, close", False),
    ],
)
def test_a_connection_is_kept_where_its_version_or_both_sides_say_so(version, connection, keeps):
    """RFC 9112 9.3."""
    lines = b"HTTP/%b 200 OK\r\nconnection: %b\r\ncontent-length: 0\r\n\r\n"

    assert parse_head(lines % (version, connection), "GET", STRICT).keeps is keeps


@pytest.mark.parametrize(("more", "outcome"), [(0, 200), (1, httpx.RemoteProtocolError)])
def test_as_many_interim_answers_are_read_as_may_be_and_not_one_more(more, outcome):
    async def scenario():
        parts = ("GET", b"", None, None, DEFAULT_TIMEOUTS)
        exchange = ResponseCycle(Quiet(), OutgoingRequest(*parts, informs=False))
        for _ in range(_INTERIM_LIMIT + more):
            exchange.receive(b"HTTP/1.1 102 Processing\r\n\r\n")
        if exchange.connection is not None:
            exchange.receive(LINE + b"content-length: 2\r\n\r\nok")
        try:
            return (await exchange.response_head).status
        except httpx.TransportError as error:
            return type(error)

    assert asyncio.run(scenario()) == outcome


def test_each_state_of_a_response_has_a_method_that_reads_it():
    assert ResponseCycle._READERS.keys() == STATES.keys()
