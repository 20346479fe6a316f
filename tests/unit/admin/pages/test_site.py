"""The frame of all pages, and the JSON that keeps an open page up to date."""

import pytest
from flask import Flask

from overgrow.admin.app import create_admin
from overgrow.admin.pages.frame import NAVIGATION, state_of
from overgrow.admin.pages.site import KEPT_S, LONGEST_S, MOST_COST, MOST_KEPT, Page, Site
from overgrow.observe.board import claim_slot
from overgrow.routing.model import Legacy, RouteTable
from overgrow.table.editing import kill_switch
from overgrow.table.reading.parse import revision_of
from tests.unit.admin.admin_view import SINCE, View
from tests.unit.observe.exchanges import NOW_S

TEXT = b"version: 1\n"
PATHS = [entry.path for entry in NAVIGATION]


@pytest.fixture
def view(tmp_path):
    config = tmp_path / "routes.yaml"
    config.write_bytes(TEXT)
    table = RouteTable(revision_of(TEXT), Legacy("http://127.0.0.1:9000"), ())
    view = View(tmp_path, table, config=config)
    view.slot = claim_slot(view.board)
    view.slot.publish({"revision": table.revision, "since": SINCE, "killed": False})
    yield view
    view.slot.release()


@pytest.fixture
def client(view):
    return create_admin(view, now=lambda: NOW_S).test_client()


@pytest.fixture
def counted(view):
    """A site with one page that counts how often its data is made, and its clock."""
    app, clock, made = Flask("overgrow.admin"), [0.0], []

    def build(_view, _now_s, query, **parts):
        made.append(parts)
        return {"made": len(made), **query}

    site = Site(app, view, lambda: NOW_S, lambda: clock[0])
    site.add_page(Page("/things/<name>", "things.html", build, ("of",)))
    return app.test_client(), clock, made


@pytest.mark.parametrize("path", PATHS)
def test_every_page_leads_to_all_others_and_marks_itself(client, path):
    text = client.get(path).text

    assert all(f'<a href="{each}"' in text for each in PATHS)
    assert f'<a href="{path}" aria-current="page">' in text
    assert 1 == text.count('aria-current="page"')


@pytest.mark.parametrize("path", PATHS)
def test_every_page_can_send_everything_to_legacy_in_two_steps(client, path):
    text = client.get(path).text
    details = text[text.index("<details") : text.index("</details>")]

    assert 'action="/kill"' in details
    assert 1 == text.count('action="/kill"')


@pytest.mark.parametrize("path", PATHS)
def test_every_page_has_data_with_the_frame(client, path):
    answer = client.get(f"/page-data{path}")

    assert (200, {"frame", "page"}) == (answer.status_code, set(answer.json))
    assert ("ready", "good") == (answer.json["frame"]["state"], answer.json["frame"]["tone"])


def test_data_needs_the_token_like_the_page(client, view):
    view.token = "s3cret"

    assert 401 == client.get("/page-data/").status_code


def test_nothing_is_sent_again_while_nothing_has_moved(client):
    first = client.get("/page-data/")

    again = client.get("/page-data/", headers={"If-None-Match": first.headers["ETag"]})

    assert (304, b"") == (again.status_code, again.data)


def test_a_change_of_state_is_sent_at_once(client, view):
    first = client.get("/page-data/")
    kill_switch.kill(view.config, view.state)

    again = client.get("/page-data/", headers={"If-None-Match": first.headers["ETag"]})

    assert (200, "bad") == (again.status_code, again.json["frame"]["tone"])


def test_data_is_made_once_a_tick_for_all_viewers(counted):
    client, clock, made = counted
    for _ in range(5):
        client.get("/page-data/things/a")
    clock[0] += KEPT_S
    client.get("/page-data/things/a")

    assert [{"name": "a"}] * 2 == made


def test_data_that_is_costly_is_kept_for_longer(view):
    clock = [100.0]

    def build(*_args):
        clock[0] += 0.5
        return {"made": clock[0]}

    app = Flask("overgrow.admin")
    site = Site(app, view, lambda: NOW_S, lambda: clock[0])
    site.add_data(Page("/heavy", "heavy.html", build))
    client = app.test_client()
    first = client.get("/page-data/heavy").json["page"]
    clock[0] += min(LONGEST_S, 0.5 / MOST_COST) - 0.1
    again = client.get("/page-data/heavy").json["page"]
    clock[0] += 0.2
    later = client.get("/page-data/heavy").json["page"]

    assert (True, True) == (first == again, first != later)


def test_data_of_two_addresses_is_not_mixed_up(counted):
    client, _, _ = counted
    told = [client.get(f"/page-data/things/{name}").json["page"] for name in "aba"]

    assert [{"made": 1}, {"made": 2}, {"made": 1}] == told


def test_parameters_that_the_data_does_not_depend_on_make_nothing_anew(counted):
    client, _, made = counted
    told = [client.get(f"/page-data/things/a?{query}").json for query in ("", "find=x", "find=y")]

    assert (1, told[:1] * 3) == (len(made), told)


def test_parameters_that_the_data_depends_on_are_told_apart(counted):
    client, _, _ = counted
    told = [client.get(f"/page-data/things/a?of={of}").json["page"]["of"] for of in "xyx"]

    assert ["x", "y", "x"] == told


def test_the_data_of_only_so_many_addresses_is_kept(counted):
    client, _, made = counted
    for number in range(MOST_KEPT + 1):
        client.get(f"/page-data/things/{number}")
    client.get("/page-data/things/0")

    assert MOST_KEPT + 2 == len(made)


WELL = {
    "status": "ready",
    "killed": False,
    "reload_error": None,
    "boot_error": None,
    "upstream": {"up": True},
}


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        pytest.param({}, ("ready", "good"), id="all is well"),
        pytest.param({"status": "draining"}, ("draining", "bad"), id="draining"),
        pytest.param({"killed": True}, ("killed: legacy serves everything", "bad"), id="killed"),
        pytest.param({"reload_error": {"at": ""}}, ("table rejected", "bad"), id="rejected"),
        pytest.param({"boot_error": {"at": ""}}, ("new workers do not start", "bad"), id="boot"),
        pytest.param({"upstream": {"up": False}}, ("legacy does not answer", "bad"), id="legacy"),
    ],
)
def test_ready_is_good_only_while_nothing_is_wrong(changes, state):
    assert state == state_of({**WELL, **changes}, None)


def test_a_kill_file_that_no_worker_has_seen_is_shown(client, view):
    kill_switch.kill(view.config, view.state)

    assert "killed: legacy serves everything" in client.get("/flips").text
