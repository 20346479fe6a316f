"""Regular expressions of the package match alike on every Python that it supports."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overgrow.shadow.redact.html_tokens import compile_token_pattern

PACKAGE = Path(__file__).resolve().parents[1] / "proxy" / "overgrow"
# `()` before it: a list of characters, not the end of a group.
POSSESSIVE_GROUP = re.compile(r"(?<!\()\)(?:[*+?]|\{[0-9,]+\})\+")
PIECES = [
    *(
        "<",
        ">",
        "/",
        "!",
        "-",
        "--",
        "=",
        '"',
        "'",
        " ",
        "a",
        "<p>",
        "</p>",
        "<!--",
        "-->",
        "<a b=",
    ),
    *("<script>", "</script>", "<script ", "<title>", "</title", "x<y", "\n"),
]


def texts_of(source: str) -> list[str]:
    """Each text in a source: whole ones, and the fixed parts of formatted ones."""
    values = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return [
        value if isinstance(value, str) else value.decode("latin-1")
        for value in values
        if isinstance(value, str | bytes)
    ]


def test_no_pattern_repeats_a_group_possessively():
    """CPython before 3.11.5 matches such a pattern wrongly (gh-106052); Debian 12 has 3.11.2."""
    found = [
        f"{path.relative_to(PACKAGE)}: {text}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for text in texts_of(path.read_text("utf-8"))
        if POSSESSIVE_GROUP.search(text)
    ]

    assert [] == found


@pytest.mark.skipif(sys.version_info < (3, 11, 5), reason="this Python has one of both forms")
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_html_is_cut_alike_by_either_form_of_its_pattern(text):
    assert compile_token_pattern("*+").findall(text) == compile_token_pattern("*").findall(text)
