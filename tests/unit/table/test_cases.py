"""Golden files: each cases/NAME.yaml has the exact text of its problems in cases/NAME.expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from overgrow.table.reading.parse import AppRule, parse
from overgrow.table.reading.problems import CODES

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.stem for path in CASES.glob("*.yaml"))
RULES = [
    AppRule("/orders/<int:order_id>", frozenset({"GET", "HEAD", "OPTIONS"})),
    AppRule("/orders", frozenset({"GET", "HEAD", "OPTIONS"})),
    AppRule("/orders", frozenset({"POST", "OPTIONS"})),
    AppRule("/account/<money:amount>", frozenset({"GET", "HEAD"})),
    AppRule("/accounting", None),
]


def problems_in(name: str) -> str:
    loaded = parse(
        (CASES / f"{name}.yaml").read_bytes(),
        file=f"{name}.yaml",
        env={},
        rules=RULES if name == "app-rules" else None,
    )
    return "".join(f"{problem}\n" for problem in loaded.problems)


@pytest.mark.parametrize("name", NAMES)
def test_the_problems_of_a_bad_file_read_as_expected(name):
    expected = (CASES / f"{name}.expected").read_text()

    assert expected == problems_in(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_file_gives_problems_in_file_order_and_no_table(name):
    loaded = parse((CASES / f"{name}.yaml").read_bytes(), file="x", env={}, rules=RULES)
    places = [(problem.line, problem.column) for problem in loaded.problems]

    assert loaded.table is None
    assert sorted(places) == places
    assert places


def test_every_code_has_a_case():
    shown = {
        line.rpartition("[")[2].rstrip("]\n")
        for name in NAMES
        for line in problems_in(name).splitlines()
    }

    # the codes about files on disk and two tables stand in test_holder.py, test_watch.py, test_parse.py and test_weakened.py,
    # that about a table without an app in tests/unit/cli/test_without_an_app.py
    assert set(CODES) - shown == {
        "app-missing",
        "file-missing",
        "file-too-large",
        "file-unseen",
        "irreversible-weakened",
        "tls-ca",
    }
