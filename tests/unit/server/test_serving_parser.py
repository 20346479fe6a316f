"""The request parser beside gunicorn's own: never more lenient, and framed alike."""

from __future__ import annotations

import pytest
from gunicorn.asgi.parser import (
    LimitRequestHeaders,
    LimitRequestLine,
    ParseError,
    PythonProtocol,
)
from hypothesis import example, given
from hypothesis import strategies as st

from overgrow.server.request_parser import HEAD_BYTES, RequestParser, failure_code, origin_form_of

LIMITS = {
    "limit_request_line": 200,
    "limit_request_fields": 8,
    "limit_request_field_size": 120,
    "permit_unconventional_http_method": True,
}


def parsed(parser_class, pieces):
    """What a parser made of the pieces: its fields and body, or the error's type."""
    body = bytearray()
    parser = parser_class(on_body=body.extend, **LIMITS)
    try:
        for piece in pieces:
            parser.feed(piece)
    except (ParseError, ValueError) as error:
        return type(error)
    if parser._state in ("request_line", "headers"):
        return "incomplete"
    fields = (parser.method, parser.path, parser.http_version, parser.headers)
    framing = (parser.content_length or 0, parser.is_chunked, parser.is_complete)
    return fields, framing, bytes(body), parser.remaining(), parser.should_keep_alive


def is_refusal(found) -> bool:
    return isinstance(found, type)


GOOD = [
    b"X-A: b",
    b"x_b:  two words \t",
    b"X-Empty:",
    b"X-Latin: \xff\xfe",
    b"Content-Type: text/plain",
    b"Connection: close",
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"TE: trailers",
    b"Expect: 100-continue",
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
]
ODD = [
    b"Host: other",
    b"Content-Length: 05",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Content-Length: 99999999999999999999999999",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked\r\n ,x",
    b"Transfer-Encoding : chunked",
    b" Folded: a",
    b"NoColon",
    b": nameless",
    b"X-Nul: a\x00b",
    b"X-Cr: a\rb",
    b"X-Lf: a\nb",
    b"X-Long: " + b"x" * 130,
]
bodies = st.sampled_from([b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\n"])
mutations = st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=2)), max_size=1)


def request_of(start, headers, odd, rest, mutations):
    """A request, mostly well-formed, with a byte or two replaced."""
    lines = [start, b"Host: shop", *headers, *odd, b"", b""]
    text = b"\r\n".join(lines) + rest
    for place, piece in mutations:
        text = text[: place % len(text)] + piece + text[place % len(text) + 1 :]
    return text


starts = st.builds(
    lambda method, target, version: b" ".join((method, target, version)),
    st.sampled_from([b"GET", b"POST", b"get"]),
    st.sampled_from([b"/", b"/a?b", b"*", b"http://a/b", b"a", b"/" + b"x" * 220]) | st.just(b"/"),
    st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0"]),
)
requests = st.builds(
    request_of,
    starts,
    st.lists(st.sampled_from(GOOD), max_size=5, unique=True),
    st.lists(st.sampled_from(ODD), max_size=1),
    bodies,
    mutations,
)


@given(requests, st.lists(st.integers(1, 60), max_size=3))
@example(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET", [])
@example(
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", [3]
)
def test_what_is_accepted_is_accepted_and_framed_alike_by_gunicorns_parser(data, cuts):
    pieces = [data]
    for cut in cuts:
        pieces[-1:] = [pieces[-1][:cut], pieces[-1][cut:]]
    ours = parsed(RequestParser, pieces)
    theirs = parsed(PythonProtocol, pieces)

    if not is_refusal(ours):
        assert ours[:4] == theirs[:4]


@given(requests, st.integers(1, 200))
def test_where_the_bytes_are_cut_makes_no_difference(data, size):
    pieces = [data[start : start + size] for start in range(0, len(data), size)]

    whole, cut = parsed(RequestParser, [data]), parsed(RequestParser, pieces)

    # Which fault is named may depend on what has arrived; that there is one may not.
    assert is_refusal(whole) == is_refusal(cut)
    assert is_refusal(whole) or whole == cut


HEAD = b"Host: shop\r\n"


def head_of(text: bytes) -> RequestParser:
    parser = RequestParser(**LIMITS)
    parser.feed(text)
    return parser


@pytest.mark.parametrize(
    ("headers", "keeps"),
    [
        pytest.param(b"", True, id="1.1 stays"),
        pytest.param(b"Connection: close\r\n", False, id="close"),
        pytest.param(b"Connection: te, CLOSE\r\n", False, id="close in a list, any case"),
        pytest.param(b"Connection: te\r\nConnection: close\r\n", False, id="close in a second one"),
        pytest.param(b"Connection: closer\r\n", True, id="only a whole member counts"),
    ],
)
def test_a_connection_stays_unless_close_is_asked_for(headers, keeps):
    assert head_of(b"GET / HTTP/1.1\r\n" + HEAD + headers + b"\r\n").should_keep_alive is keeps


@pytest.mark.parametrize(
    ("headers", "keeps"), [(b"", False), (b"Connection: keep-alive\r\n", True)]
)
def test_an_http_1_0_connection_ends_unless_keep_alive_is_asked_for(headers, keeps):
    assert head_of(b"GET / HTTP/1.0\r\n" + headers + b"\r\n").should_keep_alive is keeps


@pytest.mark.parametrize(
    ("start", "headers", "is_upgrade"),
    [
        pytest.param(b"GET / HTTP/1.1", b"", True, id="RFC 6455 4.1"),
        pytest.param(b"GET / HTTP/1.0", b"", False, id="HTTP/1.0"),
        pytest.param(b"POST / HTTP/1.1", b"", False, id="another method"),
        pytest.param(b"GET / HTTP/1.1", b"Content-Length: 2\r\n", False, id="a body"),
        pytest.param(b"GET / HTTP/1.1", b"Content-Length: 0\r\n", True, id="an empty body"),
        pytest.param(b"GET / HTTP/1.1", b"Upgrade: h2c\r\n", False, id="another token beside it"),
    ],
)
def test_an_upgrade_is_a_get_for_websocket_without_a_body(start, headers, is_upgrade):
    named = b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"

    assert head_of(start + b"\r\n" + HEAD + named + headers + b"\r\n").is_upgrade is is_upgrade


@pytest.mark.parametrize(
    ("version", "headers", "expected"),
    [
        pytest.param(b"1.1", b"TE: gzip, trailers\r\n", (True, False), id="TE"),
        pytest.param(b"1.1", b"TE: trailers2\r\n", (False, False), id="only a whole member counts"),
        pytest.param(b"1.1", b"Expect: 100-Continue\r\n", (False, True), id="Expect"),
        pytest.param(b"1.0", b"TE: trailers\r\nExpect: 100-continue\r\n", (False, False), id="1.0"),
    ],
)
def test_what_a_client_can_take(version, headers, expected):
    parser = head_of(b"GET / HTTP/" + version + b"\r\n" + HEAD + headers + b"\r\n")

    assert (parser.takes_trailers, parser.expects_continue) == expected


def test_a_content_length_that_everybody_can_count_is_taken():
    length = b"9" * 18

    parser = head_of(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: " + length + b"\r\n\r\n")

    assert parser.content_length == int(length)


@pytest.mark.parametrize("length", [b"9" * 19, b"0" * 18 + b"5"])
def test_a_content_length_of_more_digits_than_every_part_takes_is_refused(length):
    with pytest.raises(ParseError, match="Content-Length"):
        head_of(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: " + length + b"\r\n\r\n")


@pytest.mark.parametrize("target", [b"/a#b", b"/#", b"/a?b#c", b"http://a/b#c", b"http://a#b"])
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"CONNECT"])
def test_a_target_with_a_fragment_is_refused(method, target):
    with pytest.raises(ParseError):
        head_of(method + b" " + target + b" HTTP/1.1\r\n" + HEAD + b"\r\n")


def roomy(*pieces: bytes) -> RequestParser:
    """A parser with limits under which only the size of the whole head can be too much."""
    parser = RequestParser(limit_request_fields=100, limit_request_field_size=32_768)
    for piece in pieces:
        parser.feed(piece)
    return parser


START = b"POST / HTTP/1.1\r\n" + HEAD
FIELD = b"X-Many: " + b"x" * 9_990 + b"\r\n"  # 10,000 bytes


@pytest.mark.parametrize("size", [100, 10_000, 1_000_000])
def test_a_head_is_refused_for_its_size_however_it_arrives(size):
    text = START + FIELD * 7 + b"\r\n"

    with pytest.raises(LimitRequestHeaders):
        roomy(*(text[place : place + size] for place in range(0, len(text), size)))


@pytest.mark.parametrize("size", [100, 10_000, 1_000_000])
def test_a_body_does_not_count_towards_the_head(size):
    body = b"\r\n\r\n" * 25_000
    text = START + FIELD * 6 + b"Content-Length: 100000\r\n\r\n" + body
    assert len(FIELD) * 6 < HEAD_BYTES

    parser = roomy(*(text[place : place + size] for place in range(0, len(text), size)))

    assert parser.is_complete


def test_the_head_of_the_next_request_counts_anew():
    parser = roomy(START + FIELD * 4, b"\r\n")
    parser.reset()

    parser.feed(START + FIELD * 4 + b"\r\n")

    assert parser.is_complete


@pytest.mark.parametrize(
    ("arrived", "is_bounded"),
    [
        pytest.param(b"", True, id="no head yet"),
        pytest.param(b"\r\n", True, id="chunks may be of any number"),
        pytest.param(b"\r\n186a0\r\nabc", False, id="a large chunk is one piece"),
    ],
)
def test_a_parser_says_how_much_it_can_take_at_a_time(arrived, is_bounded):
    parser = head_of(START + b"Transfer-Encoding: chunked\r\n" + arrived)

    assert (parser.max_feed_bytes < 100_000) is is_bounded


def test_a_body_of_known_length_is_taken_at_once():
    parser = head_of(START + b"Content-Length: 1000000\r\n\r\n")

    assert parser.max_feed_bytes > 1_000_000


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"shop.example.com",
        b"shop:8000",
        b"[::1]:8000",
        b"xn--bcher-kva.example",
        b"a_b.c",
        b"1.2.3.4:",
    ],
)
def test_a_host_that_can_be_one_is_taken(host):
    assert head_of(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").is_complete


@pytest.mark.parametrize("host", [b"a b", b"a,b", b"http://a", b"a:b", b"a\\b", b"[::1", b"\xff"])
def test_a_host_that_cannot_be_one_is_refused(host):
    with pytest.raises(ParseError, match="Host"):
        head_of(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        (b"http://a/b?c", b"/b?c"),
        (b"HTTPS://a:80/", b"/"),
        (b"http://a", b"/"),
        (b"http://a?b", b"/?b"),
        (b"http://[::1]:80/b", b"/b"),
    ],
)
def test_the_origin_form_of_an_absolute_target(target, origin):
    assert origin_form_of(target) == origin


@pytest.mark.parametrize(
    "target", [b"http:///b", b"http://a@b/", b"ftp://a/", b"http://:80/", b"http:/a"]
)
def test_an_absolute_target_without_a_host_of_its_own_is_refused(target):
    with pytest.raises(ParseError):
        origin_form_of(target)


CHUNKS = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"


TRAILERS = [b"X-Sum: 1", b"X:", b"X-Latin:\t\xff ", b"A: 1\r\nB: 2"]
OUT_OF_PLACE = [  # RFC 9110 6.5.1: not acted upon, so harmless
    b"Host: b",
    b"Trailer: x",
    b"Content-Encoding: gzip",
    b"TE: x",
    b"Authorization: y",
]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("field", [*TRAILERS, *OUT_OF_PLACE])
def test_a_trailer_that_is_a_field_is_taken(field, size):
    data = CHUNKS + field + b"\r\n\r\n"
    pieces = [data[at : at + size] for at in range(0, len(data), size)]

    assert parsed(RequestParser, pieces)[1:3] == ((0, True, True), b"hi")


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b"X: a\rGET / HTTP/1.1", id="a bare CR"),
        pytest.param(b"X: a\nY: b", id="a bare LF"),
        pytest.param(b"X: a\x00", id="NUL"),
        pytest.param(b"nameless", id="no colon"),
        pytest.param(b": a", id="no name"),
        pytest.param(b"X : a", id="a blank before the colon"),
        pytest.param(b"X: a\r\n folded", id="a fold"),
        pytest.param(b"Content-Length: 7", id="RFC 9110 6.5.1: a length"),
        pytest.param(b"transfer-encoding: gzip", id="RFC 9110 6.5.1: a transfer coding"),
    ],
)
def test_a_trailer_that_is_no_field_or_frames_a_message_is_refused(field, size):
    data = CHUNKS + field + b"\r\n\r\n"

    assert is_refusal(
        parsed(RequestParser, [data[at : at + size] for at in range(0, len(data), size)])
    )


def test_a_parser_says_what_it_holds_of_the_next_request():
    parser = head_of(b"GET / HTTP/1.1\r\n" + HEAD + b"\r\nGET /next")

    assert (parser.pipelined_bytes, parser.is_between_requests) == (9, False)


def test_a_parser_is_between_requests_until_a_byte_comes():
    parser = RequestParser(**LIMITS)
    before = parser.is_between_requests
    parser.feed(b"G")

    assert (before, parser.is_between_requests) == (True, False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LimitRequestLine("x"), "target-too-long"),
        (LimitRequestHeaders("x"), "head-too-large"),
        (ParseError("x"), "bad-request"),
        (ValueError("x"), "bad-request"),
    ],
)
def test_every_fault_has_a_code(error, code):
    assert failure_code(error) == code
