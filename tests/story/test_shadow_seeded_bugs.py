"""Twelve mistakes that migrations make, each found from end to end at its exact path, and nowhere else.

One front door between two equal shops; each bug has a route of its own, taken by `?bug=NAME`, and
the migrated side makes that mistake in the shop's own answer.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.story.endpoints import Endpoint
from tests.story.front import eventually
from tests.story.shadowed import WITH_APP, two_shops
from tests.story.stub import answer_of

BUGGY_APP = """\
import json
from flask import request
import relay


def create_app():
    app = relay.create_app()

    @app.after_request
    def mistaken(response):
        answer = BUGS.get(request.args["bug"], lambda answer: answer)(response)
        answer.content_length = len(answer.data)
        return answer

    return app


def in_json(change):
    def changed(response):
        document = json.loads(response.data)
        change(document)
        response.data = json.dumps(document)
        return response

    return changed


def in_text(old, new):
    def changed(response):
        page = response.get_data(as_text=True)
        assert old in page
        response.data = page.replace(old, new)
        return response

    return changed


def in_header(name, old, new):
    def changed(response):
        assert old in response.headers[name]
        response.headers[name] = response.headers[name].replace(old, new)
        return response

    return changed


def without_etag(response):
    del response.headers["ETag"]
    return response


def found_after_all(response):
    response.status_code = 200
    return response


def mistyped(order):
    order["items"][0]["price_cents"] = str(order["items"][0]["price_cents"])


BUGS = {
    "field-type": in_json(mistyped),
    "missing-header": without_etag,
    "cookie-attribute": in_header("Set-Cookie", "; HttpOnly", ""),
    "order": in_json(lambda found: found["products"].reverse()),
    "rounding": in_json(lambda order: order.update(total_cents=round(order["total_cents"], -2))),
    "encoding": in_json(lambda order: order.update(customer="O'Hara & SÃ¶hne")),
    "status": found_after_all,
    "html-text": in_text("Put in the cart", "Add to cart"),
    "extra-field": in_json(lambda product: product.update(debug=True)),
    "null-for-missing": in_json(lambda order: order["items"][1].update(note=None)),
    "truncated-list": in_json(lambda found: found["users"].pop()),
    "wrong-content-type": in_header("Content-Type", "application/json", "text/html"),
}
"""


class Bug(NamedTuple):
    """Where a mistake is made, and how it is told: kind, path and types, and the path of an example."""

    name: str
    asked: str
    kind: str
    path: str
    types: tuple[str, str]
    example: str


BUGS = [
    Bug(
        "field-type",
        "/api/orders/1",
        "type",
        "$.items[*].price_cents",
        ("int", "str"),
        "$.items[0].price_cents",
    ),
    Bug("missing-header", "/products", "header-missing", "header:etag", ("str", ""), "header:etag"),
    Bug(
        "cookie-attribute",
        "/cart",
        "cookie-attribute-missing",
        "cookie:shop_session;httponly",
        ("httponly", ""),
        "cookie:shop_session;httponly",
    ),
    Bug("order", "/api/products", "order", "$.products", ("array", "array"), "$.products"),
    Bug("rounding", "/api/orders/1", "value", "$.total_cents", ("int", "int"), "$.total_cents"),
    Bug("encoding", "/api/orders/3", "value", "$.customer", ("str", "str"), "$.customer"),
    Bug("status", "/api/orders/99", "status", "status", ("404", "200"), "status"),
    Bug(
        "html-text",
        "/products/3",
        "text",
        "html:/html/body/main/p[*]/a/text()",
        ("text", "text"),
        "html:/html/body/main/p[3]/a/text()",
    ),
    Bug("extra-field", "/api/products/3", "extra", "$.debug", ("", "bool"), "$.debug"),
    Bug(
        "null-for-missing",
        "/api/orders/1",
        "extra",
        "$.items[*].note",
        ("", "null"),
        "$.items[1].note",
    ),
    Bug("truncated-list", "/api/users", "length", "$.users", ("array", "array"), "$.users"),
    Bug(
        "wrong-content-type",
        "/api/users",
        "content-type",
        "header:content-type",
        ("application/json", "text/html"),
        "header:content-type",
    ),
]
NO_BUG = Bug("none", "/products/7", "", "", ("", ""), "")
TIMES = 3


def route_of(bug: Bug) -> str:
    return (
        f"  - name: {bug.name}\n    path: {bug.asked}\n    query: {{bug: {bug.name}}}\n"
        "    target: legacy\n    shadow: {percent: 100%, noise: 0%}\n"
    )


def request_of(bug: Bug) -> Endpoint:
    return Endpoint("GET", f"{bug.asked}?bug={bug.name}")


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Users have asked for everything, all copies are judged: the front door, and what users got."""
    folder = tmp_path_factory.mktemp("buggy")
    every = [*BUGS, NO_BUG]
    table = WITH_APP + "".join(map(route_of, every))
    rules = sorted({bug.asked for bug in every})
    with two_shops(folder, table, rules, frozen=True, app=BUGGY_APP) as running:
        answers = [
            (bug.name, answer_of(running.front.port, request_of(bug))) for bug in every * TIMES
        ]
        eventually(lambda: running.stored() == len(answers))
        yield running, answers


@pytest.fixture
def shadowed(asked):
    return asked[0]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_seeded_bug_is_one_group_at_its_exact_path(shadowed, bug):
    (group,) = shadowed.overgrow("diff", "top", "--route", bug.name)
    shown = shadowed.overgrow("diff", "show", group["group"])

    assert [(bug.kind, bug.path, bug.types)] == [
        (each["kind"], each["path"], (each["legacy"], each["migrated"]))
        for each in group["differences"]
    ]
    assert (True, TIMES) == (group["open"], group["count"])
    assert [[(bug.kind, bug.example)]] == [
        [(each["kind"], each["path"]) for each in example["differences"]]
        for example in shown["examples"]
    ]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_users_see_nothing_of_a_seeded_bug(asked, bug):
    shadowed, answers = asked
    by_legacy = answer_of(shadowed.first_port, request_of(bug))

    assert [by_legacy] * TIMES == [answer for name, answer in answers if name == bug.name]


def test_the_same_shop_without_a_bug_matches_beside_them(shadowed):
    (row,) = [
        each
        for each in shadowed.overgrow("shadow", "status")["routes"]
        if each["route"] == NO_BUG.name
    ]

    assert (TIMES, 0, 0) == (row["matched"], row["mismatched"], row["open_groups"])
