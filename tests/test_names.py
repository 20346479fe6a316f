"""Names: a function is verb + noun, or a noun; a class name has one meaning; a test's name is short.

A bare participle says neither what is done nor to what: `_told` might send, print or return. As a
boolean it has `is_` or `has_` before it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "proxy" / "overgrow"
LONGEST_TEST_NAME = 70
IRREGULAR = frozenset(
    [
        "begun",
        "bought",
        "bound",
        "broken",
        "brought",
        "built",
        "caught",
        "chosen",
        "done",
        "drawn",
        "driven",
        "fallen",
        "felt",
        "forbidden",
        "forgotten",
        "found",
        "frozen",
        "given",
        "gone",
        "grown",
        "heard",
        "held",
        "hidden",
        "hung",
        "kept",
        "known",
        "laid",
        "led",
        "left",
        "lent",
        "lost",
        "made",
        "meant",
        "met",
        "paid",
        "risen",
        "said",
        "seen",
        "sent",
        "shaken",
        "shown",
        "slept",
        "spent",
        "spoken",
        "stolen",
        "stood",
        "struck",
        "stuck",
        "sworn",
        "taken",
        "taught",
        "thought",
        "thrown",
        "told",
        "torn",
        "undone",
        "understood",
        "unknown",
        "unseen",
        "unsent",
        "untold",
        "woken",
        "won",
        "worn",
        "written",
    ]
)
VERBS_IN_ED = frozenset(
    [
        "bleed",
        "breed",
        "embed",
        "exceed",
        "feed",
        "heed",
        "need",
        "proceed",
        "seed",
        "shed",
        "shred",
        "speed",
    ]
)
EXCEPTIONS: dict[str, str] = {}  # at most ten: a name, and why it must be so


def is_bare_participle(name: str) -> bool:
    """Return whether a function's name is one word, and that a past participle."""
    word = name.strip("_")
    if "_" in word or word in VERBS_IN_ED:
        return False
    return word.endswith("ed") or word in IRREGULAR


def definitions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Give each class and function with its qualified name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield within + node.name, node
            yield from definitions(node, f"{within}{node.name}.")
        else:
            yield from definitions(node, within)


def names_in(folder: Path) -> Iterator[tuple[str, str, ast.AST]]:
    """Give path, qualified name and node of all that is defined in a folder."""
    for path in sorted(folder.rglob("*.py")):
        for name, node in definitions(ast.parse(path.read_text("utf-8"))):
            yield str(path.relative_to(folder)), name, node


def bare_participles(folder: Path) -> list[str]:
    return [
        f"{path}: {name}"
        for path, name, node in names_in(folder)
        if not isinstance(node, ast.ClassDef) and is_bare_participle(name.rpartition(".")[2])
    ]


def shared_class_names(folder: Path) -> dict[str, list[str]]:
    places = defaultdict(list)
    for path, name, node in names_in(folder):
        if isinstance(node, ast.ClassDef):
            places[name.rpartition(".")[2].lstrip("_")].append(path)
    return {name: paths for name, paths in places.items() if len(paths) > 1}


def test_no_function_is_named_by_a_bare_participle():
    found = [each for each in bare_participles(PACKAGE) if each not in EXCEPTIONS]

    assert [] == found


def test_no_class_name_has_two_meanings():
    found = {name: at for name, at in shared_class_names(PACKAGE).items() if name not in EXCEPTIONS}

    assert {} == found


def test_the_exceptions_are_few_and_used():
    used = {*bare_participles(PACKAGE), *shared_class_names(PACKAGE)}

    assert set(EXCEPTIONS) <= used
    assert len(EXCEPTIONS) <= 10


def test_participles_and_shared_names_are_found(tmp_path):
    (tmp_path / "a.py").write_text("class A:\n    def _told(self): ...\ndef feed(): ...\n")
    (tmp_path / "b.py").write_text("class _A: ...\nasync def merged(): ...\ndef is_merged(): ...\n")

    assert ["a.py: A._told", "b.py: merged"] == bare_participles(tmp_path)
    assert {"A": ["a.py", "b.py"]} == shared_class_names(tmp_path)


def test_the_names_of_tests_can_be_read_at_a_glance():
    tests = (name.rpartition(".")[2] for _, name, _ in names_in(ROOT / "tests"))

    assert [] == [name for name in tests if len(name) > LONGEST_TEST_NAME]
