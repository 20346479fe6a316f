"""The comparison of two tables, held to the decisions they make: random tables, random requests.

Sound: no request that one table keeps from legacy for good may reach it under a table that passes. Exact, but
for spellings that legacy folds: the example of each weakening is such a request.
"""

from __future__ import annotations

import random
import re

import pytest

from overgrow.routing.decide import decide
from overgrow.routing.facts import Facts, head_of
from overgrow.routing.match import build_matcher
from overgrow.routing.model import Legacy, Predicate, Route, RouteTable
from overgrow.routing.order import sort_routes
from overgrow.routing.weakening import find_weakenings

PATHS = [
    *(
        "/a",
        "/a/",
        "/b",
        "/a/b",
        "/a/1",
        "/<x>",
        "/<int:x>",
        "/a/<x>",
        "/a/<int:x>",
        "/a/<any(b,c):x>",
    ),
    *(
        "/a/<int(max=9):x>",
        "/a/<int(min=10):x>",
        "/a/<int(min=5,max=20):x>",
        "/a/<string(length=2):x>",
    ),
    *(
        "/a/<string(maxlength=1):x>",
        "/a/<string(minlength=2):x>",
        "/a/<path:x>",
        "/<path:x>",
        "/a/<x>/",
    ),
    *("/a/<float:x>", "/a/<float(max=2):x>", "/a/v<int:x>", "/a/v<x>", "/<x>/b", "/a/<x>/<path:y>"),
    *(
        "/a/<int(fixed_digits=2):x>",
        "/a/<int(signed=True):x>",
        "/a/<int(min=3,max=12,signed=True):x>",
    ),
]
PREFIXES = ["/", "/a", "/a/b", "/b"]
SPELLINGS = ["/A", "/A/<x>", "/a/B", "/a/<any(B,c):x>"]  # that folding changes
FOLDS = [(), (), ("case",), ("trailing",), ("case", "iis", "double-decoding")]
METHODS = [None, None, ("GET",), ("POST",), ("GET", "POST"), ("HEAD",), ("OPTIONS", "GET")]
HOSTS = [None, None, None, "h.test", "x.h.test", "*.h.test", "*.test"]
CONDITIONS = [
    Predicate("header", "x-a", "1"),
    Predicate("header", "x-a", "2"),
    Predicate("query", "q"),
    Predicate("query", "q", None, present=False),
    Predicate("cookie", "c", "1"),
]
TARGETS = [
    *(
        "/a",
        "/a/",
        "/a/b",
        "/a/c",
        "/b",
        "/a/1",
        "/a/9",
        "/a/10",
        "/a/17",
        "/a/21",
        "/a/07",
        "/a/-2",
    ),
    *(
        "/a/xy",
        "/a/xyz",
        "/a/x/",
        "/a/x/y",
        "/a/1.5",
        "/a/2.5",
        "/a/v1",
        "/a/vx",
        "/1",
        "/zz",
        "/1/b",
    ),
    *(
        "/a//b",
        "/a/./b",
        "/b/../a/1",
        "/a%2Fb",
        "/a/x%0Ay",
        "/a/%00",
        "/A/b",
        "/a/%ff",
        "/x/b/",
        "/",
    ),
    *("/a/x//y", "/a/00000010", "/a/x/y%0Az"),
    *("/A", "/A/B", "/a/B", "/a/b.", "/a;v=1/b", "/%2561", "/a%20/b"),
]


def some_route(chance, name):
    at = (
        {"path": chance.choice(PATHS + SPELLINGS)}
        if chance.random() < 0.8
        else {"prefix": chance.choice(PREFIXES)}
    )
    for_good = chance.random() < 0.6
    return Route(
        name,
        methods=chance.choice(METHODS),
        host=chance.choice(HOSTS),
        predicates=tuple(chance.sample(CONDITIONS, chance.choice((0, 0, 0, 1, 2)))),
        target="migrated" if for_good else chance.choice(("legacy", "gone", "migrated")),
        priority=chance.choice((0, 0, 0, 0, 1)),
        reversible=not for_good,
        **at,
    )


def some_tables(chance):
    """A table and what somebody made of it: lines removed, changed, added."""
    before = [some_route(chance, f"r{n}") for n in range(chance.randint(1, 4))]
    after = [route for route in before if chance.random() < 0.8]
    after += [some_route(chance, f"n{n}") for n in range(chance.randint(0, 4))]
    chance.shuffle(after)
    folds = frozenset(chance.choice(FOLDS))
    more = folds | frozenset(chance.choice(FOLDS))
    return tuple(
        RouteTable(name, Legacy("http://l", folds=one), sort_routes(routes))
        for name, routes, one in (("before", before, folds), ("after", after, more))
    )


def heads():
    for target in TARGETS:
        for method in ("GET", "POST", "HEAD", "OPTIONS", "DELETE", "get"):
            for host in ("h.test", "x.h.test", "y.h.test", "z.test", "other"):
                for query, *fields in CONTENTS:
                    headers = [(b"host", host.encode()), *fields]
                    yield head_of(method, target.encode() + query, headers, peer="", scheme="http")


CONTENTS = [
    (b"",),
    (b"?q=1", (b"x-a", b"1")),
    (b"", (b"x-a", b"1"), (b"x-a", b"2"), (b"cookie", b"c=1")),
    (b"?q=", (b"cookie", b"c=2; c=1")),
]


def is_kept(matcher, head):
    """Whether a request is kept from legacy whatever happens: by the kill file, too."""
    return decide(matcher, head, Facts(killed=True)).side != "legacy"


def leaks_to_legacy(before, after, head):
    return is_kept(before, head) and not is_kept(after, head)


def head_in(example):
    """The request that an example tells of."""
    found = re.fullmatch(r"(\S+) (?:http://([^/]*))?(/\S*?)(?: with (.*))?", example)
    assert found, example
    headers = [(b"host", (found[2] or "other").encode())]
    for each in (found[4] or "").split(" and "):
        kind, _, rest = each.partition(" ")
        if kind == "header":
            name, _, value = rest.partition(": ")
            headers.append((name.encode(), value.encode()))
        if kind == "cookie":
            headers.append((b"cookie", rest.encode()))
    return head_of(found[1], found[3].encode(), headers, peer="", scheme="http")


@pytest.mark.parametrize("seed", range(60))
def test_a_table_that_passes_lets_no_kept_request_reach_legacy(seed):
    chance = random.Random(seed)
    before, after = some_tables(chance)
    found = find_weakenings(before, after)

    for one in found:
        is_exact = one.example and not after.legacy.folds
        if is_exact and "//" not in one.example.partition(" ")[2].removeprefix("http://"):
            assert leaks_to_legacy(
                build_matcher(before), build_matcher(after), head_in(one.example)
            ), one
    if not found:
        matchers = build_matcher(before), build_matcher(after)
        sampled = chance.sample(list(heads()), 1_500)
        assert [head for head in sampled if leaks_to_legacy(*matchers, head)] == []
