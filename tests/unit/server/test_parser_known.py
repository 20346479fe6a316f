"""Headers that a connection brings again: read once, and never taken for other ones."""

from gunicorn.asgi.parser import ParseError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overgrow.caches.header_memo import HeaderMemo
from overgrow.routing.facts import head_of
from overgrow.server.request_parser import KNOWN_BYTES, RequestParser

METHODS = (b"GET", b"HEAD", b"OPTIONS", b"POST")
TARGETS = (b"/", b"/items/7?page=2", b"*", b"http://other.example/a", b"/%ff")
VERSIONS = (b"1.1", b"1.0")
BLOCKS = (
    b"Host: a.example\r\n",
    b"Host: b.example\r\n",
    b"Host: a.example\r\nConnection: close\r\n",
    b"Host: a.example\r\nConnection: keep-alive\r\nCookie: a=1\r\n",
    b"Host: a.example\r\nTE: trailers\r\n",
    b"Host: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Host: a.example\r\nContent-Length: 0\r\n",
    b"Host: a.example\r\nExpect: 100-continue\r\nContent-Length: 0\r\n",
)
SEEN = [
    "method",
    "path",
    "http_version",
    "headers",
    "content_length",
    "is_chunked",
    "is_complete",
    "should_keep_alive",
    "expects_continue",
    "takes_trailers",
    "is_upgrade",
    "is_between_requests",
    "pipelined_bytes",
]


def request(method, target, version, block):
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version, block)


def read_by(parser, data):
    try:
        if not parser.try_parse_repeated_request(data):
            parser.feed(data)
    except ParseError as error:
        return type(error)
    seen = {name: getattr(parser, name) for name in SEEN}
    headers = seen["headers"]
    host = headers.host if type(headers) is HeaderMemo else None
    head = head_of(
        seen["method"].decode(),
        seen["path"],
        headers,
        peer="192.0.2.7",
        scheme="http",
        known_host=host,
    )
    assert parser.prepare_for_next_request() == b""
    return {**seen, "headers": list(seen["headers"]), "head": head._replace(headers=[])}


@given(
    st.lists(
        st.builds(
            request,
            st.sampled_from(METHODS),
            st.sampled_from(TARGETS),
            st.sampled_from(VERSIONS),
            st.sampled_from(BLOCKS[:3]) | st.sampled_from(BLOCKS),
        ),
        min_size=2,
        max_size=8,
    )
)
@example([request(b"GET", b"/", version, BLOCKS[0]) for version in (b"1.1", b"1.0", b"1.1")])
@settings(deadline=None)
def test_a_connection_reads_each_request_as_a_new_one_would(requests):
    parser = RequestParser()

    for data in requests:
        seen = read_by(parser, data)
        assert seen == read_by(RequestParser(), data)
        if not isinstance(seen, dict):  # refused: the connection ends
            break


def test_headers_that_come_again_are_the_same_object():
    parser = RequestParser()
    taken = []
    for _ in range(3):
        parser.feed(request(b"GET", b"/", b"1.1", BLOCKS[0]))
        taken.append(parser.headers)
        parser.reset()

    assert [type(each) is HeaderMemo for each in taken] == [False, True, True]
    assert taken[1] is taken[2]


def test_what_is_recalled_is_one_whole_request():
    parser = RequestParser()
    whole = request(b"GET", b"/", b"1.1", BLOCKS[0])
    for _ in range(2):
        parser.feed(whole)
        parser.prepare_for_next_request()

    assert parser.try_parse_repeated_request(whole)
    assert parser.prepare_for_next_request() == b""
    assert not parser.try_parse_repeated_request(whole + whole)
    assert not parser.try_parse_repeated_request(whole[:-1])
    parser.feed(whole[:10])
    assert not parser.try_parse_repeated_request(whole[10:])


def test_a_request_behind_a_recalled_one_waits_for_its_turn():
    parser = RequestParser()
    whole = request(b"GET", b"/", b"1.1", BLOCKS[0])
    for _ in range(2):
        parser.feed(whole)
        parser.prepare_for_next_request()
    parser.try_parse_repeated_request(whole)
    parser.feed(whole)

    assert len(whole) == parser.pipelined_bytes
    assert whole == parser.prepare_for_next_request()
    assert parser.is_between_requests


def test_headers_in_pieces_are_never_taken_for_known_ones():
    parser = RequestParser()
    whole = request(b"GET", b"/", b"1.1", BLOCKS[3])
    for _ in range(2):
        parser.feed(whole)
        parser.prepare_for_next_request()
    for at in range(len(whole)):
        parser.feed(whole[at : at + 1])

    assert parser.is_complete
    assert list(parser.headers)[-1] == (b"cookie", b"a=1")


def test_large_headers_are_not_kept():
    parser = RequestParser()
    block = BLOCKS[0] + b"X-Large: %b\r\n" % (b"a" * KNOWN_BYTES)
    for _ in range(3):
        parser.feed(request(b"GET", b"/", b"1.1", block))
        assert type(parser.headers) is not HeaderMemo
        parser.reset()


def test_a_handshake_is_one_whatever_came_before_it_with_the_same_headers():
    parser = RequestParser()
    for method in (b"HEAD", b"HEAD", b"GET"):
        seen = read_by(parser, request(method, b"/", b"1.1", BLOCKS[5]))

    assert seen["is_upgrade"]
    assert seen["head"].upgrade


def test_each_request_may_follow_an_empty_line_on_a_kept_connection():
    parser = RequestParser()
    whole = request(b"GET", b"/", b"1.1", BLOCKS[0])
    recalled = []
    for _ in range(5):
        parser.feed(b"\r\n")  # RFC 9112 2.2
        recalled.append(parser.try_parse_repeated_request(whole))
        if not recalled[-1]:
            parser.feed(whole)
        parser.prepare_for_next_request()

    assert recalled == [False, False, True, True, True]
