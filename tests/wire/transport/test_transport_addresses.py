"""Where it connects to: TLS with verification, unix sockets, IPv6, names."""

import asyncio
import os
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from overgrow.forwarding.client.dialling import load_ca_certificates
from overgrow.forwarding.client.transport import LegacyTransport, UpstreamTimeouts
from tests.wire.transport.upstream import (
    OK,
    Upstream,
    always,
    body_of,
    get,
    request,
    until_broken,
)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for localhost: (server's context, its CA file)."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


async def answer(transport, upstream):
    for method in ("GET", "POST"):  # a POST looks into the socket before it takes a kept connection
        body = await body_of(await transport.handle_async_request(request(method)))
    return body, upstream.connections


ANSWERING = always(OK)


def outcome(transport_url, upstream_tls, tls_ca, script=ANSWERING):
    """Make one request to a TLS upstream by this name; returns body or error."""

    async def main():
        async with Upstream(script, ssl=upstream_tls) as upstream:
            url = transport_url.format(port=upstream.port)
            async with LegacyTransport(url, tls_ca=tls_ca) as transport:
                try:
                    return await answer(transport, upstream)
                except httpx.TransportError as error:
                    return type(error), error.stage

    return asyncio.run(main())


def test_tls_with_a_ca_of_its_own(certificate):  # RFC 9110 4.3.4
    context, ca = certificate

    assert outcome("https://localhost:{port}", context, ca) == (b"ok", 1)


def test_certificates_read_beforehand_are_not_looked_at_on_the_loop(certificate, tmp_path):
    context, ca = certificate
    mine = tmp_path / "ca.pem"
    mine.write_bytes(Path(ca).read_bytes())
    load_ca_certificates(str(mine))
    mine.unlink()
    os.mkfifo(mine)  # whoever opened it would wait for ever

    assert outcome("https://localhost:{port}", context, str(mine)) == (b"ok", 1)


def test_tls_on_every_loop(run, certificate):
    context, ca = certificate

    async def scenario(transport, upstream):
        async with LegacyTransport(f"https://localhost:{upstream.port}", tls_ca=ca) as named:
            return await answer(named, upstream)

    assert run(scenario, always(OK), ssl=context) == (b"ok", 1)


def test_http_1_1_is_all_that_is_offered_to_legacy(certificate):
    """RFC 7301: a legacy app that prefers HTTP/2 would choose it, and this transport cannot."""
    context, ca = certificate
    context.set_alpn_protocols(["h2", "http/1.1"])
    chosen = []

    async def script(peer):
        chosen.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await always(OK)(peer)

    assert outcome("https://localhost:{port}", context, ca, script) == (b"ok", 1)
    assert chosen == ["http/1.1"]


@pytest.mark.parametrize(
    ("url", "trusts"),
    [
        pytest.param("https://localhost:{port}", False, id="an unknown authority"),
        pytest.param("https://127.0.0.1:{port}", True, id="another name"),
    ],
)
def test_tls_that_cannot_be_verified_is_a_connect_error(certificate, url, trusts):  # RFC 9110 4.3.4
    context, ca = certificate

    assert outcome(url, context, ca if trusts else None) == (httpx.ConnectError, "connect")


UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n\r\npart"


def without_goodbye(peer):
    """End the connection below TLS, as a network or a crash does: no close_notify."""
    with socket.socket(fileno=os.dup(peer.writer.get_extra_info("socket").fileno())) as below:
        below.shutdown(socket.SHUT_WR)


def answer_to_the_end(certificate, run, end, leniencies=frozenset()):
    context, ca = certificate

    async def script(peer):
        await peer.head()
        await peer.send(UNTIL_THE_END)
        end(peer)
        await peer.until_end()

    async def scenario(transport, upstream):
        url = f"https://localhost:{upstream.port}"
        async with LegacyTransport(url, tls_ca=ca, leniencies=leniencies) as named:
            return await until_broken(await named.handle_async_request(get()))

    return run(scenario, script, ssl=context)


def test_an_end_without_the_goodbye_of_tls_leaves_the_answer_incomplete(certificate, run):
    """RFC 9112 8 and 9.8: anybody on the way can send a FIN; only close_notify is legacy's word."""
    body, error = answer_to_the_end(certificate, run, without_goodbye)

    assert (b"part", httpx.ReadError) == (body, type(error))


def test_a_legacy_that_never_says_goodbye_may_be_forgiven(certificate, run):
    lenient = frozenset({"missing-close-notify"})

    assert answer_to_the_end(certificate, run, without_goodbye, lenient) == (b"part", None)


def test_an_end_with_the_goodbye_of_tls_completes_the_answer(certificate, run):
    """RFC 9112 6.3, case 8, over TLS."""
    assert answer_to_the_end(certificate, run, lambda peer: peer.end()) == (b"part", None)


def test_a_context_of_the_callers_is_used_as_it_is(certificate):
    context, ca = certificate
    own = ssl.create_default_context(cafile=ca)

    assert outcome("https://localhost:{port}", context, own) == (b"ok", 1)


def test_tls_to_a_plain_port_is_a_connect_error(certificate):
    async def plain(peer):
        await peer.body(5)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    expected = (httpx.ConnectError, "connect")
    assert outcome("https://localhost:{port}", None, certificate[1], plain) == expected


def test_unix_sockets(run, socket_folder):
    assert run(answer, always(OK), path=str(socket_folder / "legacy.sock")) == (b"ok", 1)


def test_a_unix_socket_that_is_not_there(run, socket_folder):
    async def scenario(transport, upstream):
        with pytest.raises(httpx.ConnectError) as raised:
            await transport.handle_async_request(get())
        return raised.value.stage

    assert run(scenario, always(OK), url=f"unix:{socket_folder}/none.sock") == "connect"


def test_ipv6_literals(run):  # RFC 3986 3.2.2
    async def main():
        async def reply(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await writer.drain()
            writer.close()

        try:
            server = await asyncio.start_server(reply, "::1", 0)
        except OSError:
            pytest.skip("RFC 4291 2.5.3: this machine has no IPv6 loopback")
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with LegacyTransport(f"http://[::1]:{port}") as transport:
                return await body_of(await transport.handle_async_request(get()))

    assert asyncio.run(main()) == b"ok"


def test_a_name_that_does_not_resolve_is_a_connect_error(run):  # RFC 6761 6.4: .invalid never does
    async def scenario(transport, upstream):
        with pytest.raises(httpx.ConnectError) as raised:
            await transport.handle_async_request(get())
        return raised.value.stage

    assert run(scenario, always(OK), url="http://legacy.invalid") == "connect"


def test_a_handshake_that_nobody_answers_is_a_connect_timeout(run):
    async def scenario(transport, upstream):
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            url = f"https://127.0.0.1:{deaf.getsockname()[1]}"
            async with LegacyTransport(url) as waiting:
                with pytest.raises(httpx.ConnectTimeout) as raised:
                    await waiting.handle_async_request(
                        get(overgrow=UpstreamTimeouts(connect_s=0.1))
                    )
                return raised.value.stage, waiting._pool.counted

    assert run(scenario, always(OK)) == ("connect", 0)
