"""Logins that hold for a connection (NTLM, Negotiate): nobody is ever answered as somebody else."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.story.front import eventually
from tests.wire.front.conftest import standing
from tests.wire.front.ends import OK, Legacy, Wire, answer, request
from tests.wire.front.logins import LoginLegacy, ask, challenge, hello, log_in

WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


MIXED = """\
version: 1
legacy:
  url: ${LEGACY_URL}
  max_connections: 2
  connect_timeout: 500ms
routes:
  - name: environ
    path: /environ
    methods: [GET]
    target: migrated
  - name: crash
    path: /crash
    methods: [GET]
    target: migrated
    fallback: true
  - name: late
    path: /late
    methods: [GET]
    target: legacy
    shadow: 100%
"""


@pytest.fixture(scope="module")
def mixed_front(tmp_path_factory):
    with standing(MIXED, tmp_path_factory.mktemp("mixed")) as both:
        yield both


@pytest.fixture
def mixed(mixed_front):
    """A front door with routes of both sides, a fallback, a shadow and two connections to legacy."""
    wire = Wire(mixed_front[0].port, mixed_front[1])
    yield wire
    wire.end()


@pytest.fixture
def mixed_logins(mixed):
    script = LoginLegacy()
    with mixed.legacy.scripted(script):
        yield script


@pytest.fixture
def logins(wire):
    script = LoginLegacy()
    with wire.legacy.scripted(script):
        yield script


@pytest.fixture
def trusted_logins(trusting):
    script = LoginLegacy()
    with trusting.legacy.scripted(script):
        yield script


def test_a_login_holds_for_its_client_and_for_nobody_else(wire, logins):
    alice, bob = wire.client(), wire.client()

    assert log_in(alice, "alice").body == b"hello alice"
    assert ask(bob).status == 401
    assert ask(alice).body == b"hello alice"
    assert log_in(bob, "bob").body == b"hello bob"
    assert [ask(alice).body, ask(bob).body] == [b"hello alice", b"hello bob"]


def test_a_login_of_one_leg_holds_for_its_client_alone(wire, logins):
    alice, bob = wire.client(), wire.client()
    found = ask(alice, "Authorization: Negotiate alice")

    assert found.body == b"hello alice"
    assert found["www-authenticate"] == "Negotiate done"
    assert ask(bob).status == 401
    assert ask(alice).body == b"hello alice"


def test_a_handshake_goes_through_while_others_ask(wire, logins):
    alice, bob = wire.client(), wire.client()
    for client, user in ((alice, "alice"), (bob, "bob")):
        assert ask(client, f"Authorization: NTLM first:{user}").status == 401
    for client, user in ((bob, "bob"), (alice, "alice")):
        found = ask(client, f"Authorization: NTLM third:{user}")

        assert found.body == f"hello {user}".encode()


def test_a_login_ends_with_its_client(wire, logins):
    alice = wire.client()
    log_in(alice, "alice")
    alice.close()
    eventually(lambda: logins.ended == logins.connections)

    assert ask(wire.client()).status == 401


@pytest.mark.parametrize(
    "field",
    [
        "WWW-Authenticate: NTLM",
        "www-authenticate: ntlm TlRMTVNTUAAC",
        "WWW-Authenticate: Negotiate oYG2",
        'WWW-Authenticate: Basic realm="a, b", NTLM',
        "WWW-Authenticate: Digest qop=auth,NEGOTIATE",
        "WWW-Authenticate: Kerberos",
        "Authentication-Info: Negotiate oYG2",
        "Persistent-Auth: true",
        "Proxy-Authenticate: NTLM",
        "Proxy-Support: Session-Based-Authentication",
    ],
)
@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized"])
def test_an_answer_that_speaks_of_a_login_keeps_its_connection(wire, field, status):
    alice, bob = wire.client(), wire.client()
    alice.send(request("GET", "/"))
    first = wire.legacy.accept()
    first.message()
    first.send(answer(field, status=status))
    alice.message()
    bob.send(request("GET", "/"))
    wire.legacy.answers(OK)
    alice.send(request("GET", "/again"))

    assert bob.message().body == b"ok"
    assert first.message().line == "GET /again HTTP/1.1"
    first.send(OK)
    alice.message()


@pytest.mark.parametrize(
    "field",
    [
        'WWW-Authenticate: Basic realm="NTLM or Negotiate"',
        "WWW-Authenticate: Bearer",
        "WWW-Authenticate: Ntlmish",
        'Authentication-Info: nextnonce="ntlm"',
    ],
)
def test_an_answer_that_speaks_of_no_such_login_keeps_nothing(wire, field):
    alice, bob = wire.client(), wire.client()
    alice.send(request("GET", "/"))
    first = wire.legacy.accept()
    first.message()
    first.send(answer(field, status="401 Unauthorized"))
    alice.message()
    bob.send(request("GET", "/of-bob"))

    assert first.message().line == "GET /of-bob HTTP/1.1"
    first.send(OK)
    bob.message()


@pytest.mark.parametrize(
    "field",
    [
        "Authorization: NTLM TlRMTVNTUAAB",
        "authorization: negotiate YII",
        "AUTHORIZATION:\tNEGOTIATE YII",
        "Authorization: Basic eDp5, NTLM TlRM",
        "Authorization: CredSSP abc",
    ],
)
def test_a_request_that_logs_in_keeps_its_connection_whatever_comes_back(wire, field):
    alice, bob = wire.client(), wire.client()
    alice.send(request("GET", "/", field))
    first = wire.legacy.accept()
    first.message()
    first.send(OK)
    alice.message()
    bob.send(request("GET", "/"))
    wire.legacy.answers(OK)
    alice.send(request("GET", "/again"))

    assert bob.message().body == b"ok"
    assert first.message().line == "GET /again HTTP/1.1"
    first.send(OK)
    alice.message()


def test_a_login_in_an_interim_answer_keeps_its_connection(wire):
    alice = wire.client()
    alice.send(request("GET", "/"))
    first = wire.legacy.accept()
    first.message()
    first.send(b"HTTP/1.1 103 Early Hints\r\nWWW-Authenticate: NTLM\r\n\r\n" + OK)
    alice.message()
    bob = wire.client()
    bob.send(request("GET", "/"))
    wire.legacy.answers(OK)

    assert bob.message().body == b"ok"


def test_a_login_in_a_trailer_ends_the_connection(wire):
    alice = wire.client()
    alice.send(request("GET", "/"))
    first = wire.legacy.accept()
    first.message()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    first.send(head + b"2\r\nok\r\n0\r\nWWW-Authenticate: Negotiate x\r\n\r\n")

    assert alice.message().body == b"ok"
    assert first.ends()


def test_a_new_login_is_never_tried_on_a_kept_connection(wire):
    wire.exchange(request("GET", "/"))
    kept = wire.legacy.last()
    alice = wire.client()
    alice.send(request("GET", "/", "Authorization: NTLM TlRM"))
    found = wire.legacy.answers(challenge("WWW-Authenticate: NTLM x"))

    assert found["authorization"] == "NTLM TlRM"
    assert kept.is_quiet()


def test_the_clients_connection_ends_when_legacy_ends_the_login(wire):
    alice = wire.client()
    alice.send(request("GET", "/"))
    first = wire.legacy.accept()
    first.message()
    first.send(challenge("WWW-Authenticate: NTLM"))
    alice.message()
    first.finish()

    assert alice.ends()
    assert alice.ended == "fin"


def test_an_answer_that_closes_the_login_says_so_to_the_client(wire):
    alice = wire.client()
    alice.send(request("GET", "/"))
    wire.legacy.answers(challenge("WWW-Authenticate: NTLM", "Connection: close"))
    found = alice.message()

    assert found["connection"] == "close"
    assert alice.ends()


def test_a_request_on_a_login_that_breaks_is_not_sent_again(wire):
    alice = wire.client()
    alice.send(request("GET", "/"))
    first = wire.legacy.accept()
    first.message()
    first.send(challenge("WWW-Authenticate: NTLM"))
    alice.message()
    alice.send(request("GET", "/"))
    first.message()
    first.reset()
    found = alice.message()

    assert (found.status, found.code) == (502, "legacy-closed")
    assert found["connection"] == "close"
    assert wire.legacy.nobody_came()


def test_a_login_that_times_out_ends_both_connections(wire):
    alice = wire.client()
    alice.send(request("GET", "/hasty"))
    first = wire.legacy.accept()
    first.message()
    first.send(challenge("WWW-Authenticate: NTLM"))
    alice.message()
    alice.send(request("GET", "/hasty"))
    found = alice.message()

    assert (found.status, found.code) == (504, "legacy-timeout")
    assert first.ends()
    assert alice.ends()


def test_pipelined_requests_of_a_login_go_one_behind_the_other(wire, logins):
    alice = wire.client()
    log_in(alice, "alice")
    alice.send(request("GET", "/") * 3)

    assert [alice.message().body for _ in range(3)] == [b"hello alice"] * 3


def test_a_handshake_of_an_upload_keeps_both_connections(wire):
    alice = wire.client()
    alice.send(request("POST", "/", "Authorization: NTLM x", body=b"y" * 100_000)[:-50_000])
    first = wire.legacy.accept()
    first.head()
    first.send(challenge("WWW-Authenticate: NTLM z"))
    assert alice.is_quiet()
    alice.send(b"y" * 50_000)
    first.exactly(100_000)
    found = alice.message()
    alice.send(request("POST", "/", "Authorization: NTLM zz", body=b"y"))

    assert (found.status, found["connection"]) == (401, None)
    assert first.message().body == b"y"
    first.send(OK)
    assert alice.message().status == 200


def test_an_upgrade_goes_where_its_client_has_logged_in(wire):
    alice = wire.client()
    alice.send(request("GET", "/", "Authorization: Negotiate alice"))
    first = wire.legacy.accept()
    first.message()
    first.send(hello("alice"))
    alice.message()
    alice.send(request("GET", "/ws", *WEBSOCKET))
    assert first.message().line == "GET /ws HTTP/1.1"
    first.send(SWITCH + b"hi alice")
    alice.head()
    alice.send(b"hi legacy")

    assert alice.exactly(8) == b"hi alice"
    assert first.exactly(9) == b"hi legacy"


def test_an_upgrade_refused_on_a_login_ends_both(wire):
    alice = wire.client()
    alice.send(request("GET", "/", "Authorization: Negotiate alice"))
    first = wire.legacy.accept()
    first.message()
    first.send(hello("alice"))
    alice.message()
    alice.send(request("GET", "/ws", *WEBSOCKET))
    first.message()
    first.send(answer(status="403 Forbidden"))

    assert alice.message().status == 403
    assert first.ends()
    assert alice.ends()


def test_an_http_1_0_client_takes_its_login_along(wire, logins):
    alice = wire.client()
    alice.send(b"GET / HTTP/1.0\r\nHost: h\r\nAuthorization: Negotiate alice\r\n\r\n")

    assert alice.message().body == b"hello alice"
    eventually(lambda: logins.ended == logins.connections)


def test_credentials_that_connection_names_log_nobody_in(wire, logins):
    alice = wire.client()
    fields = ("Connection: authorization", "Authorization: Negotiate alice")

    assert ask(alice, *fields).status == 401


def test_one_trusted_connection_is_never_one_user(trusting, trusted_logins):
    proxy = trusting.client()
    told = {user: f"X-Forwarded-For: 192.0.2.{n}" for n, user in enumerate(("alice", "bob"), 1)}
    for user in ("alice", "bob", "alice"):
        found = ask(proxy, told[user], f"Authorization: Negotiate {user}")
        assert found.body == f"hello {user}".encode()
        assert ask(proxy, told["bob"]).status == 401

    assert ask(proxy, told["alice"], "X-Public: yes").body == b"hello nobody"


def test_behind_a_trusted_proxy_a_login_ends_with_its_answer(trusting):
    proxy = trusting.client()
    proxy.send(request("GET", "/", "Authorization: Negotiate alice"))
    first = trusting.legacy.accept()
    first.message()
    first.send(hello("alice"))

    assert proxy.message().body == b"hello alice"
    assert first.ends()
    assert proxy.is_quiet()  # other users' requests go on


def test_a_login_behind_a_proxy_is_noted(trusting, trusted_logins, trusting_front):
    ask(trusting.client(), "Authorization: Negotiate alice")
    front = trusting_front[0]
    eventually(lambda: "[login-behind-a-pool]" in str(front.readyz().get("notes")))

    log = (front.config.parent / "serve.log").read_text()
    assert log.count("[login-behind-a-pool]") == 1


def test_a_proxy_that_is_not_declared_shares_no_login(wire, logins):
    proxy = wire.client()
    said = "X-Forwarded-For: 192.0.2.7"

    assert ask(proxy, said, "Authorization: Negotiate alice").body == b"hello alice"
    assert ask(proxy, said).status == 401


def test_logins_leave_the_count_of_connections_to_legacy(mixed, mixed_logins):
    users = [f"user{n}" for n in range(6)]
    clients = {user: mixed.client() for user in users}
    for user, client in clients.items():
        assert log_in(client, user).status == 200

    found = [ask(client).body.decode() for client in clients.values()]
    assert found == [f"hello {user}" for user in users]
    assert ask(mixed.client(), "X-Public: yes").body == b"hello nobody"


def test_legs_of_a_handshake_may_have_migrated_in_between(mixed, mixed_logins):
    alice = mixed.client()
    assert ask(alice, "Authorization: NTLM first:alice").status == 401
    assert ask(alice, target="/environ").status == 200

    assert ask(alice, "Authorization: NTLM third:alice").body == b"hello alice"


def test_a_fallback_goes_where_its_client_has_logged_in(mixed, mixed_logins):
    alice = mixed.client()
    log_in(alice, "alice")

    assert ask(alice, target="/crash").body == b"hello alice"
    assert ask(mixed.client(), target="/crash").status == 401


def test_no_copy_is_made_of_what_a_login_asks(mixed_front, mixed, mixed_logins):
    before = _compared(mixed_front[0])
    alice = mixed.client()
    log_in(alice, "alice")
    for _ in range(5):
        assert ask(alice, target="/late").body == b"hello alice"
    ask(mixed.client(), "Authorization: Negotiate bob", target="/late")
    ask(mixed.client(), "X-Public: yes", target="/late")

    eventually(lambda: _compared(mixed_front[0]) > before)
    assert _compared(mixed_front[0]) == before + 1


def _compared(front) -> int:
    text = front.get("/metrics", admin=True)[2].decode()
    lines = [line for line in text.splitlines() if line.startswith("overgrow_shadow_total{")]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


@pytest.fixture
def moving(tmp_path):
    with standing(MIXED, tmp_path) as (front, legacy):
        wire = Wire(front.port, legacy)
        yield front, wire
        wire.end()


def _edited(front, old: str, new: str) -> None:
    text = front.config.read_text()
    assert old in text
    front.config.write_text(text.replace(old, new))
    before = front.readyz()["revision"]
    eventually(lambda: front.readyz()["revision"] != before)


def test_a_login_survives_a_reload_that_leaves_its_address(moving):
    front, wire = moving
    with wire.legacy.scripted(LoginLegacy()):
        alice = wire.client()
        assert ask(alice, "Authorization: NTLM first:alice").status == 401
        _edited(front, "connect_timeout: 500ms", "connect_timeout: 700ms")

        assert ask(alice, "Authorization: NTLM third:alice").body == b"hello alice"
        assert ask(wire.client()).status == 401


def test_a_login_stays_behind_when_the_address_changes(moving):
    front, wire = moving
    other = Legacy()
    with closing(other), wire.legacy.scripted(LoginLegacy()), other.scripted(LoginLegacy()):
        alice = wire.client()
        log_in(alice, "alice")
        _edited(front, "url: ${LEGACY_URL}", f"url: http://127.0.0.1:{other.port}")

        assert ask(alice).status == 401
        assert log_in(alice, "alice").body == b"hello alice"
        assert ask(wire.client()).status == 401
