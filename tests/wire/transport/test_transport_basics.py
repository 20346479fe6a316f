import asyncio
import gc

import httpx
import pytest

from overgrow.forwarding.client.transport import LegacyTransport, ResponseCut, UpstreamTimeouts
from tests.wire.transport.upstream import (
    OK,
    Peer,
    Upstream,
    always,
    body_of,
    get,
    once,
    request,
    until_broken,
)

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer_to(one):
    """Make a scenario: one request, its answer's status, headers and body."""

    async def scenario(transport, upstream):
        response = await transport.handle_async_request(one)
        return response.status_code, response.headers.raw, await body_of(response)

    return scenario


async def two_gets(transport, upstream):
    """Make two requests; returns their bodies and how many connections that took."""
    bodies = []
    for _ in range(2):
        response = await transport.handle_async_request(get())
        bodies.append(await body_of(response))
        await asyncio.sleep(0.01)
    return bodies, upstream.connections


def test_a_small_answer_is_whole_at_once(run):
    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get())
        return response.stream.whole, response.stream.is_complete

    assert run(scenario, always(OK)) == (b"ok", True)


def test_a_whole_answer_can_be_iterated_instead(run):
    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get())
        looked_at = response.stream.whole
        return looked_at, await body_of(response), response.stream.whole

    assert run(scenario, always(OK)) == (b"ok", b"ok", None)


def test_the_head_of_the_answer_keeps_order_case_and_duplicates(run):  # RFC 9110 5.3
    raw = (
        b"HTTP/1.1 299 Fine  so\r\nX-b: 1\r\nx-A:2 \r\nX-b: \xff\r\nE:\r\nContent-Length: 0\r\n\r\n"
    )

    status, headers, body = run(answer_to(get()), always(raw))

    assert status == 299
    assert headers == [
        (b"X-b", b"1"),
        (b"x-A", b"2"),
        (b"X-b", b"\xff"),
        (b"E", b""),
        (b"Content-Length", b"0"),
    ]
    assert body == b""


def test_version_and_reason_are_told(run):  # RFC 9112 4
    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get())
        return response.extensions["http_version"], response.extensions["reason_phrase"]

    assert run(scenario, once(b"HTTP/1.0 200 Wie\xdf so\r\n\r\n")) == (b"HTTP/1.0", b"Wie\xdf so")


def test_a_status_line_may_lack_its_reason(run):  # RFC 9112 4
    assert run(answer_to(get()), always(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"))[0] == 200


def test_target_and_headers_go_out_byte_for_byte(run):  # RFC 9112 3.2
    heads = []

    async def script(peer: Peer):
        heads.append(await peer.head())
        await peer.send(OK)

    headers = [(b"hOsT", b"a.example"), (b"X-Twice", b"1"), (b"b", b"\xe4"), (b"x-twice", b"2")]
    one = request("BREW", headers=headers, target=b'/a%2Fb//../%ff?q=[]{}|"')

    run(answer_to(one), script)

    assert heads == [
        b'BREW /a%2Fb//../%ff?q=[]{}|" HTTP/1.1\r\nhOsT: a.example\r\nX-Twice: 1\r\nb: \xe4\r\nx-twice: 2\r\n\r\n'
    ]


def test_connections_are_kept_and_reused(run):  # RFC 9112 9.3
    assert run(two_gets, always(OK)) == ([b"ok", b"ok"], 1)


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        pytest.param(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 2, id="close"),
        pytest.param(
            OK.replace(b"\r\n\r\n", b"\r\nConnection: x, Close\r\n\r\n"), 2, id="close among others"
        ),
        pytest.param(OK.replace(b"1.1", b"1.0"), 2, id="1.0"),
        pytest.param(
            OK.replace(b"1.1 200 OK", b"1.0 200 OK\r\nConnection: Keep-Alive"),
            1,
            id="1.0 keep-alive",
        ),
        pytest.param(OK + b"x", 2, id="a byte too many"),
        pytest.param(OK + b"\r\n", 2, id="a blank line too many"),
        pytest.param(OK + OK, 2, id="a second answer"),
    ],
)
def test_a_connection_is_reused_only_when_both_sides_agree(
    run, answer, connections
):  # RFC 9112 9.3
    async def script(peer: Peer):
        while True:
            await peer.head()
            await peer.send(answer)

    assert run(two_gets, script) == ([b"ok", b"ok"], connections)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n"


@pytest.mark.parametrize(
    ("end", "trailers"),
    [
        pytest.param(b"\r\n", [], id="no trailers"),
        pytest.param(b"X-T: 1\r\nx-t:\r\n\r\n", [(b"X-T", b"1"), (b"x-t", b"")], id="trailers"),
    ],
)
def test_chunks_come_decoded_and_trailers_after_them(run, end, trailers):  # RFC 9112 7.1
    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get())
        body = await body_of(response)
        again = await transport.handle_async_request(get())
        return body, response.extensions["trailers"](), again.stream.whole, upstream.connections

    assert run(scenario, always(CHUNKED + end)) == (b"abcde", trailers, b"abcde", 1)


@pytest.mark.parametrize("excess", [b"\r\n", b"\r", b"\n", b"H", b"x", b"0\r\n\r\n", OK])
def test_bytes_after_the_last_chunk_end_the_connection(run, excess):  # RFC 9112 9.3
    bodies, connections = run(two_gets, always(CHUNKED + b"\r\n" + excess))

    assert (bodies, connections) == ([b"abcde", b"abcde"], 2)


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        pytest.param(
            "HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", id="HEAD with a length"
        ),
        pytest.param(
            "HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="HEAD of chunks"
        ),
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", id="HEAD without framing"),
        pytest.param("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 99\r\n\r\n", id="204"),
        pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", id="304"),
        pytest.param("GET", NO_CONTENT, id="204 without framing"),
    ],
)
def test_answers_without_a_body_end_with_their_head(run, method, raw):  # RFC 9112 6.3, case 1
    async def scenario(transport, upstream):
        for _ in range(2):
            response = await transport.handle_async_request(request(method))
            assert response.stream.whole == b""
        return upstream.connections

    assert run(scenario, always(raw)) == 1


def test_a_body_without_framing_ends_with_the_connection(run):  # RFC 9112 6.3, case 8
    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get())
        assert response.stream.whole is None
        return await body_of(response)

    assert run(scenario, once(b"HTTP/1.1 200 OK\r\n\r\nall of it")) == b"all of it"


OFFER = b"HTTP/1.1 200 OK\r\nUpgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(OFFER + b"Content-Length: 2\r\n\r\nok", id="length"),
        pytest.param(
            OFFER + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", id="chunks"
        ),
    ],
)
def test_an_upgrade_that_is_only_offered_changes_nothing(run, raw):  # RFC 9110 7.8
    assert run(two_gets, always(raw)) == ([b"ok", b"ok"], 1)


def test_interim_answers_go_to_who_asked_in_order(run):  # RFC 9110 15.2
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    seen = []

    async def note(status, headers):
        await asyncio.sleep(0)
        seen.append((status, headers))

    assert run(answer_to(get(on_informational=note)), always(raw))[0] == 200
    assert seen == [(100, []), (103, [(b"Link", b"</a>")])]


def test_an_interim_answer_arrives_before_the_final_one_exists(run):  # RFC 8297
    hinted = asyncio.Event()

    async def script(peer: Peer):
        await peer.head()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await hinted.wait()
        await peer.send(OK)

    async def note(status, headers):
        hinted.set()

    assert run(answer_to(get(on_informational=note)), script)[2] == b"ok"


def test_interim_answers_that_nobody_wants_are_dropped(run):  # RFC 9110 15.2
    raw = b"HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\n" * 3 + OK

    assert run(two_gets, always(raw)) == ([b"ok", b"ok"], 1)


def test_an_error_of_the_interim_callback_reaches_the_caller_and_closes(run):
    async def note(status, headers):
        raise ZeroDivisionError

    async def scenario(transport, upstream):
        with pytest.raises(ZeroDivisionError):
            await transport.handle_async_request(get(on_informational=note))
        return transport._pool.counted

    assert run(scenario, always(b"HTTP/1.1 102 Processing\r\n\r\n")) == 0


@pytest.mark.parametrize(
    ("raw", "received"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"abc", id="length"),
        pytest.param(CHUNKED, b"abcde", id="no end of trailers"),
        pytest.param(CHUNKED[:-3], b"abcde", id="no last chunk"),
        pytest.param(CHUNKED[:-6], b"abcd", id="half a chunk"),
    ],
)
def test_a_truncated_body_is_an_error_after_what_came(run, raw, received):  # RFC 9112 8
    async def scenario(transport, upstream):
        return await until_broken(await transport.handle_async_request(get()))

    body, error = run(scenario, once(raw))

    assert (type(error), error.stage) == (ResponseCut, "body")
    assert body == received


def test_a_reset_in_the_middle_of_a_body_is_a_read_error(run):  # RFC 9112 8
    received = asyncio.Event()

    async def script(peer: Peer):
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await received.wait()
        peer.reset()

    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get())
        assert await anext(response.stream) == b"abc"
        received.set()
        return (await until_broken(response))[1]

    error = run(scenario, script)

    assert (type(error), error.stage) == (httpx.ReadError, "body")


def test_a_large_body_arrives_whole_and_is_held_back_meanwhile(run):
    size = 20_000_000
    sent = []

    async def script(peer: Peer):
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 100_000):
            await peer.send(b"x" * 100_000)
            sent.append(100_000)

    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get())
        body = response.stream
        await anext(body)
        before = -1
        while before != len(sent):
            before = len(sent)
            await asyncio.sleep(0.05)
        held = body._buffered_bytes
        rest = await body_of(response)
        return held, before, len(rest)

    held, sent_meanwhile, rest = run(scenario, script)

    assert held < 600_000  # one read of the loop above the high-water mark at most
    assert sent_meanwhile * 100_000 < size - 1_000_000
    assert size - 300_000 < rest < size


@pytest.mark.parametrize("answer", [OK, CHUNKED + b"\r\n"], ids=["length", "chunks"])
def test_a_request_leaves_no_cycles_for_the_collector(run, answer):
    async def scenario(transport, upstream):
        await transport.handle_async_request(get())
        gc.collect()
        gc.disable()
        try:
            for _ in range(50):
                await transport.handle_async_request(get())
            return gc.collect()
        finally:
            gc.enable()

    assert run(scenario, always(answer)) < 50


def test_it_serves_a_plain_httpx_client():
    async def main():
        async with Upstream(always(CHUNKED + b"\r\n")) as upstream:
            async with httpx.AsyncClient(transport=LegacyTransport(upstream.url)) as client:
                posted = await client.post(upstream.url + "/x?y=1", json={"a": 1})
            return posted.text

    async def script_main():
        return await main()

    assert asyncio.run(script_main()) == "abcde"


def test_one_loop_owns_it():
    transport = LegacyTransport("http://127.0.0.1:9")

    def attempt():
        with pytest.raises((httpx.ConnectError, RuntimeError)) as raised:
            asyncio.run(transport.handle_async_request(get(overgrow=UpstreamTimeouts())))
        return raised.type

    assert [attempt(), attempt()] == [httpx.ConnectError, RuntimeError]


def test_after_closing_it_refuses():
    async def main():
        transport = LegacyTransport("http://127.0.0.1:9")
        await transport.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await transport.handle_async_request(get())

    asyncio.run(main())


@pytest.mark.parametrize(
    "url",
    [
        "shop",
        "ftp://h",
        "http://",
        "http://h/p",
        "http://h?q",
        "http://u@h",
        "unix:",
        "unix://h/p",
        "http://h:0",
    ],
)
def test_a_url_that_is_no_upstream_is_refused(url):
    with pytest.raises(ValueError, match=r"write|remove"):
        LegacyTransport(url)


def test_an_unknown_leniency_is_refused():
    with pytest.raises(ValueError, match="unknown leniency 'all'; known are: bare-lf"):
        LegacyTransport("http://h", leniencies=frozenset({"all"}))
