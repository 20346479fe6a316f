"""The pool: order, bounds, limits, stale connections and the single retry."""

import asyncio
import select
import socket
import threading

import httpx
import pytest

from overgrow.forwarding.client.transport import LegacyTransport, ResponseCut, UpstreamTimeouts
from tests.wire.transport.upstream import OK, always, body_of, counted, eventually, get, request

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; x=y\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"


LIMITS = UpstreamTimeouts(pool_s=0.1)


def held(release, seen):
    """Make a script that answers each request once `release` is set."""

    async def script(peer):
        while True:
            seen.append(await peer.head())
            await release.wait()
            await peer.send(OK)

    return script


def test_the_connection_used_last_is_used_next(run):
    release, seen, served = asyncio.Event(), [], []

    async def script(peer):
        while True:
            await peer.head()
            seen.append(peer)
            await release.wait()
            served.append(peer)
            await peer.send(OK)

    async def scenario(transport, upstream):
        both = [asyncio.ensure_future(transport.handle_async_request(get())) for _ in range(2)]
        await eventually(lambda: len(seen) == 2)
        release.set()
        await asyncio.gather(*both)
        for _ in range(3):
            await transport.handle_async_request(get())
        return served[2] is served[3] is served[4], served[1] is served[2]

    assert run(scenario, script) == (True, True)


def test_no_more_connections_than_allowed_and_waiters_are_served_in_order(run):
    release, seen, order = asyncio.Event(), [], []

    async def scenario(transport, upstream):
        async def one(number):
            await transport.handle_async_request(get())
            order.append(number)

        tasks = []
        for number in range(6):
            tasks.append(asyncio.ensure_future(one(number)))
            await asyncio.sleep(0)
        await eventually(lambda: len(seen) == 2)
        waiting = len(transport._pool._waiting)
        release.set()
        await asyncio.gather(*tasks)
        return waiting, upstream.connections, transport._pool.counted

    assert run(scenario, held(release, seen), max_connections=2) == (4, 2, 2)
    assert sorted(order) == list(range(6))
    assert set(order[:2]) == {0, 1}
    assert set(order[2:4]) == {2, 3}


def test_waiting_for_a_connection_ends_with_the_connect_timeout(run):
    seen = []

    async def scenario(transport, upstream):
        first = asyncio.ensure_future(transport.handle_async_request(get()))
        await eventually(lambda: seen)
        with pytest.raises(httpx.PoolTimeout) as raised:
            await transport.handle_async_request(get(overgrow=UpstreamTimeouts(connect_s=0.05)))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return raised.value.stage, transport._pool.counted

    assert run(scenario, held(asyncio.Event(), seen), max_connections=1) == ("queue", 0)


def test_a_failed_connection_passes_its_place_to_a_waiter(run):
    go_on = asyncio.Event()

    async def breaking(peer):
        await peer.head()
        await go_on.wait()

    async def scenario(transport, upstream):
        first = asyncio.ensure_future(transport.handle_async_request(get()))
        await eventually(lambda: upstream.connections)
        second = asyncio.ensure_future(transport.handle_async_request(get()))
        await asyncio.sleep(0.01)
        go_on.set()
        failed, good = await asyncio.gather(first, second, return_exceptions=True)
        return type(failed).__name__, good.status_code

    assert run(scenario, breaking, always(OK), max_connections=1) == ("ResponseCut", 200)


def test_an_idle_connection_is_closed_after_its_limit(run):
    async def scenario(transport, upstream):
        await transport.handle_async_request(get())
        before = transport._pool.counted
        await eventually(lambda: transport._pool.counted == 0)
        return before

    assert run(scenario, always(OK), idle_limit_s=0.05) == 1


def test_a_connection_in_use_outlives_the_idle_limit(run):
    async def slow(peer):
        while True:
            await peer.head()
            await asyncio.sleep(0.8)  # longer than the limit
            await peer.send(OK)

    async def scenario(transport, upstream):
        for _ in range(2):
            await transport.handle_async_request(get())
        return upstream.connections

    assert run(scenario, slow, idle_limit_s=0.6) == 1


@pytest.mark.parametrize(
    "bytes_while_idle", [b"", b"HTTP/1.1 408 Timeout\r\n\r\n"], ids=["end", "bytes"]
)
def test_an_idle_connection_that_stirs_leaves_the_pool_at_once(
    run, bytes_while_idle
):  # RFC 9112 9.5
    go_on = asyncio.Event()

    async def script(peer):
        await peer.head()
        await peer.send(OK)
        await go_on.wait()
        await peer.send(bytes_while_idle) if bytes_while_idle else peer.end()
        await peer.until_end()

    async def scenario(transport, upstream):
        await transport.handle_async_request(get())
        go_on.set()
        await eventually(lambda: transport._pool.counted == 0)
        return len(transport._pool._idle)

    assert run(scenario, script) == 0


def answering_then(act):
    """Make a script that answers one request and does something with the second."""

    async def script(peer):
        await peer.head()
        await peer.send(OK)
        await peer.head()
        act(peer)

    return script


def ending(peer):
    peer.end()


def resetting(peer):
    peer.reset()


async def second(transport, one):
    """Make a GET and then this request; returns its status or the name of its error."""
    await transport.handle_async_request(get())
    try:
        return (await transport.handle_async_request(one)).status_code
    except httpx.TransportError as error:
        return type(error).__name__


async def body():
    yield b"abc"


RETRIED = [
    pytest.param("GET", {}, True, id="GET"),
    pytest.param("DELETE", {}, True, id="DELETE"),
    pytest.param(
        "PUT",
        {"stream": httpx.ByteStream(b"abc"), "headers": [(b"Content-Length", b"3")]},
        True,
        id="PUT in memory",
    ),
    pytest.param("POST", {}, False, id="POST"),
    pytest.param("PATCH", {}, False, id="PATCH"),
    pytest.param("BREW", {}, False, id="unknown method"),
]


@pytest.mark.parametrize("act", [ending, resetting])
@pytest.mark.parametrize(("method", "parts", "is_retried"), RETRIED)
def test_a_stale_connection_is_retried_once_if_idempotent(
    run, act, method, parts, is_retried
):  # RFC 9110 9.2.2
    async def good(peer):
        await peer.head()
        if parts:
            await peer.body(3)
        await peer.send(OK)

    async def scenario(transport, upstream):
        outcome = await second(transport, request(method, **parts))
        return outcome == 200, upstream.connections

    assert run(scenario, answering_then(act), good) == (is_retried, 2 if is_retried else 1)


def test_a_streamed_body_that_was_read_is_not_sent_again(run):  # RFC 9112 9.3.1
    async def scenario(transport, upstream):
        one = request("PUT", headers=[(b"Content-Length", b"3")], stream=body())
        return await second(transport, one), upstream.connections

    outcome, connections = run(scenario, answering_then(ending), always(OK))

    assert outcome in ("ResponseCut", "ReadError")
    assert connections == 1


def test_the_retry_is_the_last(run):
    async def scenario(transport, upstream):
        await transport.handle_async_request(get())
        with pytest.raises(httpx.RemoteProtocolError) as raised:
            await transport.handle_async_request(get())
        return raised.value.retried, upstream.connections

    async def refusing(peer):
        await peer.head()

    assert run(scenario, answering_then(ending), refusing) == (True, 2)


def test_a_fresh_connection_is_not_retried(run):
    async def refusing(peer):
        await peer.head()

    async def scenario(transport, upstream):
        with pytest.raises(httpx.RemoteProtocolError) as raised:
            await transport.handle_async_request(get())
        return raised.value.retried, upstream.connections

    assert run(scenario, refusing) == (False, 1)


def test_one_byte_of_an_answer_rules_the_retry_out(run):
    async def script(peer):
        await peer.head()
        await peer.send(OK)
        await peer.head()
        await peer.send(b"H")

    async def scenario(transport, upstream):
        return await second(transport, get()), upstream.connections

    assert run(scenario, script) == ("ResponseCut", 1)


def test_the_retry_takes_an_idle_place_when_all_are_taken(run):
    release, seen = asyncio.Event(), []

    async def scenario(transport, upstream):
        both = [asyncio.ensure_future(transport.handle_async_request(get())) for _ in range(2)]
        await asyncio.gather(*both)
        response = await transport.handle_async_request(get())
        return response.status_code, transport._pool.counted <= 2

    async def script(peer):
        await peer.head()
        seen.append(1)
        if len(seen) == 2:
            release.set()
        await release.wait()
        await peer.send(OK)
        await peer.head()

    assert run(scenario, script, script, always(OK), max_connections=2) == (200, True)


def test_the_retry_waits_for_its_turn_and_still_is_on_a_new_connection(run):
    async def scenario(transport, upstream):
        await transport.handle_async_request(get())
        # The first takes the stale connection; its place goes to the second, which was waiting.
        both = [asyncio.ensure_future(transport.handle_async_request(get())) for _ in range(2)]
        answers = await asyncio.gather(*both)
        return [a.status_code for a in answers], upstream.connections, transport._pool.counted

    scripts = (answering_then(ending), always(OK))
    assert run(scenario, *scripts, max_connections=1) == ([200, 200], 3, 1)


def test_a_post_does_not_meet_a_connection_that_has_ended_unseen(run):  # no retry could save it
    def answer_and_end(server):
        connection, _ = server.accept()
        connection.recv(1000)
        connection.sendall(OK)
        connection.close()
        connection, _ = server.accept()
        connection.recv(1000)
        connection.sendall(OK)
        connection.close()

    async def scenario(transport, upstream):
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=answer_and_end, args=(server,))
            thread.start()
            async with LegacyTransport(f"http://127.0.0.1:{server.getsockname()[1]}") as ours:
                await ours.handle_async_request(get())
                wait_for_bytes_or_end(ours._pool._idle[0])  # the loop stands still: it sees no end
                response = await ours.handle_async_request(request("POST"))
            thread.join()
            return response.status_code

    assert run(scenario, always(OK)) == 200


def wait_for_bytes_or_end(connection):
    """Block until the socket of a connection is readable."""
    poll = select.poll()
    poll.register(connection._transport.get_extra_info("socket").fileno(), select.POLLIN)
    poll.poll()


def test_event_streams_leave_the_count_at_their_head(run):
    async def streaming(peer):
        await peer.head()
        await peer.send(EVENTS)
        await peer.until_end()

    async def scenario(transport, upstream):
        streams = [await transport.handle_async_request(get()) for _ in range(3)]
        counted = transport._pool.counted
        first = await anext(streams[0].stream)
        for response in streams:
            await response.stream.aclose()
        return counted, transport._pool.counted, first, upstream.connections

    assert run(scenario, streaming, max_connections=1) == (0, 0, b"hi", 3)


def test_an_event_stream_that_ends_is_not_counted_twice(run):
    async def scenario(transport, upstream):
        for _ in range(3):
            response = await transport.handle_async_request(get())
            assert await body_of(response) == b"hi"
        await eventually(lambda: transport._pool.counted == 0)

    async def streaming(peer):
        await peer.head()
        await peer.send(EVENTS)
        await asyncio.sleep(0.01)
        await peer.send(b"0\r\n\r\n")
        await peer.until_end()

    run(scenario, streaming, max_connections=1)


def test_an_end_that_overtakes_the_request_is_a_cut_like_one_just_after_it(run):
    async def scenario(transport, upstream):
        pool_dial = None

        async def dial_and_meet_the_end(connection, connect_s):
            await pool_dial(connection, connect_s)
            await eventually(lambda: connection.is_closing)
            await asyncio.sleep(0.01)  # the socket is closed before the caller goes on

        first = await transport.handle_async_request(get())
        pool = transport._pool
        pool_dial, pool._dial = pool._dial, dial_and_meet_the_end
        pool._idle[0].close()
        with pytest.raises(ResponseCut) as raised:
            await transport.handle_async_request(get())
        return first.status_code, raised.value.stage, pool.counted, len(pool._open)

    async def ending_at_once(peer):
        peer.end()

    assert run(scenario, always(OK), ending_at_once) == (200, "send", 0, 0)


def test_closing_while_connecting_fails_the_request(run):
    async def scenario(transport, upstream):
        dialling = asyncio.ensure_future(transport.handle_async_request(get()))
        await asyncio.sleep(0)
        pool = transport._pool
        await transport.aclose()
        (outcome,) = await asyncio.gather(dialling, return_exceptions=True)
        return type(outcome), pool.counted

    assert run(scenario, always(OK)) == (httpx.ConnectError, 0)


def test_closing_fails_what_is_under_way(run):
    seen = []

    async def scenario(transport, upstream):
        running = asyncio.ensure_future(transport.handle_async_request(get()))
        waiting = asyncio.ensure_future(transport.handle_async_request(get()))
        await eventually(lambda: seen)
        await transport.aclose()
        outcomes = await asyncio.gather(running, waiting, return_exceptions=True)
        return [type(outcome) for outcome in outcomes]

    outcomes = run(scenario, held(asyncio.Event(), seen), max_connections=1)

    assert outcomes == [httpx.ReadError, httpx.PoolTimeout]


def test_a_reserved_place_is_one_of_max_connections_until_it_is_freed(run):
    """An idle connection makes room for it; freed twice it is free once."""

    async def scenario(transport, upstream):
        await body_of(await transport.handle_async_request(get()))  # leaves one idle
        place = await transport.reserve_slot(LIMITS)
        with pytest.raises(httpx.PoolTimeout):
            await transport.handle_async_request(get(overgrow=LIMITS))
        with pytest.raises(httpx.PoolTimeout):
            await transport.reserve_slot(LIMITS)
        place.free()
        place.free()
        await body_of(await transport.handle_async_request(get(overgrow=LIMITS)))
        return upstream.connections, counted(transport)

    assert run(scenario, always(OK), max_connections=1) == (2, 1)


def test_a_kept_connection_of_a_loop_that_ended_carries_nothing():
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as peer:
                while data := peer.recv(65536):
                    asked.append(data)
                    peer.sendall(OK)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        transport = LegacyTransport(f"http://127.0.0.1:{listener.getsockname()[1]}")
        first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
        first.run_until_complete(transport.handle_async_request(get()))
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run_until_complete(transport.handle_async_request(request("POST")))
        first.run_until_complete(transport.aclose())
        first.close()
        second.close()
        server.join(60)

    assert 1 == len(asked)
