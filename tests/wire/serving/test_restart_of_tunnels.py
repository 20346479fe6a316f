"""What a restart with a passed socket does to WebSockets: those of legacy are cut, those of a mounted app are closed."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.activation import ServiceManager, address_of, listen_tcp
from tests.wire.serving.servers import PATIENCE_S, Client, ScriptedLegacy
from tests.wire.serving.test_serve_for_real import Site
from tests.wire.serving.test_serving_answers import get
from tests.wire.serving.test_serving_drain import wait_until
from tests.wire.serving.test_serving_tunnel import SWITCHED

APP = """
from pathlib import Path
from flask import Flask


async def live(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    Path("disconnect").write_text(str(message["code"]))


def create_app():
    app = Flask(__name__)
    app.extensions["asgi"] = {"/live": live}
    return app
"""
TABLE = """version: 1
app: site_under_test:create_app
legacy:
  url: http://127.0.0.1:{port}
routes:
  - {{prefix: /live, target: migrated}}
"""
HANDSHAKE = (
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.fixture
def legacy():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield ScriptedLegacy(listener, f"http://127.0.0.1:{listener.getsockname()[1]}")


@pytest.fixture
def site(tmp_path, legacy):
    found = Site(tmp_path)
    (tmp_path / "site_under_test.py").write_text(APP)
    port = legacy.url.rpartition(":")[2]
    (tmp_path / "routes.yaml").write_text(TABLE.format(port=port))
    return found


@pytest.fixture
def manager():
    with ServiceManager(public=listen_tcp(), admin=listen_tcp()) as found:
        yield found


@pytest.fixture
def front(manager, site):
    command = [sys.executable, "-B", "-m", "overgrow.cli.main", "serve", "--workers", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = manager.run(command, site.env, cwd=site.folder, **quiet)
    yield process
    process.kill()
    process.wait()


def test_a_tunnel_ends_on_both_sides_at_a_restart(manager, legacy, front):
    with Client(address_of(manager.sockets["public"])) as client:
        client.send(get("/chat", *HANDSHAKE))
        with legacy.accept_and_switch(SWITCHED) as other_end:
            client.read_until(b"\r\n\r\n")
            other_end.send(b"last words")
            client.read_until(b"last words")
            front.terminate()
            ends = client.read_to_end(), other_end.read_to_end()
            ended = front.wait(PATIENCE_S)

    assert (ends, ended) == ((b"", b""), 0)


def test_a_mounted_websocket_gets_1012_at_a_restart(manager, site, front):
    uri = f"ws://{address_of(manager.sockets['public'])}/live"
    with connect(uri, open_timeout=PATIENCE_S) as client:
        client.send("hello")
        echoed = client.recv(timeout=PATIENCE_S)
        front.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=PATIENCE_S)
    ended = front.wait(PATIENCE_S)

    assert (echoed, closed.value.rcvd.code, ended) == ("hello", 1012, 0)
    wait_until((site.folder / "disconnect").exists)
    assert (site.folder / "disconnect").read_text() == "1012"
