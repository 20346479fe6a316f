"""Tables that would let requests reach legacy that the running one keeps from it for good."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from overgrow.routing import weakening
from overgrow.table import judging
from overgrow.table.reading.parse import parse

HEAD = "version: 1\nlegacy: {url: 'http://h'}\n"
USERS = "{name: users, prefix: /users, target: migrated, reversible: false}"
USER = "{name: user, path: '/users/<int:id>', target: migrated, reversible: false}"
CART = "{name: cart, path: /cart, methods: [GET, POST], target: migrated, reversible: false}"
SHOP = "{name: shop, path: /shop, host: '*.shop.test', target: gone, reversible: false}"
BETA = "{name: beta, path: /beta, headers: {X-B: '1'}, target: migrated, reversible: false}"
ABOUT = "{name: about, path: /about, target: legacy}"


def table(*routes, top=""):
    return (
        HEAD
        + top
        + ("routes:\n" if routes else "routes: []\n")
        + "".join(f"  - {one}\n" for one in routes)
    ).encode()


def running(data):
    loaded = parse(data, file="r", env={}, rules=None)
    assert loaded.table, loaded.problems
    return loaded.table


def judged(before, after):
    return judging.judge_table(
        after, judging.TableContext(Path("routes.yaml"), {}), running(before)
    ).loaded


def swapped(route, *pairs):
    for before, after in pairs:
        assert before in route
        route = route.replace(before, after)
    return route


FOR_GOOD = "target: migrated, reversible: false"
WEAKER = [
    pytest.param(USERS, [], "GET /users", id="the route is missing"),
    pytest.param(
        USERS, [swapped(USERS, (", reversible: false", ""))], "GET /users", id="it is reversible"
    ),
    pytest.param(
        USERS, [swapped(USERS, ("prefix", "path"))], "GET /users/", id="a path for a prefix"
    ),
    pytest.param(
        USERS, [swapped(USERS, ("/users", "/users/a"))], "GET /users", id="a longer prefix"
    ),
    pytest.param(
        USERS,
        [
            swapped(USERS, ("prefix: /users", "path: /users")),
            f"{{name: below, path: '/users/<path:rest>', {FOR_GOOD}}}",
        ],
        "GET /users/",
        id="a prefix taken apart without its trailing slash",
    ),
    pytest.param(
        USER,
        [swapped(USER, ("<int:id>", "<int(max=9):id>"))],
        "GET /users/11",
        id="smaller numbers",
    ),
    pytest.param(
        USER, [swapped(USER, ("<int:id>", "<int:id>/"))], "GET /users/1", id="a slash more"
    ),
    pytest.param(CART, [swapped(CART, (", POST", ""))], "POST /cart", id="a method less"),
    pytest.param(CART, [swapped(CART, ("GET, ", ""))], "GET /cart", id="GET and HEAD less"),
    pytest.param(
        SHOP,
        [swapped(SHOP, ("*.shop", "www.shop"))],
        "GET http://x.shop.test/shop",
        id="a host less",
    ),
    pytest.param(
        USERS,
        [swapped(USERS, ("target", "headers: {X-A: '1'}, target"))],
        "GET /users",
        id="a condition more",
    ),
    pytest.param(
        BETA,
        [swapped(BETA, ("'1'", "'2'"))],
        "GET /beta with header x-b: 1",
        id="another value asked for",
    ),
    pytest.param(
        USERS,
        [USERS, "{name: user, path: '/users/<int:id>', target: legacy}"],
        "GET /users/1",
        id="a reversible route inside it",
    ),
    pytest.param(
        USERS,
        [USERS, "{name: user, path: '/users/<int:id>', target: gone}"],
        "GET /users/1",
        id="a reversible gone route inside it",
    ),
    pytest.param(
        CART,
        [CART, "{name: all, prefix: /cart, methods: [GET], priority: 1, target: legacy}"],
        "GET /cart",
        id="a route with more priority",
    ),
    pytest.param(
        CART,
        [CART, "{name: one, path: '/<x>', methods: [POST], priority: 1, target: migrated}"],
        "POST /cart",
        id="a migrated route that flips can move",
    ),
    pytest.param(
        CART,
        [CART, "{name: some, path: /cart, methods: [POST], cookies: {c: '1'}, target: legacy}"],
        "POST /cart with cookie c=1",
        id="a route with a condition more",
    ),
    pytest.param(
        swapped(CART, ("target", "priority: 2, target")),
        [CART, "{name: other, path: /cart, methods: [GET], priority: 1, target: legacy}"],
        "GET /cart",
        id="a priority less",
    ),
]


@pytest.mark.parametrize(("before", "after", "example"), WEAKER)
def test_a_table_that_keeps_less_from_legacy_is_refused(before, after, example):
    loaded = judged(table(before, ABOUT), table(*after, ABOUT))

    assert loaded.table is None
    assert [problem.code for problem in loaded.problems] == ["irreversible-weakened"]
    assert re.search(rf"{re.escape(example)}(?![\w/])", loaded.problems[0].message)


HARMLESS = [
    pytest.param(USERS, [swapped(USERS, ("name: users", "name: people"))], id="another name"),
    pytest.param(USERS, [swapped(USERS, ("migrated", "gone"))], id="gone for migrated"),
    pytest.param(swapped(USERS, ("migrated", "gone")), [USERS], id="migrated for gone"),
    pytest.param(USERS, ["{prefix: /, target: gone, reversible: false}"], id="a wider route"),
    pytest.param(USER, [swapped(USER, ("<int:id>", "<number>"))], id="a variable that takes more"),
    pytest.param(
        CART,
        [
            f"{{name: see, path: /cart, methods: [GET], {FOR_GOOD}}}",
            f"{{name: buy, path: /cart, methods: [POST], {FOR_GOOD}}}",
        ],
        id="two routes, one for each method",
    ),
    pytest.param(
        USER,
        [
            f"{{name: old, path: '/users/<int(max=99):id>', {FOR_GOOD}}}",
            f"{{name: new, path: '/users/<int(min=100):id>', {FOR_GOOD}}}",
        ],
        id="two routes, one for small numbers",
    ),
    pytest.param(
        f"{{name: pages, path: '/p/<any(a, b):page>', {FOR_GOOD}}}",
        [f"{{name: a, path: /p/a, {FOR_GOOD}}}", f"{{name: b, path: /p/b, {FOR_GOOD}}}"],
        id="two routes for the items of any",
    ),
    pytest.param(
        f"{{name: x, path: /x, {FOR_GOOD}}}",
        [
            f"{{name: x1, path: /x, query: {{a: {{present: true}}}}, {FOR_GOOD}}}",
            f"{{name: x2, path: /x, query: {{a: {{present: false}}}}, {FOR_GOOD}}}",
        ],
        id="two routes, with a condition and without",
    ),
    pytest.param(
        SHOP,
        [
            swapped(SHOP, ("name: shop", "name: www"), ("*.shop", "www.shop")),
            swapped(SHOP, ("name: shop", "name: all"), ("host: '*.shop.test', ", "")),
        ],
        id="a host of its own and one for all",
    ),
    pytest.param(
        USERS,
        [USERS, "{name: all, path: '/<path:x>', target: legacy, priority: -1}"],
        id="a reversible route that stands behind",
    ),
    pytest.param(USERS, [USERS, "{name: other, path: '/p/<x>', target: legacy}"], id="other paths"),
    pytest.param(
        CART,
        [CART, "{name: del, path: /cart, methods: [DELETE], target: legacy}"],
        id="other methods",
    ),
    pytest.param(
        SHOP, [SHOP, "{name: o, path: /shop, host: a.test, target: legacy}"], id="other hosts"
    ),
    pytest.param(
        BETA,
        [BETA, "{name: o, path: /beta, headers: {X-B: {present: false}}, target: legacy}"],
        id="other conditions",
    ),
]


@pytest.mark.parametrize(("before", "after"), HARMLESS)
def test_a_table_that_keeps_as_much_from_legacy_is_taken(before, after):
    loaded = judged(table(before, ABOUT), table(ABOUT, *after))

    assert loaded.problems == ()


def test_a_reversible_route_that_was_inside_before_may_stay():
    inside = "{name: user, path: '/users/<int:id>', target: legacy}"

    assert judged(table(USERS, inside), table(USERS, inside, ABOUT)).problems == ()
    assert judged(table(USERS, inside), table(USERS, swapped(inside, ("user,", "u,")))).table


def test_what_an_inner_reversible_route_took_need_not_be_kept():
    inside = "{name: user, path: '/users/<int:id>', target: legacy}"
    apart = [
        f"{{name: u, path: /users, {FOR_GOOD}}}",
        f"{{name: v, path: '/users/<path:rest>', {FOR_GOOD}}}",
        f"{{name: w, path: /users/, {FOR_GOOD}}}",
    ]
    problems = judged(table(USERS, inside), table(*apart, inside)).problems

    assert ["GET /users/x%0A" in one.message for one in problems] == [True]


def test_a_table_without_irreversible_routes_can_be_weakened_by_none():
    assert judged(table(ABOUT), table()).problems == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "trusted_proxies: [10.0.0.0/8]\n"), ("trusted_proxies: [unix]\n", "")],
)
def test_whose_word_counts_for_the_host_weakens_a_route_with_a_host(before, after):
    moved = judged(table(SHOP, top=before), table(SHOP, top=after))
    without = judged(table(USERS, top=before), table(USERS, top=after))

    assert [problem.route for problem in moved.problems] == ["shop"]
    assert without.problems == ()


def folding(*folds):
    return HEAD.replace("'http://h'", f"'http://h', folds: [{', '.join(folds)}]")


def with_folds(data, *folds):
    return data.replace(HEAD.encode(), folding(*folds).encode())


def test_a_fold_less_weakens_every_irreversible_route():
    before = with_folds(table(USERS), "case", "iis")
    (problem,) = judged(before, with_folds(table(USERS), "case")).problems
    line = re.search(r"allow: \[.*?\]", problem.fix)[0]

    assert "legacy.folds has no iis" in problem.message
    assert judged(before, with_folds(table(USERS, top=line + "\n"), "case")).problems == ()
    assert judged(with_folds(table(ABOUT), "case"), table(ABOUT)).problems == ()


def test_a_spelling_that_no_route_keeps_any_more_weakens():
    named = f"{{name: users, path: /Users, {FOR_GOOD}}}"
    any_word = f"{{name: word, path: '/<x>', {FOR_GOOD}}}"
    other = "{name: other, path: /users, target: legacy}"
    before, after = table(named, other), table(any_word, other)
    folded = judged(with_folds(before, "case"), with_folds(after, "case"))

    assert judged(before, after).problems == ()
    assert [problem.route for problem in folded.problems] == ["users"]


def test_the_line_that_a_problem_prints_lets_the_table_pass():
    before, after = table(USERS, CART, ABOUT), table(ABOUT)
    problems = judged(before, after).problems
    line = re.search(r"allow: \[.*?\]", problems[0].fix)[0]

    assert [problem.route for problem in problems] == ["cart", "users"]
    assert judged(before, table(ABOUT, top=line + "\n")).problems == ()


def test_a_permission_for_another_revision_permits_nothing():
    before = table(USERS)
    allowing = table(top=f"allow: ['users@{'0' * 12}']\n")

    assert [one.code for one in judged(before, allowing).problems] == ["irreversible-weakened"]


def test_a_permission_that_is_spent_is_worth_a_note():
    data = table(ABOUT, top=f"allow: ['users@{'0' * 12}']\n")

    assert [note.code for note in judged(table(ABOUT), data).notes] == ["allow-spent"]


def test_a_permission_that_counts_now_is_worth_no_note():
    before = table(USERS)
    data = table(ABOUT, top=f"allow: [users@{running(before).revision}]\n")

    assert [note.code for note in judged(before, data).notes] == []


@pytest.mark.parametrize(("count", "named"), [(20, 20), (21, 1)])
def test_the_line_to_paste_names_as_many_routes_as_can_be_read(count, named):
    lost = [
        f"{{name: r{number:02}, path: /r{number:02}, target: gone, reversible: false}}"
        for number in range(count)
    ]
    problem = judged(table(*lost), table(ABOUT)).problems[0]

    assert problem.fix.count("@") == named


def test_a_permission_for_one_route_is_for_that_one():
    before = table(USERS, CART)
    some = table(top=f"allow: [users@{running(before).revision}]\n")
    (problem,) = judged(before, some).problems

    assert problem.route == "cart"
    assert f"allow: [users@{running(before).revision}, cart@" in problem.fix


TEXTS = """\
routes.yaml:4:5: route "users": the running table (revision REVISION) keeps its requests from legacy for good, but \
here GET /users/1 would go to route "user", which is reversible. Fix the table; or, if this is intended, write \
allow: [cart@REVISION, users@REVISION] at the top. [irreversible-weakened]
routes.yaml:5:1: route "cart": the running table (revision REVISION) keeps its requests from legacy for good, but \
here no route takes POST /cart. Fix the table; or, if this is intended, write \
allow: [cart@REVISION, users@REVISION] at the top. [irreversible-weakened]
"""


def test_the_problems_say_what_where_and_how_to_mend_it():
    before = table(USERS, CART)
    inside = "{name: user, path: '/users/<int:id>', target: legacy}"
    loaded = judged(before, table(inside, swapped(CART, (", POST", "")), USERS))
    said = "".join(f"{problem}\n" for problem in loaded.problems)

    assert said.replace(running(before).revision, "REVISION") == TEXTS.replace("4:5", "4:1")


def test_a_route_that_is_gone_is_called_so():
    (problem,) = judged(table(USERS), table()).problems

    assert "no route takes GET /users; no route has this name now" in problem.message


def test_what_cannot_be_told_is_refused(monkeypatch):
    monkeypatch.setattr(weakening, "MAX_PARTS", 0)
    (problem,) = judged(
        table(USERS), table(USERS.replace("users,", "u,").replace("/users", "/u"))
    ).problems

    assert "cannot be determined" in problem.message


def test_the_same_table_is_not_compared_with_itself():
    assert judged(table(USERS), table(USERS)).table is not None


def test_a_reversible_route_inside_an_irreversible_one_is_worth_a_note():
    inside = "{name: user, path: '/users/<int:id>', target: legacy}"
    loaded = parse(table(USERS, inside, ABOUT), file="routes.yaml", env={}, rules=None)

    assert [(note.code, note.route, note.line) for note in loaded.notes] == [
        ("reversible-inside", "user", 5)
    ]
    assert (
        'before the irreversible route "users" on line 4, so GET /users/1 can'
        in loaded.notes[0].message
    )


def test_a_reversible_route_behind_an_irreversible_one_is_worth_none():
    around = "{name: all, prefix: /, target: legacy}"

    assert parse(table(USERS, around), file="r", env={}, rules=None).notes == ()


def many(*, first):
    return table(
        *(f"{{name: k{n}, path: '/k{n}/<int:id>', {FOR_GOOD}}}" for n in range(first, 300)),
        *(f"{{name: l{n}, path: '/l{n}/<int:id>', target: legacy}}" for n in range(300)),
    )


def test_a_long_table_is_compared_only_where_it_differs(monkeypatch):
    asked = []

    def counted(*given):
        asked.append(given)
        return find(*given)

    find = weakening.find_path_outside
    monkeypatch.setattr(weakening, "find_path_outside", counted)
    loaded = judged(many(first=0), many(first=1))

    assert [problem.route for problem in loaded.problems] == ["k0"]
    assert len(asked) < 10
