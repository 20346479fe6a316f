"""Where a form or a login may lead back to: pages of ours alone."""

import pytest

from overgrow.admin.app import create_admin
from overgrow.admin.own_pages import own_address
from overgrow.routing.model import Legacy, RouteTable
from tests.unit.admin.admin_view import View

PAGE = {"Accept": "text/html"}


@pytest.fixture
def client(tmp_path):
    table = RouteTable("abc", Legacy("http://127.0.0.1:9"), ())
    return create_admin(View(tmp_path, table, token="s3cret")).test_client()


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/live?route=orders&status=5xx",
        "/routes/orders?to=25%25",
        "/differences/29da0474e9b6c17b",
        "/?range=7d",
    ],
)
def test_a_page_of_ours_is_led_back_to(address):
    assert address == own_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "//evil.test",
        "/\\evil.test",
        "http://evil.test/",
        "/routes/../login",
        "/login",
        "/logout",
        "/live?a=1\r\nSet-Cookie: x=y",
        "/live?<b>",
        "/\t/evil.test",
        "/live?" + "a" * 501,
        "",
    ],
)
def test_whatever_else_is_asked_for_is_the_overview(address):
    assert own_address(address) == "/"


def test_a_login_leads_to_the_page_that_was_asked_for(client):
    login = client.get("/routes/orders?to=25%25", headers=PAGE).headers["Location"]
    form = client.get(login, headers=PAGE).text
    answer = client.post("/login", data={"token": "s3cret", "page": "/routes/orders?to=25%25"})

    assert login == "/login?page=%2Froutes%2Forders%3Fto%3D25%2525"
    assert 'name="page" value="/routes/orders?to=25%25"' in form
    assert answer.headers["Location"] == "/routes/orders?to=25%25"


def test_a_wrong_token_does_not_lose_the_page(client):
    answer = client.post("/login", data={"token": "wrong", "page": "/live"})

    assert 'name="page" value="/live"' in answer.text


def test_a_form_whose_login_has_ended_leads_back_to_its_page(client):
    answer = client.post("/flip", headers=PAGE, data={"route": "orders", "page": "/routes/orders"})

    assert answer.headers["Location"] == "/login?page=%2Froutes%2Forders"


def test_a_login_leads_to_no_other_site(client):
    answer = client.post("/login", data={"token": "s3cret", "page": "//evil.test/"})

    assert answer.headers["Location"] == "/"
