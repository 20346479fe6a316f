"""The secret of legacy's sessions: workers alone read it, nobody ever shows it, and a wrong one is noticed."""

from __future__ import annotations

import json
import shutil
from contextlib import closing

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from tests.story.front import eventually, overgrow, running_front
from tests.wire.front.ends import Legacy, Wire, request

SECRET = "seeded-5ecret-of-legacys-sessions"
TABLE = """\
version: 1
legacy: {url: "${LEGACY_URL}"}
identity: {from: flask, secret: "file:SECRET_FILE"}
routes:
  - {name: who, path: /who, target: migrated}
"""


def session_cookie(user, secret=SECRET):
    """Return a session as Flask itself signs it, with the user as Flask-Login keeps it."""
    app = Flask("legacy")
    app.secret_key = secret
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    return f"Cookie: session={signer.dumps({'_user_id': user, '_fresh': True})}"


@pytest.fixture
def world(tmp_path):
    file = tmp_path / "secrets" / "legacy"
    file.parent.mkdir()
    file.write_text(SECRET + "\n")
    folder = tmp_path / "front"
    folder.mkdir()
    legacy = Legacy()
    table = TABLE.replace("SECRET_FILE", str(file))
    given = {
        "OVERGROW_APP": "tests.wire.front.echo_app:create_app",
        "OVERGROW_ACCESS_LOG_FILE": str(folder / "access.log"),
    }
    with (
        closing(legacy),
        running_front(table, folder, legacy.port, data=tmp_path / "unused", **given) as front,
    ):
        yield front, Wire(front.port, legacy), file


def user_of(wire, *fields):
    with wire.client() as client:
        client.send(request("GET", "/who", *fields))
        return json.loads(client.message().body)["user"]


def notes(front):
    return [each for each in front.readyz().get("notes", ()) if each.startswith("identity by")]


def test_a_wrong_secret_is_noticed_and_its_rotation_too(world):
    front, wire, file = world
    strange = [session_cookie(f"u{at}", "another secret") for at in range(4)]
    found = [user_of(wire, each) for each in strange]
    note = eventually(lambda: notes(front))[0]
    file.with_suffix(".new").write_text("another secret\n")
    file.with_suffix(".new").replace(file)
    eventually(lambda: user_of(wire, strange[0]) == "u0")

    assert found == [None] * 4
    assert note.startswith("identity by flask: no session of the last minute could be read (4 bad-")
    assert user_of(wire, session_cookie("ann")) is None
    eventually(lambda: not notes(front))


def test_no_command_needs_the_secret_and_nothing_shows_it(world):
    front, wire, file = world
    cookie = session_cookie("ann")
    assert user_of(wire, cookie) == "ann"
    user_of(wire, cookie[:-3] + "xyz")
    file.chmod(0)
    shutil.move(file, file.with_suffix(".away"))  # for root no mode is in the way
    commands = [
        ["check"],
        ["routes"],
        ["explain", "-H", cookie, "/who"],
        ["flip", "who", "legacy"],
        ["flip", "who", "migrated"],
        ["rollback"],
        ["status"],
        ["history"],
    ]
    run = [
        overgrow(*words, "--config", str(front.config), environment=front.environment)
        for words in commands
    ]
    pages = [
        front.get(path, admin=True)[2].decode()
        for path in ("/readyz", "/metrics", "/", "/api/status")
    ]
    files = [each.read_bytes() for each in front.config.parent.rglob("*") if each.is_file()]

    assert [done.returncode for done in run] == [0] * len(commands), [each.stderr for each in run]
    told = "".join([*(each.stdout + each.stderr for each in run), *pages])
    value = cookie.partition("=")[2]
    for seeded in (SECRET, value, value.rpartition(".")[2]):
        assert told.count(seeded) == 0
        assert not any(seeded.encode() in content for content in files)
