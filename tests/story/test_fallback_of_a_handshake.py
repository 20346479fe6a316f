"""A mounted ASGI app that fails before it accepts: the client gets legacy's WebSocket in its place."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from tests.story.front import running_front
from tests.story.stub import running_stub

TABLE = """\
version: 1
app: handshakes:create_app
legacy:
  url: ${LEGACY_URL}
routes:
  - name: falling
    path: /ws
    query: {alone: {present: false}}
    target: migrated
    fallback: true
    response_timeout: 500ms
  - name: alone
    path: /ws
    query: {alone: "1"}
    target: migrated
    response_timeout: 500ms
"""
APP = """\
import asyncio
from flask import Flask


def create_app():
    app = Flask("handshakes", static_folder=None)
    app.extensions["asgi"] = {"/ws": failing}
    return app


async def failing(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan here")
    how = scope["query_string"].decode().rpartition("how=")[2]
    await receive()
    await HOW[how](send)


async def raising(send):
    raise ZeroDivisionError("as asked")


async def returning(send):
    return


async def hanging(send):
    await asyncio.sleep(60)


async def refusing(send, status):
    await send({"type": "websocket.http.response.start", "status": status, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"no"})


async def accepting(send):
    await send({"type": "websocket.accept"})
    raise ZeroDivisionError("too late")


HOW = {
    "raising": raising,
    "returning": returning,
    "hanging": hanging,
    "503": lambda send: refusing(send, 503),
    "403": lambda send: refusing(send, 403),
    "accepting": accepting,
}
"""


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handshakes")
    (folder / "handshakes.py").write_text(APP)
    data = folder / "shop.sqlite3"
    with (
        running_stub(data=data) as legacy,
        running_front(TABLE, folder, legacy, data=data) as running,
    ):
        yield running
        assert "Task exception was never retrieved" not in (folder / "serve.log").read_text()


@contextmanager
def opened(front, query):
    with connect(f"ws://127.0.0.1:{front.port}/ws?{query}", subprotocols=["echo"]) as client:
        yield client


@pytest.mark.parametrize("how", ["raising", "returning", "hanging", "503"])
def test_a_handshake_that_fails_is_answered_by_legacy_and_its_socket_works(front, how):
    with opened(front, f"how={how}") as client:
        for message in ("leaf", b"\0" * 100_000):
            client.send(message)
            assert message == client.recv(timeout=60)
        told = client.response.headers["X-Overgrow"]

    assert "side=legacy; reason=fallback" in told
    assert client.subprotocol == "echo"


def test_it_is_counted_by_what_the_app_answered(front):
    def count() -> float:
        text = front.get("/metrics", admin=True)[2].decode()
        name = 'overgrow_fallbacks_total{code="503",route="falling"} '
        return sum(float(line.removeprefix(name)) for line in text.splitlines() if name in line)

    before = count()
    with opened(front, "how=503"):
        pass

    assert count() - before == 1


def test_a_refusal_of_the_app_is_its_answer(front):
    with pytest.raises(InvalidStatus) as told, opened(front, "how=403"):
        pass

    assert (told.value.response.status_code, told.value.response.body) == (403, b"no")


def test_after_the_app_accepted_nobody_answers_in_its_place(front):
    with pytest.raises(ConnectionClosedError) as told, opened(front, "how=accepting") as client:
        client.recv(timeout=60)

    assert told.value.rcvd.code == 1011


@pytest.mark.parametrize(("how", "status"), [("raising", 500), ("hanging", 504), ("503", 503)])
def test_without_fallback_the_client_sees_the_failure(front, how, status):
    with pytest.raises(InvalidStatus) as told, opened(front, f"alone=1&how={how}"):
        pass

    assert told.value.response.status_code == status
