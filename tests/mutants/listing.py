"""The lists of mistakes: one a line, in YAML's flow style, so that a line says all.

    - {is: a bucket at the limit is taken, in: proxy/overgrow/routing/cohort.py, was: "a < b", now: "a <= b",
       tests: tests/unit/routing/test_cohort.py}

`was` stands exactly once in the file. A mistake that no test can notice has `unnoticed: WHY`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

_FIELDS = {"is", "in", "was", "now", "tests", "unnoticed"}


class ListError(Exception):
    """A list that cannot be used, with its name, what is wrong and the fix."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake: the text that it replaces in a file, and the tests that should notice."""

    area: str
    title: str
    file: str
    was: str
    now: str
    tests: tuple[str, ...]
    unnoticed: str = ""  # why no test notices it; empty: one must

    def mutate(self, text: str) -> str:
        """The file's text with the mistake in it. Raises ListError where it does not fit."""
        found = text.count(self.was)
        if found != 1:
            raise ListError(
                f"{self.area}: {self.title}: `was` stands {found} times in {self.file}; "
                "it must stand once. Quote the code as it is now."
            )
        return text.replace(self.was, self.now)


def read_lists(folder: Path, names: Sequence[str] = ()) -> list[Mutant]:
    """The mistakes of the named lists, or of all, in the order in which they are written."""
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    for name in names:
        if name not in known:
            raise ListError(f"There is no list {name!r}. The lists are: {', '.join(known)}.")
    return [mutant for name in (names or known) for mutant in _read(known[name])]


def drawn(mutants: Sequence[Mutant], *, percent: int, seed: str) -> list[Mutant]:
    """A share of the mistakes that a seed draws: the same seed, the same share."""
    if percent >= 100:
        return list(mutants)
    ranked = sorted(mutants, key=lambda mutant: _rank(seed, mutant))
    chosen = set(ranked[: -(-len(mutants) * percent // 100)])
    return [mutant for mutant in mutants if mutant in chosen]


def _rank(seed: str, mutant: Mutant) -> bytes:
    return hashlib.sha256(f"{seed}\n{mutant.area}\n{mutant.title}".encode()).digest()


def _read(path: Path) -> list[Mutant]:
    return [_mutant(path.stem, entry) for entry in yaml.safe_load(path.read_text("utf-8"))]


def _mutant(area: str, entry: dict[str, str]) -> Mutant:
    wrong = sorted(entry.keys() - _FIELDS) or sorted(_FIELDS - {"unnoticed"} - entry.keys())
    if wrong:
        raise ListError(f"{area}: {entry}: unknown or missing: {', '.join(wrong)}")
    if entry["was"] == entry["now"]:
        raise ListError(f"{area}: {entry['is']}: `was` and `now` are equal.")
    return Mutant(
        area,
        entry["is"],
        entry["in"],
        entry["was"],
        entry["now"],
        tuple(entry["tests"].split()),
        entry.get("unnoticed", ""),
    )
