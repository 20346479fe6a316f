"""Counts how often rules cover the noise of each side, to find a value that migrated no longer renews.

Pure. Suppose that a rule was accepted for a token that both sides renew. If migrated later sends the same token
each time, the rule hides this fault. To find such faults, this module uses requests for which both sides were
asked twice. For each rule's path, it counts the pairs of one side's responses in which the rule covered a
difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from overgrow.shadow.compare.findings import Finding
from overgrow.shadow.rules.comparators import Ignore, SameShape

SURE_AFTER_PAIRS = 20  # pairs in which legacy's two responses differ and migrated's never do
MAX_RULES = 200  # rules of one route that are counted


class CoveredNoise(NamedTuple):
    """The number of pairs in which one rule covered a difference between two responses of the same side."""

    legacy: int
    migrated: int


class CoveredNoiseFigures(Protocol):
    """The figures that were learned for one route."""

    @property
    def covered_noise(self) -> Mapping[str, CoveredNoise]:
        """The counts by the path of a rule."""


class HiddenConstant(NamedTuple):
    """The path of a rule at which legacy's value changes and migrated's value never changes."""

    path: str
    different: int


def count_covered_noise(
    own: Iterable[Finding], others: Iterable[Finding]
) -> dict[str, CoveredNoise]:
    """Return for the path of each covering rule the sides whose two responses differ there.

    `own` are the findings between legacy's two responses, and `others` those between migrated's two responses.

    Only rules with `same_shape` or `ignore` count, because times and orders may be equal by chance.
    """
    legacy, migrated = _paths_of_covering_rules(own), _paths_of_covering_rules(others)
    found = sorted(legacy | migrated)[:MAX_RULES]
    return {path: CoveredNoise(int(path in legacy), int(path in migrated)) for path in found}


def _paths_of_covering_rules(findings: Iterable[Finding]) -> set[str]:
    rules = (each.rule for each in findings if each.rule is not None)
    return {rule.path for rule in rules if isinstance(rule.how, SameShape | Ignore)}


def sum_covered_noise(
    one: Mapping[str, CoveredNoise], other: Mapping[str, CoveredNoise]
) -> dict[str, CoveredNoise]:
    """Return the sum of two counts. Their order does not matter."""
    nothing = CoveredNoise(0, 0)
    both = {
        path: CoveredNoise(
            *map(sum, zip(one.get(path, nothing), other.get(path, nothing), strict=True))
        )
        for path in one.keys() | other.keys()
    }
    most = sorted(both, key=lambda path: (-both[path].legacy, path))[:MAX_RULES]
    return {path: both[path] for path in sorted(most)}


def find_hidden_constants(
    latest_first: Iterable[CoveredNoiseFigures],
) -> tuple[HiddenConstant, ...]:
    """Return the paths of rules that may hide a constant of migrated.

    Each path is judged by its latest figures. Older figures are added only until there are SURE_AFTER_PAIRS
    pairs.
    """
    sure: dict[str, CoveredNoise] = {}
    for noise in latest_first:
        newer = {path: each for path, each in sure.items() if each.legacy < SURE_AFTER_PAIRS}
        older = {
            path: each
            for path, each in noise.covered_noise.items()
            if path in newer or path not in sure
        }
        sure |= sum_covered_noise(newer, older)
    return tuple(
        HiddenConstant(path, each.legacy)
        for path, each in sorted(sure.items())
        if each.legacy >= SURE_AFTER_PAIRS and not each.migrated
    )
