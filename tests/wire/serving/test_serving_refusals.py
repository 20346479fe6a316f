"""What our worker refuses before any app sees it, on raw sockets. Each case names its RFC."""

from __future__ import annotations

import pytest

from tests.wire.serving.servers import code_in, status_of

HOST = b"Host: shop\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            b"POST / HTTP/1.1\r\n"
            + HOST
            + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="RFC 9112 6.3: Content-Length beside Transfer-Encoding",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
            id="RFC 9112 6.3: Content-Length twice, even if equal",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\na",
            id="RFC 9112 6.3: Content-Length as a list",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na",
            id="RFC 9110 8.6: Content-Length with a sign",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 18446744073709551617\r\n\r\na",
            id="RFC 9110 8.6: Content-Length beyond 2^64",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"0" * 29 + b"1\r\n\r\na",
            id="RFC 9110 8.6: Content-Length of 30 digits",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\na",
            id="RFC 9110 8.6: Content-Length of 5,000 digits",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            id="RFC 9112 6.3: chunked not last",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            id="RFC 9112 6.1: a coding that could not be undone",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n"
            + HOST
            + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="RFC 9112 6.1: chunked twice",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            id="RFC 9112 6.1: an unknown coding",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n",
            id="RFC 9112 6.1: identity is no coding any more",
        ),
        pytest.param(
            b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="RFC 9112 6.1: chunked in HTTP/1.0",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"X-Long: a\r\n b\r\n\r\n",
            id="RFC 9112 5.2: a folded header",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n Host: shop\r\n\r\n",
            id="RFC 9112 2.2: space before the first header",
        ),
        pytest.param(
            b"GET / HTTP/1.1\n" + HOST + b"\r\n",
            id="RFC 9112 2.2: bare LF after the request line",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"X-A: b\nX-C: d\r\n\r\n",
            id="RFC 9112 2.2: bare LF between headers",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"X-A: b\rX-C: d\r\n\r\n",
            id="RFC 9112 2.2: bare CR in a header",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"X-A : b\r\n\r\n",
            id="RFC 9112 5.1: whitespace before the colon",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
            id="RFC 9112 5.1: a tab before the colon of Transfer-Encoding",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b": nameless\r\n\r\n",
            id="RFC 9112 5: a header without a name",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"X-A\r\n\r\n",
            id="RFC 9112 5: a header without a colon",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"X-A: a\x00b\r\n\r\n",
            id="RFC 9110 5.5: NUL in a value",
        ),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="RFC 9112 3.2: HTTP/1.1 without Host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="RFC 9112 3.2: two Hosts"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", id="RFC 9112 3.2: a Host that cannot be one"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", id="RFC 9112 3.2: userinfo in Host"),
        pytest.param(
            b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", id="RFC 9112 3: space in the target"
        ),
        pytest.param(
            b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n",
            id="RFC 9112 3.2: raw bytes in the target",
        ),
        pytest.param(
            b"GET a?b=://c HTTP/1.1\r\n" + HOST + b"\r\n", id="RFC 9112 3.2: neither path nor URI"
        ),
        pytest.param(
            b"GET ftp://a/ HTTP/1.1\r\n" + HOST + b"\r\n", id="RFC 9112 3.2.2: a scheme not ours"
        ),
        pytest.param(
            b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", id="RFC 9112 3.2: a fragment behind a path"
        ),
        pytest.param(
            b"POST http://a.example/b#c HTTP/1.1\r\n" + HOST + b"\r\n",
            id="RFC 9112 3.2: a fragment behind a URI",
        ),
        pytest.param(
            b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", id="RFC 9112 3.2.4: * without OPTIONS"
        ),
        pytest.param(b"GET /\r\n" + HOST + b"\r\n", id="RFC 9112 3: no version"),
        pytest.param(b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", id="RFC 9112 2.3: another version"),
        pytest.param(
            b"GET / http/1.1\r\n" + HOST + b"\r\n", id="RFC 9112 2.3: a version in lower case"
        ),
        pytest.param(
            b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n", id="RFC 9110 9.1: a method that is no token"
        ),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="RFC 9113 3.4: an HTTP/2 preface"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n", id="RFC 8446 5.1: TLS on a plain port"),
    ],
)
def test_a_malformed_request_is_answered_400_and_its_connection_closed(server, request_bytes):
    answer = server.exchange(request_bytes + b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (status_of(answer), code_in(answer)) == (400, "bad-request")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"5\nhello\r\n0\r\n\r\n", id="RFC 9112 7.1: bare LF after the size"),
        pytest.param(b"5\r\nhelloXX0\r\n\r\n", id="RFC 9112 7.1: data without its CRLF"),
        pytest.param(b"0x5\r\nhello\r\n0\r\n\r\n", id="RFC 9112 7.1: a prefixed size"),
        pytest.param(b"-5\r\nhello\r\n0\r\n\r\n", id="RFC 9112 7.1: a negative size"),
        pytest.param(b" 5\r\nhello\r\n0\r\n\r\n", id="RFC 9112 7.1: space before the size"),
        pytest.param(b"\r\nhello\r\n0\r\n\r\n", id="RFC 9112 7.1: no size"),
        pytest.param(b"10000000000000005\r\nhello", id="RFC 9112 7.1: a size beyond 2^64"),
        pytest.param(b"0\r\nContent-Length: 5\r\n\r\n", id="RFC 9110 6.5.1: framing in a trailer"),
    ],
)
def test_a_malformed_chunk_is_answered_400_and_its_connection_closed(server, body):
    head = b"POST /count HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"

    answer = server.exchange(head + body)

    assert (status_of(answer), code_in(answer)) == (400, "bad-request")


def test_a_malformed_chunk_after_the_answer_began_breaks_it(server):
    head = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    with server.client() as client:
        client.send(head + b"5\r\nhello\r\n")
        client.read_until(b"5\r\nhello\r\n")
        client.send(b"zz\r\n")

        rest = client.read_to_end()

    assert b"0\r\n\r\n" not in rest
    assert b"HTTP/1.1" not in rest


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        pytest.param(
            b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
            414,
            "target-too-long",
            id="RFC 9110 15.5.15: a request line beyond 8190 bytes",
        ),
        pytest.param(
            b"GET /" + b"a" * 20_000,
            414,
            "target-too-long",
            id="RFC 9112 3: a request line that does not end",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"Cookie: " + b"a" * 33_000 + b"\r\n\r\n",
            431,
            "head-too-large",
            id="RFC 6585 5: one header beyond 32 KiB",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"X-Many: 1\r\n" * 120 + b"\r\n",
            431,
            "head-too-large",
            id="RFC 6585 5: more than 100 headers",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + (b"X-Large: " + b"a" * 30_000 + b"\r\n") * 3 + b"\r\n",
            431,
            "head-too-large",
            id="RFC 6585 5: headers beyond 64 KiB in all",
        ),
        pytest.param(
            b"CONNECT shop:443 HTTP/1.1\r\n" + HOST + b"\r\n",
            501,
            "no-upgrade",
            id="RFC 9110 9.3.6: CONNECT",
        ),
    ],
)
def test_what_is_too_much_has_a_code_of_its_own(server, request_bytes, status, code):
    answer = server.exchange(request_bytes)

    assert (status_of(answer), code_in(answer)) == (status, code)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"HEAD / HTTP/1.1\r\n\r\n", id="without Host"),
        pytest.param(
            b"HEAD / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 101 + b"\r\n", id="too much"
        ),
        pytest.param(b"HEAD /fail HTTP/1.1\r\nHost: a\r\n\r\n", id="of an app that raises"),
    ],
)
def test_a_refusal_of_head_has_no_body(server, request_bytes):
    """RFC 9110 9.3.2: whatever the status."""
    head, _, body = server.exchange(request_bytes).partition(b"\r\n\r\n")

    assert (status_of(head) >= 400, b"content-length: " in head, body) == (True, True, b"")


def test_a_refusal_tells_nothing_about_the_parser(server):
    answer = server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n")

    assert answer.partition(b"\r\n\r\n")[2] == b"The request is malformed.\n"
    assert b"server:" not in answer.lower()


def test_a_32_kib_cookie_passes(server):
    cookie = b"Cookie: " + b"a" * 32_000 + b"\r\n"

    answer = server.exchange(b"GET / HTTP/1.1\r\n" + HOST + cookie + b"Connection: close\r\n\r\n")

    assert status_of(answer) == 200


def test_the_app_is_told_of_refusals(start):
    server = start()
    server.exchange(b"nonsense\r\n\r\n")

    events = server.told_until(lambda found: found["events"])["events"]

    assert events == ["refused bad-request"]
