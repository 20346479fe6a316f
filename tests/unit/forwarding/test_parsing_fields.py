"""An answer's fields, read at once: as llhttp reads them, or refused by it."""

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overgrow.forwarding.client.errors import Malformed
from overgrow.forwarding.client.response_parser import CHUNKED, UNTIL_CLOSE, parse_head

STRICT = frozenset()
NAMES = st.text("abcXYZ-_.!09", min_size=1, max_size=6).map(str.encode)
VALUES = st.binary(max_size=12).filter(lambda value: not set(value) & set(b"\r\n\0"))


class Seen:
    def __init__(self):
        self.pairs = []

    def on_header(self, name, value):
        self.pairs.append((name, value.rstrip(b" \t")))


def by_llhttp(head):
    seen = Seen()
    try:
        httptools.HttpResponseParser(seen).feed_data(head)
    except httptools.HttpParserError:
        return None
    return seen.pairs


def by_us(head):
    try:
        return parse_head(head, "GET", STRICT).headers
    except Malformed:
        return None


@given(
    st.lists(st.tuples(NAMES, st.sampled_from([b":", b": ", b":\t", b" :"]), VALUES), max_size=5)
)
@settings(deadline=None, max_examples=400)
def test_fields_are_read_as_llhttp_reads_them(fields):
    head = b"HTTP/1.1 200 OK\r\n" + b"".join([b"%b%b%b\r\n" % each for each in fields]) + b"\r\n"

    assert by_us(head) == by_llhttp(head)


@pytest.mark.parametrize(
    ("fields", "length", "keeps", "events"),
    [
        (b"", UNTIL_CLOSE, False, False),
        (b"Content-Length: 3\r\n", 3, True, False),
        (b"content-LENGTH:3 \t\r\nConnection: Close\r\n", 3, False, False),
        (b"Connection: a\r\nContent-Length: 3\r\nConnection: b, close\r\n", 3, False, False),
        (b"Transfer-Encoding: Chunked\r\n", CHUNKED, True, False),
        (b"Transfer-Encoding: chunked\r\nContent-Type: Text/Event-Stream\r\n", CHUNKED, True, True),
    ],
)
def test_what_frames_a_body_is_found_wherever_it_stands(fields, length, keeps, events):
    for _ in range(2):  # the second time its names are known
        answer = parse_head(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n", "GET", STRICT)
        assert (answer.length, answer.keeps, answer.streams_events) == (length, keeps, events)


def test_two_lengths_are_refused_each_time():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"

    for _ in range(2):
        with pytest.raises(Malformed, match="more than one Content-Length"):
            parse_head(head, "GET", STRICT)
