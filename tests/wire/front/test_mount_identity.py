"""The WSGI mount asks legacy who the user is, and lets views call legacy, without a word of the front door's own."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

import overgrow
from overgrow.settings import Settings
from tests.wire.front.ends import Legacy, answer

TABLE = """\
version: 1
legacy: {url: "http://127.0.0.1:PORT"}
identity: {from: ask, ask: /whoami, cookie: sid}
routes:
  - {name: who, path: /who, target: migrated}
  - {name: mixed, path: /mixed, methods: [GET], target: migrated}
"""
COOKIE = "sid=1; overgrow_override=v1.migrated.*.9999999999.aa; overgrow_admin=secret"


@pytest.fixture
def world(tmp_path):
    """A client of the mounted app, and the requests that legacy got."""
    legacy, seen = Legacy(), []

    def script(end):
        while True:
            found = end.message()
            seen.append(found)
            is_question = found.line.startswith("GET /whoami ")
            body = json.dumps({"id": "ann"}).encode() if is_question else b"part"
            end.send(answer("Content-Type: application/json", "Set-Cookie: a=1", body=body))

    config = tmp_path / "routes.yaml"
    config.write_text(TABLE.replace("PORT", str(legacy.port)))
    app = "tests.wire.front.echo_app:create_app"
    with closing(legacy), legacy.scripted(script):
        flask = overgrow.create_app(Settings(config=config, state=tmp_path / "state", app=app))
        flask.testing = True
        yield flask.test_client(use_cookies=False), seen
        flask.wsgi_app.close()


def test_the_mount_hands_over_whom_legacy_names(world):
    client, _ = world
    told = [
        client.get("/who", headers=headers).json["user"] for headers in ({"Cookie": COOKIE}, {})
    ]

    assert told == ["ann", None]


def test_a_view_under_the_mount_calls_legacy(world):
    client, _ = world
    response = client.get("/mixed", headers={"Cookie": COOKIE})

    assert response.json == [[200, "part"]] * 2
    assert "a=1" in response.headers.getlist("Set-Cookie")


def test_legacy_sees_nothing_of_the_front_doors_own_when_it_is_asked(world):
    client, seen = world
    client.get("/mixed", headers={"Cookie": COOKIE, "X-Overgrow-Override": "x", "X_Real": "y"})

    assert len(seen) >= 3
    for found in seen:
        assert "overgrow_" not in (found["cookie"] or "")
        assert [
            name for name, _ in found.headers if name.startswith("x-overgrow") or "_" in name
        ] == []
