import re
import threading

import pytest

from overgrow.admin import changes as module
from overgrow.admin.app import create_admin
from overgrow.admin.pages.site import LOOKS
from overgrow.observe.board import claim_slot
from overgrow.table.editing.history import lock_history, read_history
from overgrow.table.live import is_killed
from overgrow.table.reading.parse import parse, revision_of
from overgrow.table.reading.problems import EditRefused
from tests.unit.admin.admin_view import SINCE, View

TABLE = """\
version: 1
legacy: {url: "http://127.0.0.1:9000"}
routes:
  - {name: orders, path: "/orders/<int:id>", target: migrated}   # moved on Monday
  - {name: cart, path: /cart, target: legacy, canary: 10%}
  - {name: ledger, prefix: /ledger, target: migrated, reversible: false}
  - {name: one, path: /one, target: migrated, group: pair}
  - {name: two, path: /two, target: migrated, group: pair}
"""
PATHS = ["/flip", "/rollback", "/kill", "/resume"]
PERSON = {"Accept": "text/html,*/*;q=0.8"}
BEARER = {"Authorization": "Bearer s3cret"}


@pytest.fixture
def view(tmp_path):
    config = tmp_path / "routes.yaml"
    config.write_text(TABLE)
    table = parse(config.read_bytes(), file=str(config), env={}, rules=None).table
    view = View(tmp_path, table, config=config)
    view.slot = claim_slot(view.board)
    view.slot.publish({"revision": view.table.revision, "since": SINCE, "killed": False})
    yield view
    view.slot.release()


@pytest.fixture
def client(view):
    return create_admin(view).test_client()


def form_token(client):
    return re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/").text)[1]


def post(client, path, *, headers=PERSON, **form):
    return client.post(path, data={"csrf": form_token(client), **form}, headers=headers)


def changes(view):
    return [
        (each.action, each.route, each.from_, each.to) for each in read_history(view.state).entries
    ]


def shown_flip(client):
    return re.search(r'name="flip" value="([0-9a-f]{64})"', client.get("/").text)[1]


def test_a_route_is_put_back_by_the_same_road_as_a_flip(client, view):
    response = post(client, "/flip", route="orders")

    assert (303, f"/?look={LOOKS}") == (response.status_code, response.headers["Location"])
    assert TABLE.replace("migrated}   #", "legacy}   #") == view.config.read_text()
    assert [("flip", "orders", "migrated", "legacy")] == changes(view)


def test_history_says_that_it_was_the_page_and_from_where(client, view):
    post(client, "/flip", route="cart")

    assert "admin page, from 127.0.0.1" == read_history(view.state).entries[0].who


def test_a_group_is_put_back_whole(client, view):
    post(client, "/flip", route="group:pair")

    assert 2 == view.config.read_text().count("target: legacy, group: pair")


@pytest.mark.parametrize("to", ["migrated", "20%", "gone", "100%"])
def test_forward_needs_a_token_even_on_this_machine(client, view, to):
    response = post(client, "/flip", route="cart", to=to, reason="ready")

    assert (403, TABLE) == (response.status_code, view.config.read_text())
    assert "<title>forward-needs-token" in response.text


def test_a_target_that_does_not_exist_is_refused(client, view):
    response = post(client, "/flip", route="cart", to="sideways")

    assert (409, TABLE) == (response.status_code, view.config.read_text())
    assert "<title>bad-flip" in response.text


@pytest.fixture
def ada(client, view):
    """A client that has logged in as Ada."""
    view.token = "s3cret"
    client.post("/login", data={"token": "s3cret", "name": "Ada"})
    return client


@pytest.mark.parametrize("to", ["migrated", "20%", "gone"])
def test_a_person_with_a_login_flips_forward_with_a_reason(ada, view, to):
    response = post(ada, "/flip", route="cart", to=to, reason=" it is ready ")

    entry = read_history(view.state).entries[0]
    assert 303 == response.status_code
    assert ("cart", to, "it is ready") == (entry.route, entry.to, entry.why)
    assert "Ada (admin page, from 127.0.0.1)" == entry.who


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_forward_needs_a_reason(ada, view, reason):
    response = post(ada, "/flip", route="cart", to="20%", reason=reason)

    assert (400, TABLE) == (response.status_code, view.config.read_text())
    assert "<title>reason-needed" in response.text


def test_a_lower_canary_is_no_flip_forward(client, view):
    post(client, "/flip", route="cart", to="5%")

    assert [("flip", "cart", "10%", "5%")] == changes(view)


def test_the_workers_are_asked_before_a_flip_forward(ada, view):
    view.refusal = EditRefused("workers-refuse", "worker 0 would reject the table")
    response = post(ada, "/flip", route="cart", to="migrated", reason="ready")

    assert (409, TABLE) == (response.status_code, view.config.read_text())
    assert b"path: /cart, target: migrated" in view.asked[0]


def test_a_form_that_showed_another_table_changes_nothing(client, view):
    seen = view.table.revision
    view.config.write_text(TABLE + "# edited\n")
    response = post(client, "/flip", route="orders", expected_revision=seen)

    assert (409, []) == (response.status_code, changes(view))
    assert "<title>stale-revision" in response.text


def test_a_stale_form_is_answered_with_the_state_now(client, view):
    seen = view.table.revision
    post(client, "/flip", route="cart", to="5%")
    page = post(client, "/flip", route="cart", expected_revision=seen)

    revision = revision_of(view.config.read_bytes())
    assert f"The table is {revision} now: cart is 5%." in page.text


def test_a_stale_form_says_that_a_kill_came_between(client, view):
    view.config.write_text(TABLE + "# edited\n")
    post(client, "/kill")
    page = post(client, "/flip", route="group:pair", expected_revision=view.table.revision)

    assert "one is migrated, two is migrated. Everything goes to legacy" in page.text


def test_a_form_that_showed_this_table_is_followed(client, view):
    post(client, "/flip", route="orders", expected_revision=view.table.revision)

    assert [("flip", "orders", "migrated", "legacy")] == changes(view)


@pytest.mark.parametrize(
    ("page", "back"),
    [
        ("/routes/orders", "/routes/orders"),
        ("//evil.test", "/"),
        ("http://evil.test/", "/"),
        ("/routes/../login", "/"),
        ("/\\evil.test", "/"),
        ("", "/"),
    ],
)
def test_after_a_change_the_browser_goes_back_to_a_page_of_ours(client, page, back):
    response = post(client, "/flip", route="orders", page=page)

    assert f"{back}?look={LOOKS}" == response.headers["Location"]


def test_a_script_may_say_that_it_means_legacy(client, view):
    post(client, "/flip", route="cart", to="legacy")

    assert [("flip", "cart", "10%", "legacy")] == changes(view)


@pytest.mark.parametrize(
    ("route", "code"),
    [("ledger", "irreversible"), ("nothing", "unknown-route"), ("", "unknown-route")],
)
def test_a_flip_that_would_not_be_right_is_refused_with_the_reason(client, view, route, code):
    response = post(client, "/flip", route=route)

    assert (409, TABLE) == (response.status_code, view.config.read_text())
    assert f"<title>{code}" in response.text


def test_a_broken_table_refuses_flips_and_names_what_works(client, view):
    view.config.write_text(TABLE.replace("10%", "110%"))

    response = post(client, "/flip", route="orders")

    assert 409 == response.status_code
    assert "canary-out-of-range" in response.text
    assert "&#34;Everything to legacy&#34; on the overview page works anyway." in response.text


def test_the_flip_that_the_page_shows_is_undone(client, view):
    post(client, "/flip", route="orders")

    post(client, "/rollback", flip=shown_flip(client))

    assert TABLE == view.config.read_text()
    assert ("rollback", "orders", "legacy", "migrated") == changes(view)[-1]


def test_a_page_that_does_not_know_of_a_later_flip_undoes_nothing(client, view):
    post(client, "/flip", route="orders")
    shown = shown_flip(client)
    post(client, "/flip", route="cart")
    before = view.config.read_text()

    response = post(client, "/rollback", flip=shown)

    assert (409, before) == (response.status_code, view.config.read_text())
    assert "changed-meanwhile" in response.text


def test_undoing_does_not_send_clients_where_the_app_has_no_rule(client, view):
    post(client, "/flip", route="orders")
    view.refusal = EditRefused("workers-refuse", "the app has no rule for orders")
    before = view.config.read_text()

    response = post(client, "/rollback", flip=shown_flip(client))

    assert (409, before) == (response.status_code, view.config.read_text())
    assert "no rule for orders" in response.text


def test_everything_goes_to_legacy_by_the_kill_file_until_resumed(client, view):
    post(client, "/kill")
    killed = is_killed(view.config, view.state)
    post(client, "/resume")

    assert (True, False) == (killed, is_killed(view.config, view.state))
    assert ["kill", "resume"] == [action for action, *_ in changes(view)]
    assert {"admin page, from 127.0.0.1"} == {each.who for each in read_history(view.state).entries}


def test_everything_goes_to_legacy_even_with_a_broken_table(client, view):
    view.config.write_text("{")

    assert 303 == post(client, "/kill").status_code
    assert is_killed(view.config, view.state)


def test_a_page_after_a_change_looks_again_until_all_workers_follow(client, view):
    post(client, "/kill")
    waiting = client.get("/?look=2")
    view.slot.publish({"revision": view.table.revision, "since": SINCE, "killed": True})
    followed = client.get("/?look=1")

    assert '<meta http-equiv="refresh" content="1; url=/?look=1">' in waiting.text
    assert "Waiting until all workers follow" in waiting.text
    assert "http-equiv" not in followed.text
    assert "all workers follow it" in followed.text


@pytest.mark.parametrize("look", ["0", "", "x", "-1"])
def test_a_page_does_not_look_again_for_ever(client, view, look):
    post(client, "/kill")

    response = client.get(f"/?look={look}")

    assert "http-equiv" not in response.text
    assert "has not seen the kill file" in response.text


def test_a_page_looks_again_only_so_often_whatever_its_link_says(client, view):
    post(client, "/kill")

    assert f'content="1; url=/?look={LOOKS - 1}"' in client.get("/?look=999").text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "form",
    [
        pytest.param({}, id="none"),
        pytest.param({"csrf": ""}, id="empty"),
        pytest.param({"csrf": "0" * 64}, id="made up"),
        pytest.param({"csrf": "\u20ac"}, id="not ASCII"),
    ],
)
def test_without_a_form_of_ours_nothing_changes(client, view, path, form):
    response = client.post(path, data={"route": "orders", **form})

    assert (403, TABLE, []) == (response.status_code, view.config.read_text(), changes(view))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}]
)
def test_a_page_of_another_site_changes_nothing_even_with_a_form_of_ours(
    client, view, path, headers
):
    response = post(client, path, headers=headers, route="orders")

    assert (403, []) == (response.status_code, changes(view))


def test_a_form_of_another_session_is_none_of_ours(client, view):
    view.token = "s3cret"
    client.post("/login", data={"token": "s3cret"})
    theirs = form_token(client)
    later = create_admin(view, now=lambda: 4_000_000_000).test_client()
    later.post("/login", data={"token": "s3cret"})

    response = later.post("/kill", data={"csrf": theirs})

    assert (403, []) == (response.status_code, changes(view))


def test_a_program_with_the_token_needs_no_form_and_gets_json(client, view):
    view.token = "s3cret"

    response = client.post("/flip", data={"route": "orders"}, headers=BEARER)

    assert 200 == response.status_code
    assert ["route", "from", "to", "revision"] == list(response.json)


def test_a_program_learns_in_json_why_it_is_refused(client, view):
    view.token = "s3cret"

    response = client.post("/flip", data={"route": "ledger"}, headers=BEARER)

    assert (409, "irreversible") == (response.status_code, response.json["error"]["code"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 401, id="a program"),
        pytest.param({"Authorization": "Bearer guess"}, 401, id="a wrong token"),
        pytest.param(PERSON, 303, id="a person, to the login form"),
    ],
)
@pytest.mark.parametrize("path", [*PATHS, "/logout"])
def test_without_the_token_nothing_changes(client, view, path, headers, status):
    token = form_token(client)
    view.token = "s3cret"

    response = client.post(path, data={"csrf": token, "route": "orders"}, headers=headers)

    assert (status, []) == (response.status_code, changes(view))


def test_off_loopback_without_a_token_nothing_changes(client, view):
    token = form_token(client)
    view.is_loopback_only = False

    assert 403 == client.post("/kill", data={"csrf": token}).status_code
    assert [] == changes(view)


def test_an_unknown_host_changes_nothing(client, view):
    response = post(client, "/kill", headers={"Host": "evil.test"})

    assert (421, []) == (response.status_code, changes(view))


@pytest.mark.parametrize("path", PATHS)
def test_a_link_changes_nothing(client, view, path):
    response = client.get(path, headers=PERSON)

    assert (405, "text/html; charset=utf-8") == (response.status_code, response.content_type)
    assert [] == changes(view)


def test_logging_out_ends_the_session(client, view):
    view.token = "s3cret"
    client.post("/login", data={"token": "s3cret"})

    response = post(client, "/logout")

    assert "/login" == response.headers["Location"]
    assert "overgrow_admin=;" in response.headers["Set-Cookie"]
    assert 401 == client.get("/api/status").status_code


def test_where_forms_cannot_be_signed_the_page_shows_all_the_same(client, view):
    (view.state / "secret").mkdir()  # cannot be read as a file

    page = client.get("/")

    assert 200 == page.status_code
    assert '<form method="post"' not in page.text
    assert "overgrow rollback --all" in page.text


def test_a_change_does_not_wait_long_for_a_history_that_is_held(client, view, monkeypatch):
    token = form_token(client)
    monkeypatch.setattr(module, "LOCK_S", 0.05)
    with lock_history(view.state):
        answer = client.post("/flip", data={"csrf": token, "route": "orders"}, headers=PERSON)

    assert (409, TABLE) == (answer.status_code, view.config.read_text())
    assert "is locked by" in answer.text


def test_a_change_gives_up_on_a_file_system_that_does_not_answer(client, monkeypatch):
    token, answers = form_token(client), threading.Event()
    monkeypatch.setattr(module, "LOCK_S", 0.01)
    monkeypatch.setattr(module, "ANSWER_S", 0.01)
    monkeypatch.setattr(module.edit, "flip", lambda *_, **__: answers.wait(30))
    answer = client.post("/flip", data={"csrf": token, "route": "orders"}, headers=PERSON)
    answers.set()

    assert 503 == answer.status_code


@pytest.mark.parametrize(
    ("page", "back"),
    [
        ("/", "/"),
        ("/flips", "/flips"),
        ("/routes/orders", "/routes/orders"),
        ("//evil.test", "/"),
        ("/\\evil.test", "/"),
        ("https://evil.test/", "/"),
        ("/flips?x", "/"),
        ("", "/"),
    ],
)
def test_a_change_leads_back_to_the_page_it_was_made_on(client, page, back):
    answer = post(client, "/kill", page=page)

    assert (303, f"{back}?look={LOOKS}") == (answer.status_code, answer.headers["Location"])
