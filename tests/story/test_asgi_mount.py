"""WebSockets that move: one flip from the legacy shop to an ASGI app mounted in Flask, and back."""

from __future__ import annotations

import http.client
import json
import re
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from tests.story.front import ROOT, eventually, running_front
from tests.story.stub import running_stub

TABLE = """\
version: 1
app: tests.story.live_app:create_app
legacy:
  url: ${LEGACY_URL}
routes:
  - name: ws
    path: /ws
    target: legacy
  - name: live
    prefix: /live
    target: migrated
    fallback: true
  - name: flask
    path: /flask
    target: migrated
    reversible: false
"""


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mounted")
    with (
        running_stub(data=folder / "shop.sqlite3") as legacy,
        running_front(TABLE, folder, legacy, data=folder / "shop.sqlite3") as running,
    ):
        yield running


@contextmanager
def opened(front, path, **options):
    with connect(f"ws://127.0.0.1:{front.port}{path}", max_size=None, **options) as client:
        yield client


def echoed(client, message):
    client.send(message)
    return client.recv(timeout=60)


def flipped(front, to):
    """Flip the WebSocket's route and wait until it counts."""
    found = front.overgrow("flip", "ws", to, "--wait", "--json")
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)["to"]


def side_of(client):
    return client.response.headers["X-Overgrow"].split("; ")[1]


def test_one_flip_moves_a_websocket_and_another_brings_it_back(front):
    sides = []
    for to in ("migrated", "legacy"):
        flipped(front, to)
        with opened(front, "/ws") as client:
            sides.append((side_of(client), client.response.headers.get("X-Server")))
            assert echoed(client, "hello") == "hello"

    assert sides == [("side=migrated", "asgi"), ("side=legacy", None)]


def test_open_websockets_stay_where_they_are_when_the_route_flips(front):
    with opened(front, "/ws") as old:
        flipped(front, "migrated")
        with opened(front, "/ws") as new:
            flipped(front, "legacy")
            found = [echoed(old, "old"), echoed(new, "new"), side_of(old), side_of(new)]

    assert found == ["old", "new", "side=legacy", "side=migrated"]


@pytest.mark.parametrize(
    "message",
    ["", "leaf", "\u00e9\u20ac\U0001d11e" * 400_000, b"", bytes(range(256)) * 30_000],
    ids=["empty text", "text", "3.6 MB of text", "empty bytes", "7.7 MB of bytes"],
)
@pytest.mark.parametrize("compression", ["deflate", None])
def test_a_message_comes_back_as_it_was(front, message, compression):
    with opened(front, "/live/echo", compression=compression) as client:
        assert echoed(client, message) == message


def test_compression_is_agreed_on_where_the_client_offers_it(front):
    with (
        opened(front, "/live/echo") as client,
        opened(front, "/live/echo", compression=None) as plain,
    ):
        found = [c.response.headers.get("Sec-WebSocket-Extensions") for c in (client, plain)]

    assert found[0].startswith("permessage-deflate")
    assert found[1] is None


def test_a_message_in_fragments_comes_back_whole(front):
    with opened(front, "/live/echo") as client:
        assert echoed(client, ["le", "a", "f"]) == "leaf"


def test_the_app_chooses_among_the_subprotocols_offered(front):
    with opened(front, "/live/echo", subprotocols=["other", "migrated"]) as client:
        assert client.subprotocol == "migrated"


def test_pings_are_answered(front):
    with opened(front, "/live/echo") as client:
        assert client.ping().wait(60)


def test_a_message_beyond_the_bound_is_refused_with_1009(front):
    with opened(front, "/live/echo", compression=None) as client:
        with pytest.raises(ConnectionClosed):
            echoed(client, b"x" * (16 * 1024 * 1024 + 1))

        assert client.close_code == 1009


def test_the_app_s_close_reaches_the_client_with_code_and_reason(front):
    with opened(front, "/live/closing") as client:
        with pytest.raises(ConnectionClosedError):
            client.recv(timeout=60)

        assert (client.close_code, client.close_reason) == (4002, "enough")


def test_the_client_s_close_reaches_the_app_with_its_code(front):
    with opened(front, "/live/leaving") as client:
        client.close(4321, "bye")

    assert eventually(lambda: b"4321" in front.get("/live/left")[2])
    assert client.close_code == 4321


def test_a_client_that_vanishes_is_told_to_the_app_as_1006(front):
    with opened(front, "/live/leaving") as client:
        client.socket.shutdown(2)

    assert eventually(lambda: b"1006" in front.get("/live/left")[2])


def test_an_app_that_crashes_closes_with_1011(front):
    with opened(front, "/live/crashing") as client:
        client.send("go")
        with pytest.raises(ConnectionClosedError):
            client.recv(timeout=60)

        assert client.close_code == 1011


def test_a_close_before_accepting_is_403(front):
    with pytest.raises(InvalidStatus) as refused, opened(front, "/live/refusing"):
        pass

    assert refused.value.response.status_code == 403


def test_an_app_may_refuse_with_an_answer_of_its_own(front):
    with pytest.raises(InvalidStatus) as refused, opened(front, "/live/explaining"):
        pass

    response = refused.value.response
    assert (response.status_code, response.headers["X-Why"]) == (409, "no room")
    assert response.body == b"come later"


def test_an_upgrade_of_a_moved_path_without_an_app_is_501(front):
    with pytest.raises(InvalidStatus) as refused, opened(front, "/flask"):
        pass

    response = refused.value.response
    assert (response.status_code, response.headers["X-Overgrow-Error"]) == (501, "no-upgrade")


def test_a_flask_route_beside_the_mounts_is_flask_s(front):
    assert front.get("/flask")[2] == b"flask"


def test_the_app_sees_the_request_as_it_came_and_the_state_of_its_lifespan(front):
    status, _, body = front.get("/live/told/a%20b?x=%31", headers={"X-Forwarded-For": "192.0.2.1"})

    lines = body.decode().splitlines()
    expected = [
        "method=GET",
        "scheme=http",
        "path=/live/told/a b",
        "raw_path=b'/live/told/a%20b'",
        "query_string=b'x=%31'",
        "root_path=/live",
        "client=('127.0.0.1', 0)",
        f"host: 127.0.0.1:{front.port}",
    ]
    assert (status, lines[: len(expected)], lines[-1]) == (200, expected, "yes")
    assert "x-forwarded-for" not in body.decode()


def test_a_body_is_streamed_to_the_app(front):
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    connection.request("POST", "/live/length", body=iter([b"x" * 100_000] * 30))

    assert connection.getresponse().read() == b"3000000"
    connection.close()


def test_events_arrive_one_by_one(front):
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    connection.request("GET", "/live/events")
    with connection.getresponse() as answer:
        first = answer.read1()
        rest = answer.read()
    connection.close()

    assert (first, rest) == (b"data: 0\n\n", b"data: 1\n\ndata: 2\n\n")


def test_a_crash_falls_back_to_legacy_where_the_route_says_so(front):
    status, headers, _ = front.get("/live/crashing")

    assert (status, "reason=fallback" in headers["X-Overgrow"]) == (404, True)


def test_the_documented_example_works(tmp_path):
    page = (ROOT / "docs" / "asgi-apps.md").read_text()
    python, route = (
        re.search(f"```{kind}\n(.*?)```", page, re.DOTALL)[1] for kind in ("python", "yaml")
    )
    (tmp_path / "documented_shop.py").write_text(python)
    top = "version: 1\napp: documented_shop:create_app\nlegacy: {url: 'http://127.0.0.1:9'}\nroutes:\n"

    with running_front(top + route, tmp_path, 9, data=tmp_path / "none") as front:
        with opened(front, "/live") as client:
            said = echoed(client, "hello")
        status = front.get("/live")[0]

    assert (said, status) == ("you said hello", 500)
