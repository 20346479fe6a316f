"""What differs between two answers of one side is noise: learned from pairs, proposed as rules.

Pure. `observed` looks at one pair, control and control again; Noise adds up in any order, so workers
can merge theirs. A proposal is the narrowest comparator that explains a path's differences, made only
where rates over many pairs justify it (NEEDED); a person accepts it. It is stored, so nothing in it
may tell data: examples hold masked values (letters as x, digits as 9), and a path with a step that
looks like data is left out. No rule could be about it either.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_UP, Context, Decimal
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from proxy.shadow.answer import Answer
from proxy.shadow.comparators import (
    Comparator,
    Ignore,
    KeyedBy,
    SameShape,
    TimestampWithin,
    Tolerance,
    Unordered,
)
from proxy.shadow.compare import findings_of
from proxy.shadow.compare_json import IDENTITIES, keys_of
from proxy.shadow.difference import rendered, shape_of
from proxy.shadow.findings import Finding
from proxy.shadow.likeness import gap_between, have_same_shape, number_of, seconds_between
from proxy.shadow.redact_path import is_readable
from proxy.shadow.rules import Rule, Rules
from proxy.shadow.shapes import shapes_of

MAX_SHAPES = 2_000  # paths that are counted for one route
MAX_EXAMPLES = 5
MAX_MASKED = 80  # characters of a masked value
EXPLAINED_AT_LEAST = 0.95  # of a path's differences; the rest stays a mismatch, not a wider rule
NEAR = Decimal("0.01")  # numbers that differ by less, in relation to their size, get a tolerance


class Need(NamedTuple):
    """What it takes before a comparator is proposed: pairs with the path, pairs that differ, rate."""

    seen: int
    different: int
    rate: float


# A clock in whole seconds differs rarely between two quick answers, and the comparator is narrow.
# Ignoring hides everything, so that it takes a path that differs as a rule.
NEEDED: Mapping[str, Need] = MappingProxyType(
    {
        "timestamp_within": Need(30, 3, 0.001),
        "unordered": Need(30, 3, 0.01),
        "keyed_by": Need(30, 3, 0.01),
        "tolerance": Need(30, 5, 0.05),
        "same_shape": Need(30, 5, 0.05),
        "ignore": Need(50, 25, 0.5),
    }
)
_BOUNDS_S = (1, 2, 5, 10, 30, 60, 300, 900, 3600)  # of timestamps: twice what was seen, or more
_ROUND_UP = Context(prec=1, rounding=ROUND_UP, traps=[])


class Example(NamedTuple):
    """One pair that differed: its id, and what the two values looked like."""

    pair: str
    control: str
    again: str


@dataclass(frozen=True, slots=True)
class Stirring:
    """How one path behaves over many pairs.

    `explained`: in how many pairs a reason holds for all that differs at the path. Reasons are
    `order`, `number`, `shape` and `timestamp N`, N being the bound in seconds that a pair needs.
    `keys`: members that told the items of arrays in another order apart; None before there was one.
    """

    seen: int = 0
    different: int = 0
    explained: Mapping[str, int] = field(default_factory=dict)
    most_gap: Decimal = Decimal(0)
    most_share: Decimal = Decimal(0)  # the gap in relation to the greater number
    keys: tuple[str, ...] | None = None
    examples: tuple[Example, ...] = ()

    def __add__(self, other: Stirring) -> Stirring:
        counts = Counter(self.explained) + Counter(other.explained)
        return Stirring(
            self.seen + other.seen,
            self.different + other.different,
            dict(sorted(counts.items())),
            max(self.most_gap, other.most_gap),
            max(self.most_share, other.most_share),
            _common(self.keys, other.keys),
            tuple(sorted({*self.examples, *other.examples})[:MAX_EXAMPLES]),
        )


def _common(
    first: tuple[str, ...] | None, second: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    if first is None or second is None:
        return second if first is None else first
    return tuple(key for key in first if key in second)


@dataclass(frozen=True, slots=True)
class Noise:
    """What was learned of one route: pairs looked at, and what each path shape did.

    `left_out` counts paths that were not: those beyond MAX_SHAPES, and those that may not be told.
    """

    pairs: int = 0
    shapes: Mapping[str, Stirring] = field(default_factory=dict)
    left_out: int = 0

    none: ClassVar[Noise]

    def __add__(self, other: Noise) -> Noise:
        merged = dict(self.shapes)
        for shape, stirring in other.shapes.items():
            merged[shape] = merged[shape] + stirring if shape in merged else stirring
        kept = _kept(merged)
        left_out = self.left_out + other.left_out + len(merged) - len(kept)
        return Noise(self.pairs + other.pairs, kept, left_out)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain JSON values; quiet paths take one number."""
        shapes = {shape: _as_json(each) for shape, each in self.shapes.items()}
        return {"pairs": self.pairs, "left_out": self.left_out, "shapes": shapes}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Noise:
        """Return the figures that as_json gave."""
        shapes = {shape: _from_json(each) for shape, each in stored["shapes"].items()}
        return cls(stored["pairs"], shapes, stored["left_out"])


Noise.none = Noise()


def _kept(shapes: dict[str, Stirring]) -> dict[str, Stirring]:
    """Return at most MAX_SHAPES, those that differ first."""
    if len(shapes) <= MAX_SHAPES:
        return shapes
    order = sorted(shapes, key=lambda shape: (-shapes[shape].different, -shapes[shape].seen, shape))
    return {shape: shapes[shape] for shape in order[:MAX_SHAPES]}


def _as_json(stirring: Stirring) -> Any:
    if not stirring.different:
        return stirring.seen
    return {
        "seen": stirring.seen,
        "different": stirring.different,
        "explained": dict(stirring.explained),
        "most_gap": str(stirring.most_gap),
        "most_share": str(stirring.most_share),
        "keys": None if stirring.keys is None else list(stirring.keys),
        "examples": [list(each) for each in stirring.examples],
    }


def _from_json(stored: Any) -> Stirring:
    if isinstance(stored, int):
        return Stirring(stored)
    return Stirring(
        stored["seen"],
        stored["different"],
        stored["explained"],
        Decimal(stored["most_gap"]),
        Decimal(stored["most_share"]),
        None if stored["keys"] is None else tuple(stored["keys"]),
        tuple(Example(*each) for each in stored["examples"]),
    )


def observed(pair: str, control: Answer, again: Answer, rules: Rules = Rules.none) -> Noise:
    """Return what one pair of one side's answers shows; `pair` is the caller's name for it.

    What rules cover already is no longer noise to be learned.
    """
    found: dict[str, list[Finding]] = {}
    for finding in findings_of(control, again, rules):
        if finding.rule is None:
            found.setdefault(shape_of(finding.path), []).append(finding)
    shapes = {shape: Stirring(seen=1) for shape in shapes_of(control)}
    shapes |= {shape: _noted(pair, findings) for shape, findings in found.items()}
    kept = _kept({shape: each for shape, each in shapes.items() if is_readable(shape)})
    return Noise(1, dict(sorted(kept.items())), len(shapes) - len(kept))


def _noted(pair: str, findings: list[Finding]) -> Stirring:
    """Return what the findings of one pair say of the path they share."""
    reasons = set.intersection(*(reasons_of(each) for each in findings))
    bounds = [_bound_of(each) for each in findings]
    if None not in bounds:
        reasons.add(f"timestamp {max(each for each in bounds if each is not None)}")
    gaps = [_gap_of(each) for each in findings]
    control, again = findings[0].control, findings[0].candidate
    return Stirring(
        1,
        1,
        dict.fromkeys(sorted(reasons), 1),
        max(gap for gap, _ in gaps),
        max(share for _, share in gaps),
        _keys_of(control, again, reasons),
        (Example(pair, masked(control), masked(again)),),
    )


def reasons_of(finding: Finding) -> set[str]:
    """Return why the two values may differ without meaning anything; time apart."""
    control, again = finding.control, finding.candidate
    reasons = set()
    if finding.kind == "order" and isinstance(control, list):
        reasons.add("order")
    if gap_between(control, again) is not None:
        reasons.add("number")
    if have_same_shape(control, again):
        reasons.add("shape")
    return reasons


def _bound_of(finding: Finding) -> int | None:
    """Return the bound that two timestamps need; None if they are none, or too far apart."""
    gap_s = seconds_between(finding.control, finding.candidate)
    if gap_s is None:
        return None
    return next((bound for bound in _BOUNDS_S if 2 * gap_s <= bound), None)


def _gap_of(finding: Finding) -> tuple[Decimal, Decimal]:
    """Return how far apart two numbers are, and that in relation to the greater one."""
    gap = gap_between(finding.control, finding.candidate)
    if gap is None:
        return Decimal(0), Decimal(0)
    greatest = _greatest(finding.control, finding.candidate)
    return gap, min(_ROUND_UP.divide(gap, greatest), Decimal(1)) if greatest else Decimal(0)


def _greatest(control: object, again: object) -> Decimal:
    numbers = (number_of(each) for each in (control, again))
    return max((abs(each) for each in numbers if each is not None), default=Decimal(0))


def _keys_of(control: object, again: object, reasons: set[str]) -> tuple[str, ...] | None:
    if not ("order" in reasons and isinstance(control, list) and isinstance(again, list)):
        return None
    return tuple(key for key in IDENTITIES if keys_of(control, key) and keys_of(again, key))


def masked(value: object) -> str:
    """Return what a value looks like: letters as x, digits as 9, the rest as it is."""
    shown = value if isinstance(value, str) else rendered(value)
    if isinstance(value, list | dict):
        return shown
    text = re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "9", shown[:MAX_MASKED]))
    return re.sub(r"[^ -~]", "?", text)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rule for a person to accept, with the figures and the pairs behind it."""

    path: str
    how: Comparator
    seen: int
    different: int
    explained: int  # of the pairs that differ
    examples: tuple[Example, ...]

    @property
    def why(self) -> str:
        """The figures in a sentence."""
        return (
            f"differs between two answers of one side in {self.different} of {self.seen} pairs; "
            f"{self.how} explains {self.explained} of them"
        )

    def rule(self, author: str, reason: str, expires: date) -> Rule:
        """Return the rule this becomes when somebody answers for it."""
        return Rule(self.path, self.how, author, reason, expires)


def proposals(noise: Noise) -> tuple[Proposal, ...]:
    """Return the rules that the figures justify, by path."""
    found = (_proposal(shape, noise.shapes[shape]) for shape in sorted(noise.shapes))
    return tuple(each for each in found if each is not None)


def _proposal(shape: str, stirring: Stirring) -> Proposal | None:
    """Return the rule for one path, or None; the first comparator that explains enough decides."""
    least = EXPLAINED_AT_LEAST * stirring.different
    how, explained = next(each for each in _comparators(stirring) if each[1] >= least)
    if not _is_justified(how, stirring):
        return None
    return Proposal(shape, how, stirring.seen, stirring.different, explained, stirring.examples)


def _is_justified(how: Comparator, stirring: Stirring) -> bool:
    need = NEEDED[str(how).partition(" ")[0]]
    return (
        stirring.seen >= need.seen
        and stirring.different >= need.different
        and stirring.different >= need.rate * stirring.seen
    )


def _comparators(stirring: Stirring) -> Iterator[tuple[Comparator, int]]:
    """Yield comparators from narrow to wide, each with how many of the pairs it explains."""
    explained = stirring.explained
    keyed = KeyedBy(stirring.keys[0]) if stirring.keys else Unordered()
    yield keyed, explained.get("order", 0)
    within = 0
    for bound_s in _BOUNDS_S:
        within += explained.get(f"timestamp {bound_s}", 0)
        yield TimestampWithin(bound_s), within
    if stirring.most_share <= NEAR:
        yield Tolerance(_ROUND_UP.multiply(2, stirring.most_gap)), explained.get("number", 0)
    yield SameShape(), explained.get("shape", 0)
    yield Ignore(), stirring.different
