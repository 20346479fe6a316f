import asyncio

from proxy.forwarding.transport import LegacyTransport, ResponseCut
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


def exchange(script, *requests, **options):
    """Send requests one after the other; returns (status, headers, body) of each."""

    async def run():
        async with (
            Upstream(script) as upstream,
            LegacyTransport(upstream.url, **options) as transport,
        ):
            answers = []
            for one in requests:
                response = await transport.handle_async_request(one)
                answers.append(
                    (response.status_code, response.headers.raw, await body_of(response))
                )
            return answers

    return asyncio.run(run())


def test_a_small_answer_is_whole_at_once():
    async def run():
        async with Upstream(always(OK)) as upstream, LegacyTransport(upstream.url) as transport:
            response = await transport.handle_async_request(get())
            return response.stream.whole

    assert asyncio.run(run()) == b"ok"


def test_the_head_of_the_answer_keeps_order_case_and_duplicates():
    raw = b"HTTP/1.1 299 Fine  so\r\nX-b: 1\r\nx-A: 2\r\nX-b: 3\r\nContent-Length: 0\r\n\r\n"

    [(status, headers, body)] = exchange(always(raw), get())

    assert status == 299
    assert headers == [(b"X-b", b"1"), (b"x-A", b"2"), (b"X-b", b"3"), (b"Content-Length", b"0")]
    assert body == b""


def test_chunks_come_decoded_and_trailers_after_them():
    async def run():
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
        async with Upstream(always(raw)) as upstream, LegacyTransport(upstream.url) as transport:
            response = await transport.handle_async_request(get())
            body = await body_of(response)
            again = await transport.handle_async_request(get())
            return body, response.extensions["trailers"](), again.stream.whole, upstream.connections

    assert asyncio.run(run()) == (b"abcde", [(b"X-T", b"1")], b"abcde", 1)


def test_an_upload_is_chunked_when_its_headers_say_so():
    received = bytearray()

    async def script(peer: Peer):
        received.extend(await peer.head())
        received.extend(await peer.reader.readuntil(b"0\r\n\r\n"))
        await peer.send(OK)

    async def pieces():
        yield b"ab"
        yield b"c"

    one = request(
        "POST", headers=[(b"Host", b"h"), (b"Transfer-Encoding", b"chunked")], stream=pieces()
    )

    [(status, _, _)] = exchange(script, one)

    assert status == 200
    assert bytes(received) == (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )


def test_a_truncated_body_is_an_error_after_what_came():
    async def run():
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
        async with Upstream(once(raw)) as upstream, LegacyTransport(upstream.url) as transport:
            response = await transport.handle_async_request(get())
            return await until_broken(response)

    received, error = asyncio.run(run())

    assert received == b"abc"
    assert type(error) is ResponseCut
