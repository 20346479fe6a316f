"""The nginx example, before a scripted server: slow clients wait in nginx, streams pass at once."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.story.front import eventually
from tests.wire.apps import slow_legacy

ROOT = Path(__file__).resolve().parents[2]
GET = "GET {} HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n{}\r\n"


@pytest.fixture
def behind_nginx(tmp_path):
    """A scripted server where the example expects Overgrow, and the port of nginx."""
    program = shutil.which("nginx")
    if program is None and os.environ.get("CI") != "true":
        pytest.skip("nginx is not installed")
    port = free_port()
    with slow_legacy.running() as legacy:
        example = (ROOT / "deploy/nginx.conf").read_text("utf-8")
        example = example.replace("listen 8080", f"listen 127.0.0.1:{port}")
        example = example.replace("127.0.0.1:8000", f"127.0.0.1:{legacy.port}")
        folders = "".join(
            f"{kind}_temp_path {tmp_path}/{kind}; "
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        whole = (
            f"{'user root; ' if os.geteuid() == 0 else ''}daemon off; pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} "
            f"http {{ access_log off; {folders} {example} }}"
        )
        (tmp_path / "nginx.conf").write_text(whole, "utf-8")
        command = [program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
        with subprocess.Popen([*command, "-e", str(tmp_path / "log")]) as nginx:
            try:
                eventually(lambda: accepts(port))
                yield legacy, port
            finally:
                legacy.over.set()
                nginx.terminate()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def connected(port: int, request: str, body: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 60)
    client.sendall(request.encode() + body)
    return client


def test_half_an_upload_stays_in_nginx(behind_nginx):
    legacy, port = behind_nginx
    head = "POST /up HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 200000\r\n\r\n"
    with connected(port, head, b"x" * 100_000) as client:
        with connected(port, GET.format("/quick", "")) as other:
            assert other.recv(4096).startswith(b"HTTP/1.1 200 ")
        before = legacy.most_arriving["/up"]
        client.sendall(b"x" * 100_000)
        answer = client.recv(4096)

    assert (before, answer[:12]) == (0, b"HTTP/1.1 200")


def test_server_sent_events_pass_at_once(behind_nginx):
    _, port = behind_nginx
    with connected(port, GET.format("/events", "Accept: text/event-stream\r\n")) as client:
        heard = b""
        while b"data: begun" not in heard:
            heard += client.recv(4096)

    assert heard.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("accept", ["text/html", "text/event-stream"])
def test_targets_go_on_byte_for_byte(behind_nginx, accept):
    legacy, port = behind_nginx
    with connected(port, GET.format("/a%2Fb//c?x=%zz", f"Accept: {accept}\r\n")) as client:
        client.recv(4096)

    assert legacy.targets[-1] == "/a%2Fb//c?x=%zz"
