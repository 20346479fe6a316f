"""The waits of one request, and which of them passes."""

import asyncio
import time

import httpx
import pytest

from overgrow.forwarding.client.transport import UpstreamTimeouts
from tests.wire.transport.upstream import OK, body_of, get, until_broken

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"


def silent_after(*sends):
    """Make a script that sends this and then nothing."""

    async def script(peer):
        await peer.head()
        for data in sends:
            await peer.send(data)
        await peer.until_end()

    return script


async def outcome_of(transport, one):
    """Return the error of the request or of its body, and how long it took."""
    started = time.monotonic()
    try:
        _, error = await until_broken(await transport.handle_async_request(one))
    except httpx.TransportError as failure:
        error = failure
    return type(error), getattr(error, "stage", None), time.monotonic() - started


BOTH_WAYS = [
    pytest.param({"overgrow": UpstreamTimeouts(response_s=0.1, idle_s=0.1)}, id="our limits"),
    pytest.param(
        {"timeout": {"connect": 1, "read": 0.1, "write": 1, "pool": 1}}, id="httpx's timeouts"
    ),
]


@pytest.mark.parametrize("extensions", BOTH_WAYS)
@pytest.mark.parametrize(
    ("sends", "stage"), [((), "head"), ((OK[:9],), "head"), ((HEAD, b"abc"), "body")]
)
def test_silence_is_a_read_timeout(run, extensions, sends, stage):
    async def scenario(transport, upstream):
        outcome = await outcome_of(transport, get(**extensions))
        return *outcome, transport._pool.counted

    kind, where, took_s, counted = run(scenario, silent_after(*sends))

    assert (kind, where, counted) == (httpx.ReadTimeout, stage, 0)
    assert 0.09 < took_s < 20  # not the default limits, 30 s and 100 s


def test_a_head_that_drips_ends_at_the_response_limit(run):
    async def script(peer):
        await peer.head()
        for byte in OK * 100:
            await peer.send(bytes([byte]))
            await asyncio.sleep(0.02)

    async def scenario(transport, upstream):
        return await outcome_of(
            transport, get(overgrow=UpstreamTimeouts(response_s=0.2, idle_s=10))
        )

    assert run(scenario, script)[:2] == (httpx.ReadTimeout, "head")


def test_an_interim_answer_does_not_renew_the_response_limit(run):
    async def script(peer):
        await peer.head()
        while True:
            await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.05)

    async def scenario(transport, upstream):
        return await outcome_of(transport, get(overgrow=UpstreamTimeouts(response_s=0.2)))

    assert run(scenario, script)[:2] == (httpx.ReadTimeout, "head")


def test_a_body_that_keeps_coming_outlives_every_limit(run):
    async def script(peer):
        await peer.head()
        await peer.send(HEAD)
        for _ in range(9):
            await asyncio.sleep(0.12)  # all together are longer than each limit
            await peer.send(b"x")

    async def scenario(transport, upstream):
        one = get(overgrow=UpstreamTimeouts(response_s=0.9, idle_s=0.9))
        return await body_of(await transport.handle_async_request(one))

    assert run(scenario, script) == b"x" * 9


def test_event_streams_have_a_limit_of_their_own(run):
    events = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    limits = UpstreamTimeouts(response_s=0.05, idle_s=0.05, stream_idle_s=0.4)

    async def scenario(transport, upstream):
        return await outcome_of(transport, get(overgrow=limits))

    kind, stage, took_s = run(scenario, silent_after(events))

    assert (kind, stage) == (httpx.ReadTimeout, "body")
    assert took_s > 0.35


def test_a_reader_that_pauses_is_not_the_upstreams_silence(run):
    size = 5_000_000

    async def script(peer):
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get(overgrow=UpstreamTimeouts(idle_s=0.8)))
        await asyncio.sleep(1.2)  # longer than the limit
        return len(await body_of(response))

    assert run(scenario, script) == size


def test_no_limit_means_no_limit(run):
    async def scenario(transport, upstream):
        one = get(overgrow=UpstreamTimeouts(None, None, None, None))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(transport.handle_async_request(one), 0.1)
        return transport._pool._timer

    assert run(scenario, silent_after()) is None


def test_a_refused_connection_is_a_connect_error(run):
    async def scenario(transport, upstream):
        outcome = await outcome_of(transport, get())
        return *outcome[:2], transport._pool.counted

    expected = (httpx.ConnectError, "connect", 0)
    assert run(scenario, silent_after(), url="http://127.0.0.1:1") == expected
