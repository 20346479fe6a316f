"""Differences told by the names of elements, and rules that say a name, an index or any."""

from __future__ import annotations

import json
from datetime import date

import pytest

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.compare.html_tree import parse_html
from overgrow.shadow.compare.naming import HtmlPathNaming, JsonPathNaming
from overgrow.shadow.redact.paths import is_showable_path_shape, redacted_path_shape
from overgrow.shadow.rules.comparators import Comparator, Ignore, SameShape
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.snapshot import ResponseSnapshot

DAY = date(2027, 1, 1)


def page(text: str) -> ResponseSnapshot:
    return ResponseSnapshot(200, ((b"content-type", b"text/html"),), text.encode())


def document(value: object) -> ResponseSnapshot:
    return ResponseSnapshot(
        200, ((b"content-type", b"application/json"),), json.dumps(value).encode()
    )


def rules(path: str, how: Comparator | None = None, kinds: tuple = ()) -> Rules:
    return Rules((Rule(path, how or Ignore(), "ada", "why", DAY, 0, kinds),))


def form(token: str = "a1", amount: str = "3") -> str:
    return f'<form><input name=token value="{token}"><input name=amount value="{amount}"></form>'


PATHS = [
    pytest.param(form(), form(amount="4"), "html:/form/input[@name=amount]/@value", id="a name"),
    pytest.param(
        "<p><input name=csrf value=1>",
        "<p><input name=csrf value=2>",
        "html:/p/input[@name=csrf]/@value",
        id="a name without siblings",
    ),
    pytest.param(
        "<p id=total>1<p id=tax>2",
        "<p id=total>1<p id=tax>3",
        "html:/p[@id=tax]/text()",
        id="an id among several",
    ),
    pytest.param("<p id=tax>2", "<p id=tax>3", "html:/p/text()", id="an id of an only child"),
    pytest.param(
        "<p id=row-7>1<p id=row-8>2",
        "<p id=row-7>1<p id=row-8>3",
        "html:/p[2]/text()",
        id="ids of rows",
    ),
    pytest.param(
        "<input name=size value=1><input name=size value=2>",
        "<input name=size value=1><input name=size value=3>",
        "html:/input[2]/@value",
        id="a name that stands twice",
    ),
    pytest.param(
        "<input name='jane@example.com' value=1><input value=2>",
        "<input name='jane@example.com' value=2><input value=2>",
        "html:/input[1]/@value",
        id="a name that reads like data",
    ),
    pytest.param(
        "<input name=a value=1><input name=b value=1>",
        "<input name=a value=1><input name=b value=1><input name=c value=1>",
        "html:/input[3]",
        id="an element that is extra",
    ),
]


@pytest.mark.parametrize(("control", "candidate", "path"), PATHS)
def test_an_element_is_told_by_the_name_that_only_it_has(control, candidate, path):
    found = compare(page(control), page(candidate))

    assert [path] == [each.path for each in found.differences]


@pytest.mark.parametrize(
    "path",
    [
        "html:/form/input[@name=amount]/@value",
        "html:/form/input[2]/@value",
        "html:/form/input[*]/@value",
    ],
)
def test_a_rule_says_a_name_an_index_or_any(path):
    found = compare(page(form()), page(form(amount="4")), rules(path))

    assert "ignored" == found.verdict


def test_a_rule_for_one_element_says_nothing_of_the_others():
    agreed = rules("html:/form/input[@name=token]/@value")

    found = compare(page(form()), page(form("b2", "4")), agreed)

    assert [(None, "html:/form/input[@name=amount]/@value")] == [
        (each.rule, each.path) for each in found.differences if each.rule is None
    ]


def test_a_rule_without_an_index_covers_an_only_child_that_has_a_name():
    one, other = ("<p><input name=csrf value=1>", "<p><input name=csrf value=2>")

    assert "ignored" == compare(page(one), page(other), rules("html:/p/input/@value")).verdict


ROWS = [{"key": "took_ms", "value": 12}, {"key": "items", "value": 3}]


def with_row(at: int, value: int) -> list[object]:
    return [{**row, "value": value} if n == at else row for n, row in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("row", "verdict"),
    [pytest.param(0, "ignored", id="the row"), pytest.param(1, "mismatched", id="another row")],
)
def test_a_rule_calls_a_row_by_its_key(row, verdict):
    pair = [document({"rows": each}) for each in (ROWS, with_row(row, 99))]

    assert verdict == compare(*pair, rules("$.rows[key=took_ms].value")).verdict


def test_a_row_that_a_rule_calls_by_key_may_stand_anywhere():
    pair = [document({"rows": each[::-1]}) for each in (ROWS, with_row(0, 99))]

    assert "ignored" == compare(*pair, rules("$.rows[key=took_ms].value")).verdict


def test_rows_are_not_called_by_what_may_be_the_name_of_a_person():
    people = [{"name": "mary", "n": 1}, {"name": "jane", "n": 2}]
    changed = [people[0], {"name": "jane", "n": 3}]
    agreed = rules("$[name=jane].n")

    assert "mismatched" == compare(document(people), document(changed), agreed).verdict


KINDS = [
    pytest.param({"v": "abc"}, {"v": "xyz"}, ("value",), "ignored", id="its kind"),
    pytest.param({"v": "abc"}, {}, ("value",), "mismatched", id="a loss"),
    pytest.param({}, {"v": "abc"}, ("value",), "mismatched", id="something added"),
    pytest.param({"v": "12"}, {"v": 12}, ("value",), "mismatched", id="another type"),
    pytest.param({"v": 12}, {"v": 12.5}, ("value",), "mismatched", id="a whole number and not"),
    pytest.param({"v": 12}, {"v": 12.5}, ("value", "type"), "ignored", id="types are agreed"),
    pytest.param({"v": "abc"}, {}, (), "ignored", id="a rule without kinds"),
]


@pytest.mark.parametrize(("control", "candidate", "kinds", "verdict"), KINDS)
def test_a_rule_covers_the_kinds_it_names(control, candidate, kinds, verdict):
    pair = document(control), document(candidate)

    assert verdict == compare(*pair, rules("$.v", kinds=kinds)).verdict


def test_same_shape_of_a_kind_covers_no_other_type_of_number():
    pair = document({"v": 12}), document({"v": 12.5})

    assert ["mismatched", "ignored"] == [
        compare(*pair, rules("$.v", SameShape(), kinds)).verdict for kinds in (("value",), ())
    ]


def test_names_stay_readable_in_what_is_stored():
    path = "html:/form/input[@name=csrfmiddlewaretoken]/@value"

    assert (path, True) == (redacted_path_shape(path), is_showable_path_shape(path))


KEYS = ("key", "code", "slug", "metric", "field", "name")
STEPS = [
    pytest.param("extra", "html:/input[3]", "html:/input[3]", id="extra: another's index"),
    pytest.param("missing", "html:/input[3]", "html:/input[@name=c]", id="missing: its own"),
    pytest.param("extra", "html:/form[2]/b", "html:/form[@name=pay]/b", id="within a named one"),
    pytest.param("extra", "html:/input[2]/@class", "html:/input[@name=b]/@class", id="attribute"),
    pytest.param("text", "html:/row-7731/text()", "html:/row-7731/text()", id="a tag like data"),
    pytest.param("text", "html:", "html:", id="the page itself"),
]


@pytest.mark.parametrize(("kind", "path", "named"), STEPS)
def test_each_step_to_an_element_is_named_but_one_that_the_control_lacks(kind, path, named):
    root = parse_html(
        "<input name=a><input name=b><input name=c><form name=find></form><form name=pay></form>"
        "<row-7731 name=total>1</row-7731>"
    )

    assert (named, path) == HtmlPathNaming(root).paths_of_difference(kind, path)


@pytest.mark.parametrize("key", KEYS)
def test_a_row_is_called_by_each_of_the_keys(key):
    names = JsonPathNaming([{key: "took_ms"}, {key: "all_items"}])

    assert f"$[{key}=all_items].n" == names.paths_of_difference("value", "$[1].n").other


def test_a_row_is_called_by_the_first_key_of_the_list():
    row = dict.fromkeys(reversed(KEYS), "took_ms")
    names = JsonPathNaming([row, dict.fromkeys(KEYS, "all_items")])

    assert ("$[key=took_ms]", KEYS[0]) == (names.paths_of_difference("value", "$[0]").other, "key")


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        pytest.param("extra", "$[1]", id="a row that the control lacks"),
        pytest.param("value", "$[2].value", id="beyond the rows of the control"),
        pytest.param("value", "$[0].value\N{HORIZONTAL ELLIPSIS}", id="cut at the end"),
        pytest.param("value", "$[0]\N{HORIZONTAL ELLIPSIS}.value", id="cut in the middle"),
    ],
)
def test_a_row_that_cannot_be_known_keeps_its_index(kind, path):
    assert (path, path) == JsonPathNaming(ROWS).paths_of_difference(kind, path)


def test_rows_of_each_list_are_called_by_its_own_key():
    lists = {"by_key": ROWS, "by_code": [{"code": "net"}, {"code": "gross"}]}
    names = JsonPathNaming(lists)
    found = [
        names.paths_of_difference("value", path).other for path in ("$.by_key[0]", "$.by_code[1]")
    ]

    assert ["$.by_key[key=took_ms]", "$.by_code[code=gross]"] == found
