"""Groups compared pairs by the cause of their mismatches: ten thousand mismatches with three causes are three groups.

Pure. Rule: the key of a group is its route and its set of differences. A difference counts with its kind, the
shape of its path, and the types of both values. Values, lengths and indexes do not count, so that one cause
always has one key. Differences that a rule covered are left out of the key, so that noise does not split a
cause. They are kept as parts, so that the group opens again when the rule is removed. Parts can be merged in
any order with the same result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace

from overgrow.evidence import SEVERAL, UNLISTED, Example, PairGroup, Part
from overgrow.shadow.redact.paths import redacted_path_shape
from overgrow.shadow.redact.redact import RedactedDifference, RedactedPair
from overgrow.shadow.values.kinds import EMPTY_WORD

MAX_PARTS = 40  # kinds of differences that are kept of one group
# Where these differ, all other differences are consequences and vary with every request.
DECISIVE = frozenset({"status", "content-type"})
_GRAVITY = {"low": 0, "medium": 1, "high": 2}


def build_pair_group(
    route: str, pair: RedactedPair, at: float, *, truncated: bool = False
) -> PairGroup:
    """Return the group of one pair. `truncated` says that there are more differences than the comparison lists."""
    parts = _build_parts(pair.differences, truncated=truncated)
    causes = [part for part in parts if part.rule is None] or parts
    return PairGroup(
        key=_group_key(route, [part for part in causes if part.kind in DECISIVE] or causes),
        title=title_of_group(parts),
        severity=highest_severity_of(causes),
        parts=tuple(parts),
        example=Example(_hash_pair_content(pair), at, pair.as_json()),
    )


def highest_severity_of(parts: Iterable[Part]) -> str:
    """Return the highest severity of some parts; low if there are no parts."""
    return max((part.severity for part in parts), key=_GRAVITY.__getitem__, default="low")


def title_of_group(parts: Iterable[Part]) -> str:
    """Describe the differences that no rule covered in one line. If rules covered all of them, describe all."""
    kept = list(parts)
    causes = [part for part in kept if part.rule is None] or kept
    first = ", ".join(_describe_part(part) for part in causes[:2])
    return f"{first} and {len(causes) - 2} more" if len(causes) > 2 else first


def _describe_part(part: Part) -> str:
    if part.identity == UNLISTED.identity:
        return "more than was told"
    return f"{part.kind} at {part.path} ({part.control or 'absent'}, {part.candidate or 'absent'})"


def _build_parts(differences: Iterable[RedactedDifference], *, truncated: bool) -> list[Part]:
    found = merge_parts(_build_part(each) for each in differences)
    kept = [*found[:MAX_PARTS]]
    return [*kept, UNLISTED] if truncated or len(found) > MAX_PARTS else kept


def _build_part(difference: RedactedDifference) -> Part:
    word = str if difference.kind == "status" else type_of_redacted_value
    return Part(
        kind=difference.kind,
        path=redacted_path_shape(difference.path),
        control=word(difference.control),
        candidate=word(difference.candidate),
        severity=difference.severity,
        rule=difference.rule,
        gap=difference.gap,
        gap_s=difference.gap_s,
        alike=difference.alike,
        one_type=difference.one_type,
        place=difference.path,
        other=difference.other,
        paired=difference.paired,
    )


_EMPTY = {
    shown: f"{EMPTY_WORD}{word}"
    for shown, word in (('""', "str"), ("<str 0>", "str"), ("<array 0>", "array"))
}


def type_of_redacted_value(shown: str) -> str:
    """Return the type of a redacted value: `str` for `<str 12>`. Return a known word of a header unchanged."""
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


def merge_parts(parts: Iterable[Part]) -> list[Part]:
    """Return each part once, with its widest gaps. The parts that no rule covered come first."""
    widest: dict[tuple[str, ...], Part] = {}
    for part in parts:
        before = widest.get(part.identity, part)
        widest[part.identity] = replace(
            part,
            gap=_wider_gap_with_none_widest(before.gap, part.gap),
            gap_s=_wider_gap_with_none_widest(before.gap_s, part.gap_s),
            alike=before.alike and part.alike,
            one_type=before.one_type and part.one_type,
            place=_common_or_several(before.place, part.place),
            other=_common_or_several(before.other, part.other),
            paired=_common_or_several(before.paired, part.paired),
            severity=highest_severity_of((before, part)),
        )
    return sorted(widest.values(), key=lambda part: (part.rule is not None, part.identity))


def _wider_gap_with_none_widest(one: float | None, other: float | None) -> float | None:
    """Return the wider of two gaps. None is the widest gap, because no tolerance covers it."""
    return None if one is None or other is None else max(one, other)


def _common_or_several(one: str, other: str) -> str:
    return one if one == other else SEVERAL


def _group_key(route: str, causes: Iterable[Part]) -> str:
    marks = sorted({tuple(map(_type_without_emptiness, part.identity[:4])) for part in causes})
    return hashlib.sha256(json.dumps([route, marks]).encode()).hexdigest()[:16]


def _type_without_emptiness(word: str) -> str:
    return word.removeprefix(EMPTY_WORD)


def _hash_pair_content(pair: RedactedPair) -> str:
    """Return a hash that depends only on the content, so that equal pairs have the same hash in every worker."""
    return hashlib.sha256(json.dumps(pair.as_json(), sort_keys=True).encode()).hexdigest()[:16]
