"""docs/comparing.md, held to the code: its examples are run, its tables compared with ours."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from overgrow.shadow.compare.compare import compare
from overgrow.shadow.findings.proposing import NEEDED
from overgrow.shadow.rules.comparators import Comparator, Ignore, NumberTolerance, TimestampWithin
from overgrow.shadow.rules.file import CODES, parse_rules_file
from overgrow.shadow.rules.rules import Rule, Rules
from overgrow.shadow.values.difference import SEVERITIES
from overgrow.shadow.values.kinds import RULE_KINDS
from overgrow.shadow.values.snapshot import ResponseSnapshot

PAGE = (Path(__file__).resolve().parents[3] / "docs/comparing.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```compare\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
HOWS: dict[str, Comparator] = {
    "ignore": Ignore(),
    "timestamp_within 5s": TimestampWithin(5),
    "tolerance 0.001": NumberTolerance(Decimal("0.001")),
}


def answer(text: str) -> ResponseSnapshot:
    kind = b"text/html" if text.startswith("<") else b"application/json"
    return ResponseSnapshot(200, ((b"content-type", kind),), text.encode())


def rule(text: str) -> Rule:
    path, _, how = text.partition(" ")
    return Rule(path, HOWS[how], "ada", "an example", date(2027, 1, 1))


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_finds_what_the_page_says(example):
    lines = example.splitlines()
    control, candidate = (answer(line.split(None, 1)[1]) for line in lines[:2])
    agreed = [line.split(None, 1)[1] for line in lines if line.startswith("rule ")]

    found = compare(control, candidate, Rules(tuple(rule(each) for each in agreed)))

    assert lines[2 + len(agreed) :] == [str(each) for each in found.differences]


def test_there_are_examples():
    assert len(EXAMPLES) == 4


def test_the_rules_of_the_page_are_read_without_a_problem():
    texts = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    found = [
        parse_rules_file(text.encode(), file="c.yaml", today=date(2026, 11, 22)) for text in texts
    ]

    assert [each.problems for each in found] == [(), ()]
    assert [(len(each.rules.rules), len(each.rules.show)) for each in found] == [(3, 0), (0, 1)]


@pytest.mark.parametrize("severity", ["high", "medium", "low"])
def test_the_kinds_of_a_severity_are_those_of_the_page(severity):
    [row] = [row for row in rows() if row[0] == severity]

    assert {kind for kind, own in SEVERITIES.items() if own == severity} == set(
        re.findall(r"[a-z-]+", row[1])
    )


def test_the_finer_kinds_of_the_page_are_ours():
    table = PAGE.partition("| finer kind |")[2].partition("\n\n")[0]
    told = [row.split("|")[1] for row in table.splitlines()[2:]]

    assert {*RULE_KINDS} - {*SEVERITIES} == {*re.findall(r"[a-z-]+", " ".join(told))}


def test_the_codes_of_the_page_are_ours():
    told = {row[0]: row[1] for row in rows() if row[0] in CODES}

    assert dict(CODES) == told


def test_the_thresholds_of_the_page_are_ours():
    told = {row[0]: row[2:] for row in rows() if len(row) == 5 and row[0] in NEEDED}

    assert told == {
        name: [str(need.seen), str(need.different), f"{need.rate * 100:g}%"]
        for name, need in NEEDED.items()
    }
