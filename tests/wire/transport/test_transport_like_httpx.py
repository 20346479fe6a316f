"""Where httpx's own transport is right, ours gives the same answer to the same bytes."""

import asyncio

import httpx
import pytest

from overgrow.forwarding.client.transport import LegacyTransport
from tests.wire.transport.upstream import OK, Upstream, once

H = b"HTTP/1.1 200 OK\r\n"
BROKEN = (httpx.RemoteProtocolError, httpx.ReadError)

ANSWERS = [
    pytest.param(OK, id="length"),
    pytest.param(H + b"\r\nuntil the end", id="close"),
    pytest.param(H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", id="chunks"),
    pytest.param(
        H + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: u\r\n\r\n",
        id="extension and trailer",
    ),
    pytest.param(b"HTTP/1.0 200 OK\r\n\r\nold", id="1.0"),
    pytest.param(b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", id="no reason"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
    pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", id="304"),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + OK, id="1xx"
    ),
    pytest.param(
        b"HTTP/1.1 302 Found\r\nLocation: javascript:void(0)\r\nContent-Length: 0\r\n\r\n",
        id="redirect",
    ),
    pytest.param(
        H
        + b"X-A: 1\r\nx-a:  2  \r\nE:\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n",
        id="headers",
    ),
    pytest.param(H + b"X: \xe4\xff\r\nContent-Length: 0\r\n\r\n", id="obs-text"),
    pytest.param(H + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", id="encoded"),
    pytest.param(H + b"Content-Length: 9\r\n\r\nabc", id="truncated length"),
    pytest.param(H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", id="truncated chunks"),
    pytest.param(H + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", id="bad chunk"),
    pytest.param(H + b"Content-Length: x\r\n\r\nabc", id="bad length"),
    pytest.param(H + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", id="two lengths"),
    pytest.param(H + b"A B: c\r\n\r\n", id="bad name"),
    pytest.param(H + b"A: b\0\r\n\r\n", id="NUL"),
    pytest.param(b"garbage\r\n\r\n", id="garbage"),
    pytest.param(b"", id="nothing"),
    pytest.param(H, id="half a head"),
]


async def seen(transport, one):
    """Return everything that can be seen of an answer."""
    try:
        response = await transport.handle_async_request(one)
    except BROKEN:
        return "broken", b""
    head = (
        response.status_code,
        response.headers.raw,
        response.reason_phrase,
        response.http_version,
    )
    body = b""
    try:
        async for chunk in response.stream:
            body += chunk
    except BROKEN:
        return head, body, "broken"
    finally:
        await response.aclose()
    return head, body, "complete"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("raw", ANSWERS)
def test_the_same_bytes_are_the_same_answer(raw, method):
    async def main():
        async with (
            Upstream(once(raw)) as upstream,
            LegacyTransport(upstream.url) as ours,
            httpx.AsyncHTTPTransport() as theirs,
        ):
            answers = []
            for transport in (ours, theirs):
                one = httpx.Request(method, upstream.url, headers=[(b"Host", b"h")])
                answers.append(await seen(transport, one))
            return answers

    ours, theirs = asyncio.run(main())

    assert ours == theirs


SENT = [
    pytest.param({"content": b""}, id="no body"),
    pytest.param({"content": b"abc"}, id="bytes"),
    pytest.param({"data": {"a": "ä b"}}, id="form"),
    pytest.param({"headers": [("X-A", "1"), ("x-a", "2"), ("x-b", "")]}, id="headers"),
    pytest.param({"extensions": {"target": b"/a%2Fb/../c?d=[e]"}}, id="target"),
]


@pytest.mark.parametrize("method", ["GET", "POST", "BREW"])
@pytest.mark.parametrize("parts", SENT)
def test_the_same_request_is_the_same_bytes(method, parts):
    received = []

    async def script(peer):
        head = await peer.head()
        length = next(
            (
                line[15:]
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            b"0",
        )
        received.append(head + await peer.body(int(length)))
        await peer.send(OK)

    async def main():
        async with (
            Upstream(script) as upstream,
            LegacyTransport(upstream.url) as ours,
            httpx.AsyncHTTPTransport() as theirs,
        ):
            for transport in (ours, theirs):
                await seen(transport, httpx.Request(method, upstream.url + "/x?y=%2f", **parts))

    asyncio.run(main())

    assert len(received) == 2
    assert received[0] == received[1]
