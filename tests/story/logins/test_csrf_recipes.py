"""The two modules of docs/sharing-a-login.md that accept legacy's CSRF tokens, against the original frameworks."""

from __future__ import annotations

import re
import types

import pytest
from flask import Flask

from tests.story.logins.test_documented_examples import PAGE

SITES = {
    "django": ("csrftoken", "csrfmiddlewaretoken"),
    "express-sql": ("_csrf", "_csrf"),
}
SECTION = PAGE.partition("\n## Forms of one side")[2].partition("\n## ")[0]
BLOCKS = dict(zip(SITES, re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL), strict=True))


def migrated(kind):
    """A client of a Flask app with the module of the page."""
    module = types.ModuleType("csrf_of_legacy")
    exec(compile(BLOCKS[kind], "csrf_of_legacy", "exec"), module.__dict__)
    app = Flask("migrated")
    module.protect(app)
    app.add_url_rule("/token", view_func=module.csrf_token, endpoint="token")
    app.add_url_rule("/guarded", view_func=lambda: "accepted", methods=["POST"], endpoint="guarded")
    return app.test_client()


@pytest.fixture(params=SITES)
def sides(request, open_login):
    cookie, field = SITES[request.param]
    return open_login(request.param).visitor(), migrated(request.param), cookie, field


def test_a_form_of_legacy_is_accepted_on_migrated(sides):
    visitor, client, cookie, field = sides

    token = visitor.get("/token").body.decode()
    client.set_cookie(cookie, visitor.cookies[cookie])

    assert client.post("/guarded", data={field: token}).status_code == 200


@pytest.mark.parametrize("begun_on", ["legacy", "migrated"])
def test_a_form_of_migrated_is_accepted_on_legacy(sides, begun_on):
    visitor, client, cookie, field = sides
    if begun_on == "legacy":
        visitor.get("/token")
        client.set_cookie(cookie, visitor.cookies[cookie])

    token = client.get("/token").text
    visitor.cookies[cookie] = client.get_cookie(cookie).value

    assert visitor.post("/guarded", **{field: token}).status == 200
    assert client.post("/guarded", data={field: token}).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda token: token[:-1] + ("a" if token[-1] != "a" else "b"), id="changed"),
        pytest.param(lambda _: "", id="missing"),
        pytest.param(lambda _: "x", id="short"),
        pytest.param(lambda token: token * 2, id="twice"),
        pytest.param(lambda _: "é-" * 40, id="not ASCII"),
    ],
)
def test_a_form_with_a_false_token_is_refused_on_both_sides(sides, change):
    visitor, client, cookie, field = sides
    token = change(visitor.get("/token").body.decode())
    client.set_cookie(cookie, visitor.cookies[cookie])

    found = client.post("/guarded", data={field: token}).status_code

    assert (403, 403) == (found, visitor.post("/guarded", **{field: token}).status)


def test_a_form_of_another_site_is_refused(sides):
    visitor, client, cookie, field = sides
    token = visitor.get("/token").body.decode()

    without_a_cookie = client.post("/guarded", data={field: token}).status_code
    client.set_cookie(cookie, visitor.cookies[cookie])
    origin = {"Origin": "https://elsewhere.example"}

    assert (403, 403) == (
        without_a_cookie,
        client.post("/guarded", data={field: token}, headers=origin).status_code,
    )
