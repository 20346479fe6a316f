"""The examples of deploy/ for nginx and Caddy, over TLS: what they tell Overgrow, and what waits where."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from contextlib import closing
from typing import Any

import pytest

from overgrow.server.listener import ClientLimits
from tests.programs import needed
from tests.story.front import running_front
from tests.wire.apps import slow_legacy
from tests.wire.examples import HOST, ROOT, Example, make_certificate, nginx_config, running_example
from tests.wire.front.ends import End, Legacy, answer, request

GET = "GET {} HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n{}\r\n"
OPENS = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
SWITCHES = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
TABLE = """\
version: 1
app: tests.wire.front.echo_app:create_app
legacy:
  url: ${LEGACY_URL}
trusted_proxies: [127.0.0.1/32]
routes:
  - path: /environ
    target: migrated
"""
BOTH = pytest.mark.parametrize("program", ["nginx", "caddy"])


@pytest.fixture
def in_front(program, tmp_path):
    """A scripted server where an example expects Overgrow, and the example."""
    with (
        slow_legacy.running() as legacy,
        running_example(program, legacy.port, tmp_path) as example,
    ):
        yield legacy, example
        legacy.over.set()


@pytest.fixture
def legacy_by_hand():
    with closing(Legacy()) as legacy:
        yield legacy


def run(program: str, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program that must succeed; the Debian package has its name."""
    command = [needed(program, program), *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def connected(example: Example, sent: str, body: bytes = b"") -> socket.socket:
    client = example.connect()
    client.sendall(sent.encode() + body)
    return client


def claims_told(example: Example, legacy: Legacy, *fields: str) -> dict[str, str]:
    """What the server behind an example is told in headers about the client."""
    with End(example.connect()) as client:
        client.send(request("GET", "/", f"Host: {HOST}", *fields))
        told = legacy.answers(answer())
        client.message()
    return {
        name: value
        for name, value in told.headers
        if "forwarded" in name or name in {"x-real-ip", "host"}
    }


@pytest.mark.parametrize("program", ["nginx"])
def test_half_an_upload_stays_in_nginx(in_front):
    legacy, example = in_front
    head = "POST /up HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 200000\r\n\r\n"
    with connected(example, head, b"x" * 100_000) as client:
        with connected(example, GET.format("/quick", "")) as other:
            assert other.recv(4096).startswith(b"HTTP/1.1 200 ")
        before = legacy.most_arriving["/up"]
        client.sendall(b"x" * 100_000)
        received = client.recv(4096)

    assert (before, received[:12]) == (0, b"HTTP/1.1 200")


@BOTH
def test_server_sent_events_pass_at_once(in_front):
    _, example = in_front
    with connected(example, GET.format("/events", "Accept: text/event-stream\r\n")) as client:
        heard = b""
        while b"data: begun" not in heard:
            heard += client.recv(4096)

    assert heard.startswith(b"HTTP/1.1 200 ")


@BOTH
@pytest.mark.parametrize("accept", ["text/html", "text/event-stream"])
def test_targets_go_on_byte_for_byte(in_front, accept):
    legacy, example = in_front
    with connected(
        example, GET.format("/a%2Fb//c;d=1?x=%zz&y=a+b;c", f"Accept: {accept}\r\n")
    ) as client:
        client.recv(4096)

    assert legacy.targets[-1] == "/a%2Fb//c;d=1?x=%zz&y=a+b;c"


@BOTH
def test_plain_http_is_redirected_and_keeps_its_method(in_front):
    legacy, example = in_front
    with End(example.connect_plain()) as client:
        client.send(request("POST", "/cart?a=1", f"Host: {HOST}", "Connection: close", body=b""))
        redirect = client.message()

    assert redirect.status == 308
    assert (redirect["location"] or "").startswith(f"https://{HOST}")
    assert (redirect["location"] or "").endswith("/cart?a=1")
    assert legacy.targets == []


@BOTH
def test_a_client_that_speaks_http_2_is_served_in_it(in_front):
    legacy, example = in_front
    trust = [
        "--cacert",
        example.certificate.chain,
        "--resolve",
        f"{HOST}:{example.https}:127.0.0.1",
    ]
    url = f"https://{HOST}:{example.https}/a%2Fb"

    shown = run("curl", "-sS", "--http2", *trust, "-w", " %{http_version} %{http_code}", url)

    assert (shown.stdout, legacy.targets) == ("quick 2 200", ["/a%2Fb"])


@BOTH
def test_what_a_client_claims_about_itself_is_dropped(program, legacy_by_hand, tmp_path):
    lies = ["For", "Host", "Proto", "Port", "User", "Groups", "Prefix", "Client-Cert", "Ssl"]
    forged = [f"X-Forwarded-{name}: 203.0.113.9" for name in lies]
    with running_example(program, legacy_by_hand.port, tmp_path) as example:
        told = claims_told(
            example, legacy_by_hand, *forged, "X-Real-IP: 203.0.113.9", "Forwarded: for=203.0.113.9"
        )

    wanted = {
        "host": HOST,
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": HOST,
        "x-real-ip": "127.0.0.1",
    }
    port = {"x-forwarded-port": str(example.https)}
    assert wanted.items() <= told.items()
    assert told.items() <= (wanted | port).items()


@BOTH
def test_connection_removes_nothing_that_an_example_says(program, legacy_by_hand, tmp_path):
    """RFC 9110 7.6.1: Connection names headers to drop, and a client could name those of the proxy."""
    named = "Connection: close, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Real-IP"
    with running_example(program, legacy_by_hand.port, tmp_path) as example:
        told = claims_told(example, legacy_by_hand, named)

    assert {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": HOST,
        "x-real-ip": "127.0.0.1",
    }.items() <= told.items()


@BOTH
@pytest.mark.parametrize(
    ("target", "host"),
    [
        pytest.param("/reset", "evil.example", id="another host"),
        pytest.param(f"https://{HOST}/reset", "evil.example", id="two hosts, RFC 9112 3.2.2"),
    ],
)
def test_no_app_is_told_a_host_that_is_not_the_sites(in_front, target, host):
    """Apps build links with it, such as that of a mail that resets a password."""
    legacy, example = in_front
    with End(example.connect()) as client:
        client.send(request("GET", target, f"Host: {host}", "Connection: close"))
        client.message()

    assert "evil.example" not in {*legacy.hosts}


@BOTH
def test_a_page_comes_back_as_the_app_sent_it(program, legacy_by_hand, tmp_path):
    page = b"<p>hello</p>" * 1000
    with (
        running_example(program, legacy_by_hand.port, tmp_path) as example,
        End(example.connect()) as client,
    ):
        client.send(request("GET", "/", f"Host: {HOST}", "Accept-Encoding: gzip"))
        legacy_by_hand.answers(answer("Content-Type: text/html", 'ETag: "a1"', body=page))
        shown = client.message()

    assert (shown.body, shown["etag"], shown["content-encoding"]) == (page, '"a1"', None)


@BOTH
@pytest.mark.parametrize("accept", ["text/html", "text/event-stream"])
def test_large_cookies_pass_either_way(program, accept, legacy_by_hand, tmp_path):
    large = "x" * 20_000
    fields = [f"Host: {HOST}", f"Accept: {accept}", f"Cookie: cart={large}"]
    with (
        running_example(program, legacy_by_hand.port, tmp_path) as example,
        End(example.connect()) as client,
    ):
        client.send(request("GET", "/", *fields))
        told = legacy_by_hand.answers(answer(f"Set-Cookie: cart={large}"))
        shown = client.message()

    assert (shown.status, told["cookie"]) == (200, f"cart={large}")
    assert shown["set-cookie"] == f"cart={large}"


@BOTH
def test_overgrow_behind_an_example_knows_scheme_and_host(program, legacy_by_hand, tmp_path):
    with (
        running_front(TABLE, tmp_path, legacy_by_hand.port, data=tmp_path / "shop") as front,
        running_example(program, front.port, tmp_path) as example,
        End(example.connect()) as client,
    ):
        client.send(request("GET", "/environ", f"Host: {HOST}", "X-Forwarded-Proto: http"))
        told = json.loads(client.message().body)

    assert (told["wsgi.url_scheme"], told["HTTP_HOST"]) == ("https", HOST)


@BOTH
def test_a_websocket_passes_an_example_and_overgrow(program, legacy_by_hand, tmp_path):
    with (
        running_front(TABLE, tmp_path, legacy_by_hand.port, data=tmp_path / "shop") as front,
        running_example(program, front.port, tmp_path) as example,
        End(example.connect()) as client,
    ):
        client.send(
            request(
                "GET", "/ws", f"Host: {HOST}", *OPENS, "Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyE="
            )
        )
        far = legacy_by_hand.accept()
        far.head()
        far.send(SWITCHES)
        status = client.head().status
        client.send(b"ping")
        heard = far.exactly(4)
        far.send(b"pong")
        answered = client.exactly(4)
        far.close()

    assert (status, heard, answered) == (101, b"ping", b"pong")


@pytest.mark.parametrize(
    ("example", "setting"),
    [("nginx.conf", r"keepalive_timeout (\d+)s;"), ("Caddyfile", r"keepalive (\d+)s ")],
)
def test_a_proxy_ends_idle_connections_before_overgrow_does(example, setting):
    text = (ROOT / "deploy" / example).read_text("utf-8")
    (kept_s,) = re.findall(setting, text)

    assert int(kept_s) < ClientLimits().keepalive_s
    assert f"{ClientLimits().keepalive_s:.0f} s after which Overgrow closes" in text


def test_nginx_finds_no_fault_in_its_example(tmp_path):
    text = nginx_config(tmp_path, 8080, 8443, 8000, make_certificate(tmp_path))
    (tmp_path / "nginx.conf").write_text(text, "utf-8")

    told = run("nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf").stderr

    assert "test is successful" in told
    assert "[warn]" not in told


def test_caddy_finds_no_fault_in_its_example(tmp_path):
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}

    shown = run("caddy", "validate", "--config", ROOT / "deploy/Caddyfile", env=home)

    assert "Valid configuration" in shown.stdout
