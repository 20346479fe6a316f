from overgrow.observe.as_json import route_json
from overgrow.routing.model import Predicate, Route


def test_a_plain_route_has_every_key_with_its_default():
    assert route_json(Route("root", path="/", line=3)) == {
        "name": "root",
        "path": "/",
        "prefix": None,
        "methods": None,
        "host": None,
        "headers": {},
        "query": {},
        "cookies": {},
        "priority": 0,
        "target": "legacy",
        "canary": 0,
        "shadow": 0,
        "fallback": False,
        "group": None,
        "reversible": True,
        "line": 3,
    }


def test_predicates_are_shown_as_they_are_written():
    predicates = (
        Predicate("header", "x-beta", "on"),
        Predicate("query", "q", present=False),
        Predicate("cookie", "beta"),
    )

    shown = route_json(Route("beta", prefix="/beta", methods=("GET",), predicates=predicates))

    assert (["GET"], {"x-beta": "on"}) == (shown["methods"], shown["headers"])
    assert ({"q": {"present": False}}, {"beta": {"present": True}}) == (
        shown["query"],
        shown["cookies"],
    )


def test_what_protects_a_route_is_shown():
    shown = route_json(
        Route("pay", path="/pay", shadow=550, fallback=True, group="checkout", require_clean=299)
    )

    assert (5.5, True, "checkout") == (shown["shadow"], shown["fallback"], shown["group"])
