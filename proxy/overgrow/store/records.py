"""The words of the store: what is put in, and what comes out. Plain frozen values.

Everything put in is redacted already: the store hides nothing and asks nothing. Times are unix
seconds. `control` is the side whose answer the client got.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["served", "matched", "ignored", "mismatched"]


@dataclass(frozen=True, slots=True)
class Shape:
    """The kind of a request: what it has in common with others of its route."""

    method: str
    template: str
    query_keys: tuple[str, ...] = ()
    status: int = 0  # of the control
    signed_in: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of difference in a group; `gap` and `gap_s` are the widest seen, None: no bound.

    `rule` names the rule that covered it when it was captured. `alike` to `paired` are what all pairs
    have in common: one shape of both values, one type, the path with its indexes and its other path, the
    rules that paired items.
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


@dataclass(frozen=True, slots=True)
class Example:
    """A redacted pair as JSON data; the lowest ranks of a group are kept."""

    rank: str
    at: float
    pair: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Differing:
    """The group that a pair which differs belongs to."""

    key: str
    title: str
    severity: str
    parts: tuple[Part, ...]
    example: Example


@dataclass(frozen=True, slots=True)
class Compared:
    """To be put: one comparison. `rules` names those that covered something."""

    route: str
    control: str
    at: float
    shape: Shape
    outcome: Outcome
    differing: Differing | None = None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Served:
    """To be put: one request answered to a client, so that coverage has a measure."""

    route: str
    control: str
    at: float
    shape: Shape


@dataclass(frozen=True, slots=True)
class NotCompared:
    """To be put: one request that was drawn for a comparison which did not come about, and why."""

    route: str
    control: str
    at: float
    shape: Shape
    why: str


@dataclass(frozen=True, slots=True)
class NoiseLearned:
    """To be put: all that one writer learned of a route's noise within the hour of `at`, as JSON data.

    It replaces what the same writer put for that hour before.
    """

    route: str
    at: float
    learned: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FellBack:
    """To be put: one request that migrated failed and legacy answered; outcomes are `500`, `migrated-timeout`, ..."""

    route: str
    at: float
    method: str
    migrated: str
    legacy: str
    duration_s: float = 0.0


Record = Compared | Served | NotCompared | NoiseLearned | FellBack


@dataclass(frozen=True, slots=True)
class Flip:
    """One line of flips.jsonl, as the index keeps it; `number` is its place, `key` its hash."""

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
class ShapeSeen:
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
    """A group of pairs that differ in the same way. `count` is all time, `recent` within the window asked for."""

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
class OpenGroup:
    """A group of pairs that the rules in force do not explain; `count` is within the window."""

    key: str
    title: str
    severity: str
    count: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the gate asks: comparisons of one route within a window, judged by the rules in force.

    `not_compared` counts by reason what was drawn and not compared in the day before the newest comparison,
    `lately_compared` the comparisons of that day.
    """

    route: str
    control: str
    compared: int
    mismatched: int
    oldest_at: float | None
    newest_at: float | None
    shapes: tuple[ShapeSeen, ...]
    open_groups: tuple[OpenGroup, ...]
    lately_compared: int = 0
    not_compared: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route in `overgrow shadow status`: counts by the verdict given when they were made."""

    route: str
    control: str
    served: int
    matched: int
    ignored: int
    mismatched: int
    groups: int
    newest_at: float | None

    @property
    def compared(self) -> int:
        """All comparisons."""
        return self.matched + self.ignored + self.mismatched


@dataclass(frozen=True, slots=True)
class RuleHits:
    """How often a rule covered something, and when last: one that never hits may go."""

    route: str
    rule: str
    count: int
    last_at: float


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """Requests of one hour that fell back with the same two outcomes."""

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
    """Evidence of a route begun anew by a person."""

    route: str
    at: float
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Losses:
    """What did not reach the store: `lost` by processes that were killed, `dropped` by full queues."""

    lost: int
    dropped: int
    last_at: float | None
