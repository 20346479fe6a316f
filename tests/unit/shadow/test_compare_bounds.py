"""Answers of more than is looked at are compared more coarsely, or not at all, and it is said."""

from __future__ import annotations

import json
from datetime import date

import pytest

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.compare.findings import MAX_JUDGED, MAX_READ
from overgrow.shadow.compare.json_bodies import MAX_VALUES
from overgrow.shadow.compare.text_bodies import MAX_LINES
from overgrow.shadow.findings.noise import measure_pair_noise
from overgrow.shadow.redact.html_tokens import MAX_ATTRIBUTES, MAX_DISTINCT, MAX_TOKENS
from overgrow.shadow.rules.comparators import Ignore, SameShape
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.snapshot import ResponseSnapshot


def answer(media, body):
    return ResponseSnapshot(200, ((b"content-type", media.encode()),), body.encode())


def paths(media, control, candidate):
    found = compare(answer(media, control), answer(media, candidate))
    return [each.path for each in found.differences]


def rules(path, how):
    return Rules((Rule(path, how, "ada", "why", date(2030, 1, 1)),))


@pytest.mark.parametrize(
    ("tags", "path"),
    [
        pytest.param(MAX_TOKENS - 1, "html:/b/text()", id="as many tags as are looked at"),
        pytest.param(MAX_TOKENS, "text:line[1]", id="one more"),
    ],
)
def test_a_page_of_more_tags_than_are_looked_at_is_text(tags, path):
    page = "<br>" * tags + "<b>"

    assert paths("text/html", page + "a", page + "b") == [path]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        pytest.param(MAX_DISTINCT - 3, "html:/form/b/text()", id="as many as are looked at"),
        pytest.param(MAX_DISTINCT - 2, "text:line[1]", id="one more"),
    ],
)
def test_a_page_of_more_different_tags_than_are_looked_at_is_text(fields, path):
    page = "<form>" + "".join(f"<input name=f{at}>" for at in range(fields)) + "<b>"

    assert paths("text/html", page + "a", page + "b") == [path]


def test_a_page_with_a_tag_of_more_attributes_than_are_looked_at_is_text():
    tag = "<a " + " ".join(f"a{at}=1" for at in range(MAX_ATTRIBUTES + 1)) + ">"

    assert paths("text/html", tag + "a", tag + "b") == ["text:line[1]"]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        pytest.param(MAX_VALUES - 1, "$[0]", id="as many values as are looked at"),
        pytest.param(MAX_VALUES + 1, "text:line[1]", id="more"),
    ],
)
def test_a_document_of_more_values_than_are_looked_at_is_text(values, path):
    control, candidate = ([number] + [0] * (values - 1) for number in (1, 2))

    assert paths("application/json", json.dumps(control), json.dumps(candidate)) == [path]


def test_a_text_of_more_lines_than_are_looked_at_is_bytes():
    text = "\n" * (MAX_LINES + 1)

    assert paths("text/plain", text + "a", text + "b") == [f"bytes[{MAX_LINES + 1}]"]


@pytest.mark.parametrize(
    ("places", "undecided"),
    [
        pytest.param(MAX_JUDGED, "", id="as many as are judged"),
        pytest.param(MAX_JUDGED + 1, "too-much-work", id="one more"),
    ],
)
@pytest.mark.parametrize("how", [Ignore(), SameShape()], ids=str)
def test_of_more_covered_differences_than_are_judged_nobody_knows(places, undecided, how):
    control, candidate = (
        answer("application/json", json.dumps([number] * places)) for number in (1, 2)
    )

    found = compare(control, candidate, rules("$[*]", how))

    assert (found.verdict, found.undecided) == ("ignored", undecided)


def test_a_mismatch_among_more_differences_than_are_judged_is_known():
    control = {"a": 1, "b": [1] * (MAX_JUDGED + 1)}
    candidate = {"a": 2, "b": [2] * (MAX_JUDGED + 1)}
    pair = [answer("application/json", json.dumps(each)) for each in (control, candidate)]

    found = compare(*pair, rules("$.b[*]", Ignore()))

    assert found.verdict == "mismatched"


def test_numbers_without_end_are_told_as_they_are_written():
    pair = [answer("application/json", "0." + digit * 100_000) for digit in "12"]

    (difference,) = compare(*pair).differences

    assert (difference.kind, difference.path) == ("value", "$")


def test_nobody_looks_for_pieces_in_texts_too_long_to_have_a_shape(monkeypatch):
    def refuse(_text):
        raise AssertionError

    monkeypatch.setattr("overgrow.shadow.findings.path_variation.variable_pieces_of", refuse)
    pair = [answer("text/plain", f"a{digit} " * 10_000) for digit in "12"]

    assert measure_pair_noise("pair", *pair).pairs == 1


def test_long_texts_that_rules_allow_are_read_up_to_a_bound():
    length = 4000
    lines = [
        [f"{at + number} ".ljust(length, "x") for at in range(MAX_READ // length)]
        for number in (1, 2)
    ]
    pair = [answer("text/plain", "\n".join(each)) for each in lines]

    found = compare(*pair, rules("text:line[*]", SameShape()))
    few = compare(
        *(answer("text/plain", "\n".join(each[:20])) for each in lines),
        rules("text:line[*]", SameShape()),
    )

    assert ("too-much-work", "") == (found.undecided, few.undecided)


def test_a_mistake_is_told_though_more_was_read_than_is_looked_at():
    length = 4000
    many = [
        [f"{at + number} ".ljust(length, "x") for at in range(MAX_READ // length)]
        for number in (1, 2)
    ]
    pair = [
        answer("text/plain", "\n".join([word, *each]))
        for word, each in zip(("a", "b"), many, strict=True)
    ]

    assert compare(*pair, rules("text:line[*]", SameShape())).verdict == "mismatched"
