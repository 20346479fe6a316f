"""The new shop's login: whom the server in front names is the user, and nobody else is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import migrated


@pytest.fixture
def client(tmp_path):
    app = migrated.create_app({"SHOP_DATA": tmp_path / "shop.sqlite3", "TESTING": True})
    return app.test_client()


class FakeLegacy:
    """What the server in front offers for calls of legacy."""

    def __init__(self, cart=(), status=200):
        self.cart, self.status, self.posted = dict(cart), status, []

    def get(self, path):
        if path == "/api/session":
            told = {"cart": self.cart, "csrf_token": "token"}
            return SimpleNamespace(status=self.status, json=lambda: told)
        return SimpleNamespace(status=self.status, text="<h1>Cart</h1>\n<p>Old part.</p>\n</main>")

    def post(self, path, data):
        self.posted.append((path, data))

    def pass_cookies(self, response):
        response.headers.add("Set-Cookie", "shop_session=new")


def as_user(user="ada", roles=(), legacy=None):
    known = {"id": user, "name": "Ada Byron", "roles": list(roles)}
    environ = {"REMOTE_USER": user, "overgrow.identity": known}
    return environ if legacy is None else {**environ, "overgrow.legacy": legacy}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/account"), ("GET", "/stock"), ("POST", "/checkout")]
)
def test_a_visitor_is_sent_to_legacys_login(client, method, path):
    headers = {"Remote-User": "ada", "X-Forwarded-User": "ada"}
    response = client.open(path, method=method, headers=headers)

    assert (response.status_code, response.location) == (302, "/login")
    assert response.cache_control.no_store


def test_the_user_whom_the_server_names_is_logged_in(client):
    response = client.get("/account", environ_overrides=as_user(legacy=FakeLegacy()))

    assert "You are logged in as ada." in response.text
    assert 'name="csrf_token" value="token"' in response.text


def test_a_user_without_a_name_is_called_by_the_id(client):
    response = client.get("/account", environ_overrides={"REMOTE_USER": "<ada>"})

    assert "You are logged in as &lt;ada&gt;." in response.text


@pytest.mark.parametrize(("roles", "status"), [(["staff"], 200), (["buyer"], 403), ([], 403)])
def test_a_role_opens_a_page(client, roles, status):
    assert client.get("/stock", environ_overrides=as_user(roles=roles)).status_code == status


def test_the_cart_is_a_part_of_the_old_page_in_the_new_layout(client):
    response = client.get("/cart", environ_overrides={"overgrow.legacy": FakeLegacy()})

    assert "<p>Old part.</p>" in response.text
    assert response.text.count("</main>") == 1
    assert response.headers.getlist("Set-Cookie") == ["shop_session=new"]


@pytest.mark.parametrize("legacy", [None, FakeLegacy(status=502)], ids=["alone", "legacy is down"])
def test_without_legacy_there_is_no_cart(client, legacy):
    given = {} if legacy is None else {"overgrow.legacy": legacy}

    assert client.get("/cart", environ_overrides=given).status_code == 503


def test_a_checkout_orders_the_cart_and_empties_it(client):
    legacy = FakeLegacy({"1": 2, "4": 1, "9": 1})  # 4 is sold out
    environ = as_user(legacy=legacy)
    response = client.post("/checkout", data={"csrf_token": "token"}, environ_overrides=environ)
    latest = client.get("/api/orders").json["orders"][0]

    assert (response.status_code, response.location) == (303, "/account")
    assert (latest["customer"], latest["total_cents"]) == ("Ada Byron", 1090)
    assert legacy.posted == [("/cart/empty", {"csrf_token": "token"})]


@pytest.mark.parametrize(
    ("legacy", "token", "status"),
    [
        pytest.param(FakeLegacy({"1": 2}), "other", 403, id="another token"),
        pytest.param(FakeLegacy({"1": 2}), "", 403, id="no token"),
        pytest.param(FakeLegacy({"1": 2}), "é", 403, id="a token that is not ASCII"),
        pytest.param(FakeLegacy({"1": 2}, status=503), "token", 403, id="legacy is down"),
        pytest.param(None, "", 403, id="alone"),
        pytest.param(FakeLegacy(), "token", 400, id="an empty cart"),
    ],
)
def test_a_checkout_that_is_not_in_order_orders_nothing(client, legacy, token, status):
    before = client.get("/api/orders").json
    environ = as_user(legacy=legacy)
    response = client.post("/checkout", data={"csrf_token": token}, environ_overrides=environ)

    assert (response.status_code, client.get("/api/orders").json) == (status, before)
