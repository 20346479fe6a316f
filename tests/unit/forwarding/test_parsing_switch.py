"""A 101 as a head: only where it was asked for, and never behind another answer."""

from __future__ import annotations

import pytest

from overgrow.forwarding.client.errors import Malformed
from overgrow.forwarding.client.response_parser import ResponseParser, parse_head

STRICT: frozenset[str] = frozenset()
SWITCHED = b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket \r\n\r\n"
IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_101_that_was_asked_for_is_an_answer_without_a_body():
    answer = parse_head(SWITCHED, "GET", STRICT, upgrades=True)

    assert (answer.status, answer.length) == (101, 0)
    assert (b"Upgrade", b"websocket") in answer.headers


@pytest.mark.parametrize(
    ("head", "upgrades"),
    [
        pytest.param(SWITCHED, False, id="not asked for"),
        pytest.param(SWITCHED.replace(b"1.1", b"1.0"), True, id="HTTP/1.0 has no 101"),
    ],
)
def test_another_101_is_malformed(head, upgrades):
    with pytest.raises(Malformed, match="101"):
        parse_head(head, "GET", STRICT, upgrades=upgrades)


def test_a_101_behind_a_chunked_body_is_excess_like_any_other():
    parser = ResponseParser(STRICT)
    parser.begin_chunks()
    parser.feed(b"2\r\nno\r\n0\r\n\r\n" + SWITCHED)

    assert (parser.pop_data(), parser.pop_headers(), parser.seen.messages) == (b"no", [], 2)
