"""Who is signed in, over sockets: asked of legacy, handed to the app, and what happens while legacy does not say."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from tests.story.front import eventually
from tests.wire.front.conftest import standing
from tests.wire.front.ends import PATIENCE_S, End, Wire, answer, request

TABLE = """\
version: 1
legacy: {url: "${LEGACY_URL}", via: door-i}
identity: {from: ask, ask: /whoami, cookie: sid}
routes:
  - {name: who, path: /who, target: migrated}
  - {name: mixed, path: /mixed, methods: [GET], target: migrated}
  - {name: loop, path: /loop, methods: [GET], target: migrated}
  - {name: moved, path: /moved, methods: [GET], target: migrated, reversible: false}
"""
ANN = {"id": "ann", "name": "Ann", "roles": ["staff"]}


class Whoami:
    """Legacy: it knows the sessions that a test gives it, and notes what it is asked."""

    def __init__(self, legacy):
        self.legacy = legacy
        self.sessions = {"1": ANN}
        self.status = "200 OK"
        self.asked = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, end):
        while True:
            found = end.message()
            target = found.line.split(" ")[1]
            self.asked.append(target)
            if target == "/part/loop":
                end.send(self._answer_of_front("/loop", f"Via: {', '.join(found.all('via'))}"))
            else:
                end.send(self._answer(found) if target == "/whoami" else self._page(target))

    def _answer_of_front(self, path, *fields):
        """Ask the front door, as a legacy app that includes its own public pages."""
        with End(socket.create_connection(("127.0.0.1", self.front.port), PATIENCE_S)) as back:
            back.send(request("GET", path, *fields))
            found = back.message()
        return answer(status=f"{found.status} Passed", body=found.body)

    def _answer(self, found):
        self.may_answer.wait()
        session = (found["cookie"] or "").partition("sid=")[2].partition(";")[0]
        if session not in self.sessions:
            return answer(status="401 Unauthorized")
        body = json.dumps(self.sessions[session]).encode()
        return answer("Content-Type: application/json", status=self.status, body=body)

    def _page(self, target):
        cookies = ["Set-Cookie: sid=; Max-Age=0"] if target == "/logout" else []
        cookies += ["Set-Cookie: part=1"] if target == "/part/0" else []
        return answer(*cookies, body=b"of legacy")

    @property
    def questions(self):
        return self.asked.count("/whoami")


@pytest.fixture(scope="module")
def world_of_module(tmp_path_factory):
    with standing(TABLE, tmp_path_factory.mktemp("identity")) as (front, legacy):
        whoami = Whoami(legacy)
        with legacy.scripted(whoami):
            whoami.front = front
            yield whoami, Wire(front.port, legacy)


@pytest.fixture
def world(world_of_module):
    whoami, wire = world_of_module
    whoami.sessions, whoami.status = {"1": ANN}, "200 OK"
    whoami.may_answer.set()
    eventually(lambda: is_known_again(whoami, wire))
    return whoami, wire


def is_known_again(whoami, wire):
    """Whether the front door asks legacy; for a second after a failure it does not."""
    session = f"fresh-{len(whoami.asked)}"
    whoami.sessions[session] = ANN
    return told_or_none(ask(wire, "/who", f"Cookie: sid={session}")) == "ann"


def ask(wire, path="/who", *fields, method="GET", body=None):
    with wire.client() as client:
        client.send(request(method, path, *fields, body=body))
        return client.message(method)


def told(found):
    return json.loads(found.body)


def test_the_app_gets_the_user_whom_legacy_names(world):
    _, wire = world
    found = told(ask(wire, "/who", "Cookie: sid=1; lang=en"))

    assert found["user"] == "ann"
    assert found["identity"] == {
        "id": "ann",
        "name": "Ann",
        "roles": ["staff"],
        "claims": ANN,
        "source": "ask",
    }


def test_the_app_gets_the_user_of_a_request_with_a_body(world):
    _, wire = world

    assert told(ask(wire, "/who", "Cookie: sid=1", method="POST", body=b"x=1"))["user"] == "ann"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="no cookie"),
        pytest.param(["Cookie: sid=unknown"], id="a session that legacy does not know"),
        pytest.param(
            [
                "Remote-User: ann",
                "Remote_User: ann",
                "Overgrow.Identity: ann",
                "X-Forwarded-User: ann",
            ],
            id="headers of the client",
        ),
        pytest.param(
            ["Cookie: sid=unknown", "X-Remote-User: ann", "X-Overgrow-Identity: ann"],
            id="headers of the client beside an unknown session",
        ),
    ],
)
def test_nobody_is_signed_in_without_a_session(world, fields):
    _, wire = world

    assert told(ask(wire, "/who", *fields)) == {"user": None, "identity": None}


def test_a_session_id_in_the_query_is_not_read(world):
    _, wire = world

    assert told(ask(wire, "/who?sid=1", "Referer: /?sid=1"))["user"] is None


def test_a_request_for_legacy_asks_nothing(world):
    whoami, wire = world
    before = whoami.questions
    ask(wire, "/elsewhere", "Cookie: sid=quiet")

    assert whoami.questions == before


def test_concurrent_requests_of_a_user_make_one_question(world):
    whoami, wire = world
    whoami.sessions["many"] = ANN
    whoami.may_answer.clear()
    before, found = whoami.questions, []
    threads = [
        threading.Thread(target=lambda: found.append(ask(wire, "/who", "Cookie: sid=many")))
        for _ in range(8)
    ]
    for each in threads:
        each.start()
    eventually(lambda: whoami.questions > before)
    whoami.may_answer.set()
    for each in threads:
        each.join()

    assert [told(each)["user"] for each in found] == ["ann"] * 8
    assert whoami.questions == before + 1


def test_a_logout_by_legacy_is_known_at_once(world):
    whoami, wire = world
    whoami.sessions["out"] = ANN
    signed_in = told(ask(wire, "/who", "Cookie: sid=out"))
    del whoami.sessions["out"]
    ask(wire, "/logout", "Cookie: sid=out")

    assert (signed_in["user"], told(ask(wire, "/who", "Cookie: sid=out"))["user"]) == ("ann", None)


def test_legacy_answers_while_the_user_cannot_be_known(world):
    whoami, wire = world
    whoami.status = "500 Oops"
    whoami.sessions["away"] = ANN
    reversible = ask(wire, "/who", "Cookie: sid=away")
    irreversible = ask(wire, "/moved", "Cookie: sid=away")
    nobody = ask(wire, "/moved")

    assert (200, b"of legacy") == (reversible.status, reversible.body)
    assert (503, "identity-unavailable", "1") == (
        irreversible.status,
        irreversible.code,
        irreversible["retry-after"],
    )
    assert (200, None) == (nobody.status, told(nobody)["user"])
    whoami.status = "200 OK"
    eventually(lambda: told_or_none(ask(wire, "/who", "Cookie: sid=away")) == "ann")


def told_or_none(found):
    return json.loads(found.body)["user"] if found.body.startswith(b"{") else None


def test_an_identity_that_cannot_be_had_is_said_and_taken_back(world):
    whoami, wire = world
    whoami.status = "404 Not Found"
    whoami.sessions["lost"] = ANN

    def notes_in_status():
        """Both places, after a fresh question: the trial at start, which has no user, may take a note back."""
        ask(wire, "/who", "Cookie: sid=lost")
        status = whoami.front.overgrow("status").stdout
        return [note for note in identity_notes(whoami.front) if "404" in note and note in status]

    note = eventually(notes_in_status)[0]
    whoami.status = "200 OK"

    assert note.startswith(
        "identity by ask: it cannot be asked: GET /whoami on legacy is answered 404"
    )
    assert "lost" not in note
    eventually(lambda: ask(wire, "/who", "Cookie: sid=lost").body.startswith(b"{"))
    eventually(lambda: not identity_notes(whoami.front))


def identity_notes(front):
    return [note for note in front.readyz().get("notes", ()) if note.startswith("identity by")]


def test_the_outcomes_are_counted_by_reader(world):
    whoami, wire = world
    ask(wire, "/who", "Cookie: sid=1")
    ask(wire, "/who", "Cookie: sid=unknown-session")
    text = whoami.front.get("/metrics", admin=True)[1:][1].decode()

    for outcome in ("known", "anonymous"):
        assert f'overgrow_identity_total{{outcome="{outcome}",reader="ask"}}' in text


def test_a_view_takes_parts_of_old_pages(world):
    whoami, wire = world
    found = ask(wire, "/mixed", "Cookie: sid=1")
    text = whoami.front.get("/metrics", admin=True)[2].decode()

    assert told(found) == [[200, "of legacy"], [200, "of legacy"]]
    assert found.all("set-cookie") == ["part=1"]
    assert 'overgrow_legacy_calls_total{route="mixed",status="200"}' in text


def test_a_call_that_comes_back_again_and_again_is_a_loop(world):
    whoami, wire = world
    found = ask(wire, "/loop")

    assert (found.status, whoami.asked.count("/part/loop") < 4) == (508, True)
