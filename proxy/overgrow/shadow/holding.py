"""What the rules of today hold back of noise, of either side: a value that migrated stops to renew shows here.

Pure. A rule that was accepted for a token that both sides renew hides that migrated answers one value for
ever since. Where both sides are asked twice it is counted, by the path of the rule, in how many pairs the
rule covered what differs between the two answers of one side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from overgrow.shadow.compare.findings import Finding
from overgrow.shadow.rules.comparators import Ignore, SameShape

SURE = 20  # pairs in which legacy's two answers differ, and migrated's never do
MAX_HELD = 200  # rules of one route that are counted


class Held(NamedTuple):
    """In how many pairs one rule covered what differs between two answers of a side."""

    legacy: int
    migrated: int


class Figures(Protocol):
    """What was learned of one route."""

    @property
    def held(self) -> Mapping[str, Held]:
        """What rules cover, by their path."""


class Constant(NamedTuple):
    """The path of a rule at which legacy's value changes and migrated's never does."""

    path: str
    different: int


def held_by_rules(own: Iterable[Finding], others: Iterable[Finding]) -> dict[str, Held]:
    """Return what one pair of either side shows; clocks and orders stand still by chance, and do not count."""
    legacy, migrated = _paths(own), _paths(others)
    found = sorted(legacy | migrated)[:MAX_HELD]
    return {path: Held(int(path in legacy), int(path in migrated)) for path in found}


def _paths(findings: Iterable[Finding]) -> set[str]:
    rules = (each.rule for each in findings if each.rule is not None)
    return {rule.path for rule in rules if isinstance(rule.how, SameShape | Ignore)}


def held_together(one: Mapping[str, Held], other: Mapping[str, Held]) -> dict[str, Held]:
    """Return the figures of more pairs, in any order."""
    nothing = Held(0, 0)
    both = {
        path: Held(*map(sum, zip(one.get(path, nothing), other.get(path, nothing), strict=True)))
        for path in one.keys() | other.keys()
    }
    most = sorted(both, key=lambda path: (-both[path].legacy, path))[:MAX_HELD]
    return {path: both[path] for path in sorted(most)}


def constants(latest_first: Iterable[Figures]) -> tuple[Constant, ...]:
    """Return the paths of rules that may hide a constant of migrated, by the latest figures that suffice."""
    sure: dict[str, Held] = {}
    for noise in latest_first:
        newer = {path: each for path, each in sure.items() if each.legacy < SURE}
        older = {
            path: each for path, each in noise.held.items() if path in newer or path not in sure
        }
        sure |= held_together(newer, older)
    return tuple(
        Constant(path, each.legacy)
        for path, each in sorted(sure.items())
        if each.legacy >= SURE and not each.migrated
    )
