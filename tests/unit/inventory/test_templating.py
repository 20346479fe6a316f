"""Grouping paths into templates by statistics, and what is known before."""

from __future__ import annotations

from overgrow.inventory.endpoints import EndpointDecision, KnownTemplates, inventory_of
from overgrow.inventory.logs.log_line import LogLine
from overgrow.inventory.tally import Tally
from overgrow.inventory.templating import templates_of

NAMES = [
    first + last for first in ("an", "ber", "car", "dor") for last in ("na", "tha", "la", "is")
]


def test_many_siblings_are_values():
    paths = {f"/users/{a}{b}": 5 for a in NAMES for b in NAMES}

    assert {"/users/<slug>"} == set(templates_of(paths).values())


def test_words_of_the_application_stay():
    paths = dict.fromkeys(["/cart", "/orders", "/orders/<int:id>", "/login", "/"], 40)

    assert {path: path for path in paths} == templates_of(paths)


def test_words_below_values_stay():
    paths = {f"/shops/{name}/{word}": 9 for name in NAMES for word in ("orders", "staff")}

    assert {"/shops/<slug>/orders", "/shops/<slug>/staff"} == set(templates_of(paths).values())


def test_a_busy_word_beside_values_stays():
    paths = {f"/users/{a}{b}/posts": 3 for a in NAMES for b in NAMES} | {"/users/me": 900}

    assert {"/users/me", "/users/<slug>/posts"} == set(templates_of(paths).values())


def test_one_word_below_words_makes_no_values_of_them():
    words = ["albums", "shows", "tracks", "episodes", "books", "artists", "lists", "songs", "clips"]
    paths = {f"/me/{word}/contains": 50 for word in words} | {f"/me/{word}": 50 for word in words}

    assert {path: path for path in paths} == templates_of(paths)


def test_kinds_of_ids_in_one_place_are_one_variable():
    paths = dict.fromkeys(["/files/<int:id>", "/files/<hash>", "/files/<token>/raw"], 5)

    assert {"/files/<slug>", "/files/<slug>/raw"} == set(templates_of(paths).values())


def test_every_path_gets_one_template():
    paths = {"*": 1, "/": 2, "//": 1, "/a/": 3, "/<path:rest>": 1, "no slash": 1}

    assert templates_of(paths).keys() == paths.keys()


def counted(*requests):
    tally = Tally()
    for path, status, client in requests:
        tally.count(LogLine("GET", path.encode(), status, client.encode()))
    return tally.paths.values()


def test_scanners_make_no_endpoints():
    tried = [(f"/wp-{name}.php", 404, f"{n}") for name in NAMES for n in range(4)]
    found = inventory_of(counted(("/real", 200, "a"), *tried), {})

    assert ["/real"] == [each.template for each in found.endpoints]
    assert (len(NAMES), len(tried)) == (found.junk_paths, found.junk_requests)


def test_a_path_that_asks_for_a_login_is_an_endpoint():
    found = inventory_of(counted(*(("/admin", 401, f"{n}") for n in range(5))), {})

    assert ["/admin"] == [each.template for each in found.endpoints]


def test_known_templates_go_before_statistics():
    known = {
        "/blog/<slug>": EndpointDecision("confirmed", "person"),
        "/blog/archive": EndpointDecision("ignored", "person"),
    }
    traffic = counted(("/blog/one", 200, "a"), ("/blog/two", 200, "a"), ("/blog/archive", 200, "a"))
    found = {each.template: each for each in inventory_of(traffic, known).endpoints}

    assert {"/blog/<slug>": 2, "/blog/archive": 1} == {
        each.template: each.paths for each in found.values()
    }
    assert found["/blog/archive"].decision.state == "ignored"


def test_a_known_template_without_traffic_is_listed():
    found = inventory_of((), {"/old": EndpointDecision("confirmed", "table", "old")})

    assert [("/old", 0)] == [(each.template, each.count.requests) for each in found.endpoints]


def test_words_are_tried_before_variables_and_the_rest():
    known = KnownTemplates(["/a/<x>/c", "/a/b/d", "/a/<path:rest>"])

    found = [known.find(path) for path in ("/a/b/c", "/a/b/d", "/a/b/e", "/b")]

    assert ["/a/<x>/c", "/a/b/d", "/a/<path:rest>", None] == found
