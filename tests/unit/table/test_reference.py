"""docs/routes-yaml.md is true: its examples parse, its problem examples say just that."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from overgrow.table.reading.grammar import COHORT, FALLBACK, LEGACY, REQUIRE, ROUTE, SHADOW, TOP
from overgrow.table.reading.parse import parse
from overgrow.table.reading.problems import CODES, NOTES, REFUSALS

ROOT = Path(__file__).resolve().parents[3]
DOC = (ROOT / "docs/routes-yaml.md").read_text()
SCHEMA = json.loads((ROOT / "proxy/overgrow/routes.schema.json").read_text())
BLOCK = re.compile(r"(?:<!-- problem: (?P<problem>.*?) -->\n)?```yaml\n(?P<text>.*?)```", re.DOTALL)
EXAMPLES = [(match["text"], match["problem"]) for match in BLOCK.finditer(DOC)]


@pytest.mark.parametrize(("text", "problem"), EXAMPLES)
def test_an_example_is_valid_or_says_its_problem(text, problem):
    found = parse(text.encode(), file="routes.yaml", env={}, rules=None).problems

    assert [str(one) for one in found] == ([problem] if problem else [])


@pytest.mark.parametrize("text", [text for text, problem in EXAMPLES if problem is None])
def test_a_valid_example_satisfies_the_schema(text):
    jsonschema.Draft202012Validator(SCHEMA).validate(yaml.safe_load(text))


def test_there_are_examples_of_both_kinds():
    assert {problem is None for _, problem in EXAMPLES} == {True, False}


@pytest.mark.parametrize(("code", "meaning"), [*CODES.items(), *NOTES.items(), *REFUSALS.items()])
def test_every_code_is_documented_with_its_meaning(code, meaning):
    assert f"| `{code}` | {meaning} |" in DOC


@pytest.mark.parametrize("field", [*TOP, *LEGACY, *COHORT, *ROUTE, *SHADOW, *FALLBACK, *REQUIRE])
def test_every_field_has_a_row(field):
    assert f"\n| `{field}` |" in DOC


def test_the_example_of_every_field_has_every_field():
    everything = yaml.safe_load(EXAMPLES[1][0])
    routes = {name for route in everything["routes"] for name in route}

    assert set(everything) == set(TOP)
    assert set(everything["legacy"]) == set(LEGACY)
    assert set(everything["cohort"]) == set(COHORT)
    assert routes == set(ROUTE)
    assert set(everything["routes"][0]["shadow"]) == set(SHADOW)
    assert set(everything["routes"][0]["fallback"]) == set(FALLBACK)
    assert set(everything["routes"][0]["require"]) == set(REQUIRE)


def test_the_demo_table_is_valid_and_has_migrated_and_legacy_routes():
    table = parse((ROOT / "routes.yaml").read_bytes(), file="routes.yaml", env={}, rules=None).table

    assert {"legacy", "migrated"} == {route.target for route in table.routes}
