"""`tests:` of routes.yaml: what refuses a table, and what is only a note."""

import pytest

from overgrow.table.reading.parse import parse

TABLE = """version: 1
legacy: {url: http://127.0.0.1:9000}
cohort: {by: [cookie:overgrow_id], salt: s}
routes:
  - {name: order, path: /orders/<int:id>, host: shop.example, headers: {X-Beta: "1"}, ROUTE}
  - {name: old, path: /old, target: gone}
tests:
  - {TEST}
"""
ORDER = 'request: GET /orders/7, headers: {Host: shop.example, x-beta: "1"}'


def parse_with(test, route="target: legacy"):
    text = TABLE.replace("ROUTE", route).replace("TEST", test)
    return parse(text.encode(), file="routes.yaml", env={"OVERGROW_APP": "shop:app"}, rules=None)


@pytest.mark.parametrize(
    ("test", "route"),
    [
        pytest.param(f"{ORDER}, route: order, side: legacy", "target: legacy", id="its headers"),
        pytest.param(f"{ORDER}, side: migrated", "target: migrated", id="migrated"),
        pytest.param("request: GET /orders/7, route: default", "target: legacy", id="no headers"),
        pytest.param("request: GET /old?x=1, route: old, side: gone", "target: legacy", id="gone"),
        pytest.param("request: GET /x/..//old, side: refused", "target: legacy", id="refused"),
        pytest.param('request: "OPTIONS *", route: default', "target: legacy", id="asterisk"),
        pytest.param(
            'request: "GET https://shop.example/orders/7", headers: {X-Beta: "1"}, route: order',
            "target: legacy",
            id="URL",
        ),
    ],
)
def test_a_request_that_goes_where_it_should_is_silent(test, route):
    found = parse_with(test, route)

    assert ((), ()) == (found.problems, found.notes)
    assert found.table is not None


@pytest.mark.parametrize(
    ("test", "route"),
    [
        pytest.param(f"{ORDER}, route: old", "target: legacy", id="another route"),
        pytest.param(f"{ORDER}, side: legacy", "target: migrated", id="a flip forward"),
        pytest.param("request: GET /none, side: migrated", "target: legacy", id="no route"),
        pytest.param(f"{ORDER}, route: old, side: migrated", "target: legacy", id="both"),
    ],
)
def test_a_request_that_goes_elsewhere_refuses_the_table(test, route):
    found = parse_with(test, route)

    assert (None, ["request-test"], 8) == (
        found.table,
        [problem.code for problem in found.problems],
        found.problems[0].line,
    )


@pytest.mark.parametrize(
    "route", ["target: legacy", "target: legacy, canary: 10%"], ids=["legacy", "canary"]
)
def test_a_flip_back_to_legacy_is_never_held_up_by_a_test(route):
    found = parse_with(f"{ORDER}, route: order, side: migrated", route)

    assert ["request-test-legacy"] == [note.code for note in found.notes]
    assert found.table is not None


def test_a_cookie_decides_a_canary_in_a_test():
    sides = set()
    for client in ("ash", "kim", "oak", "elm", "fir", "yew", "fig", "bay"):
        test = ORDER.replace('"1"}', f'"1", Cookie: overgrow_id={client}}}') + ", side: migrated"
        sides.add(bool(parse_with(test, "target: legacy, canary: 50%").notes))

    assert {True, False} == sides
