"""Where the search begins: whole messages of every framing, and words that blur them."""

from __future__ import annotations

_POST = b"POST /a?b=%2f HTTP/1.1\r\nHost: shop\r\n"
_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n",
    b"GET http://shop/x HTTP/1.1\r\nHost: shop\r\nConnection: close, X-A\r\nX-A: b\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
    _POST + b"Content-Length: 5\r\n\r\nhelloGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
    _POST + _CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    _POST + _CHUNKED + b'2;a="b"\r\nhi\r\nA;c\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n',
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
    b"PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTE: trailers\r\nContent-Length: 1\r\n\r\nx",
    b"GET /a HTTP/1.1\r\nHost: a\r\nCookie: overgrow_override=v1\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
]
_RESPONSES = [
    _OK + b"A: b\r\nContent-Length: 5\r\n\r\nhello",
    _OK + _CHUNKED + b'3;x="y"\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n',
    b"HTTP/1.1 103 Early Hints\r\nL: m\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200\r\nConnection: keep-alive\r\n\r\nuntil the end",
    _OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\nA: b\n c\nContent-Length : 2, 2\n\nok",
    b"HTTP/1.0 200 OK\r\n" + _CHUNKED + b"2 \r\nok\r\n0\r\n\r\n",
    _OK + b"Content-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n",
    b"HTTP/1.1 304 N\r\nContent-Length: 9\r\nSet-Cookie: a=b; Domain=x\r\n\r\n",
]
# A media type and rules, a size and packing, and two pieces that the bodies of two answers repeat.
_COMPARISONS = [
    bytes((kind, size)) + pieces
    for kind, pieces in (
        (0, b"<p>a\x00<p>b"),
        (4, b"<p>1\x00<p>2"),
        (0, b"<li>\x00<li> "),
        (0, b'<a b="c" d=\'e\'>f</a>\x00<a b="g">h</a>'),
        (0, b"<!-- --><br>&amp;\x00<script>a</script>"),
        (3, b"</x><td>\x00<td></x>"),
        (1, b'{"id":1,"a":2},\x00{"a":3,"id":1},'),
        (5, b'{"id":1,"a":2},\x00{"a":3,"id":1},'),
        (5, b'"a1",\x00"a2",'),
        (1, b"1e9,[[],\x00-0.10,{},"),
        (2, b"a\n\x00b\n"),
        (6, b"7\n\x008\n"),
        (6, b"\n\x001\n"),
    )
    for size in (3, 7)
]
SEEDS = {
    "comparing": _COMPARISONS,
    "request": _REQUESTS,
    "response": _RESPONSES,
    "passage": _REQUESTS,
}
# What a mutation may put in: the words that framing hangs on, and the bytes that blur them.
WORDS = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b"\x00", b"\x0b", b"\x80", b"0", b"-1", b"+", b"#",
    b"\r\n\r\n", b"\n\n", b"0\r\n\r\n", b"\r\n ", b"Content-Length: 3\r\n", b"content-length:", b"7fffffffffffffff",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding", b"chunked", b"gzip, ", b"identity", b"HTTP/1.0", b"HTTP/1.1",
    b"HTTP/2.0", b"Connection: ", b"close", b"keep-alive", b"Host: b\r\n", b"Host:", b"Upgrade", b"Trailer: A\r\n", b"_",
    b"ffffffffffffffff", b"18446744073709551616", b"101", b"100", b"204", b"304", b"HEAD", b"CONNECT", b"GET /x HTTP/1.1\r\n",
]  # fmt: skip
