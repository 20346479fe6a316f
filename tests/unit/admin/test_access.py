import re

import pytest

from overgrow.admin.access import MOST_NAME
from overgrow.admin.app import create_admin
from overgrow.routing.model import Legacy, RouteTable
from overgrow.table.editing.history import read_history
from overgrow.table.live import is_killed
from tests.unit.admin.admin_view import View

BEARER = {"Authorization": "Bearer s3cret"}
READER = {"Authorization": "Bearer look"}
READ_PATHS = ["/", "/metrics", "/api/status", "/api/routes", "/api/openapi.json"]
CHANGES = ["/flip", "/rollback", "/kill", "/resume"]


@pytest.fixture
def view(tmp_path):
    table = RouteTable("abc", Legacy("http://127.0.0.1:9"), ())
    config = tmp_path / "routes.yaml"
    config.touch()
    return View(tmp_path, table, config=config, token="s3cret", read_token="look")


@pytest.fixture
def client(view):
    return create_admin(view).test_client()


def log_in(client, token, name=""):
    return client.post("/login", data={"token": token, "name": name})


def form_token(client):
    return re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/").text)[1]


@pytest.mark.parametrize("path", READ_PATHS)
def test_the_read_token_reads_everything(client, path):
    assert 200 == client.get(path, headers=READER).status_code


@pytest.mark.parametrize("path", CHANGES)
def test_the_read_token_changes_nothing(client, view, path):
    response = client.post(path, headers=READER)

    assert (403, ()) == (response.status_code, read_history(view.state).entries)
    assert "only reads" in response.text


@pytest.mark.parametrize("path", CHANGES)
def test_a_login_with_the_read_token_changes_nothing(client, view, path):
    log_in(client, "look")
    response = client.post(path, data={"csrf": form_token(client)})

    assert (403, ()) == (response.status_code, read_history(view.state).entries)


def test_a_login_with_the_read_token_can_be_ended(client):
    log_in(client, "look")
    response = client.post("/logout", data={"csrf": form_token(client)})

    assert (303, 401) == (response.status_code, client.get("/api/status").status_code)


def test_a_reader_with_a_wrong_method_learns_that_it_is_wrong(client):
    assert 405 == client.post("/api/status", headers=READER).status_code


def test_the_name_of_a_login_stands_in_the_history(client, view):
    log_in(client, "s3cret", "Ada  Lovelace\n")
    client.post("/kill", data={"csrf": form_token(client)})

    entry = read_history(view.state).entries[0]
    assert is_killed(view.config, view.state)
    assert "Ada Lovelace (admin page, from 127.0.0.1)" == entry.who


@pytest.mark.parametrize(
    "name", ["\x1b[31mred", "a" * 5000, "\u202eada", "Zoë ☃ " * 50, "\ud800", "a.b.c"]
)
def test_any_name_makes_a_login_that_holds(client, name):
    response = log_in(client, "s3cret", name.encode(errors="surrogatepass"))

    assert (303, 200) == (response.status_code, client.get("/api/status").status_code)


def test_a_name_cannot_control_a_terminal_and_is_cut(client, view):
    log_in(client, "s3cret", "\x1b[31m" + "a" * 500)
    client.post("/kill", data={"csrf": form_token(client)})

    who = read_history(view.state).entries[0].who
    assert who.isprintable()
    assert MOST_NAME + len(" (admin page, from 127.0.0.1)") == len(who)


def test_the_read_token_alone_lets_nobody_change(client, view):
    view.token = None

    assert 401 == client.post("/kill").status_code
    assert 403 == client.post("/kill", headers=READER).status_code
    assert not is_killed(view.config, view.state)


def test_a_wrong_bearer_token_counts_beside_a_right_session(client, view):
    log_in(client, "s3cret")
    client.get("/api/status", headers={"Authorization": "Bearer guess"})

    assert 1 == view.wrong_tokens
