"""The page of one route: what it says, the flip in two steps, and what it does with hostile names."""

import re

import pytest

from overgrow.admin.app import create_admin
from overgrow.observe.board import claim_slot
from overgrow.table.editing.history import read_history
from overgrow.table.reading.parse import parse
from tests.unit.admin.admin_view import SINCE, View

TABLE = """\
version: 1
legacy: {url: "http://127.0.0.1:9000"}
routes:
  - name: orders
    path: /orders/<int:id>
    target: legacy
    canary: 10%
  - {name: ledger, prefix: /ledger, target: migrated, reversible: false}
  - {name: one, path: /one, target: migrated, group: pair}
  - {name: two, path: /two, target: migrated, group: pair}
"""
PERSON = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture
def view(tmp_path):
    config = tmp_path / "routes.yaml"
    config.write_text(TABLE)
    table = parse(config.read_bytes(), file=str(config), env={}, rules=None).table
    view = View(tmp_path, table, config=config, token="s3cret")
    view.slot = claim_slot(view.board)
    view.slot.publish({"revision": table.revision, "since": SINCE, "killed": False})
    yield view
    view.slot.release()


@pytest.fixture
def client(view):
    client = create_admin(view).test_client()
    client.post("/login", data={"token": "s3cret", "name": "ada"})
    return client


def data(client, path):
    return client.get(f"/page-data/routes/{path}").json["page"]


def form_of(text, action):
    """The hidden fields of a form of the page."""
    (found,) = re.findall(
        rf'<form method="post" action="{action}"[^>]*>.*?</form>', text, re.DOTALL
    )
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found))


def test_an_unknown_route_is_404_and_names_the_nearest(client):
    answer = client.get("/routes/oders", headers=PERSON)

    assert 404 == answer.status_code
    assert "The nearest names: orders" in answer.text


@pytest.mark.parametrize("name", ["<b>x", "%3Cscript%3E", "x" * 5000, "%00", "..%2f..", "a%0ab"])
def test_a_name_that_no_route_can_have_is_404_and_text(client, name):
    answer = client.get(f"/routes/{name}", headers=PERSON)

    assert 404 == answer.status_code
    assert "<b>x" not in answer.text
    assert "<script>" not in answer.text
    assert len(answer.text) < 4000


def test_the_default_route_has_a_page_without_flips(client):
    told = data(client, "default")

    assert ([], None, None, None) == (told["steps"], told["gate"], told["plan"], told["undo"])
    assert "No route of the table takes" in told["reasons"][0]["text"]


def test_the_present_state_is_marked_among_the_steps(client):
    assert ["10%"] == [step["to"] for step in data(client, "orders")["steps"] if step["now"]]


def test_an_irreversible_route_offers_no_way_back(client):
    assert ["migrated", "gone"] == [step["to"] for step in data(client, "ledger")["steps"]]


def test_a_flip_shows_first_what_will_happen(client):
    plan = data(client, "orders?to=25%25")["plan"]
    told = " ".join(each["text"] for each in plan["effects"])

    assert (True, True) == (plan["is_possible"], plan["is_forward"])
    assert "From 10% to 25%: migrated serves 25% of clients" in told
    assert 'line 7 becomes "canary: 25%"' in told


def test_a_flip_is_made_in_two_steps_with_its_reason_and_revision(client, view):
    page = client.get("/routes/orders?to=25%25").text
    form = form_of(page, "/flip")

    answer = client.post("/flip", data={**form, "reason": "it looks good"}, headers=PERSON)

    assert (303, "/routes/orders?look=5") == (answer.status_code, answer.headers["Location"])
    assert "canary: 25%" in view.config.read_text()
    (entry,) = read_history(view.state).entries
    assert ("it looks good", "10%", "25%") == (entry.why, entry.from_, entry.to)
    assert "ada" in entry.who


def test_a_flip_of_another_table_than_the_page_showed_is_refused(client, view):
    form = form_of(client.get("/routes/orders?to=25%25").text, "/flip")
    view.config.write_text(TABLE + "# changed\n")

    answer = client.post("/flip", data={**form, "reason": "x"}, headers=PERSON)

    assert 409 == answer.status_code
    assert "canary: 10%" in view.config.read_text()


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        pytest.param("orders?to=sideways", "is not a valid target", id="no state"),
        pytest.param("orders?to=10%25", "It is 10% already.", id="the present state"),
        pytest.param("orders?to=<b>x", "is not a valid target", id="markup"),
        pytest.param("ledger?to=legacy", "its data has left legacy", id="irreversible"),
    ],
)
def test_a_flip_that_cannot_be_says_why_and_offers_no_button(client, path, refusal):
    page = client.get(f"/routes/{path}").text

    assert refusal in page
    assert 'name="to" value=' not in page
    assert "<b>x" not in page


def test_a_read_only_file_shows_the_line_to_change(client, view):
    view.config.chmod(0o444)
    plan = data(client, "orders?to=legacy")["plan"]

    assert not plan["is_possible"]
    assert "because the file is read-only" in plan["refusal"]
    assert 'line 7 becomes "canary: 0%"' in plan["refusal"]


def test_a_member_of_a_group_flips_the_group(client):
    page = client.get("/routes/one?to=legacy").text

    assert "group:pair" == form_of(page, "/flip")["route"]
    assert "All routes of the group move together: one, two." in page


def test_without_a_token_a_flip_forward_names_the_command(view):
    view.token = None
    page = create_admin(view).test_client().get("/routes/orders?to=25%25").text

    assert "overgrow flip orders 25%" in page
    assert 'name="reason"' not in page


def test_who_may_only_read_sees_no_button(view):
    view.read_token = "reader"
    client = create_admin(view).test_client()
    client.post("/login", data={"token": "reader", "name": "bob"})

    page = client.get("/routes/orders?to=legacy").text

    assert {"/logout"} == set(re.findall(r'method="post" action="([^"]*)"', page))


def test_the_gate_stands_with_its_reasons(client):
    gate = data(client, "orders")["gate"]

    assert (False, "closed", "warn") == (gate["ready"], gate["state"], gate["tone"])
    assert gate["reasons"]
    assert gate["arithmetic"]


def test_the_last_flip_can_be_undone_from_the_page(client, view):
    form = form_of(client.get("/routes/orders?to=25%25").text, "/flip")
    client.post("/flip", data={**form, "reason": "try"})

    client.post("/rollback", data=form_of(client.get("/routes/orders").text, "/rollback"))

    assert "canary: 10%" in view.config.read_text()
    assert ["rollback", "flip"] == [each["action"] for each in data(client, "orders")["flips"]]
