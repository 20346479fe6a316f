import threading

import pytest

from overgrow.admin import changes as changes_of_admin
from overgrow.admin import following
from overgrow.admin.app import create_admin
from overgrow.evidence import Evidence
from overgrow.observe.board import claim_slot
from overgrow.shadow.findings.gate import Requirement, evaluate_gate
from overgrow.shadow.review.gate_report import GateQuestion, GateReport
from overgrow.table.editing.history import read_history
from overgrow.table.live import is_killed
from overgrow.table.reading.parse import parse, revision_of
from overgrow.table.reading.problems import EditRefused
from tests.unit.admin.admin_view import SINCE, View

TABLE = """\
version: 1
legacy: {url: "http://127.0.0.1:9000"}
routes:
  - {name: orders, path: "/orders/<int:id>", target: migrated}
  - {name: cart, path: /cart, target: legacy, canary: 10%}
  - {name: guarded, path: /guarded, target: legacy, require: {clean: 299}}
  - {name: one, path: /one, target: migrated, group: pair}
  - {name: two, path: /two, target: migrated, group: pair}
"""
BEARER = {"Authorization": "Bearer s3cret"}
READER = {"Authorization": "Bearer look"}
ACTIONS = ["/api/flip", "/api/rollback", "/api/kill", "/api/resume", "/api/breaker/close"]
FLIP = {"route": "cart", "to": "20%", "reason": "it is ready"}


@pytest.fixture
def view(tmp_path, monkeypatch):
    monkeypatch.setattr(following, "FOLLOW_S", 0.0)
    config = tmp_path / "routes.yaml"
    config.write_text(TABLE)
    table = parse(config.read_bytes(), file=str(config), env={}, rules=None).table
    view = View(tmp_path, table, config=config, token="s3cret", read_token="look")
    view.slot = claim_slot(view.board)
    publish(view)
    yield view
    view.slot.release()


def publish(view, **facts):
    """Let the one worker say on the board that it runs the table on disk."""
    revision = revision_of(view.config.read_bytes())
    view.slot.publish({"revision": revision, "since": SINCE, "killed": False, **facts})


@pytest.fixture
def client(view):
    return create_admin(view).test_client()


@pytest.fixture
def post(client):
    def send(path, *, headers=BEARER, **fields):
        return client.post(path, json=fields, headers=headers)

    return send


def changes(view):
    return [
        (each.action, each.route, each.from_, each.to) for each in read_history(view.state).entries
    ]


def error_of(response):
    return response.status_code, response.json["error"]["code"]


def test_a_program_flips_forward_with_a_reason(post, view):
    told = post("/api/flip", **FLIP, who="Ada").json

    entry = read_history(view.state).entries[0]
    revision = revision_of(view.config.read_bytes())
    assert {
        "route": "cart",
        "from": "10%",
        "to": "20%",
        "revision": revision,
        "killed": False,
        "confirmed": False,
        "lagging": [0],
    } == told
    assert ("it is ready", "Ada (admin API, from 127.0.0.1)") == (entry.why, entry.who)


def test_a_change_is_confirmed_once_all_workers_follow(post, view, monkeypatch):
    monkeypatch.setattr(following, "FOLLOW_S", 30.0)
    followed = threading.Thread(target=follow_next_table, args=(view,))
    followed.start()
    told = post("/api/flip", route="cart", to="legacy").json
    followed.join()

    assert (True, []) == (told["confirmed"], told["lagging"])


def follow_next_table(view):
    before = view.config.read_bytes()
    while view.config.read_bytes() == before:
        pass
    publish(view)


def test_a_worker_on_a_later_table_with_the_flip_follows_it(post, view, monkeypatch):
    read = following.read_table_file

    def edited_meanwhile(path):
        if "# later" not in path.read_text():
            path.write_text(path.read_text() + "# later\n")
            publish(view)
        return read(path)

    monkeypatch.setattr(following, "FOLLOW_S", 30.0)
    monkeypatch.setattr(following, "read_table_file", edited_meanwhile)

    assert post("/api/flip", route="cart", to="legacy").json["confirmed"]


def test_a_worker_that_leaves_holds_no_change_up(post, view):
    view.slot.publish({"revision": "old", "since": SINCE, "leaving": True})
    second = claim_slot(view.board)
    second.publish({"revision": view.table.revision, "since": SINCE, "killed": True})
    told = post("/api/kill").json
    second.release()

    assert (True, []) == (told["confirmed"], told["lagging"])


def test_a_flip_under_the_kill_file_says_that_legacy_serves_all_the_same(post):
    post("/api/kill")

    assert post("/api/flip", **FLIP).json["killed"]


def test_a_group_is_flipped_whole(post, view):
    told = post("/api/flip", group="pair", to="legacy").json

    assert "group:pair" == told["route"]
    assert 2 == view.config.read_text().count("target: legacy, group: pair")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        pytest.param({"to": "legacy"}, 400, "bad-parameter", id="neither route nor group"),
        pytest.param(
            {"route": "cart", "group": "pair", "to": "legacy"}, 400, "bad-parameter", id="both"
        ),
        pytest.param({"route": "cart"}, 400, "bad-parameter", id="no target"),
        pytest.param({"route": "cart", "to": "up"}, 400, "bad-flip", id="no such target"),
        pytest.param({"route": "cart", "to": "101%"}, 400, "bad-flip", id="above 100%"),
        pytest.param({"route": "crat", "to": "legacy"}, 404, "unknown-route", id="unknown"),
        pytest.param({"group": "x", "to": "legacy"}, 404, "unknown-group", id="unknown group"),
        pytest.param({"route": "one", "to": "legacy"}, 409, "group-member", id="a member"),
        pytest.param({"route": "cart", "to": "20%"}, 400, "reason-needed", id="no reason"),
        pytest.param(
            {"route": "cart", "to": "20%", "reason": " \n"}, 400, "reason-needed", id="blank reason"
        ),
        pytest.param(
            {"route": "cart", "to": "legacy", "expected_revision": "x"},
            400,
            "bad-parameter",
            id="no revision",
        ),
        pytest.param(
            {"route": "cart", "to": "legacy", "force": True}, 400, "bad-parameter", id="force"
        ),
    ],
)
def test_a_flip_that_cannot_be_is_refused_by_name(post, view, fields, status, code):
    assert (status, code) == error_of(post("/api/flip", **fields))
    assert (TABLE, []) == (view.config.read_text(), changes(view))


def test_an_unknown_route_is_answered_with_the_nearest(post):
    error = post("/api/flip", route="crat", to="legacy").json["error"]

    assert ("Did you mean cart?", ["cart"]) == (error["fix"], error["nearest"])


def test_a_stale_revision_is_refused_with_the_new_state(post, view):
    seen = view.table.revision
    post("/api/flip", **FLIP)
    response = post("/api/flip", route="cart", to="30%", reason="more", expected_revision=seen)

    assert (409, "stale-revision") == error_of(response)
    assert {
        "revision": revision_of(view.config.read_bytes()),
        "killed": False,
        "routes": {"cart": "20%"},
    } == response.json["error"]["state"]


@pytest.mark.parametrize(
    ("path", "fields"), [("/api/resume", {}), ("/api/breaker/close", {"route": "orders"})]
)
def test_a_table_that_was_not_seen_refuses_what_is_no_flip_too(post, view, path, fields):
    post("/api/kill")
    response = post(path, **fields, expected_revision="0123456789ab")

    assert (409, "stale-revision") == error_of(response)
    assert view.table.revision == response.json["error"]["state"]["revision"]
    assert is_killed(view.config, view.state)


def test_no_table_holds_a_kill_up(post, view):
    assert 200 == post("/api/kill", expected_revision="0123456789ab").status_code
    assert is_killed(view.config, view.state)


def test_the_state_of_a_group_names_its_members(post, view):
    post("/api/flip", **FLIP)
    response = post("/api/rollback", group="pair", expected_revision=view.table.revision)

    assert {"one": "migrated", "two": "migrated"} == response.json["error"]["state"]["routes"]


def test_of_flips_at_once_of_one_table_one_is_made(view):
    seen, admin = view.table.revision, create_admin(view)
    answers = []

    def flip(percent):
        fields = {**FLIP, "to": f"{percent}%", "expected_revision": seen}
        answers.append(
            admin.test_client().post("/api/flip", json=fields, headers=BEARER).status_code
        )

    threads = [threading.Thread(target=flip, args=(20 + each,)) for each in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert [200] + [409] * 7 == sorted(answers)
    assert 1 == len(changes(view))


def test_a_closed_gate_is_passed_by_no_reason(post, view):
    response = post("/api/flip", route="guarded", to="migrated", reason="I know better")

    assert (409, "gate-closed") == error_of(response)
    assert "There is no evidence." in response.json["error"]["message"]
    assert "overgrow gate guarded" in response.json["error"]["next"]
    assert TABLE == view.config.read_text()


def test_an_open_gate_leaves_its_figures_in_the_history(post, view):
    view.gate = open_gate()
    post("/api/flip", route="guarded", to="migrated", reason="proven")

    entry = read_history(view.state).entries[0]
    assert (400, ()) == (entry.evidence["guarded"]["compared"], entry.overruled)


def open_gate() -> GateReport:
    evidence = Evidence("guarded", "legacy", 400, 0, 0.0, 0.0, (), ())
    result = evaluate_gate(evidence, Requirement(299), 0.0)
    return GateReport(GateQuestion("guarded", 299), result, evidence)


def test_a_store_that_does_not_answer_leaves_the_gate_closed(post, view, monkeypatch):
    answers = threading.Event()
    monkeypatch.setattr(changes_of_admin, "GATE_S", 0.01)
    monkeypatch.setattr(view, "ask_gate", lambda _: answers.wait(30), raising=False)
    response = post("/api/flip", route="guarded", to="migrated", reason="proven")
    answers.set()

    assert (409, "gate-closed") == error_of(response)
    assert TABLE == view.config.read_text()


def test_what_a_worker_would_reject_is_not_written(post, view):
    view.refusal = EditRefused("workers-refuse", "worker 0 would reject the table")

    assert (409, "workers-refuse") == error_of(post("/api/flip", **FLIP))
    assert TABLE == view.config.read_text()


def test_back_works_without_reason_and_while_workers_refuse(post, view):
    view.refusal = EditRefused("workers-refuse", "worker 0 would reject the table")

    assert 200 == post("/api/flip", route="orders", to="legacy").status_code


def test_the_last_flip_is_undone(post, view):
    post("/api/flip", route="orders", to="legacy")
    told = post("/api/rollback", reason="a mistake").json

    assert (TABLE, "migrated") == (view.config.read_text(), told["to"])


def test_with_no_flip_left_nothing_is_undone(post):
    assert (409, "nothing-to-undo") == error_of(post("/api/rollback"))


def test_everything_goes_to_legacy_and_back_with_the_reason(post, view):
    killed = post("/api/kill", reason="on fire", who="Ada").json
    publish(view, killed=True)
    is_dead = is_killed(view.config, view.state)
    resumed = post("/api/resume", reason="out").json

    assert (True, str(view.config) + ".kill") == (killed["killed"], killed["file"])
    assert is_dead
    assert [killed["file"]] == resumed["removed"]
    assert ["on fire", "out"] == [each.why for each in read_history(view.state).entries]


def test_everything_goes_to_legacy_though_the_table_is_broken(post, view):
    view.config.write_text("{")
    told = post("/api/kill")

    assert (200, [0]) == (told.status_code, told.json["lagging"])


def test_a_read_only_table_is_refused_with_the_line_to_change(post, view):
    view.config.chmod(0o444)
    error = post("/api/flip", route="orders", to="legacy").json["error"]

    assert "read-only" == error["code"]
    assert "routes.yaml" in error["message"]
    assert "target: legacy" in error["fix"]


def test_breakers_of_a_route_are_closed_by_a_file(post, view):
    publish(view, breakers=[{"route": "orders", "side": "migrated", "state": "open"}])
    told = post("/api/breaker/close", route="orders").json

    assert [0] == told["lagging"]
    assert (view.state / "breakers" / "orders.reset").exists()


@pytest.mark.parametrize("route", ["crat", "../../evil", "a/b", "é", "group:pair"])
def test_breakers_of_an_unknown_route_leave_no_file(post, view, route):
    assert (404, "unknown-route") == error_of(post("/api/breaker/close", route=route))
    assert not (view.state / "breakers").exists()


@pytest.mark.parametrize("path", ACTIONS)
def test_the_read_token_acts_on_nothing(post, view, path):
    assert (403, "token-reads-only") == error_of(post(path, headers=READER, **FLIP))
    assert (TABLE, []) == (view.config.read_text(), changes(view))


@pytest.mark.parametrize("path", ACTIONS)
def test_without_a_token_nothing_is_done(client, view, path):
    assert (401, "token-needed") == error_of(client.post(path, json=FLIP))
    assert [] == changes(view)


@pytest.mark.parametrize("path", ACTIONS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.test"}, 421),
    ],
)
def test_a_page_of_another_site_acts_on_nothing(post, view, path, headers, status):
    assert status == post(path, headers={**BEARER, **headers}).status_code
    assert [] == changes(view)


@pytest.mark.parametrize("path", ACTIONS)
def test_a_link_acts_on_nothing(client, view, path):
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert 405 == client.open(path, method=method, headers=BEARER).status_code
    assert [] == changes(view)


@pytest.fixture
def open_view(view):
    view.token = view.read_token = None
    return view


def test_without_tokens_json_puts_traffic_back(post, open_view):
    assert 200 == post("/api/kill", headers={}).status_code
    assert 200 == post("/api/flip", headers={}, route="orders", to="legacy").status_code


def test_without_tokens_nothing_goes_forward(post, open_view):
    assert (403, "forward-needs-token") == error_of(post("/api/flip", headers={}, **FLIP))


def test_without_tokens_a_form_of_another_page_does_nothing(client, open_view):
    response = client.post("/api/kill", data={"reason": "x"})

    assert (403, "form-token") == error_of(response)


@pytest.mark.parametrize("kind", ["text/plain", "", "multipart/form-data; boundary=x"])
def test_without_tokens_json_as_another_type_does_nothing(client, open_view, kind):
    response = client.post("/api/kill", data=b"{}", content_type=kind)

    assert 403 == response.status_code
    assert not is_killed(open_view.config, open_view.state)


def test_the_owner_of_a_unix_socket_flips_forward_without_token(client, open_view):
    open_view.is_owners_socket = True
    owner = {"REMOTE_ADDR": ""}
    by_socket = client.post("/api/flip", json=FLIP, environ_overrides=owner)

    assert 200 == by_socket.status_code
    assert "admin API, from a unix socket" == read_history(open_view.state).entries[0].who


@pytest.mark.parametrize(
    ("is_owners", "address"), [(False, ""), (True, "127.0.0.1"), (True, "10.0.0.9")]
)
def test_another_socket_or_address_is_no_owner(client, open_view, is_owners, address):
    open_view.is_owners_socket = is_owners
    response = client.post("/api/flip", json=FLIP, environ_overrides={"REMOTE_ADDR": address})

    assert (403, "forward-needs-token") == error_of(response)


def test_a_flip_that_the_stage_of_the_data_forbids_is_refused(post, view):
    data = "version: 1\ndatabase: ${NOT_SET}\ntables:\n  carts: {owner: flask, from: baskets, key: [id], routes: [cart]}\n"
    (view.config.parent / "data.yaml").write_text(data)
    response = post("/api/flip", **FLIP)

    assert (409, "stage-refused") == error_of(response)
    assert "table carts is at stage none" in response.json["error"]["message"]
    assert TABLE == view.config.read_text()
