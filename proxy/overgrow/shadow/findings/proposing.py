"""Proposes rules for noise, for a person to accept. A proposal has the narrowest comparator, path and kinds.

Pure. Rule: a proposal never hides more than the observed noise. A path has `[*]` only if all observed items
there differ. Otherwise the path names the items that differ. A rule covers only observed kinds. To be proposed,
a rule must be valid in a rules file, and rates over many pairs must justify it (NEEDED).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_UP, Context, Decimal
from itertools import combinations
from types import MappingProxyType
from typing import NamedTuple, Protocol

from overgrow.durations import ROUND_BOUNDS_S
from overgrow.shadow.findings.path_variation import NoiseExample, PathVariation
from overgrow.shadow.rules.comparators import (
    COMPARATORS,
    Comparator,
    Ignore,
    KeyedBy,
    NumberTolerance,
    ProposalThreshold,
    SameShape,
    TimestampWithin,
    Unordered,
)
from overgrow.shadow.rules.rules import Rule
from overgrow.shadow.values.difference import KEYED_STEP
from overgrow.shadow.values.kinds import RuleKind
from overgrow.shadow.values.path_syntax import TREE_FAMILIES, reason_not_a_path

EXPLAINED_AT_LEAST = 0.95  # share of a path's differences; the rest stays a mismatch
MOSTLY = 0.5  # a comparator that explains this share is preferred to ignoring everything
ODD_AT_MOST = 1 - EXPLAINED_AT_LEAST  # rarer kinds and places do not widen a rule
NEAR = Decimal("0.01")  # numbers with a smaller relative gap get a tolerance
SURE_OF_QUIET = (
    3  # expected differences after which a place without one counts as quiet (5% by chance)
)
NEAR_S = 10  # a bound up to this covers all observed gaps, a larger one 95% of them
MAX_INDEXES = 4  # how many indexes of one path are tried
MAX_PIECES, MAX_PIECE = 20, 99  # how many pieces of a text a rule names, and up to which number
ALWAYS = 0.9  # share of pairs from which on a value counts as changing always
TWICE_AT_LEAST = 10  # pairs of migrated that show that its value never changes
_ROUND_UP = Context(prec=1, rounding=ROUND_UP, traps=[])


NEEDED: Mapping[str, ProposalThreshold] = MappingProxyType(
    {each.word: each.needed for each in COMPARATORS}
)
# Which of two responses lacks something is chance: a missing value may be an extra one the other way round.
_OPPOSITE: Mapping[str, str] = MappingProxyType({"missing": "extra", "extra": "missing"})
# Kinds in which both responses have a value: only these can comparators of values allow.
_OF_VALUES: tuple[RuleKind, ...] = (
    "value",
    "integer-decimal",
    "type",
    "text",
    "header-value",
    "cookie-value",
    "cookie-attribute-value",
    "content-type",
)


@dataclass(frozen=True, slots=True)
class RuleProposal:
    """A proposed rule, with the figures and the pairs behind it.

    If only one side's value changes, `note` warns the person.
    """

    path: str
    how: Comparator
    seen: int
    different: int
    explained: int  # of the pairs that differ
    examples: tuple[NoiseExample, ...]
    kinds: tuple[RuleKind, ...] = ()
    note: str = ""

    @property
    def figures_sentence(self) -> str:
        """The figures in a sentence."""
        return (
            f"differs between two responses of one side in {self.different} of {self.seen} pairs; "
            f"{self.how} explains {self.explained} of them"
        )

    def to_rule(self, author: str, reason: str, expires: date) -> Rule:
        """Return the rule that the proposal becomes when a person accepts it."""
        return Rule(self.path, self.how, author, reason, expires, kinds=self.kinds)


class NoiseFigures(Protocol):
    """The noise figures of one route."""

    @property
    def shapes(self) -> Mapping[str, PathVariation]:
        """How the value at each path varies, by path shape."""


def propose_rules(noise: NoiseFigures) -> tuple[RuleProposal, ...]:
    """Return the rules that the figures justify, in the order of their paths."""
    shuffled = [f"{shape}[*]" for shape, each in noise.shapes.items() if "order" in each.kinds]
    found = (
        _propose_rule(path, variation)
        for shape, whole in noise.shapes.items()
        if whole.different and not (shape.startswith((*shuffled,)) and _has_unsteady_indexes(whole))
        for path, variation in paths_to_cover(shape, whole)
    )
    return tuple(sorted(filter(None, found), key=lambda each: each.path))


INDEX = re.compile(r"\[\d+\]")


def _has_unsteady_indexes(variation: PathVariation) -> bool:
    """Return whether some place with only an index as its name differs in some pairs and is equal in others.

    Items without a fixed order change places each time, so that a rule for one index would apply to all items.
    """
    counted = (each for place, each in variation.places.items() if INDEX.search(place))
    return any(each.different < ALWAYS * each.seen for each in counted)


class PathTooWideForRule(NamedTuple):
    """A path at which legacy's own responses differ, and at which a rule would hide the whole response."""

    path: str
    different: int
    seen: int


# The whole response, or its whole body: a rule that ignores one of these compares nothing.
_WHOLES = frozenset({"status", "header:content-type", "body", "bytes", "$", "text:line[*]"})


def _is_whole_response_path(path: str) -> bool:
    # Of bytes only the first difference is known: it stands for the whole body.
    return path in _WHOLES or path.startswith("bytes[")


def find_paths_too_wide_for_rule(noise: NoiseFigures) -> tuple[PathTooWideForRule, ...]:
    """Return the paths, in order, at which only a rule that ignores the whole response would cover the noise."""
    return tuple(
        PathTooWideForRule(path, each.different, each.seen)
        for shape, whole in sorted(noise.shapes.items())
        if whole.different
        for path, each in paths_to_cover(shape, whole)
        if _is_whole_response_path(path)
        and isinstance(how := _narrowest_comparator(path, each)[0], Ignore)
        if _is_rule_justified(how, each)
    )


class MigratedOnlyNoise(NamedTuple):
    """A path at which migrated's two responses differ, and legacy's two responses never differ."""

    path: str
    different: int
    seen: int


def find_migrated_only_noise(noise: NoiseFigures) -> tuple[MigratedOnlyNoise, ...]:
    """Return the paths at which only migrated's value changes. Rules are not proposed for these paths."""
    need = SameShape.needed
    return tuple(
        MigratedOnlyNoise(path, each.migrated_different, each.seen)
        for path, each in sorted(noise.shapes.items())
        if not each.different
        and each.migrated_different >= need.different
        and each.migrated_different >= need.rate * each.seen
    )


def _propose_rule(path: str, variation: PathVariation) -> RuleProposal | None:
    """Return the proposal for one path, with the first comparator that explains enough pairs.

    Return None if no comparator does.
    """
    if reason_not_a_path(path):
        return None
    how, explained = _narrowest_comparator(path, variation)
    if not _is_rule_justified(how, variation) or (
        isinstance(how, Ignore) and _is_whole_response_path(path)
    ):
        return None
    figures = variation.seen, variation.different, explained
    kinds = rule_kinds_to_cover(path, how, variation)
    if explained < EXPLAINED_AT_LEAST * variation.different:
        # The unexplained rest is of other kinds or of another shape: the rule must not cover those.
        kinds = tuple(each for each in kinds if each != "type") or kinds
    return RuleProposal(
        path, how, *figures, variation.examples, kinds, _caution_about_constant(variation)
    )


def _narrowest_comparator(path: str, variation: PathVariation) -> tuple[Comparator, int]:
    """Return (comparator, pairs): the narrowest comparator that explains enough pairs, and the number of these pairs.

    A comparator that explains most pairs is better than ignoring everything: the other pairs stay mismatches.
    """
    found = [
        each
        for each in _comparators_by_width(variation)
        if not _is_comparator_invalid_at(each[0], path)
    ]
    min_explained = EXPLAINED_AT_LEAST * variation.different
    enough = next(each for each in found if each[1] >= min_explained)
    if not isinstance(enough[0], Ignore):
        return enough
    best = max(found[:-1], key=lambda each: each[1], default=enough)
    return best if best[1] >= MOSTLY * variation.different else enough


def _is_comparator_invalid_at(how: Comparator, path: str) -> bool:
    # Of bytes only the first that differs is known, and two bytes do not tell what they stand for.
    if path.startswith("bytes") and not isinstance(how, Ignore):
        return True
    return how.why_misplaced_at(path) is not None


def _is_rule_justified(how: Comparator, variation: PathVariation) -> bool:
    need = how.needed
    return (
        variation.seen >= need.seen
        and variation.different >= need.different
        and variation.different >= need.rate * variation.seen
    )


def _comparators_by_width(variation: PathVariation) -> Iterator[tuple[Comparator, int]]:
    """Yield comparators from narrow to wide, each with the number of pairs that it explains."""
    explained = variation.explained
    keyed = KeyedBy(variation.keys[0]) if variation.keys else Unordered()
    yield keyed, explained.get("order", 0)
    within = 0
    near = sum(explained.get(f"timestamp {each}", 0) for each in ROUND_BOUNDS_S if each <= NEAR_S)
    for bound_s in ROUND_BOUNDS_S:
        within += explained.get(f"timestamp {bound_s}", 0)
        if within == near or bound_s > NEAR_S:  # a busy moment is not exceptional
            yield TimestampWithin(bound_s), within
    if variation.max_share <= NEAR:
        yield NumberTolerance(_ROUND_UP.multiply(2, variation.max_gap)), explained.get("number", 0)
    yield SameShape(_pieces_for_same_shape(explained)), explained.get("shape", 0)
    yield Ignore(), variation.different


def _pieces_for_same_shape(explained: Mapping[str, int]) -> tuple[int, ...]:
    """Return the numbers, from 1, of the pieces of a text that differ; empty if a rule should cover all pieces.

    A piece that differs much less often than the other pieces counts as constant.
    """
    counted = {name: times for name, times in explained.items() if name.startswith("of ")}
    if len(counted) != 1 or {*counted.values()} != {explained.get("shape", 0)}:
        return ()
    [count] = (int(name.removeprefix("of ")) for name in counted)
    times = {at: explained.get(f"piece {at}", 0) for at in range(1, min(count, MAX_PIECE) + 1)}
    often = max(times.values(), default=0)
    found = tuple(at for at, each in times.items() if each > max(1, ODD_AT_MOST * often))
    return found if len(found) < count and len(found) <= MAX_PIECES else ()


def rule_kinds_to_cover(
    path: str, how: Comparator, variation: PathVariation
) -> tuple[RuleKind, ...]:
    """Return the kinds that a rule covers: all observed kinds except rare ones.

    Comparators for order and for times need no kinds, because they allow nothing else.
    """
    if isinstance(how, Unordered | KeyedBy | TimestampWithin):
        return ()
    often = max(variation.kinds.values(), default=0)
    seen = {kind for kind, times in variation.kinds.items() if times > ODD_AT_MOST * often}
    if isinstance(how, Ignore):
        seen |= {_opposite_kind(kind) for kind in seen}
    else:
        seen &= {*_OF_VALUES}
    # Figures of earlier versions have no kinds: then only the default kind is covered.
    found: Iterable[str] = sorted(seen) or (default_rule_kind(path, how),)
    return tuple(found)  # type: ignore[arg-type]  # findings have no others


def _opposite_kind(kind: str) -> str:
    """Return the kind that a difference would have if the two responses were exchanged."""
    of, dash, last = kind.rpartition("-")
    return f"{of}{dash}{_OPPOSITE.get(last, last)}"


def default_rule_kind(path: str, how: Comparator) -> RuleKind:
    """Return the kind that a comparator covers at a path by default: another order, or another value."""
    if isinstance(how, Unordered | KeyedBy):
        return "order"
    place, _, rest = path.partition(":")
    if place == "header":
        return "header-value"
    if place == "cookie":
        return "cookie-attribute-value" if ";" in rest else "cookie-value"
    if place == "text" or (place in TREE_FAMILIES and "/@" not in path):
        return "text"
    return {"status": "status", "bytes": "length"}.get(path, "value")  # type: ignore[return-value]


def _caution_about_constant(variation: PathVariation) -> str:
    """If only legacy renews the value, return a warning that it may be a constant in migrated."""
    always = variation.different >= ALWAYS * variation.seen
    if always and variation.migrated_seen >= TWICE_AT_LEAST and not variation.migrated_different:
        return (
            "legacy's value changes each time, migrated's never does: check it before you accept, "
            "since the rule would hide a constant"
        )
    return ""


# --- which places -----------------------------------------------------------------------------------

_INDEX = re.compile(rf'"(?:[^"\\]|\\.)*"|(\[\d+\]|{KEYED_STEP})')  # a key in quotes is not an index


def paths_to_cover(shape: str, whole: PathVariation) -> Iterator[tuple[str, PathVariation]]:
    """Yield (path, figures).

    Together the paths cover exactly the noisy places of a shape, and leave out the places that never differ.
    """
    if "[*]" not in shape:
        yield shape, whole
        return
    noisy, quiet = _split_noisy_and_quiet(whole.places)
    if whole.explained.get("shape", 0) >= EXPLAINED_AT_LEAST * whole.different:
        quiet = {place for place in quiet if not whole.places[place].has_only_plain_text}
    if not noisy:
        return  # figures of an earlier version do not count the places
    if not quiet:
        yield shape, whole
        return
    left = sorted(noisy, key=lambda place: (-noisy[place].different, place))
    while left:
        path = _widest_path_avoiding_quiet(left[0], noisy, quiet)
        covered = [place for place in left if _path_covers(path, place)]
        of_all = len(covered) == len(noisy)
        yield (
            path,
            whole
            if of_all
            else _combine_variations_of_places([noisy[each] for each in covered], whole),
        )
        left = [place for place in left if place not in covered]


def _split_noisy_and_quiet(
    places: Mapping[str, PathVariation],
) -> tuple[dict[str, PathVariation], set[str]]:
    """Return (noisy, quiet): places that differ, and places that were seen often enough to be sure that they do not."""
    rates = {place: each.different / each.seen for place, each in places.items() if each.seen}
    highest = max(rates.values(), default=0.0)
    noisy = {place: places[place] for place, rate in rates.items() if rate > ODD_AT_MOST * highest}
    quiet = {
        place
        for place, rate in rates.items()
        if place not in noisy and places[place].seen * highest >= SURE_OF_QUIET
    }
    return noisy, quiet


def _widest_path_avoiding_quiet(
    place: str, noisy: Mapping[str, PathVariation], quiet: set[str]
) -> str:
    """Return a path that covers this place and no quiet place, with `[*]` for as many indexes as possible."""
    steps = [step for step in _INDEX.finditer(place) if step[1]][:MAX_INDEXES]
    for count in range(len(steps), 0, -1):
        for chosen in combinations(steps, count):
            path = _replace_indexes_by_star(place, chosen)
            if any(_path_covers(path, each) for each in quiet):
                continue
            if sum(_path_covers(path, each) for each in noisy) > 1:
                return path
    return place


def _replace_indexes_by_star(place: str, steps: Iterable[re.Match[str]]) -> str:
    for step in reversed(list(steps)):
        place = f"{place[: step.start()]}[*]{place[step.end() :]}"
    return place


def _path_covers(path: str, place: str) -> bool:
    """Return whether a path covers a place. Both must have indexes at the same steps."""
    if "[*]" not in path:
        return path == place
    any_step = re.escape(path).replace(re.escape("[*]"), rf"(?:\[\d+\]|{KEYED_STEP})")
    return re.fullmatch(any_step, place) is not None


def _combine_variations_of_places(
    places: list[PathVariation], whole: PathVariation
) -> PathVariation:
    """Combine the figures of several places into figures for one path that covers them all.

    The path counts as different in as many pairs as the place that differs most often.
    """
    total = sum(places[1:], places[0])
    most = max(each.different for each in places)
    explained = {
        reason: times * most // total.different for reason, times in total.explained.items()
    }
    return replace(total, seen=max(whole.seen, most), different=most, explained=explained)
