"""Upgrades tunnelled to legacy through our worker: every byte on both sides is the test's own."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import subprocess
import time
from contextlib import suppress
from urllib.parse import urlencode

import pytest

from tests.wire.serving.servers import PATIENCE_S, Client, ScriptedLegacy, status_of
from tests.wire.serving.test_serving_answers import get
from tests.wire.serving.test_serving_drain import is_refused, wait_until

SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


@pytest.fixture
def legacy():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield ScriptedLegacy(listener, f"http://127.0.0.1:{listener.getsockname()[1]}")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    paths = str(folder / "cert.pem"), str(folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*command.split(), *names, "-out", paths[0], "-keyout", paths[1]],
        check=True,
        capture_output=True,
    )
    return paths


def handshake(legacy_url: str, *headers: str, **options: object) -> bytes:
    target = "/upgrade?" + urlencode({"legacy": legacy_url, **options})
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return get(target, "Connection: Upgrade", "Upgrade: websocket", key, *headers)


class Tunnel:
    """A client and legacy with a switched connection between them."""

    def __init__(self, server, legacy: ScriptedLegacy, **options: object) -> None:
        self.client = server.client()
        self.client.send(handshake(legacy.url, **options))
        self.legacy = legacy.accept_and_switch(SWITCHED)
        self.head = self.client.read_until(b"\r\n\r\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.socket.close()
        self.legacy.socket.close()


def moved(server) -> list[str]:
    return [event for event in server.told()["events"] if event.startswith("moved")]


def test_the_head_goes_there_and_legacys_answer_comes_back(server, legacy):
    with Tunnel(server, legacy) as tunnel:
        assert b"upgrade: websocket" in legacy.request.lower()
        assert b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==" in legacy.request
        assert tunnel.head.lower() == SWITCHED.lower()


def test_bytes_pass_both_ways_unread(server, legacy):
    with Tunnel(server, legacy) as tunnel:
        everything = bytes(range(256)) * 40
        tunnel.client.send(everything)
        tunnel.legacy.send(everything[::-1])

        assert tunnel.legacy.read(len(everything)) == everything
        assert tunnel.client.read(len(everything)) == everything[::-1]


def test_a_client_may_speak_before_the_101_but_legacy_hears_it_after(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url) + b"early")
        with legacy.accept() as side:
            side.read_until(b"\r\n\r\n")
            side.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                side.socket.recv(1)
            side.socket.settimeout(PATIENCE_S)
            side.send(SWITCHED)

            assert side.read(5) == b"early"


def test_a_client_is_read_only_so_far_before_the_101(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url))
        with legacy.accept() as side:
            side.read_until(b"\r\n\r\n")
            sent = client.send_until_stuck(80_000_000)
            side.send(SWITCHED)

            assert sent < 80_000_000
            assert side.read(sent) == b"x" * sent


def test_what_legacy_sends_right_behind_its_101_reaches_the_client(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url))
        with legacy.accept_and_switch(SWITCHED + b"greeting"):
            client.read_until(b"\r\n\r\n")

            assert client.read(8) == b"greeting"


def test_an_informational_answer_before_the_101_is_passed_over(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url))
        with legacy.accept_and_switch(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SWITCHED):
            head = client.read_until(b"\r\n\r\n")

    assert head.lower() == SWITCHED.lower()


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        pytest.param(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", b"no", id="with a length"),
        pytest.param(
            b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
            b"no",
            id="chunked",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nplain", b"plain", id="until it closes"),
    ],
)
def test_a_refusal_is_relayed_and_both_connections_end(server, legacy, reply, body):
    with server.client() as client:
        client.send(handshake(legacy.url) + b"held bytes GET / HTTP/1.1\r\n\r\n")
        side = legacy.accept_and_switch(reply)
        if b"ength" not in reply and b"hunked" not in reply:
            side.socket.shutdown(socket.SHUT_WR)
        answer = client.read_to_end()

        assert answer.count(b"HTTP/1.1 ") == 1
        assert status_of(answer) == status_of(reply)
        assert body in answer.partition(b"\r\n\r\n")[2]
        assert answer.endswith(b"0\r\n\r\n")
        assert side.is_closed_by_server()
        side.socket.close()


REFUSED = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
REFUSED_IN_CHUNKS = b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nSet-Cookie: evil=1\r\nContent-Length: 4\r\n\r\nevil"


@pytest.mark.parametrize("excess", [EVIL, SWITCHED, b"evil"], ids=["an answer", "a 101", "bytes"])
@pytest.mark.parametrize("reply", [REFUSED, REFUSED_IN_CHUNKS], ids=["length", "chunked"])
def test_bytes_behind_a_refusal_reach_nobody(server, legacy, reply, excess):
    with server.client() as client:
        client.send(handshake(legacy.url))
        with legacy.accept_and_switch(reply + excess) as side:
            answer = client.read_to_end()

            assert side.is_closed_by_server()
    assert (status_of(answer), answer.partition(b"\r\n\r\n")[2]) == (403, b"2\r\nno\r\n0\r\n\r\n")
    assert b"evil" not in answer


def test_a_refusal_with_an_answer_behind_it_is_no_error_of_ours(start, legacy):
    server = start()
    with server.client() as client:
        client.send(handshake(legacy.url))
        legacy.accept_and_switch(REFUSED_IN_CHUNKS + SWITCHED + EVIL).socket.close()
        client.read_to_end()

    assert "Traceback" not in server.stop()


def test_a_trailer_of_a_refusal_does_not_become_a_header(server, legacy):
    reply = REFUSED_IN_CHUNKS[:-2] + b"Set-Cookie: evil=1\r\n\r\n"
    with server.client() as client:
        client.send(handshake(legacy.url))
        with legacy.accept_and_switch(reply):
            answer = client.read_to_end()

    assert status_of(answer) == 403
    assert b"evil" not in answer


def test_a_refusal_whose_chunks_are_malformed_is_passed_on_as_cut_short(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url))
        with legacy.accept_and_switch(REFUSED_IN_CHUNKS[:-5] + b"zz\r\n\r\n"):
            answer = client.read_to_end()

    assert not answer.endswith(b"0\r\n\r\n")


def test_a_101_has_no_content_length(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url))
        with legacy.accept_and_switch(SWITCHED[:-2] + b"Content-Length: 5\r\n\r\nhello"):
            head = client.read_until(b"\r\n\r\n")

            assert client.read(5) == b"hello"
    assert head.lower() == SWITCHED.lower()


def test_a_head_that_comes_byte_by_byte_is_read_like_any_other(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url))
        with legacy.accept_and_switch(b"") as side:
            side.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for place in range(len(SWITCHED)):
                side.send(SWITCHED[place : place + 1])
            side.send(b"greeting")

            assert client.read_until(b"\r\n\r\n").lower() == SWITCHED.lower()
            assert client.read(8) == b"greeting"


def test_a_refusal_cut_short_is_passed_on_as_cut_short(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url))
        legacy.accept_and_switch(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nno").socket.close()
        answer = client.read_to_end()

    assert not answer.endswith(b"0\r\n\r\n")


def test_a_refusal_that_stops_coming_is_passed_on_as_cut_short(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url, idle=0.2))
        side = legacy.accept_and_switch(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nno")
        answer = client.read_to_end()
        side.socket.close()

    assert b"2\r\nno\r\n" in answer
    assert not answer.endswith(b"0\r\n\r\n")


def test_a_refusal_larger_than_the_buffers_arrives_whole(server, legacy):
    size = 3_000_000
    head = f"HTTP/1.1 403 No\r\nContent-Length: {size}\r\n\r\n".encode()
    with server.client() as client:
        client.send(handshake(legacy.url))
        side = legacy.accept_and_switch(head + b"y" * size)
        answer = client.read_to_end()
        side.socket.close()

    assert answer.count(b"y") >= size
    assert answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        pytest.param(b"", b"legacy-closed head", id="closes without an answer"),
        pytest.param(b"SSH-2.0-x\r\n", b"legacy-protocol head", id="does not speak HTTP"),
        pytest.param(
            b"HTTP/1.1 101 Yes\r\n\r\n", b"legacy-protocol head", id="101 without Upgrade"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 70_000 + b"\r\n",
            b"legacy-protocol head",
            id="a head without end",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
            b"legacy-protocol head",
            id="a whole head that is too large",
        ),
        pytest.param(
            b"HTTP/1.1 403 No\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
            b"legacy-protocol head",
            id="a transfer coding nobody asked for",
        ),
        pytest.param(
            b"HTTP/1.0 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
            b"legacy-protocol head",
            id="chunked in HTTP/1.0",
        ),
        pytest.param(
            b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"legacy-protocol head",
            id="framed twice",
        ),
        pytest.param(
            SWITCHED.replace(b"HTTP/1.1", b"HTTP/1.0"), b"legacy-protocol head", id="HTTP/1.0 101"
        ),
        pytest.param(b"HTTP/1.1 000 x\r\n\r\n", b"legacy-protocol head", id="no such status"),
    ],
)
def test_an_answer_that_is_none_is_named(server, legacy, reply, answer):
    with server.client() as client:
        client.send(handshake(legacy.url))
        legacy.accept_and_switch(reply).socket.close()

        assert client.read_answer()[1] == answer


def test_legacy_that_is_down_is_named(server, legacy):
    legacy.listener.close()
    with server.client() as client:
        client.send(handshake(legacy.url))

        assert client.read_answer()[1] == b"legacy-connect connect"


def test_legacy_that_does_not_answer_is_named(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url, patience=0.2))

        assert client.read_answer()[1] == b"legacy-timeout head"


def test_half_close_by_the_client_leaves_legacy_free_to_answer(server, legacy):
    with Tunnel(server, legacy) as tunnel:
        tunnel.client.send(b"last words")
        tunnel.client.socket.shutdown(socket.SHUT_WR)

        assert tunnel.legacy.read_to_end() == b"last words"
        tunnel.legacy.send(b"answer")
        tunnel.legacy.socket.close()
        assert tunnel.client.read_to_end() == b"answer"


def test_half_close_by_legacy_leaves_the_client_free_to_answer(server, legacy):
    with Tunnel(server, legacy) as tunnel:
        tunnel.legacy.socket.shutdown(socket.SHUT_WR)

        assert tunnel.client.read_to_end() == b""
        tunnel.client.send(b"answer")
        tunnel.client.socket.close()
        assert tunnel.legacy.read_to_end() == b"answer"


@pytest.mark.parametrize("who", ["client", "legacy"])
def test_a_reset_of_one_side_reaches_the_other_as_a_reset(start, legacy, who):
    server = start()
    with Tunnel(server, legacy) as tunnel:
        sides = {"client": tunnel.client, "legacy": tunnel.legacy}
        side = sides.pop(who)
        side.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        side.socket.close()

        assert sides.popitem()[1].was_reset()
        server.told_until(lambda found: f"moved 0 0 {who}" in found["events"])


def test_bytes_are_counted_and_the_end_is_attributed(start, legacy):
    server = start()
    with Tunnel(server, legacy) as tunnel:
        tunnel.client.send(b"12345")
        tunnel.legacy.read(5)
        tunnel.legacy.send(b"123")
        tunnel.client.read(3)
        tunnel.legacy.socket.close()
        tunnel.client.read_to_end()

    server.told_until(lambda found: "moved 5 3 legacy" in found["events"])


def test_a_tunnel_idle_for_too_long_is_closed_on_both_sides(start, legacy):
    server = start()
    with Tunnel(server, legacy, idle=1) as tunnel:
        for _ in range(3):
            time.sleep(0.4)  # all together are longer than the limit
            tunnel.client.send(b"x")
        tunnel.legacy.read(3)

        assert tunnel.client.read_to_end() == b""
        assert tunnel.legacy.read_to_end() == b""
    assert moved(server) == ["moved 3 0 idle"]


@pytest.mark.parametrize("direction", ["to legacy", "to the client"])
def test_a_side_that_reads_slowly_holds_the_other_back_and_loses_nothing(server, legacy, direction):
    most = 80_000_000  # four kernel buffers hold some 20 MB on loopback
    with Tunnel(server, legacy) as tunnel:
        pair = [tunnel.client, tunnel.legacy]
        source, sink = pair if direction == "to legacy" else pair[::-1]
        sent = source.send_until_stuck(most)

        assert sent < most
        assert len(sink.read(sent)) == sent


def test_a_client_that_leaves_early_ends_the_connection_to_legacy(server, legacy):
    with server.client() as client:
        client.send(handshake(legacy.url))
        side = legacy.accept()
        side.read_until(b"\r\n\r\n")
    with side:
        assert side.is_closed_by_server()


def test_a_tunnel_to_a_unix_socket(server, socket_folder):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_folder / "legacy"))
        listener.listen()
        with Tunnel(server, ScriptedLegacy(listener, f"unix:{socket_folder}/legacy")) as tunnel:
            tunnel.client.send(b"ping")

            assert tunnel.legacy.read(4) == b"ping"


class TlsLegacy(ScriptedLegacy):
    """Legacy over TLS; the handshake needs a thread while the worker connects."""

    context: ssl.SSLContext

    def accept(self) -> Client:
        plain = self.listener.accept()[0]
        plain.settimeout(PATIENCE_S)
        return Client(self.context.wrap_socket(plain, server_side=True))


def test_a_tunnel_over_tls_checks_the_certificate(server, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        legacy = TlsLegacy(listener, f"https://localhost:{listener.getsockname()[1]}")
        legacy.context = context
        with Tunnel(server, legacy, ca=certificate[0]) as tunnel:
            tunnel.client.send(b"ping")
            assert tunnel.legacy.read(4) == b"ping"
            tunnel.legacy.send(b"pong")
            assert tunnel.client.read(4) == b"pong"
            tunnel.client.socket.close()
            assert tunnel.legacy.read_to_end() == b""

        with server.client() as untrusting:
            untrusting.send(handshake(legacy.url))
            with pytest.raises(ssl.SSLError):
                legacy.accept()

            assert untrusting.read_answer()[1] == b"legacy-connect connect"


@pytest.mark.parametrize(
    ("says_goodbye", "end"),
    [
        pytest.param(True, b"0\r\n\r\n", id="announced"),
        pytest.param(
            False, b"", id="RFC 9112 9.8: not announced, so anybody may have sent the FIN"
        ),
    ],
)
def test_a_refusal_to_the_end_over_tls_is_whole_where_tls_says_so(
    server, certificate, says_goodbye, end
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener, server.client() as client:
        legacy = TlsLegacy(listener, f"https://localhost:{listener.getsockname()[1]}")
        legacy.context = context
        client.send(handshake(legacy.url, ca=certificate[0]))
        with legacy.accept_and_switch(b"HTTP/1.1 403 No\r\n\r\npart") as refusing:
            client.read_until(b"4\r\npart\r\n")
            if says_goodbye:
                with suppress(OSError):  # the other end closes without one of its own
                    refusing.socket.unwrap()
            else:
                refusing.socket.shutdown(socket.SHUT_RDWR)

            assert client.read_to_end() == end


def test_an_open_tunnel_gets_the_grace_time_of_a_drain(start, legacy):
    server = start(grace_s=1.0)
    with Tunnel(server, legacy) as tunnel:
        server.process.terminate()
        wait_until(lambda: is_refused(server.public))
        tunnel.client.send(b"still here")
        assert tunnel.legacy.read(10) == b"still here"

        assert tunnel.client.read_to_end() == b""
        assert tunnel.legacy.read_to_end() == b""
    assert server.exit_code() == 0


def test_tunnels_and_requests_count_in_one_cap_on_connections(start, legacy):
    """docs/operations.md#what-runs: 10,000 a worker, whatever they carry."""
    server = start(limits={"connections": 2})
    with Tunnel(server, legacy) as tunnel, server.client() as client:
        client.send(get("/"))
        client.read_answer()
        with server.client() as refused:
            assert status_of(refused.read_answer()[0]) == 503
        tunnel.client.send(b"still here")

        assert tunnel.legacy.read(10) == b"still here"


def test_a_request_after_a_tunnel_is_one_of_a_new_connection(server, legacy):
    with Tunnel(server, legacy) as tunnel:
        tunnel.client.send(get("/"))

        assert tunnel.legacy.read(len(get("/"))) == get("/")
    with server.client() as client:
        client.send(get("/seen"))

        assert json.loads(client.read_answer()[1])["method"] == "GET"
