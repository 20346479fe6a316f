"""Tunnels and streams outlive what is done to the table; and legacy that is down, or moves.

docs/operations.md#how-a-table-takes-effect, docs/operations.md#putting-traffic-back; RFC 6455.
"""

from __future__ import annotations

import hashlib
import socket
from contextlib import ExitStack, closing, contextmanager

import pytest

from tests.story.front import eventually
from tests.wire.front.conftest import standing
from tests.wire.front.ends import OK, End, Legacy, Wire, answer, request

TABLE = """\
version: 1
legacy:
  url: ${LEGACY_URL}
  via: door-c
  connect_timeout: 300ms
routes:
  - name: talk
    prefix: /talk
    target: legacy
"""
UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SWITCHED = answer("Connection: Upgrade", "Upgrade: websocket", status="101 Switching", body=None)
EVENTS = answer("Content-Type: text/event-stream", "Transfer-Encoding: chunked", body=None)


@pytest.fixture(scope="module")
def standing_front(tmp_path_factory):
    with standing(TABLE, tmp_path_factory.mktemp("changing")) as both:
        yield both


@pytest.fixture
def front(standing_front):
    """A front door whose table the test may change: it is put back afterwards."""
    yield standing_front[0]
    reload(standing_front[0], TABLE)


@pytest.fixture
def wire(standing_front):
    wire = Wire(standing_front[0].port, standing_front[1])
    yield wire
    wire.end()


def reload(front, table):
    """Write a table and wait until it is in force."""
    front.config.write_text(table)
    revision = hashlib.sha256(table.encode()).hexdigest()[:12]
    eventually(lambda: front.runs(revision) and not front.readyz()["reload_error"])


def flip(front, _kill):
    assert front.overgrow("flip", "talk", "gone", "--wait").returncode == 0


def edit(front, _kill):
    reload(front, TABLE.replace("door-c", "door-d"))


def break_it(front, _kill):
    """A table with a problem changes nothing, and says so."""
    front.config.write_text(TABLE + "nonsense")
    eventually(lambda: front.readyz()["reload_error"])


def move_legacy(front, _kill):
    reload(front, TABLE.replace("${LEGACY_URL}", "http://127.0.0.1:1"))


def kill(front, killing):
    killing.enter_context(killed(front))


@contextmanager
def killed(front):
    file = front.config.with_name(front.config.name + ".kill")
    file.touch()
    try:
        eventually(lambda: front.readyz()["killed"])
        yield
    finally:
        file.unlink()
        eventually(lambda: not front.readyz()["killed"])


CHANGES = [
    pytest.param(edit, id="a reload"),
    pytest.param(break_it, id="a reload of a broken table"),
    pytest.param(move_legacy, id="a reload that moves legacy"),
    pytest.param(flip, id="a flip of its route"),
    pytest.param(kill, id="the kill file"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_tunnels_and_streams_go_on_whatever_happens_to_the_table(front, wire, change):
    """RFC 6455 1.2; HTML Living Standard 9.2; an answer and an upload under way are no different."""
    with ExitStack() as stack:
        tunnel, far_tunnel = begun(wire, request("GET", "/talk", *UPGRADE), SWITCHED)
        events, far_events = begun(wire, request("GET", "/talk/events"), EVENTS)
        upload, far_upload = uploading(wire)
        change(front, stack)

        tunnel.send(b"ping")
        far_tunnel.send(b"pong")
        far_events.send(b"9\r\ndata: 1\n\n\r\n")
        upload.send(b"9")
        assert (b"ping", b"pong") == (far_tunnel.exactly(4), tunnel.exactly(4))
        assert b"9\r\ndata: 1\n\n\r\n" == events.until(b"\n\n\r\n")
        assert b"0123456789" == far_upload.exactly(10)
        far_upload.send(OK)
        assert b"ok" == upload.message().body


def begun(wire, asked, answered):
    """A client and legacy's side of an exchange whose answer has begun."""
    client = wire.client()
    client.send(asked)
    side = wire.legacy.accept()
    side.message()
    side.send(answered)
    assert client.head().line.split()[1] == answered.split()[1].decode()
    return client, side


def uploading(wire):
    """A client and legacy's side of an upload of which one byte is missing."""
    client = wire.client()
    client.send(request("POST", "/talk", body=b"0123456789")[:-1])
    side = wire.legacy.accept()
    side.head()
    return client, side


def test_a_flip_is_for_the_next_request_and_the_next_upgrade(front, wire):
    """docs/architecture.md#how-a-flip-travels: requests in flight finish on the table they started with."""
    client = wire.client()
    client.send(request("GET", "/talk"))
    side = wire.legacy.accept()
    side.message()
    flip(front, None)
    side.send(OK)

    assert b"ok" == client.message().body
    client.send(request("GET", "/talk"))
    assert 410 == client.message().status
    assert 410 == wire.refused(request("GET", "/talk", *UPGRADE)).status


def test_the_kill_file_sends_a_gone_route_to_legacy(front, wire):
    """docs/operations.md#putting-traffic-back: everything goes to legacy, upgrades too."""
    flip(front, None)
    with killed(front):
        assert 200 == wire.exchange(request("GET", "/talk"))[1].status
        assert "websocket" == wire.seen("GET", "/talk", *UPGRADE)["upgrade"]


def test_legacy_that_is_down_is_a_502_and_up_again_at_once(front, wire):
    """RFC 9110 15.6.3: nobody listens; no memory of it afterwards."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        reload(front, TABLE.replace("${LEGACY_URL}", f"http://127.0.0.1:{taken.getsockname()[1]}"))
        found = wire.refused(request("GET", "/"))
        upgrade = wire.refused(request("GET", "/", *UPGRADE))
        taken.listen()
        client = wire.client()
        client.send(request("GET", "/"))
        with End(taken.accept()[0]) as side:
            side.message()
            side.send(OK)
            again = client.message()

    assert (502, "legacy-connect") == (found.status, found.code)
    assert (502, "legacy-connect") == (upgrade.status, upgrade.code)
    assert 200 == again.status


@pytest.mark.parametrize("fields", [(), UPGRADE], ids=["a request", "an upgrade"])
def test_legacy_that_does_not_take_a_connection_is_a_504(front, wire, fields):
    """RFC 9110 15.6.5, RFC 9293 3.10.7.4: its backlog is full, so SYNs get no answer."""
    with socket.socket() as deaf, ExitStack() as stack:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        reload(front, TABLE.replace("${LEGACY_URL}", f"http://127.0.0.1:{deaf.getsockname()[1]}"))
        found = wire.refused(request("GET", "/", *fields))

    assert (504, "legacy-timeout") == (found.status, found.code)


def test_legacy_may_move_to_a_unix_socket(front, wire, socket_folder):
    """RFC 9112 3.2: Host is the public one; there is no private address to hide."""
    path = socket_folder / "legacy.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        reload(front, TABLE.replace("${LEGACY_URL}", f"unix:{path}"))
        client = wire.client()
        client.send(request("GET", "/a"))
        with End(listener.accept()[0]) as side:
            seen = side.message()
            side.send(answer("Location: http://127.0.0.1/b"))
            shown = client.message()

    assert ("GET /a HTTP/1.1", "shop.example") == (seen.line, seen["host"])
    assert "http://127.0.0.1/b" == shown["location"]


def test_a_kept_connection_to_a_former_address_is_not_used(front, wire):
    """docs/operations.md#how-a-table-takes-effect: a new table is a new upstream."""
    wire.exchange(request("GET", "/"))
    legacy = Legacy()
    with closing(legacy):
        reload(front, TABLE.replace("${LEGACY_URL}", f"http://127.0.0.1:{legacy.port}"))
        moved = Wire(wire.port, legacy)
        assert "GET /moved HTTP/1.1" == moved.seen("GET", "/moved").line
        moved.end()
