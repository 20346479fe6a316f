"""Learns noise: differences between two responses of the same side to the same request.

Pure. `measure_pair_noise` examines one pair: two responses of the control. Noise can be added up in any order,
so that workers can merge their results. Noise is stored, so that it must not contain data: a path with a step
that looks like data is left out. Rules cannot name such a path either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from overgrow.shadow.compare.compare import findings_of
from overgrow.shadow.compare.findings import Finding
from overgrow.shadow.findings.covered_noise import (
    CoveredNoise,
    count_covered_noise,
    sum_covered_noise,
)
from overgrow.shadow.findings.path_variation import (
    PathVariation,
    PlacesPresent,
    add_variation_of_places,
    build_variation,
    limit_number_of_places,
)
from overgrow.shadow.findings.proposing import (
    INDEX,
)
from overgrow.shadow.findings.shapes import paths_in_response, paths_of_lines_without_digits
from overgrow.shadow.redact.paths import is_showable_path_shape
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.values.difference import path_shape_of
from overgrow.shadow.values.snapshot import ResponseSnapshot

MAX_SHAPES = 2_000  # how many paths are counted for one route
Pair = tuple[ResponseSnapshot, ResponseSnapshot]


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of one route: the number of observed pairs, and how each path shape varied.

    `left_out` counts the paths beyond MAX_SHAPES, and the paths that must not be stored. `covered_noise` maps
    the path of a rule to the numbers of pairs in which the rule covered noise of legacy and of migrated.
    """

    pairs: int = 0
    shapes: Mapping[str, PathVariation] = field(default_factory=dict)
    left_out: int = 0
    covered_noise: Mapping[str, CoveredNoise] = field(default_factory=dict)

    none: ClassVar[Noise]

    def __add__(self, other: Noise) -> Noise:
        merged = dict(self.shapes)
        for shape, variation in other.shapes.items():
            merged[shape] = merged[shape] + variation if shape in merged else variation
        kept = _limit_number_of_path_shapes(merged)
        left_out = self.left_out + other.left_out + len(merged) - len(kept)
        return Noise(
            self.pairs + other.pairs,
            kept,
            left_out,
            sum_covered_noise(self.covered_noise, other.covered_noise),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain JSON values. A path without differences becomes one number."""
        shapes = {shape: each.as_json() for shape, each in self.shapes.items()}
        figures = {"pairs": self.pairs, "left_out": self.left_out, "shapes": shapes}
        covered_noise = {path: list(each) for path, each in self.covered_noise.items()}
        return {**figures, "held": covered_noise} if covered_noise else figures

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Noise:
        """Return the Noise that `as_json` turned into JSON."""
        shapes = {shape: PathVariation.from_json(each) for shape, each in stored["shapes"].items()}
        covered_noise = {path: CoveredNoise(*each) for path, each in stored.get("held", {}).items()}
        return cls(stored["pairs"], shapes, stored["left_out"], covered_noise)


Noise.none = Noise()


def _limit_number_of_path_shapes(shapes: dict[str, PathVariation]) -> dict[str, PathVariation]:
    """Return at most MAX_SHAPES shapes. Shapes that differ have precedence."""
    if len(shapes) <= MAX_SHAPES:
        return shapes
    order = sorted(
        shapes,
        key=lambda shape: (
            -shapes[shape].different,
            -shapes[shape].migrated_different,
            -shapes[shape].seen,
            shape,
        ),
    )
    return {shape: shapes[shape] for shape in order[:MAX_SHAPES]}


def measure_pair_noise(
    pair: str,
    control: ResponseSnapshot,
    again: ResponseSnapshot,
    rules: Rules = Rules.none,
    migrated: Pair | None = None,
) -> Noise:
    """Return the noise of one pair of legacy's responses. `pair` is the caller's name for the pair.

    Differences that rules already cover are not learned. `migrated` holds two responses of migrated to the same
    request. They add no noise, but show whether migrated's values change too.
    """
    own = findings_of(control, again, rules)
    found = _group_by_path_shape(own)
    present = _places_by_path_shape(control, found)
    shapes = {shape: PathVariation(seen=1) for shape in present}
    plain = paths_of_lines_without_digits(control) if "text:line[*]" in found else set()
    shapes |= {
        shape: _build_variation_with_places(
            pair, shape, findings, PlacesPresent(present.get(shape, []), plain)
        )
        for shape, findings in found.items()
        if not _belongs_to_unordered_items(shape, findings, present, rules)
    }
    covered_noise: Mapping[str, CoveredNoise] = {}
    if migrated is not None:
        others = findings_of(*migrated, rules)
        _count_migrated_noise(shapes, _group_by_path_shape(others))
        covered_noise = count_covered_noise(own, others)
    kept = _limit_number_of_path_shapes(
        {shape: each for shape, each in shapes.items() if is_showable_path_shape(shape)}
    )
    return Noise(1, dict(sorted(kept.items())), len(shapes) - len(kept), covered_noise)


def _group_by_path_shape(findings: list[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.rule is None:
            found.setdefault(path_shape_of(finding.path), []).append(finding)
    return found


def _places_by_path_shape(
    control: ResponseSnapshot, found: Mapping[str, object]
) -> dict[str, list[str]]:
    """Return the path shapes of a response.

    A shape in `found` comes with all its places, any other shape with an empty list.
    """
    present: dict[str, list[str]] = {}
    for shape, place in paths_in_response(control):
        places = present.setdefault(shape, [])
        if shape in found:
            places.append(place)
    return present


def _belongs_to_unordered_items(
    shape: str, findings: list[Finding], present: Mapping[str, list[str]], rules: Rules
) -> bool:
    """Return whether the shape belongs to unnamed items of an array whose order may vary.

    An index does not identify such an item, so that a rule for one index would in effect apply to all items.
    """
    places = {finding.path_by_names for finding in findings}
    if len(places) >= len(present.get(shape, ())) or not rules.pairing_rules_above_shape(shape):
        return False
    return any(INDEX.search(place) for place in places)


def _build_variation_with_places(
    pair: str, shape: str, findings: list[Finding], present: PlacesPresent
) -> PathVariation:
    noted = build_variation(pair, findings)
    if "[*]" not in shape:
        return noted
    noted = add_variation_of_places(pair, noted, findings, present)
    readable = {place: each for place, each in noted.places.items() if is_storable_path(place)}
    return replace(noted, places=limit_number_of_places(readable))


def is_storable_path(place: str) -> bool:
    """Return whether a place may be stored. The steps of its path, apart from indexes, must look like names."""
    return is_showable_path_shape(path_shape_of(place))


def _count_migrated_noise(
    shapes: dict[str, PathVariation], found: Mapping[str, list[Finding]]
) -> None:
    """Add migrated's counts at the shapes where the two responses of migrated differ, or those of legacy."""
    for shape in {*found, *(each for each, own in shapes.items() if own.different)}:
        before = shapes.get(shape, PathVariation(seen=1))
        differs = {finding.path_by_names for finding in found.get(shape, ())}
        places = {
            place: replace(each, migrated_seen=1, migrated_different=int(place in differs))
            if each.different or place in differs
            else each
            for place, each in before.places.items()
        }
        shapes[shape] = replace(
            before, places=places, migrated_seen=1, migrated_different=int(bool(differs))
        )
