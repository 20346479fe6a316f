"""How long functions and files are: reported in the summary of a run, never a failure.

A table or a parser is not cut for the count; the numbers are for the eye of a reviewer. What is
tested is only that the measuring is right.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREES = ("proxy/overgrow", "migrated", "legacy_stub")
LONG_FUNCTION = 40
LONG_FILE = 400


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """The lines of a function or a file, decorators and docstrings included."""

    lines: int
    place: str


def functions_of(text: str, place: str) -> Iterator[Size]:
    """Every function of a source text, nested ones too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Size(lines, f"{place}:{node.lineno} {node.name}")


def quantile(sizes: list[Size], share: float) -> int:
    """The size below which a share of the sorted sizes lies; 0 for none."""
    return sorted(sizes)[min(int(len(sizes) * share), len(sizes) - 1)].lines if sizes else 0


def above(sizes: list[Size], limit: int) -> list[str]:
    """The places longer than the limit, longest first."""
    return [
        f"{size.place} {size.lines}" for size in sorted(sizes, reverse=True) if size.lines > limit
    ]


def report(functions: list[Size], files: list[Size]) -> list[str]:
    """The lines a reviewer reads."""
    median, p90 = quantile(functions, 0.5), quantile(functions, 0.9)
    long_functions, long_files = above(functions, LONG_FUNCTION), above(files, LONG_FILE)
    return [
        f"functions: {len(functions)}, median {median} lines (aim 8), p90 {p90} (aim 25)",
        f"functions over {LONG_FUNCTION} lines: {'; '.join(long_functions) or 'none'}",
        f"files over {LONG_FILE} lines: {'; '.join(long_files) or 'none'}",
    ]


def test_the_shape_of_the_code_is_reported(shape_report):
    texts = {
        str(path.relative_to(ROOT)): path.read_text("utf-8")
        for tree in TREES
        for path in (ROOT / tree).rglob("*.py")
    }
    functions = [size for place, text in texts.items() for size in functions_of(text, place)]
    files = [Size(text.count("\n"), place) for place, text in texts.items()]

    shape_report[:] = report(functions, files)

    assert functions


def test_a_nested_function_counts_by_itself_and_within_the_outer_one():
    text = "def outer():\n    def inner():\n        return 1\n    return inner\n"

    assert list(functions_of(text, "x.py")) == [Size(4, "x.py:1 outer"), Size(2, "x.py:2 inner")]


def test_quantiles_are_of_the_sorted_sizes():
    sizes = [Size(lines, "x") for lines in (30, 1, 2, 3, 4, 5, 6, 7, 8, 9)]

    assert [quantile(sizes, share) for share in (0.5, 0.9, 1.0)] == [6, 30, 30]


def test_only_what_exceeds_the_limit_is_named_and_the_longest_first():
    sizes = [Size(40, "a"), Size(41, "b"), Size(99, "c")]

    assert above(sizes, 40) == ["c 99", "b 41"]
