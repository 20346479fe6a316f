"""Kinds that rules name: a rule learned of one class of change hides no change of another class."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.findings.noise import measure_pair_noise
from overgrow.shadow.findings.proposing import propose_rules
from overgrow.shadow.rules.comparators import Ignore
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.difference import ABSENT, DuplicateKeyValues, NotANumber
from overgrow.shadow.values.kinds import class_change_between
from overgrow.shadow.values.snapshot import ResponseSnapshot

DAY = date(2027, 1, 1)
PAIRS = 120
WORDS = ("red", "green", "blue", "sand")


def document(value: object, *headers: tuple[bytes, bytes]) -> ResponseSnapshot:
    body = json.dumps(value).encode()
    return ResponseSnapshot(200, ((b"content-type", b"application/json"), *headers), body)


def member(value: object) -> ResponseSnapshot:
    return document({"v": value})


def attribute(value: str) -> ResponseSnapshot:
    page = f'<form><input name=shown value="{value}"></form>'
    return ResponseSnapshot(200, ((b"content-type", b"text/html"),), page.encode())


def cell(value: str) -> ResponseSnapshot:
    return ResponseSnapshot(
        200, ((b"content-type", b"text/plain"),), f"{value}\nTotal 3\n".encode()
    )


def header(value: str) -> ResponseSnapshot:
    return document({}, (b"x-shown", value.encode()))


def cookie(value: str) -> ResponseSnapshot:
    return document({}, (b"set-cookie", f"shown={value}; Path=/".encode()))


def flag(value: str) -> ResponseSnapshot:
    return document({}, (b"set-cookie", f"shown=1; Path={value}".encode()))


def accepted(answer_of: Callable[[int], ResponseSnapshot]) -> Rules:
    """What is proposed and accepted of noise in three rounds, as a person would."""
    agreed = Rules.none
    for _ in range(3):
        found = (
            measure_pair_noise(f"{at}", answer_of(2 * at), answer_of(2 * at + 1), agreed)
            for at in range(PAIRS)
        )
        noise = functools.reduce(operator.add, found)
        agreed = agreed.with_shared_rules(
            Rules(tuple(each.to_rule("ada", "noise", DAY) for each in propose_rules(noise)))
        )
    return agreed


def drawn(number: int, *values: object) -> object:
    """One of some values, by a number whose neighbours share nothing."""
    return values[number * 7 % 11 % len(values)]


def absent(number: int) -> bool:
    return number * 7 % 11 % 2 == 0


# Legacy's noise, and what migrated says instead of each of its values: another class of value.
MISTAKES = [
    *(
        pytest.param(
            lambda n: drawn(n, None, n * 7919), member, mistake, id=f"null or number, {name}"
        )
        for name, mistake in {
            "a text": lambda v: v if v is None else str(v),
            "a list": lambda v: v if v is None else [v],
            "true": lambda v: v if v is None else True,
            "an object": lambda v: v if v is None else {"n": v},
            "always a text": str,
            "empty for null": lambda v: "" if v is None else v,
            "zero for null": lambda v: False if v is None else v,
        }.items()
    ),
    *(
        pytest.param(lambda n: drawn(n, None, *WORDS), member, mistake, id=f"null or word, {name}")
        for name, mistake in {
            "empty": lambda v: v if v is None else "",
            "always empty": lambda v: "",
            "a number": lambda v: v if v is None else 3,
            "an empty list": lambda v: v if v is None else [],
            "empty for null": lambda v: "" if v is None else v,
            "none for null": lambda v: [] if v is None else v,
            "gone": lambda v: ABSENT,
        }.items()
    ),
    *(
        pytest.param(
            lambda n: drawn(n, None, n, n + 0.5), member, mistake, id=f"null or point, {name}"
        )
        for name, mistake in {
            "a text": lambda v: v if v is None else str(v),
            "false": lambda v: v if v is None else False,
        }.items()
    ),
    *(
        pytest.param(lambda n: drawn(n, 7, "7"), member, mistake, id=f"number or text, {name}")
        for name, mistake in {
            "null": lambda v: None,
            "a list": lambda v: [v],
            "true": lambda v: True,
            "empty": lambda v: "" if v == "7" else v,
        }.items()
    ),
    *(
        pytest.param(
            lambda n: drawn(n, False, "late"), member, mistake, id=f"false or text, {name}"
        )
        for name, mistake in {
            "null": lambda v: None,
            "a list": lambda v: [v],
            "zero": lambda v: v or 0,
            "empty for false": lambda v: v or "",
        }.items()
    ),
    *(
        pytest.param(lambda n: drawn(n, 0, False), member, mistake, id=f"zero or false, {name}")
        for name, mistake in {"null": lambda v: None, "a list": lambda v: []}.items()
    ),
    *(
        pytest.param(
            lambda n: drawn(n, [], {"a": 1}), member, mistake, id=f"list or object, {name}"
        )
        for name, mistake in {"null": lambda v: None, "a text": lambda v: "none"}.items()
    ),
    *(
        pytest.param(lambda n: drawn(n, 7, [7]), member, mistake, id=f"one or several, {name}")
        for name, mistake in {"null": lambda v: None, "a text": lambda v: "7"}.items()
    ),
    pytest.param(
        lambda n: [1] * (1 + n * 7 % 11 % 4), member, lambda v: [], id="rows that come and go, none"
    ),
    pytest.param(lambda n: drawn(n, *WORDS), member, lambda v: "", id="words, an empty text"),
    pytest.param(lambda n: drawn(n, *WORDS), attribute, lambda v: "", id="a field, empty"),
    pytest.param(lambda n: drawn(n, *WORDS), cell, lambda v: "", id="a line, empty"),
    pytest.param(lambda n: drawn(n, *WORDS), header, lambda v: "", id="a header, empty"),
    pytest.param(lambda n: drawn(n, *WORDS), cookie, lambda v: "", id="a cookie, empty"),
    pytest.param(lambda n: f"/{drawn(n, *WORDS)}", flag, lambda v: "", id="an attribute, empty"),
    pytest.param(
        lambda n: {} if absent(n) else {"v": "red"},
        document,
        lambda v: v and {"v": None},
        id="there or not, null",
    ),
    pytest.param(
        lambda n: {} if absent(n) else {"v": "red"},
        document,
        lambda v: v and {"v": ""},
        id="there or not, empty",
    ),
    pytest.param(
        lambda n: {} if absent(n) else {"v": [1, 2]},
        document,
        lambda v: v and {"v": []},
        id="there or not, an empty list",
    ),
]


def mistaken(answer_of: Callable[[object], ResponseSnapshot], value: object) -> ResponseSnapshot:
    return document({}) if value is ABSENT else answer_of(value)


@pytest.mark.parametrize(("noisy", "answer_of", "mistake"), MISTAKES)
def test_a_mistake_of_another_class_is_found_beside_noise(noisy, answer_of, mistake):
    agreed = accepted(lambda n: answer_of(noisy(n)))

    verdicts = [
        compare(answer_of(noisy(n)), mistaken(answer_of, mistake(noisy(n))), agreed).verdict
        for n in range(500, 540)
    ]

    assert verdicts.count("mismatched") >= 10


@pytest.mark.parametrize(("noisy", "answer_of", "mistake"), MISTAKES)
def test_noise_of_any_class_is_covered_once_it_is_accepted(noisy, answer_of, mistake):
    agreed = accepted(lambda n: answer_of(noisy(n)))

    verdicts = {
        compare(answer_of(noisy(n)), answer_of(noisy(n + 1)), agreed).verdict
        for n in range(500, 540)
    }

    assert verdicts <= {"ignored", "matched"}


CHANGES = [
    pytest.param(None, 1, "null-number", id="null and a number"),
    pytest.param(None, "", "null-empty", id="null and an empty text"),
    pytest.param(None, False, "null-boolean", id="null and false"),
    pytest.param("a", None, "null-text", id="null and a text"),
    pytest.param([1], None, "null-array", id="null and a list"),
    pytest.param({}, None, "null-object", id="null and an object"),
    pytest.param([], None, "null-empty", id="null and an empty list"),
    pytest.param(1, Decimal("1.5"), "integer-decimal", id="whole and not"),
    pytest.param(1, NotANumber("NaN"), "integer-decimal", id="a number and none"),
    pytest.param(1, "1", "number-text", id="a number and a text"),
    pytest.param(True, 1, "boolean-number", id="true and one"),
    pytest.param("true", True, "boolean-text", id="true and its text"),
    pytest.param([], {}, "array-object", id="a list and an object"),
    pytest.param(0, "", "scalar-empty", id="a number and an empty text"),
    pytest.param(False, [], "scalar-empty", id="false and an empty list"),
    pytest.param([], "", "scalar-empty", id="an empty list and an empty text"),
    pytest.param({"a": 1}, [], "array-object", id="an object and an empty list"),
    pytest.param({"a": 1}, "", "scalar-object", id="an object and an empty text"),
    pytest.param([1], 1, "scalar-array", id="several and one"),
    pytest.param({}, False, "scalar-object", id="an object and false"),
    pytest.param("", "a", "empty", id="an empty text"),
    pytest.param([], [1], "empty", id="an empty list"),
    pytest.param("a", "b", "", id="two texts"),
    pytest.param(True, False, "", id="true and false"),
    pytest.param(1, DuplicateKeyValues([1, 2]), "", id="a key that stands twice"),
    pytest.param(ABSENT, None, "", id="absent and null"),
]


@pytest.mark.parametrize(("one", "other", "change"), CHANGES)
def test_values_of_two_classes_change_as_their_kind_says(one, other, change):
    assert [change, change] == [class_change_between(one, other), class_change_between(other, one)]


def covered(kinds: tuple[str, ...], one: object, other: object) -> bool:
    agreed = Rules((Rule("$.v", Ignore(), "ada", "why", DAY, kinds=kinds),))
    return compare(member(one), member(other), agreed).verdict == "ignored"


@pytest.mark.parametrize(
    ("one", "other"), [(None, 1), ("1", 1), (True, 1), ([], {}), ([1], 1), (1, 1.5)]
)
def test_a_rule_for_type_covers_each_change_of_type(one, other):
    assert covered(("type",), one, other)


@pytest.mark.parametrize(
    ("kinds", "one", "other", "expected"),
    [
        pytest.param(("null",), None, 1, True, id="null"),
        pytest.param(("null-number",), None, 1, True, id="null and a number"),
        pytest.param(("null-number",), None, "1", False, id="null and a text is another change"),
        pytest.param(("null",), "1", 1, False, id="a text for a number is not null"),
        pytest.param(("value",), "a", "", False, id="an empty text is not just a value"),
        pytest.param(("empty",), "a", "", True, id="an empty text"),
        pytest.param(("length",), [1, 2], [], False, id="an empty list is not just a length"),
        pytest.param(("empty",), [1, 2], [], True, id="an empty list"),
        pytest.param((), "a", "", True, id="without kinds all is covered"),
    ],
)
def test_a_rule_covers_the_finer_kinds_that_it_names(kinds, one, other, expected):
    assert expected == covered(kinds, one, other)
