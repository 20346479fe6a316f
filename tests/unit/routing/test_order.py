"""The order of routes, ties in it, and routes nobody can reach."""

from __future__ import annotations

import random

import pytest

from overgrow.routing.conflicts import Tie, find_ties, find_unreachable
from overgrow.routing.index import PathIndex
from overgrow.routing.model import Predicate, Route
from overgrow.routing.order import sort_routes
from overgrow.routing.overlap import common_path, find_common_request
from overgrow.routing.ranking import rank_routes

UUID = "11111111-1111-1111-1111-111111111111"
BETA = Predicate("header", "x-beta", "1")
IN_ORDER = [
    Route("priority", prefix="/", priority=1),
    Route("exact predicates on host", path="/a", host="a.test", predicates=(BETA,)),
    Route("exact on host", path="/a", host="a.test"),
    Route("exact on long wildcard", path="/a", host="*.a.b.test"),
    Route("exact on wildcard", path="/a", host="*.b.test"),
    Route("exact, two predicates", path="/a", methods=("GET",), predicates=(BETA, BETA)),
    Route("exact, one predicate", path="/a", methods=("GET",), predicates=(BETA,)),
    Route("exact, method", path="/a", methods=("GET",)),
    Route("exact", path="/a"),
    Route("literal then int", path="/a/<int:i>"),
    Route("literal then string", path="/a/<i>"),
    Route("literal then path, going on", path="/a/<path:p>/edit"),
    Route("literal then path", path="/a/<path:p>"),
    Route("mixed, more text", path="/abc<int:i>"),
    Route("mixed, less text", path="/a<int:i>"),
    Route("mixed, no text", path="/<int:i><j>"),
    Route("float", path="/<float:f>/b"),
    Route("any", path="/<any(a,b):x>"),
    Route("path with text", path="/f-<path:p>"),
    Route("path", path="/<path:p>"),
    Route("longer prefix", prefix="/a/b"),
    Route("prefix", prefix="/a"),
    Route("low priority", path="/a", priority=-1),
]


@pytest.mark.parametrize("seed", range(5))
def test_the_more_specific_route_stands_first(seed):
    shuffled = random.Random(seed).sample(IN_ORDER, len(IN_ORDER))

    assert [route.name for route in sort_routes(shuffled)] == [route.name for route in IN_ORDER]


def test_equals_stay_in_file_order():
    routes = (Route("b", path="/b"), Route("a", path="/a"))

    assert sort_routes(routes) == routes


def pair(one, other):
    """Return two routes from paths or keyword arguments."""
    made = []
    for name, given in (("first", one), ("second", other)):
        made.append(Route(name, **(given if isinstance(given, dict) else {"path": given})))
    return made


TIED = [
    pytest.param("/a", "/a", "GET /a", id="equal paths"),
    pytest.param("/<a>", "/<any(q):b>", "GET /q", id="string and any"),
    pytest.param("/<string(length=36):a>", "/<uuid:b>", f"GET /{UUID}", id="string and uuid"),
    pytest.param("/<int(max=5):a>", "/<int(min=5):b>", "GET /5", id="ranges that touch"),
    pytest.param(
        "/<int(fixed_digits=3):a>", "/<int(min=50):b>", "GET /050", id="digits and a range"
    ),
    pytest.param("/<int(signed=True):a>", "/<int:b>", "GET /1", id="signed and unsigned"),
    pytest.param("/<float(min=2.5):a>", "/<float:b>", "GET /2.5", id="floats"),
    pytest.param("/<string(2, 3):a>", "/<string(3, 4):b>", "GET /xxx", id="lengths that touch"),
    pytest.param("/v<int(min=3):a>", "/v<int(min=3):b>", "GET /v3", id="mixed of one shape"),
    pytest.param("/ab<x>", "/a<x>c", "GET /abc", id="mixed of equal weight"),
    pytest.param("/<path:a>/e", "/<path:b>/e", "GET /x/e", id="paths going on"),
    pytest.param("/x<int(min=3):a>", "/x<any(2, 7):b>", "GET /x7", id="an item within a range"),
    pytest.param(
        "/<int(fixed_digits=2):a>-<b>", "/<a>-<int(max=0):b>", "GET /01-0", id="two and two"
    ),
    pytest.param("/f-<path:a>", "/<path:a>-f", "GET /f-f", id="mixed paths"),
    pytest.param({"prefix": "/a"}, {"prefix": "/a"}, "GET /a", id="prefixes"),
    pytest.param({"prefix": "/"}, {"prefix": "/"}, "GET /", id="prefixes of everything"),
    pytest.param(
        {"path": "/a", "methods": ("GET", "PUT")},
        {"path": "/a", "methods": ("PUT", "POST")},
        "PUT /a",
        id="a method in common",
    ),
    pytest.param(
        {"path": "/a", "methods": ("GET",)},
        {"path": "/a", "methods": ("HEAD",)},
        "HEAD /a",
        id="HEAD is in GET",
    ),
    pytest.param(
        {"path": "/a", "host": "*.b.test"},
        {"path": "/a", "host": "*.B.test"},
        "GET http://x.b.test/a",
        id="hosts have no case",
    ),
    pytest.param(
        {"path": "/a", "predicates": (Predicate("header", "x-a", "1"),)},
        {"path": "/a", "predicates": (Predicate("query", "q"),)},
        "GET /a?q=x with header x-a: 1",
        id="predicates on different things",
    ),
    pytest.param(
        {"path": "/a", "predicates": (Predicate("cookie", "c"),)},
        {"path": "/a", "predicates": (Predicate("cookie", "c", "1"),)},
        "GET /a with cookie c=1",
        id="presence and a value",
    ),
    pytest.param(
        {"path": "/a", "predicates": (Predicate("cookie", "c", present=False),)},
        {"path": "/a", "predicates": (Predicate("cookie", "d", present=False),)},
        "GET /a",
        id="absences",
    ),
]


@pytest.mark.parametrize(("one", "other", "example"), TIED)
def test_equal_routes_that_one_request_fits_are_a_tie(one, other, example):
    first, second = pair(one, other)

    found = find_ties(rank_routes([first, second]))

    assert found == [Tie(first, second, example)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("/a", "/b", id="different paths"),
        pytest.param("/a/<i>", "/b/<i>", id="different literals"),
        pytest.param("/<int(max=4):a>", "/<int(min=5):b>", id="ranges apart"),
        pytest.param("/<int:a>", "/<float:b>", id="int and float"),
        pytest.param("/<any(a,b):x>", "/<any(c,d):x>", id="items apart"),
        pytest.param("/<string(length=35):a>", "/<uuid:b>", id="wrong length for a uuid"),
        pytest.param("/x1-<i>", "/x2-<i>", id="mixed text apart"),
        pytest.param("/<i>.ab", "/<i>.bb", id="mixed endings apart"),
        pytest.param("/<int:a>x", "/<i>y", id="mixed, last characters"),
        pytest.param("/<int:a>b<int:c>", "/<int:a>c<int:c>", id="mixed, between numbers"),
        pytest.param("/<path:p>/e", "/<path:p>/f", id="paths with different ends"),
        pytest.param({"prefix": "/a"}, {"prefix": "/b"}, id="different prefixes"),
        pytest.param(
            {"path": "/a", "methods": ("GET",)}, {"path": "/a", "methods": ("PUT",)}, id="methods"
        ),
        pytest.param(
            {"path": "/a", "host": "a.test"}, {"path": "/a", "host": "b.test"}, id="hosts"
        ),
        pytest.param(
            {"path": "/a", "host": "*.a.test"}, {"path": "/a", "host": "*.b.test"}, id="wildcards"
        ),
        pytest.param(
            {"path": "/a", "predicates": (Predicate("query", "q", "1"),)},
            {"path": "/a", "predicates": (Predicate("query", "q", "2"),)},
            id="one value cannot be two",
        ),
        pytest.param(
            {"path": "/a", "predicates": (Predicate("query", "q", "1"),)},
            {"path": "/a", "predicates": (Predicate("query", "q", present=False),)},
            id="a value and absence",
        ),
        pytest.param("/a", {"path": "/a", "priority": 1}, id="priority tells them apart"),
    ],
)
def test_routes_that_no_request_fits_both_or_that_rank_apart_are_no_tie(one, other):
    assert find_ties(rank_routes(pair(one, other))) == []


def test_each_route_is_told_once_with_the_first_it_ties_with_in_file_order():
    routes = [Route(name, path="/a", methods=("GET", "PUT")) for name in "abc"]
    other = [Route(name, path="/<i>") for name in "de"]

    found = find_ties(rank_routes([other[0], *routes, other[1]]))

    assert [(tie.first.name, tie.second.name) for tie in found] == [
        ("a", "b"),
        ("a", "c"),
        ("d", "e"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param({"prefix": "/"}, "/a", "GET /a", id="root prefix and path"),
        pytest.param({"prefix": "/a"}, "/ab", None, id="prefixes take whole segments"),
        pytest.param({"prefix": "/a"}, "/<i>/b", "GET /a/b", id="prefix and template"),
        pytest.param(
            {"path": "/a", "host": "*.test"},
            {"path": "/a", "host": "a.test"},
            "GET http://a.test/a",
            id="wildcard and host",
        ),
        pytest.param(
            {"path": "/a", "host": "b.test"},
            {"path": "/a"},
            "GET http://b.test/a",
            id="host and none",
        ),
        pytest.param(
            {"path": "/a", "methods": ("PUT",)}, {"path": "/a"}, "PUT /a", id="a method and all"
        ),
        pytest.param(
            {"path": "/a", "predicates": (Predicate("cookie", "c"),)},
            {"path": "/a", "predicates": (Predicate("cookie", "c", present=False),)},
            None,
            id="presence and absence",
        ),
        pytest.param(
            {"path": "/a", "host": "a.test"},
            {"path": "/a", "host": "b.test"},
            None,
            id="hosts apart",
        ),
        pytest.param("/<a>", "/<path:p>", "GET /x", id="string and path"),
        pytest.param("/<string(0):a>", "/", "GET /", id="an empty string"),
        pytest.param(
            "/<any(a):x><int(min=1):y>-<int(max=0):z>",
            "/<w>-<v>",
            "GET /a1-0",
            id="bounds in mixed text",
        ),
        pytest.param("/<a><int(min=15):b>", "/<a>15", None, id="unsure counts as no"),
    ],
)
def test_an_overlap_is_shown_by_a_request(one, other, expected):
    first, second = pair(one, other)

    assert find_common_request(first, second) == expected
    assert find_common_request(second, first) == expected


def test_a_common_path_is_taken_by_both_routes():
    rng = random.Random(7)
    parts = ["a", "b", "<v>", "<int:v>", "<path:v>", "a<v>", "<int(min=3):v>b", "<any(a,b3b):v>"]
    rules = ["/" + "/".join(rng.choices(parts, k=rng.randint(1, 3))) for _ in range(60)]

    for one in rules:
        for other in rules:
            path = common_path(Route("one", path=one), Route("other", path=other))
            assert path is None or (takes(one, path) and takes(other, path))


def takes(rule, path):
    index: PathIndex[int] = PathIndex()
    index.add(Route("it", path=rule), 1)
    return index.find_places(path) == [[1]]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        pytest.param({"prefix": "/"}, {"path": "/a/b"}, id="prefix of everything"),
        pytest.param({"prefix": "/a"}, {"path": "/a/<int:i>"}, id="prefix over a template"),
        pytest.param({"prefix": "/a"}, {"prefix": "/a/b"}, id="prefix over a prefix"),
        pytest.param({"path": "/<i>"}, {"path": "/a"}, id="template over a literal"),
        pytest.param({"path": "/<i>"}, {"path": "/<int:i>"}, id="string over int"),
        pytest.param({"path": "/<i>"}, {"path": "/a<int:i>b"}, id="string over mixed"),
        pytest.param({"path": "/<i>"}, {"path": "/<any(a,b):i>"}, id="string over any"),
        pytest.param({"path": "/<int:i>"}, {"path": "/<any(1,2):i>"}, id="int over any"),
        pytest.param({"path": "/<int:i>"}, {"path": "/<int(min=3):i>"}, id="int over a range"),
        pytest.param({"path": "/<int(max=9):i>"}, {"path": "/<int(min=3,max=5):i>"}, id="ranges"),
        pytest.param(
            {"path": "/<int(min=1,max=9):i>"}, {"path": "/<int(min=1,max=9):j>"}, id="equal ranges"
        ),
        pytest.param(
            {"path": "/<int(min=1,max=9):i>"}, {"path": "/<int(min=1,max=5):i>"}, id="equal minima"
        ),
        pytest.param(
            {"path": "/<int(min=1,max=9):i>"}, {"path": "/<int(min=3,max=9):i>"}, id="equal maxima"
        ),
        pytest.param({"path": "/<string(2):i>"}, {"path": "/<string(3, 4):i>"}, id="lengths"),
        pytest.param({"path": "/<path:p>"}, {"path": "/a/<int:i>/"}, id="path over all"),
        pytest.param({"path": "/a/<path:p>"}, {"path": "/a/<path:p>/e"}, id="path over path"),
        pytest.param({"path": "/<int:i>"}, {"path": "/<int:j>", "host": "a.test"}, id="hosts"),
        pytest.param(
            {"path": "/a", "host": "*.test"}, {"path": "/a", "host": "*.a.test"}, id="wildcards"
        ),
        pytest.param({"path": "/a"}, {"path": "/a", "methods": ("GET",)}, id="all methods"),
        pytest.param(
            {"path": "/a", "methods": ("GET", "PUT")},
            {"path": "/a", "methods": ("HEAD",)},
            id="GET",
        ),
        pytest.param(
            {"path": "/a", "predicates": (Predicate("query", "q"),)},
            {"path": "/a", "predicates": (BETA, Predicate("query", "q", "1"))},
            id="presence over a value",
        ),
    ],
)
def test_a_route_that_an_earlier_one_takes_all_of_is_unreachable(wide, narrow):
    hiding, hidden = Route("wide", priority=1, **wide), Route("narrow", **narrow)

    assert find_unreachable(rank_routes([hidden, hiding])) == [(hidden, hiding)]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        pytest.param({"path": "/<i>"}, {"path": "/a/b"}, id="another length"),
        pytest.param({"path": "/<i>/x"}, {"path": "/<i>/<j>"}, id="a literal over a variable"),
        pytest.param({"path": "/<i>"}, {"path": "/<path:p>"}, id="string over path"),
        pytest.param({"path": "/x/<i>"}, {"path": "/x<path:p>"}, id="path in mixed text"),
        pytest.param({"path": "/<path:p>"}, {"prefix": "/b"}, id="path over prefix"),
        pytest.param({"path": "/a/b/<path:p>"}, {"path": "/a/b"}, id="path is not empty"),
        pytest.param({"path": "/<path:p>/x"}, {"path": "/<path:p>"}, id="path going on"),
        pytest.param({"path": "/a<int:i>"}, {"path": "/a<i>"}, id="mixed over mixed: unsure"),
        pytest.param({"path": "/<int:i>"}, {"path": "/<int(signed=True):i>"}, id="unsigned"),
        pytest.param({"path": "/<int(max=1):i>"}, {"path": "/<int:i>"}, id="range over int"),
        pytest.param(
            {"path": "/<int(min=2,max=9):i>"},
            {"path": "/<int(min=1,max=9):i>"},
            id="a lower minimum",
        ),
        pytest.param(
            {"path": "/<int(min=1,max=8):i>"},
            {"path": "/<int(min=1,max=9):i>"},
            id="a higher maximum",
        ),
        pytest.param({"path": "/<int(fixed_digits=1):i>"}, {"path": "/<int:i>"}, id="digits"),
        pytest.param({"path": "/<any(xx,x):i>"}, {"path": "/<i>"}, id="any over string"),
        pytest.param({"path": "/<string(1,9):i>"}, {"path": "/<uuid:i>"}, id="bounded string"),
        pytest.param({"path": "/<string(1,9):i>"}, {"path": "/<int:i>"}, id="bounded over int"),
        pytest.param({"path": "/<int(min=1):i>"}, {"path": "/<any(0,1):i>"}, id="an item outside"),
        pytest.param({"prefix": "/a"}, {"path": "/<i>"}, id="prefix over a variable"),
        pytest.param({"path": "/a", "methods": ("GET",)}, {"path": "/a"}, id="methods"),
        pytest.param(
            {"path": "/a", "host": "*.a.test"}, {"path": "/a", "host": "b.test"}, id="host"
        ),
        pytest.param({"path": "/a", "predicates": (BETA,)}, {"path": "/a"}, id="a predicate more"),
    ],
)
def test_a_route_with_a_request_of_its_own_is_reachable(wide, narrow):
    assert (
        find_unreachable(
            rank_routes([Route("narrow", **narrow), Route("wide", priority=1, **wide)])
        )
        == []
    )


def test_a_wider_route_asked_later_hides_nothing():
    assert (
        find_unreachable(rank_routes([Route("wide", prefix="/"), Route("narrow", path="/a")])) == []
    )


def test_among_routes_of_one_path_only_weaker_conditions_are_examined():
    variants = [
        Route(f"v{at}", path="/a", predicates=(Predicate("query", "q", str(at)),))
        for at in range(50)
    ]
    hiding = Route("wide", path="/a", priority=1, predicates=(Predicate("query", "q", "7"),))

    assert find_unreachable(rank_routes([*variants, hiding])) == [(variants[7], hiding)]


def test_thousands_of_equal_routes_are_told_without_comparing_every_pair():
    same = [Route(f"r{at}", path="/api/<id>", methods=("GET",)) for at in range(3000)]

    assert len(find_ties(rank_routes(same))) == 2999
    assert find_unreachable(rank_routes(same)) == []
