"""Ten thousand mismatches with three causes are three groups: which pairs belong together.

Pure. Rule: the key is the route and the set of what differs: kind, shape of the path, types of both
values. Values, lengths and indexes do not count, so one cause gives one key however often it
shows. What a rule covered is left out of the key, lest noise tear a cause apart; it is kept as a
part, so that a group opens again when that rule goes. Groups merge in any order to the same group.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from overgrow.shadow.redact.paths import redacted_shape
from overgrow.shadow.redact.redact import RedactedDifference, RedactedPair
from overgrow.shadow.rules.rejudge import SEVERAL
from overgrow.shadow.values.kinds import EMPTY_WORD

MAX_PAIRS = 5  # examples kept of each group
MAX_PARTS = 40  # kinds of differences told of one group
# Where these differ, what else does is a consequence, and varies with every request.
_DECISIVE = frozenset({"status", "content-type"})
_GRAVITY = {"low": 0, "medium": 1, "high": 2}


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of difference within a group. `gap` and `gap_s` are the widest seen, None for none.

    `rule` names the rule that covered it when it was captured; None if none did. `alike` and
    `one_type`: the values of all pairs had one shape, and one type. `place` is the path with its indexes,
    `other` the other path of that place, `paired` the rules that paired the items above it; SEVERAL where
    pairs differ in it.
    """

    kind: str
    path: str
    control: str
    candidate: str
    severity: str
    rule: str | None = None
    gap: float | None = None
    gap_s: float | None = None
    alike: bool = False
    one_type: bool = False
    place: str = ""
    other: str = ""
    paired: str = ""

    @property
    def mark(self) -> tuple[str, str, str, str, str]:
        """What makes two parts the same one."""
        return (self.kind, self.path, self.control, self.candidate, self.rule or "")


UNTOLD = Part("untold", "$", "", "", "high")  # more differs than was told: no rule can cover it


@dataclass(frozen=True, slots=True)
class Example:
    """A redacted pair, when it was seen, and its rank: the lowest ranks are kept."""

    rank: str
    at: float
    pair: RedactedPair


@dataclass(frozen=True, slots=True)
class MismatchGroup:
    """Pairs that differ in the same way. Times are unix seconds."""

    route: str
    key: str
    severity: str
    count: int
    first_seen_at: float
    last_seen_at: float
    parts: tuple[Part, ...]
    examples: tuple[Example, ...]

    @property
    def title(self) -> str:
        """The group in a line: `value at $.items[*].price (float, float)` and how many more."""
        return title_of(self.parts)


def group_of(
    route: str, pair: RedactedPair, at: float, *, truncated: bool = False
) -> MismatchGroup:
    """The group of one pair that differs; `truncated`: the comparison found more than it told."""
    parts = _parts_of(pair.differences, truncated=truncated)
    causes = [part for part in parts if part.rule is None] or parts
    return MismatchGroup(
        route,
        _key(route, [part for part in causes if part.kind in _DECISIVE] or causes),
        severity_of(causes),
        1,
        at,
        at,
        tuple(parts),
        (Example(_rank(pair), at, pair),),
    )


def merge_groups(one: MismatchGroup, other: MismatchGroup) -> MismatchGroup:
    """Two observations of one group as one: counts add up, the widest gaps and lowest ranks stay."""
    return replace(
        one,
        severity=max(one.severity, other.severity, key=_GRAVITY.__getitem__),
        count=one.count + other.count,
        first_seen_at=min(one.first_seen_at, other.first_seen_at),
        last_seen_at=max(one.last_seen_at, other.last_seen_at),
        parts=tuple(_merge_parts([*one.parts, *other.parts])),
        examples=_lowest_ranks([*one.examples, *other.examples]),
    )


def unexplained_parts(parts: Iterable[Part], explains: Callable[[Part], bool]) -> tuple[Part, ...]:
    """The parts that the rules in force do not cover: a group with any is open."""
    return tuple(part for part in parts if part.mark == UNTOLD.mark or not explains(part))


def severity_of(parts: Iterable[Part]) -> str:
    """The gravest severity of some parts; low for none."""
    return max((part.severity for part in parts), key=_GRAVITY.__getitem__, default="low")


def title_of(parts: Iterable[Part]) -> str:
    """What differs, in a line, without what a rule covered."""
    kept = list(parts)
    causes = [part for part in kept if part.rule is None] or kept
    first = ", ".join(_describe_part(part) for part in causes[:2])
    return f"{first} and {len(causes) - 2} more" if len(causes) > 2 else first


def _describe_part(part: Part) -> str:
    if part.mark == UNTOLD.mark:
        return "more than was told"
    return f"{part.kind} at {part.path} ({part.control or 'absent'}, {part.candidate or 'absent'})"


def _parts_of(differences: Iterable[RedactedDifference], *, truncated: bool) -> list[Part]:
    found = _merge_parts(_part_of(each) for each in differences)
    kept = [*found[:MAX_PARTS]]
    return [*kept, UNTOLD] if truncated or len(found) > MAX_PARTS else kept


def _part_of(difference: RedactedDifference) -> Part:
    word = str if difference.kind == "status" else type_word
    return Part(
        difference.kind,
        redacted_shape(difference.path),
        word(difference.control),
        word(difference.candidate),
        difference.severity,
        difference.rule,
        difference.gap,
        difference.gap_s,
        difference.alike,
        difference.one_type,
        difference.path,
        difference.other,
        difference.paired,
    )


_EMPTY = {
    shown: f"{EMPTY_WORD}{word}"
    for shown, word in (('""', "str"), ("<str 0>", "str"), ("<array 0>", "array"))
}


def type_word(shown: str) -> str:
    """The type of a redacted value: `<str 12>` is `str`; a word of a header's vocabulary is itself."""
    if shown in _EMPTY:
        return _EMPTY[shown]
    if shown[:1] == '"':
        return "str"
    if re.fullmatch(r"true|false", shown):
        return "bool"
    if re.fullmatch(r"-?[0-9.]+([eE][+-]?[0-9]+)?", shown):
        return "float" if "." in shown else "int"
    plain = re.sub(r"<(\w+) [^<>]*>", r"<\1>", shown)
    alone = re.fullmatch(r"<(\w+)>", plain)
    return alone[1] if alone else plain[:120]


def _merge_parts(parts: Iterable[Part]) -> list[Part]:
    """Each part once, sorted, those no rule covered first; with the widest gaps of its kind."""
    widest: dict[tuple[str, ...], Part] = {}
    for part in parts:
        before = widest.get(part.mark, part)
        widest[part.mark] = replace(
            part,
            gap=_wider(before.gap, part.gap),
            gap_s=_wider(before.gap_s, part.gap_s),
            alike=before.alike and part.alike,
            one_type=before.one_type and part.one_type,
            place=_value_if_equal(before.place, part.place),
            other=_value_if_equal(before.other, part.other),
            paired=_value_if_equal(before.paired, part.paired),
            severity=severity_of((before, part)),
        )
    return sorted(widest.values(), key=lambda part: (part.rule is not None, part.mark))


def _wider(one: float | None, other: float | None) -> float | None:
    """The wider of two gaps; None, which no tolerance covers, beats all."""
    return None if one is None or other is None else max(one, other)


def _value_if_equal(one: str, other: str) -> str:
    return one if one == other else SEVERAL


def _key(route: str, causes: Iterable[Part]) -> str:
    marks = sorted({tuple(map(_without_emptiness, part.mark[:4])) for part in causes})
    return hashlib.sha256(json.dumps([route, marks]).encode()).hexdigest()[:16]


def _without_emptiness(word: str) -> str:
    return word.removeprefix(EMPTY_WORD)


def _rank(pair: RedactedPair) -> str:
    """A number by the content alone: equal pairs are one example, and all workers agree on the lowest."""
    return hashlib.sha256(json.dumps(pair.as_json(), sort_keys=True).encode()).hexdigest()[:16]


def _lowest_ranks(examples: Iterable[Example]) -> tuple[Example, ...]:
    """The examples of lowest rank, each pair once, as it was seen last."""
    latest: dict[str, Example] = {}
    for example in examples:
        before = latest.get(example.rank)
        latest[example.rank] = example if before is None or example.at > before.at else before
    return tuple(latest[rank] for rank in sorted(latest)[:MAX_PAIRS])
