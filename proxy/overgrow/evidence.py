"""The values of evidence: what shadowing finds, what the store keeps and returns, and what the gate judges.

Pure. All parts share these values: a part that finds something out builds a Record and passes it on; only the
store knows how a record is kept. A new kind of record is a class here, a member of Record, and a table with its row in
overgrow/store/tables.py.

Every value here is already redacted: later steps do not hide anything. Times are unix seconds. `control` is the
side whose response the client got.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["matched", "ignored", "mismatched"]


@dataclass(frozen=True, slots=True)
class Shape:
    """The kind of a request: what it has in common with other requests of its route."""

    method: str
    template: str
    query_keys: tuple[str, ...] = ()
    status: int = 0  # of the control
    signed_in: bool = False


SHORT_ID = 8  # characters of a group's id that people see; any unique beginning will do
SEVERAL = "*"  # what the pairs of one group do not share


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of difference within a group.

    `gap` and `gap_s` are the widest distances in numbers and in time; None if unknown. `path` has `[*]` for
    every index; `control` and `candidate` are the types of both values. `rule` names the rule that covered the
    difference when it was captured. `alike` says that the two values have the same shape in every pair;
    `one_type` says the same of their type. Three fields are SEVERAL if they are not the same for all pairs:
    `place` is the path with its indexes. `other` is another path that rules may use for the same place.
    `paired` has the rules that paired the items of arrays above the path, one per line.
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
    def identity(self) -> tuple[str, str, str, str, str]:
        """The fields that distinguish the parts of a group."""
        return (self.kind, self.path, self.control, self.candidate, self.rule or "")


# Stands for the differences beyond those that were listed: no rule can cover it.
UNLISTED = Part("untold", "$", "", "", "high")


@dataclass(frozen=True, slots=True)
class Example:
    """A redacted pair as JSON data.

    `rank` is a hash of the pair's content. Of each group, the store keeps the examples with the lowest ranks.
    The choice of examples is arbitrary, but does not depend on the order in which workers store them.
    """

    rank: str
    at: float
    pair: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PairGroup:
    """The group of one pair of responses that differ. `example` is that pair."""

    key: str
    title: str
    severity: str
    parts: tuple[Part, ...]
    example: Example


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison. `rules` names the rules that covered a difference. If nothing differs, `group` is None."""

    route: str
    control: str
    at: float
    shape: Shape
    verdict: Verdict
    group: PairGroup | None = None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Served:
    """One request to which a client got a response.

    Coverage is the share of these requests whose shape was compared.
    """

    route: str
    control: str
    at: float
    shape: Shape


@dataclass(frozen=True, slots=True)
class NotCompared:
    """One request that was drawn (selected by chance) for a comparison, and why it was not compared."""

    route: str
    control: str
    at: float
    shape: Shape
    why: str


@dataclass(frozen=True, slots=True)
class NoiseLearned:
    """Everything that one writer learned about a route's noise within the hour of `at`, as JSON data.

    It replaces the figures that the same writer stored earlier for the same hour.
    """

    route: str
    at: float
    learned: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FallbackRecord:
    """One request that migrated failed to answer, and that legacy then answered.

    `migrated` and `legacy` are the outcomes on the two sides: a status such as `500`, or the code of a failure.
    """

    route: str
    at: float
    method: str
    migrated: str
    legacy: str
    duration_s: float = 0.0


# What a store is given to keep.
Record = Compared | Served | NotCompared | NoiseLearned | FallbackRecord


@dataclass(frozen=True, slots=True)
class Flip:
    """One line of flips.jsonl as the store has it: `number` is the line's number, and `key` is its hash."""

    number: int
    key: str
    at: str
    who: str
    action: str
    route: str | None = None
    from_: str | None = None
    to: str | None = None
    before: str | None = None
    after: str | None = None
    undoes: str | None = None
    why: str | None = None
    evidence: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ShapeCounts:
    """A shape of the route's requests, how often it was served and how often compared."""

    method: str
    template: str
    query_keys: tuple[str, ...]
    status: int
    signed_in: bool
    served: int
    compared: int


@dataclass(frozen=True, slots=True)
class Group:
    """A group of pairs that differ in the same way.

    `count` is the number of all pairs. `recent` is the number of pairs in the window of the query.
    """

    route: str
    control: str
    key: str
    title: str
    severity: str
    count: int
    recent: int
    first_seen_at: float
    last_seen_at: float
    parts: tuple[Part, ...] = ()
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredGroups:
    """The most severe and most frequent groups, without examples. `total` also counts the groups that are left out."""

    groups: tuple[Group, ...]
    total: int


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """A group that the rules in force do not cover; `count` is its number of pairs in the window."""

    key: str
    title: str
    severity: str
    count: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the gate judges: comparisons of one route within a window, under the rules in force.

    Two counts cover only the day that ends with the newest comparison. `not_compared` counts, by reason, the requests
    that were drawn for a comparison but not compared. `lately_compared` counts the comparisons.
    """

    route: str
    control: str
    compared: int
    mismatched: int
    oldest_at: float | None
    newest_at: float | None
    shapes: tuple[ShapeCounts, ...]
    open_groups: tuple[OpenGroup, ...]
    lately_compared: int = 0
    not_compared: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """The comparisons of one route in `overgrow shadow status`, counted by their verdicts when they were made."""

    route: str
    control: str
    served: int
    matched: int
    ignored: int
    mismatched: int
    groups: int
    newest_at: float | None

    @property
    def comparisons(self) -> int:
        """How many comparisons were made."""
        return self.matched + self.ignored + self.mismatched


@dataclass(frozen=True, slots=True)
class RuleHits:
    """How often a rule covered a difference, and when it last did.

    If a rule never covers a difference, it may be removed.
    """

    route: str
    rule: str
    count: int
    last_at: float


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """The fallbacks of one hour that have the same outcome on migrated and the same outcome on legacy."""

    route: str
    method: str
    migrated: str
    legacy: str
    count: int
    first_at: float
    last_at: float
    slowest_s: float


@dataclass(frozen=True, slots=True)
class EvidenceReset:
    """A reset of a route's evidence by a person."""

    route: str
    at: float
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Losses:
    """How many records did not reach the store: killed processes `lost` them, and full queues `dropped` them."""

    lost: int
    dropped: int
    last_at: float | None
