"""The syntax of path and prefix, against Werkzeug and on its own."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from overgrow.routing.converters import RuleError
from overgrow.routing.index import PathIndex
from overgrow.routing.model import Route
from overgrow.routing.rules import (
    derived_name,
    is_below_prefix,
    parse_rule,
    segments_of_prefix,
    shape_of,
)


def takes(path: str | None, request: str, prefix: str | None = None) -> bool:
    index: PathIndex[int] = PathIndex()
    index.add(Route("it", path=path, prefix=prefix), 1)
    return index.find_places(request) == [[1]]


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        pytest.param("/orders", "/orders", True, id="literal"),
        pytest.param("/orders", "/orders/", False, id="a trailing slash is significant"),
        pytest.param("/orders/", "/orders", False, id="its absence too"),
        pytest.param("/orders", "/Orders", False, id="case is significant"),
        pytest.param("/", "/", True, id="root"),
        pytest.param("/<id>", "/a", True, id="string by default"),
        pytest.param("/<id>", "/", False, id="a string is not empty"),
        pytest.param("/<default:id>", "/a", True, id="default is string"),
        pytest.param("/<id>", "/a/b", False, id="a string stays in its segment"),
        pytest.param("/<string(length=2):l>", "/de", True, id="exact length"),
        pytest.param("/<string(length=2):l>", "/deu", False, id="wrong length"),
        pytest.param("/<string(2, 3):l>", "/deu", True, id="positional arguments"),
        pytest.param("/<string(minlength=2,maxlength=3):l>", "/d", False, id="too short"),
        pytest.param("/<string(maxlength=3):l>", "/deut", False, id="too long"),
        pytest.param("/<int:n>", "/007", True, id="int with leading zeros"),
        pytest.param("/<int:n>", "/\u0663", False, id="int takes ASCII digits only"),
        pytest.param("/<int:n>", "/-1", False, id="int is unsigned"),
        pytest.param("/<int(signed=True):n>", "/-1", True, id="signed int"),
        pytest.param("/<int(min=3, max=5):n>", "/3", True, id="min is included"),
        pytest.param("/<int(min=3, max=5):n>", "/5", True, id="max is included"),
        pytest.param("/<int(min=3, max=5):n>", "/6", False, id="above max"),
        pytest.param("/<int(min=3, max=5):n>", "/2", False, id="below min"),
        pytest.param("/<int(fixed_digits=3):n>", "/012", True, id="fixed digits"),
        pytest.param("/<int(fixed_digits=3):n>", "/12", False, id="too few digits"),
        pytest.param("/<int(min=1):n>", "/" + "9" * 5000, True, id="5000 digits are a number too"),
        pytest.param("/<float:n>", "/1.5", True, id="float"),
        pytest.param("/<float:n>", "/1", False, id="a float has a point"),
        pytest.param("/<float(min=1.5):n>", "/1.4", False, id="float below min"),
        pytest.param("/<float(signed=True):n>", "/-1.4", True, id="signed float"),
        pytest.param(
            "/<uuid:u>", "/6F9619FF-8B86-d011-b42d-00cf4fc964ff", True, id="uuid any case"
        ),
        pytest.param(
            "/<uuid:u>", "/6F9619FF8B86d011b42d00cf4fc964ff", False, id="uuid with dashes"
        ),
        pytest.param("/<any(about, 'a b'):x>", "/a b", True, id="any of quoted items"),
        pytest.param("/<any(about, help):x>", "/hel", False, id="any whole items only"),
        pytest.param('/<any(a, "b)"):x>', "/b)", True, id="quoted parenthesis"),
        pytest.param('/<any("a/b", c):x>/d', "/c/d", True, id="a quoted slash divides nothing"),
        pytest.param("/f/<path:p>", "/f/a/b", True, id="path crosses slashes"),
        pytest.param("/f/<path:p>", "/f/", False, id="path is not empty"),
        pytest.param("/<path:p>/edit", "/a/b/edit", True, id="path before a literal"),
        pytest.param("/<path:p>/edit", "/edit", False, id="path needs something"),
        pytest.param("/f-<path:p>.x/<int:n>", "/f-a/b.x/7", True, id="path in mixed text"),
        pytest.param("/v<int:n>.json", "/v12.json", True, id="mixed"),
        pytest.param("/v<int(min=3):n>.json", "/v2.json", False, id="mixed with a bound"),
        pytest.param("/ab<x>ba", "/aba", False, id="ends of mixed text do not overlap"),
        pytest.param("/<a>-<int(max=3):b>", "/x-3", True, id="two variables in a segment"),
        pytest.param("/<a>-<int(max=3):b>", "/x-4", False, id="the second out of bounds"),
        pytest.param("/<a>/x/", "/1/x/", True, id="template with a trailing slash"),
        pytest.param("/caf\u00e9/<x>", "/caf\u00e9/1", True, id="text beyond ASCII"),
        pytest.param("/a;v=1", "/a;v=1", True, id="parameters belong to their segment"),
        pytest.param("/a", "*", False, id="the asterisk is no path"),
    ],
)
def test_a_rule_takes_the_paths_that_flask_would_route(rule, path, expected):
    assert takes(rule, path) is expected


@pytest.mark.parametrize(
    ("prefix", "path", "expected"),
    [
        pytest.param("/admin", "/admin", True, id="the prefix itself"),
        pytest.param("/admin", "/admin/", True, id="with a slash"),
        pytest.param("/admin", "/admin/x/y", True, id="below"),
        pytest.param("/admin", "/adminx", False, id="whole segments only"),
        pytest.param("/a/b", "/a", False, id="above"),
        pytest.param("/", "/", True, id="everything: root"),
        pytest.param("/", "/x/y", True, id="everything"),
    ],
)
def test_a_prefix_takes_whole_segments(prefix, path, expected):
    assert takes(None, path, prefix) is expected


LITERALS = st.sampled_from(["a", "b", "a1", "x.y", "-", "1"])
CONVERTERS = st.sampled_from(
    [
        "<v>",
        "<string(minlength=2):v>",
        "<string(length=1):v>",
        "<int:v>",
        "<int(signed=True):v>",
        "<int(min=2, max=20):v>",
        "<int(fixed_digits=2):v>",
        "<float:v>",
        "<float(max=1.5):v>",
        "<any(a, b, x.y):v>",
        "<path:v>",
        "<uuid:v>",
    ]
)
SEGMENTS = st.one_of(
    LITERALS,
    CONVERTERS,
    st.tuples(LITERALS, CONVERTERS).map("".join),
    st.tuples(CONVERTERS, LITERALS).map("".join),
    st.tuples(LITERALS, CONVERTERS, LITERALS).map("".join),
)
RULES = st.builds(
    lambda parts, slash: "/" + "/".join(parts) + slash,
    st.lists(SEGMENTS, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
).map(lambda rule: rule.replace(":v>", ":{}>").replace("<v>", "<{}>"))
WORDS = st.one_of(
    LITERALS,
    st.sampled_from(["2", "20", "21", "-3", "1.5", "1.6", "ab", "xa", "aax.y", "b1-"]),
    st.text("ab1.-x", min_size=1, max_size=5).filter(lambda text: text not in (".", "..")),
    st.just("6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
)
PATHS = st.builds(
    lambda parts, slash: "/" + "/".join(parts) + slash,
    st.lists(WORDS, min_size=1, max_size=4),
    st.sampled_from(["", "/"]),
)


def numbered(rule: str) -> str:
    """Name the variables apart."""
    return rule.format(*(f"v{at}" for at in range(rule.count("{}"))))


def werkzeug_takes(rule: str, path: str) -> bool:
    rules = Map([Rule(rule, endpoint="it")], merge_slashes=False, redirect_defaults=False)
    try:
        rules.bind("example.com").match(path)
    except HTTPException:  # NotFound, or a redirect to the slash: here a path that is not taken
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(rules=st.lists(RULES, min_size=1, max_size=6), paths=st.lists(PATHS, min_size=1, max_size=4))
def test_the_index_finds_what_werkzeug_matches(rules, paths):
    texts = [numbered(rule) for rule in rules]
    index: PathIndex[int] = PathIndex()
    for at, text in enumerate(texts):
        index.add(Route(str(at), path=text), at)

    for path in paths:
        expected = [at for at, text in enumerate(texts) if werkzeug_takes(text, path)]
        assert sorted(chain.from_iterable(index.find_places(path))) == expected


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        pytest.param("orders", "slash", id="no leading slash"),
        pytest.param("/a//b", "empty segment", id="empty segment"),
        pytest.param("/a/../b", "dot segment", id="dot segment"),
        pytest.param("/a\\b", "contains", id="backslash"),
        pytest.param("/a?b=1", "query", id="query"),
        pytest.param("/a#b", "contains", id="fragment"),
        pytest.param("/caf%C3%A9", "percent-encoded", id="encoded text"),
        pytest.param("/<int:id", "cannot be read", id="open variable"),
        pytest.param("/a>", '">" without "<"', id="closing bracket alone"),
        pytest.param("/<slug:x>", 'converter "slug"', id="unknown converter"),
        pytest.param("/<any():x>", "nothing to accept", id="any of nothing"),
        pytest.param("/<any('a/b'):x>", "nothing to accept", id="any of a slash"),
        pytest.param("/<int(minimum=1):x>", "does not take", id="unknown argument"),
        pytest.param("/<int(1,2,3,True,5):x>", "does not take", id="too many arguments"),
        pytest.param("/<path(2):x>", "no arguments", id="path takes none"),
        pytest.param("/<int(min='a'):x>", "does not take", id="text for a number"),
        pytest.param("/<int(min=-1):x>", "cannot be read", id="negative bounds, as in Werkzeug"),
    ],
)
def test_a_bad_rule_says_what_is_wrong_and_what_to_write(rule, word):
    with pytest.raises(RuleError) as caught:
        parse_rule(rule)

    assert word in str(caught.value)
    assert caught.value.fix.endswith(".")


@pytest.mark.parametrize("prefix", ["/a/", "/<x>", "a", "/a//b"])
def test_a_prefix_is_plain_whole_segments(prefix):
    with pytest.raises(RuleError):
        segments_of_prefix(prefix)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        pytest.param("/o/<id>", "/o/<string:key>", True, id="names and default converter"),
        pytest.param("/<string(length=2):a>", "/<string(2, 2):a>", True, id="length by its bounds"),
        pytest.param("/<any(a,b):x>", "/<any(b, a):y>", True, id="order of items"),
        pytest.param(
            "/<int:a>", "/<int(signed=False, min=None):b>", True, id="defaults written out"
        ),
        pytest.param("/<int:a>", "/<int(min=1):a>", False, id="arguments count"),
        pytest.param("/<int:a>", "/<int:a>/", False, id="trailing slash counts"),
    ],
)
def test_shapes_are_equal_where_rules_take_the_same_paths(one, other, equal):
    assert (shape_of(one) == shape_of(other)) is equal


@pytest.mark.parametrize(
    ("rule", "prefix", "expected"),
    [
        ("/admin/<int:id>", "/admin", True),
        ("/admin", "/admin", True),
        ("/administer", "/admin", False),
        ("/x", "/", True),
        ("/admin/", "/admin", True),
    ],
)
def test_a_rule_below_a_prefix_is_found_by_whole_segments(rule, prefix, expected):
    assert is_below_prefix(rule, prefix) is expected


@pytest.mark.parametrize(
    ("methods", "path", "prefix", "expected"),
    [
        pytest.param(("GET",), "/orders/<int:id>", None, "get-orders-id", id="method and variable"),
        pytest.param(None, None, "/admin", "admin-all", id="prefix"),
        pytest.param(None, "/", None, "root", id="root"),
        pytest.param(None, None, "/", "root-all", id="prefix of everything"),
        pytest.param(("GET", "POST"), "/A b//c_d.json", None, "get-post-a-b-c_d.json", id="others"),
        pytest.param(("M-SEARCH", "X*Y", "$"), "/a", None, "m-search-x-y-a", id="odd methods"),
        pytest.param(None, "/<any('a:b', c):kind>/", None, "kind", id="arguments vanish"),
    ],
)
def test_a_name_is_derived_from_methods_and_path(methods, path, prefix, expected):
    assert derived_name(methods, path, prefix) == expected
