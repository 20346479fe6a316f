"""What an upstream may not send, and which leniency forgives it."""

import asyncio

import httpx
import pytest
import uvloop

from tests.wire.transport.upstream import OK, always, get, once, request, until_broken

# Parsing does not depend on the loop: one is enough.
pytestmark = pytest.mark.parametrize("run", [uvloop.new_event_loop], ids=["uvloop"], indirect=True)

H = b"HTTP/1.1 200 OK\r\n"
CHUNKED = H + b"Transfer-Encoding: chunked\r\n\r\n"


async def failure(transport, upstream):
    """Make a GET; returns the error of its head or its body, and what came of the body."""
    try:
        response = await transport.handle_async_request(get())
    except httpx.TransportError as error:
        return error, None
    body, error = await until_broken(response)
    return error, body


BAD_HEADS = [
    pytest.param(b"hello\n", id="9112-4 no status line"),
    pytest.param(b"<html>HTTP/0.9</html>\r\n\r\n", id="9112-4 HTTP/0.9"),
    pytest.param(b"SSH-2.0-OpenSSH_9\r\n", id="9112-4 another protocol"),
    pytest.param(b"\r\n" + OK, id="9112-2.2 a blank line first"),
    pytest.param(OK.replace(b"HTTP/1.1", b"HTTP/2.0"), id="9112-2.3 version 2.0"),
    pytest.param(OK.replace(b"HTTP/1.1", b"HTTP/1.2"), id="9112-2.3 version 1.2"),
    pytest.param(OK.replace(b"HTTP/1.1", b"http/1.1"), id="9112-2.3 version in lower case"),
    pytest.param(OK.replace(b" 200", b"  200"), id="9112-4 two spaces"),
    pytest.param(OK.replace(b"200", b"20"), id="9112-4 two digits"),
    pytest.param(OK.replace(b"200", b"2000"), id="9112-4 four digits"),
    pytest.param(OK.replace(b"200", b"099"), id="9110-15 below 100"),
    pytest.param(OK.replace(b"OK", b"O\0K"), id="9112-4 NUL in the reason"),
    pytest.param(OK.replace(b"OK", b"O\rK"), id="9112-4 CR in the reason"),
    pytest.param(OK.replace(b"\r\n", b"\n"), id="9112-2.2 bare LF"),
    pytest.param(H + b"A: b\nContent-Length: 0\r\n\r\n", id="9112-2.2 one bare LF"),
    pytest.param(H + b"A: b\rC: d\r\nContent-Length: 0\r\n\r\n", id="9112-2.2 bare CR"),
    pytest.param(H + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n", id="9112-5.2 obs-fold"),
    pytest.param(
        H + b" A: b\r\nContent-Length: 0\r\n\r\n", id="9112-2.2 blank before the first header"
    ),
    pytest.param(H + b"A : b\r\nContent-Length: 0\r\n\r\n", id="9112-5.1 blank before the colon"),
    pytest.param(H + b"A B: c\r\nContent-Length: 0\r\n\r\n", id="9110-5.1 blank in a name"),
    pytest.param(H + b"A(: c\r\nContent-Length: 0\r\n\r\n", id="9110-5.1 no token"),
    pytest.param(H + b"\xe4: c\r\nContent-Length: 0\r\n\r\n", id="9110-5.1 name not ASCII"),
    pytest.param(H + b": c\r\nContent-Length: 0\r\n\r\n", id="9110-5.1 no name"),
    pytest.param(H + b"nonsense\r\nContent-Length: 0\r\n\r\n", id="9112-5 no colon"),
    pytest.param(H + b"A: b\0c\r\nContent-Length: 0\r\n\r\n", id="9110-5.5 NUL in a value"),
    pytest.param(H + b"A: b\x01c\r\nContent-Length: 0\r\n\r\n", id="9110-5.5 control in a value"),
    pytest.param(H + b"A: b\x7fc\r\nContent-Length: 0\r\n\r\n", id="9110-5.5 DEL in a value"),
    pytest.param(
        H + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", id="9112-6.3 lengths that differ"
    ),
    pytest.param(
        H + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", id="9112-6.3 equal lengths"
    ),
    pytest.param(H + b"Content-Length: 2, 2\r\n\r\nok", id="9110-8.6 a list of lengths"),
    pytest.param(H + b"Content-Length: 2,\r\n\r\nok", id="9110-8.6 a list of one length"),
    pytest.param(H + b"Content-Length: +2\r\n\r\nok", id="9110-8.6 a sign"),
    pytest.param(H + b"Content-Length: -2\r\n\r\nok", id="9110-8.6 negative"),
    pytest.param(H + b"Content-Length: 0x2\r\n\r\nok", id="9110-8.6 hexadecimal"),
    pytest.param(H + b"Content-Length: 2 2\r\n\r\nok", id="9110-8.6 two numbers"),
    pytest.param(H + b"Content-Length: \r\n\r\nok", id="9110-8.6 empty"),
    pytest.param(H + b"Content-Length: \xb2\r\n\r\nok", id="9110-8.6 another digit"),
    pytest.param(H + b"Content-Length: 9223372036854775808\r\n\r\nok", id="9110-8.6 2^63"),
    pytest.param(H + b"Content-Length: 18446744073709551618\r\n\r\nok", id="9110-8.6 2^64 + 2"),
    pytest.param(
        H + b"Content-Length: 99999999999999999999999\r\n\r\nok", id="9110-8.6 far too large"
    ),
    pytest.param(
        H + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        id="9112-6.3 length and chunked",
    ),
    pytest.param(
        H + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        id="9112-6.3 chunked and length",
    ),
    pytest.param(
        H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        id="9112-6.1 gzip that nobody asked for",
    ),
    pytest.param(
        H + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", id="9112-6.1 chunked twice"
    ),
    pytest.param(
        H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        id="9112-6.1 two lines",
    ),
    pytest.param(H + b"Transfer-Encoding: gzip\r\n\r\n", id="9112-6.1 not chunked at all"),
    pytest.param(H + b"Transfer-Encoding: identity\r\n\r\n", id="9112-7 identity is obsolete"),
    pytest.param(H + b"Transfer-Encoding: chunked;x=1\r\n\r\n0\r\n\r\n", id="9112-7.1 parameters"),
    pytest.param(
        H + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", id="9112-6.1 vertical tab"
    ),
    pytest.param(H + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", id="9112-6.1 empty"),
    pytest.param(CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", id="9112-6.1 chunked in 1.0"),
    pytest.param(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        id="9110-15.2.2 unasked 101",
    ),
    pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", id="9110-15.2.2 bare 101"),
    pytest.param(H + b"A: " + b"b" * 70_000 + b"\r\n\r\n", id="9110-5.4 a header too large"),
    pytest.param(H + b"A: b\r\n" * 12_000 + b"\r\n", id="9110-5.4 headers too many"),
    pytest.param(H + b"A: " + b"b" * 70_000, id="9110-5.4 a header without end"),
    pytest.param(b"HTTP/1.1 " + b"2" * 70_000, id="9110-5.4 a status line without end"),
    pytest.param(
        b"HTTP/1.1 102 Processing\r\n\r\n" * 65 + OK, id="9110-15.2 interim answers without end"
    ),
    pytest.param(
        b"HTTP/1.1 102 Processing\r\nA B: c\r\n\r\n" + OK, id="9110-15.2 malformed interim answer"
    ),
]


@pytest.mark.parametrize("raw", BAD_HEADS)
def test_a_malformed_head_is_a_protocol_error_and_closes(run, raw):
    async def scenario(transport, upstream):
        error, _ = await failure(transport, upstream)
        return type(error), error.stage, transport._pool.counted

    assert run(scenario, always(raw)) == (httpx.RemoteProtocolError, "head", 0)


BAD_CHUNKS = [
    pytest.param(b"0x3\r\nabc\r\n0\r\n\r\n", b"", id="9112-7.1 prefix"),
    pytest.param(b"+3\r\nabc\r\n0\r\n\r\n", b"", id="9112-7.1 sign"),
    pytest.param(b"-3\r\nabc\r\n0\r\n\r\n", b"", id="9112-7.1 negative"),
    pytest.param(b" 3\r\nabc\r\n0\r\n\r\n", b"", id="9112-7.1 blank before"),
    pytest.param(b"3 \r\nabc\r\n0\r\n\r\n", b"", id="9112-7.1.1 blank after"),
    pytest.param(b"\r\nabc\r\n0\r\n\r\n", b"", id="9112-7.1 no size"),
    pytest.param(b"x\r\nabc\r\n0\r\n\r\n", b"", id="9112-7.1 no number"),
    pytest.param(b"10000000000000000\r\nabc", b"", id="9112-7.1 2^64"),
    pytest.param(b"3\nabc\r\n0\r\n\r\n", b"", id="9112-7.1 bare LF after the size"),
    pytest.param(b"3\r\nabc\n0\r\n\r\n", b"abc", id="9112-7.1 bare LF after the data"),
    pytest.param(b"3\r\nabcd\r\n0\r\n\r\n", b"abc", id="9112-7.1 too much data"),
    pytest.param(b"3\r\nabc0\r\n\r\n", b"abc", id="9112-7.1 no end of data"),
    pytest.param(b"3;a\nb\r\nabc\r\n0\r\n\r\n", b"", id="9112-7.1.1 LF in an extension"),
    pytest.param(b"3;a=\0\r\nabc\r\n0\r\n\r\n", b"", id="9112-7.1.1 NUL in an extension"),
    pytest.param(b"3\r\nabc\r\n0\r\nA B: c\r\n\r\n", b"abc", id="9110-6.5 malformed trailer name"),
    pytest.param(b"3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n", b"abc", id="9112-5.2 folded trailer"),
    pytest.param(b"3\r\nabc\r\n0\r\nA: b\n\r\n", b"abc", id="9112-2.2 trailer with bare LF"),
    pytest.param(b"3\r\nabc\r\n0\r\n\n", b"abc", id="9112-2.2 bare LF at the end"),
    pytest.param(
        b"3\r\nabc\r\n0\r\nContent-Length: 3\r\nA B: c\r\n\r\n",
        b"abc",
        id="9110-6.5 malformed trailer behind a length",
    ),
    pytest.param(
        b"3\r\nabc\r\n0\r\nContent-Length: 3\n\r\n", b"abc", id="9112-2.2 length with bare LF"
    ),
    pytest.param(
        b"3\r\nabc\r\n0\r\nContent-Length: 3\r\n" + b"A: b\r\n" * 40_000,
        b"abc",
        id="9110-6.5 trailers behind a length too large",
    ),
    pytest.param(
        b"1c\r\n\r\n0\r\nContent-Length: 3\r\n\r\n\r\nzz\r\n",
        b"\r\n0\r\nContent-Length: 3\r\n\r\n\r\n",
        id="9112-7.1 a body that looks like trailers",
    ),
    pytest.param(
        b"3\r\nabc\r\n0\r\n" + b"A: b\r\n" * 40_000 + b"\r\n",
        b"abc",
        id="9110-6.5 trailers too large",
    ),
    pytest.param(b"3\r\nabc\r\n3;" + b"a" * 400_000, b"abc", id="9112-7.1.1 extension without end"),
]


@pytest.mark.parametrize(("chunks", "received"), BAD_CHUNKS)
def test_a_malformed_chunk_breaks_the_body_after_what_was_good(run, chunks, received):
    async def scenario(transport, upstream):
        error, body = await failure(transport, upstream)
        return type(error), error.stage, body, transport._pool.counted

    expected = (httpx.RemoteProtocolError, "body", received, 0)
    assert run(scenario, always(CHUNKED + chunks)) == expected


LENIENT = [
    pytest.param("bare-lf", OK.replace(b"\r\n", b"\n"), [(b"Content-Length", b"2")], id="bare-lf"),
    pytest.param("bare-lf", OK, [(b"Content-Length", b"2")], id="bare-lf with CRLF"),
    pytest.param(
        "bare-lf",
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\r\nok\r\n0\r\n\r\n",
        [(b"Transfer-Encoding", b"chunked")],
        id="bare-lf before chunks",
    ),
    pytest.param(
        "obs-fold",
        H + b"A: b \r\n\t c\r\n  d\r\nContent-Length: 2\r\n\r\nok",
        [(b"A", b"b c d"), (b"Content-Length", b"2")],
        id="obs-fold",
    ),
    pytest.param(
        "duplicate-content-length",
        H + b"A: b\r\nContent-Length: 2\r\ncontent-length:2, 2\r\nC: d\r\n\r\nok",
        [(b"A", b"b"), (b"Content-Length", b"2"), (b"C", b"d")],
        id="duplicate-content-length",
    ),
    pytest.param(
        "space-before-colon",
        H + b"A \t: b : c\r\nContent-Length : 2\r\n\r\nok",
        [(b"A", b"b : c"), (b"Content-Length", b"2")],
        id="space-before-colon",
    ),
    pytest.param(
        "chunked-http-1.0",
        CHUNKED.replace(b"1.1", b"1.0") + b"2\r\nok\r\n0\r\n\r\n",
        [(b"Transfer-Encoding", b"chunked")],
        id="chunked-http-1.0",
    ),
    pytest.param(
        "chunk-size-spaces",
        CHUNKED + b"2  \r\nok\r\n0\r\n\r\n",
        [(b"Transfer-Encoding", b"chunked")],
        id="chunk-size-spaces",
    ),
]


@pytest.mark.parametrize(("leniency", "raw", "headers"), LENIENT)
def test_a_leniency_repairs_what_it_names(run, leniency, raw, headers):
    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get())
        return response.headers.raw, (await until_broken(response))

    assert run(scenario, always(raw), leniencies=frozenset({leniency})) == (headers, (b"ok", None))


ALL = frozenset(
    {
        "bare-lf",
        "obs-fold",
        "duplicate-content-length",
        "space-before-colon",
        "chunked-http-1.0",
        "chunk-size-spaces",
    }
)
NEVER_FORGIVEN = [
    pytest.param(
        H + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", id="lengths that differ"
    ),
    pytest.param(H + b"Content-Length: 2, 3\r\n\r\nabc", id="a list of lengths that differ"),
    pytest.param(
        H + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        id="length and chunked",
    ),
    pytest.param(H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="gzip"),
    pytest.param(H + b" A: b\r\nContent-Length: 0\r\n\r\n", id="a fold of the status line"),
    pytest.param(H + b"A: b\0\r\nContent-Length: 0\r\n\r\n", id="NUL"),
    pytest.param(H + b"A: b\rC: d\r\nContent-Length: 0\r\n\r\n", id="bare CR"),
    pytest.param(H + b"A B: c\r\nContent-Length: 0\r\n\r\n", id="blank in a name"),
    pytest.param(OK.replace(b"HTTP/1.1", b"HTTP/2.0"), id="version"),
    pytest.param(b"hello\n\n", id="garbage"),
    pytest.param(CHUNKED + b"2\nok\n0\n\n", id="bare LF in chunks"),
]


@pytest.mark.parametrize("raw", NEVER_FORGIVEN)
def test_no_leniency_forgives_what_could_be_read_in_two_ways(run, raw):  # RFC 9112 11.2
    async def scenario(transport, upstream):
        return type((await failure(transport, upstream))[0])

    assert run(scenario, always(raw), leniencies=ALL) is httpx.RemoteProtocolError


def test_garbage_is_told_at_once_and_not_after_a_timeout(run):
    async def script(peer):
        await peer.head()
        await peer.send(b"x")
        await peer.until_end()

    async def scenario(transport, upstream):
        return type((await asyncio.wait_for(failure(transport, upstream), 60))[0])

    assert run(scenario, script) is httpx.RemoteProtocolError


def test_no_answer_at_all_is_a_cut_connection(run):  # RFC 9112 9.5
    async def script(peer):
        await peer.head()

    async def scenario(transport, upstream):
        error, _ = await failure(transport, upstream)
        return type(error).__name__, error.stage, upstream.connections

    assert run(scenario, script) == ("ResponseCut", "head", 1)


def test_half_a_head_is_a_cut_connection(run):  # RFC 9112 8
    async def scenario(transport, upstream):
        error, _ = await failure(transport, upstream)
        return type(error).__name__, error.stage

    assert run(scenario, once(OK[:20])) == ("ResponseCut", "head")


BAD_REQUESTS = [
    pytest.param({"target": b"/a b"}, id="9112-3.2 blank in the target"),
    pytest.param({"target": b"/a\r\nX: y"}, id="9112-3.2 a line in the target"),
    pytest.param({"headers": [(b"A", b"b\r\nC: d")]}, id="9110-5.5 a line in a value"),
    pytest.param({"headers": [(b"A", b"b\nC: d")]}, id="9110-5.5 LF in a value"),
    pytest.param({"headers": [(b"A", b"b\0")]}, id="9110-5.5 NUL in a value"),
    pytest.param({"headers": [(b"A B", b"c")]}, id="9110-5.1 blank in a name"),
    pytest.param({"headers": [(b"A\r\nB", b"c")]}, id="9110-5.1 a line in a name"),
    pytest.param(
        {"headers": [(b"Content-Length", b"1"), (b"Content-Length", b"1")]},
        id="9112-6.3 two lengths",
    ),
    pytest.param(
        {"headers": [(b"Content-Length", b"0"), (b"Transfer-Encoding", b"chunked")]},
        id="9112-6.3 length and chunked",
    ),
    pytest.param(
        {"headers": [(b"Transfer-Encoding", b"gzip, chunked")]}, id="9112-6.1 another coding"
    ),
    pytest.param({"headers": [(b"Content-Length", b"1")]}, id="9112-6.2 a length without a body"),
    pytest.param({"headers": [(b"Content-Length", b"+0")]}, id="9110-8.6 no number"),
    pytest.param(
        {"stream": httpx.ByteStream(b"abc"), "headers": [(b"Content-Length", b"2")]},
        id="9112-6.2 another length",
    ),
]


@pytest.mark.parametrize("parts", BAD_REQUESTS)
@pytest.mark.parametrize("method", ["GET"])
def test_a_request_that_could_be_read_as_another_is_not_sent(run, method, parts):  # RFC 9112 11.1
    async def scenario(transport, upstream):
        with pytest.raises(httpx.LocalProtocolError) as raised:
            await transport.handle_async_request(request(method, **parts))
        return raised.value.stage, upstream.connections

    assert run(scenario, always(OK)) == ("send", 0)


@pytest.mark.parametrize("method", ["CONNECT", "GE T", "GET\r\n", "G\xc4T"])
def test_a_method_that_cannot_be_forwarded_is_not_sent(run, method):  # RFC 9110 9.1
    async def scenario(transport, upstream):
        with pytest.raises(httpx.LocalProtocolError):
            await transport.handle_async_request(request(method))
        return upstream.connections

    assert run(scenario, always(OK)) == 0
