"""Several addresses for one name (RFC 8305), names that move or hang, and the age of connections."""

import asyncio
import socket
import threading

import httpx
import pytest
import uvloop

from overgrow.forwarding.client.dialling import Dialler
from overgrow.forwarding.client.transport import LegacyTransport, UpstreamTimeouts
from tests.wire.transport.addresses import (
    ANSWERING,
    OTHER,
    REFUSING,
    SILENT,
    Answering,
    Names,
    listener,
    silent_at,
)
from tests.wire.transport.upstream import body_of, eventually, get

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def on_loop(request):
    """Run a scenario, with a listener at ANSWERING, in one loop of either kind."""

    def on_loop(scenario):
        async def main():
            async with Answering(sock) as server:
                return await asyncio.wait_for(scenario(server, port), 60)

        with (
            listener(ANSWERING) as sock,
            asyncio.Runner(loop_factory=LOOPS[request.param]) as runner,
        ):
            port = sock.getsockname()[1]
            return runner.run(main())

    return on_loop


def named(port, names, **options):
    return LegacyTransport(f"http://legacy.test:{port}", resolve=names, **options)


async def answer_of(transport, **limits):
    return await body_of(
        await transport.handle_async_request(get(overgrow=UpstreamTimeouts(**limits)))
    )


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param((SILENT, ANSWERING), id="the first is silent"),
        pytest.param((REFUSING, ANSWERING), id="the first refuses"),
        pytest.param((SILENT, REFUSING, ANSWERING), id="one of each"),
        pytest.param(("::1", ANSWERING), id="nothing listens at IPv6"),
        pytest.param((ANSWERING, SILENT), id="the second is silent"),
    ],
)
@pytest.mark.parametrize("connect_s", [4.0, 1.0])
def test_an_address_that_fails_leaves_time_for_the_others(on_loop, addresses, connect_s):
    async def scenario(server, port):
        with silent_at(SILENT, port):
            async with named(port, Names(*addresses)) as transport:
                body = await answer_of(transport, connect_s=connect_s)
                counted = transport._pool.counted, len(transport._pool._open)
        return body, counted

    assert on_loop(scenario) == (b"ok", (1, 1))


def test_an_address_that_was_silent_is_tried_last_for_a_while(on_loop):
    async def scenario(server, port):
        loop = asyncio.get_running_loop()
        with silent_at(SILENT, port):
            async with named(port, Names(SILENT, ANSWERING)) as transport:
                await answer_of(transport)
                shunned = set(transport._dialler._tried_last)
                order = transport._dialler._order_hosts([SILENT, ANSWERING], loop.time())
                later = transport._dialler._order_hosts([SILENT, ANSWERING], loop.time() + 100)
        return shunned, order, later

    expected = ({SILENT}, [ANSWERING, SILENT], [SILENT, ANSWERING])
    assert on_loop(scenario) == expected


def test_addresses_that_are_all_silent_are_a_connect_timeout(on_loop):
    async def scenario(server, port):
        with silent_at(SILENT, port), silent_at(OTHER, port):
            async with named(port, Names(SILENT, OTHER)) as transport:
                with pytest.raises(httpx.ConnectTimeout):
                    await answer_of(transport, connect_s=0.4)
                return transport._pool.counted, len(transport._pool._open)

    assert on_loop(scenario) == (0, 0)


def test_addresses_that_all_refuse_are_a_connect_error_that_names_them(on_loop):
    async def scenario(server, port):
        async with named(port, Names(REFUSING, OTHER)) as transport:
            with pytest.raises(httpx.ConnectError) as raised:
                await answer_of(transport)
            return str(raised.value)

    told = on_loop(scenario)
    assert REFUSING in told
    assert OTHER in told


def test_a_caller_that_leaves_while_addresses_race_leaves_nothing_behind(on_loop):
    async def scenario(server, port):
        with silent_at(SILENT, port):
            async with named(port, Names(SILENT, OTHER, SILENT)) as transport:
                asking = asyncio.ensure_future(answer_of(transport))
                await asyncio.sleep(0.05)
                asking.cancel()
                await asyncio.wait([asking])
                others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
                await asyncio.wait(others, timeout=0.2)
                return transport._pool.counted, len(transport._pool._open)

    assert on_loop(scenario) == (0, 0)


def test_families_take_turns():
    async def scenario():
        names = Names("::1", "::2", "::3", "10.0.0.1", "10.0.0.2", "::1")
        return await Dialler("http://legacy.test", resolve=names)._lookup.resolve_hosts(1.0)

    assert asyncio.run(scenario()) == ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]


def test_a_name_that_moves_is_followed_under_steady_traffic(on_loop):
    async def scenario(server, port):
        names = Names(ANSWERING)
        async with (
            Answering(listener(OTHER, port)) as other,
            named(port, names, max_age_s=0.2) as transport,
        ):
            await answer_of(transport)
            names.addresses = (OTHER,)
            while not other.requests:  # without a pause in which a connection might end idle
                await answer_of(transport)
            last = server.requests
            for _ in range(20):
                await answer_of(transport)
            return server.requests - last

    assert on_loop(scenario) == 0


def test_a_connection_without_a_request_ends_with_its_age(on_loop):
    async def scenario(server, port):
        async with named(port, Names(ANSWERING), max_age_s=0.1) as transport:
            await answer_of(transport)
            await eventually(lambda: not transport._pool._open)
            return transport._pool.counted

    assert on_loop(scenario) == 0


def test_an_answer_under_way_may_outlast_the_age_of_its_connection(on_loop):
    async def scenario(server, port):
        server._reply = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\no"
        async with named(port, Names(ANSWERING), max_age_s=0.05) as transport:
            response = await transport.handle_async_request(get())
            await asyncio.sleep(0.15)
            server._reply = b"kk"
            # A second request head makes the scripted server send the rest of the first answer.
            (connection,) = transport._pool._open
            connection._transport.write(b"GET / HTTP/1.1\r\n\r\n")
            return await body_of(response)

    assert on_loop(scenario) == b"okk"


def test_a_waiter_gets_a_new_connection_in_the_place_of_an_old_one(on_loop):
    async def scenario(server, port):
        async with named(port, Names(ANSWERING), max_age_s=0.05, max_connections=1) as transport:
            found = []
            for _ in range(10):
                found += await asyncio.gather(*(answer_of(transport) for _ in range(4)))
                await asyncio.sleep(0.01)
            return set(found), transport._pool.counted <= 1

    assert on_loop(scenario) == ({b"ok"}, True)


@pytest.mark.parametrize("error", [None, socket.gaierror(socket.EAI_AGAIN, "try again")])
def test_a_resolver_that_is_away_does_not_take_a_known_name_along(on_loop, error):
    release = threading.Event()
    names = Names(ANSWERING)

    def away(host, port):
        if names.asked:
            names.asked += 1
            if error is None:
                release.wait(60)
            else:
                raise error
        return names(host, port)

    async def scenario(server, port):
        async with named(port, away, max_connections=8) as transport:
            await answer_of(transport)
            transport._pool._idle[0].close()
            found = await asyncio.gather(*(answer_of(transport, connect_s=0.5) for _ in range(5)))
            release.set()
            return set(found)

    assert on_loop(scenario) == {b"ok"}


def test_a_resolver_that_hangs_is_asked_once_and_bounded(on_loop):
    release, asked = threading.Event(), []

    def hanging(host, port):
        asked.append(host)
        release.wait(60)
        return Names(ANSWERING)(host, port)

    async def scenario(server, port):
        async with named(port, hanging) as transport:
            for _ in range(3):
                with pytest.raises(httpx.ConnectTimeout):
                    await answer_of(transport, connect_s=0.1)
            release.set()
            return await answer_of(transport), asked

    body, asked = on_loop(scenario)
    assert (body, len(asked) <= 2) == (b"ok", True)


def test_a_name_that_is_gone_is_a_connect_error(on_loop):
    names = Names(ANSWERING)

    def gone(host, port):
        if names.asked:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return names(host, port)

    async def scenario(server, port):
        async with named(port, gone) as transport:
            await answer_of(transport)
            transport._pool._idle[0].close()
            with pytest.raises(httpx.ConnectError) as raised:
                await answer_of(transport)
            return "no such name" in str(raised.value)

    assert on_loop(scenario)
