"""Where tunnels connect to: several addresses, and certificates with another name."""

import asyncio
import socket

import pytest
import uvloop

from overgrow.exchange import Failure
from overgrow.forwarding.client import dialling
from overgrow.forwarding.client.dialling import Dialler
from overgrow.forwarding.client.transport import LegacyTransport
from overgrow.forwarding.tunnel import tunnel
from overgrow.forwarding.tunnel.tunnel import open_tunnel
from overgrow.routing.model import Legacy, Timeouts
from tests.wire.transport.addresses import (
    ANSWERING,
    OTHER,
    REFUSING,
    SILENT,
    Answering,
    Names,
    certificate_for,
    listener,
    silent_at,
)
from tests.wire.transport.upstream import OK, Upstream, body_of, get

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
ASKED = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
PRIVATE = "legacy.internal"


@pytest.fixture(scope="session")
def private(tmp_path_factory):
    """A certificate that names no address: (server's context, its CA file)."""
    return certificate_for(PRIVATE, tmp_path_factory.mktemp("private"))


async def opened(legacy, connect_s=2.0):
    """The status of legacy's answer to an upgrade, or the code of the failure."""
    found = await open_tunnel(legacy, ASKED, timeouts=Timeouts(connect_s=connect_s))
    if isinstance(found, Failure):
        return found.code
    await found.close()
    return found.status


@pytest.mark.parametrize("connect_s", [2.0, 0.3])
def test_a_silent_address_leaves_a_tunnel_time_for_the_next(monkeypatch, connect_s):
    names = Names(SILENT, ANSWERING)
    monkeypatch.setattr(tunnel, "dialler_of", lambda url, *_: Dialler(url, resolve=names))

    async def scenario():
        with listener(ANSWERING) as sock:
            port = sock.getsockname()[1]
            with silent_at(SILENT, port):
                async with Answering(sock, SWITCH):
                    return await opened(Legacy(f"http://legacy.test:{port}"), connect_s)

    assert asyncio.run(scenario()) == 101


@pytest.mark.parametrize(
    ("tls_name", "outcome"),
    [
        pytest.param(PRIVATE, 101, id="its name"),
        pytest.param(None, "legacy-connect", id="the address"),
        pytest.param("other.internal", "legacy-connect", id="another name"),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_tunnel_asks_for_the_name_of_the_certificate(private, host, tls_name, outcome):
    context, ca = private

    async def switching(peer):
        await peer.head()
        await peer.send(SWITCH)
        await peer.until_end()

    async def scenario():
        async with Upstream(switching, ssl=context) as upstream:
            url = f"https://{host}:{upstream.port}"
            return await opened(Legacy(url, tls_ca=ca, tls_name=tls_name))

    assert asyncio.run(scenario()) == outcome


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_request_asks_for_the_name_of_the_certificate(run, private, host):
    context, ca = private
    asked = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)

    async def answering(peer):
        await peer.head()
        await peer.send(OK)
        await peer.until_end()

    async def scenario(transport, upstream):
        named = type(transport)(f"https://{host}:{upstream.port}", tls_ca=ca, tls_name=PRIVATE)
        async with named:
            return await body_of(await named.handle_async_request(get()))

    assert run(scenario, answering, ssl=context) == b"ok"
    assert asked == [PRIVATE]


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(SILENT, id="silent"),
        pytest.param(REFUSING, id="refusing"),
        pytest.param(OTHER, id="connected, and silent in TLS"),
    ],
)
@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_addresses_race_with_tls_too(private, first, loop_factory):
    context, ca = private
    names = Names(first, ANSWERING)

    async def main(sock, port):
        async with (
            Answering(sock, tls=context),
            LegacyTransport(
                f"https://legacy.test:{port}", tls_ca=ca, tls_name=PRIVATE, resolve=names
            ) as transport,
        ):
            found = [await transport.handle_async_request(get()) for _ in range(2)]
            return [await body_of(each) for each in found], len(transport._pool._open)

    with listener(ANSWERING) as sock, asyncio.Runner(loop_factory=loop_factory) as runner:
        port = sock.getsockname()[1]
        with silent_at(SILENT, port), listener(OTHER, port):
            assert runner.run(main(sock, port)) == ([b"ok", b"ok"], 1)


def test_a_tunnel_goes_where_requests_went_while_the_resolver_is_away(monkeypatch):
    names = Names(ANSWERING)
    monkeypatch.setattr(dialling.socket, "getaddrinfo", lambda host, port, **_: names(host, port))

    async def scenario():
        with listener(ANSWERING) as sock:
            port = sock.getsockname()[1]
            url = f"http://known.test:{port}"
            async with Answering(sock, OK), LegacyTransport(url) as transport:
                await body_of(await transport.handle_async_request(get()))
        monkeypatch.setattr(dialling.socket, "getaddrinfo", away)
        with listener(ANSWERING, port) as sock:
            async with Answering(sock, SWITCH):
                return await opened(Legacy(url))

    assert asyncio.run(scenario()) == 101


def away(*_, **__):
    raise socket.gaierror(socket.EAI_AGAIN, "try again")
