"""Turns records into rows of the tables. Pure, except that a RowBuilder remembers keys to limit their number.

Rule: the number of shapes and groups must be limited, because clients choose query keys, and bugs create new
groups. One writer distinguishes at most MAX_SHAPES shapes and MAX_GROUPS groups of a route within an hour.
Further shapes are counted as one shape named OTHER. Further groups are counted as one group of high severity
that no rule covers.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Table

from overgrow.evidence import (
    UNLISTED,
    Compared,
    Example,
    Flip,
    NoiseLearned,
    NotCompared,
    PairGroup,
    Part,
    Record,
    Served,
    Shape,
)
from overgrow.store import tables
from overgrow.store.cells import NO_JSON, Row, hour_of, json_or_empty, storable_text

MAX_SHAPES = 500
MAX_GROUPS = 200
MAX_NOISE_CHARS = 1024 * 1024
OTHER = "*"
NOT_COMPARED = "not compared: "  # the outcome starts so; the reason follows
OTHER_SHAPE = Shape(OTHER, OTHER)

Batch = Mapping[Table, list[Row]]


class ShapeKey(NamedTuple):
    """The key of a row of counts. All records with this key are counted in the row."""

    route: str
    control: str
    hour: int
    shape: Shape
    outcome: str


@dataclass(slots=True)
class CardinalityLimit:
    """Admits the first `max_things` different things of each owner within the current hour."""

    max_things: int
    _hour: int = -1
    _seen: dict[str, set[object]] = field(default_factory=dict)

    def try_admit(self, hour: int, owner: str, thing: object) -> bool:
        """Admit the thing if it is known or the limit allows another one. Return whether it is admitted."""
        if hour > self._hour:
            self._hour, self._seen = hour, {}
        seen = self._seen.setdefault(owner, set())
        if thing not in seen and len(seen) < self.max_things:
            seen.add(thing)
        return thing in seen


@dataclass(slots=True)
class RowBuilder:
    """Turns records into rows. Each writer has one."""

    boot: str
    shapes: CardinalityLimit = field(default_factory=lambda: CardinalityLimit(MAX_SHAPES))
    groups: CardinalityLimit = field(default_factory=lambda: CardinalityLimit(MAX_GROUPS))

    def build_rows(self, records: Iterable[Record]) -> Batch:
        """Return the rows of some records, by table. Records of the same shape share one row."""
        rows: dict[Table, list[Row]] = defaultdict(list)
        seen: dict[ShapeKey, list[float]] = defaultdict(list)
        for record in records:
            match record:
                case Served():
                    seen[self._shape_key(record, "served")].append(record.at)
                case Compared():
                    seen[self._shape_key(record, record.verdict)].append(record.at)
                    self._add_comparison(record, rows)
                case NotCompared():
                    outcome = f"{NOT_COMPARED}{record.why}"
                    seen[self._shape_key(record, outcome)].append(record.at)
                case NoiseLearned():
                    rows[tables.noise] += self._build_noise_rows(record)
                case _:
                    table, row_of = tables.ROWS[type(record)]
                    rows[table].append(row_of(record))
        if seen:
            rows[tables.shape_count] = [_shape_row(each, times) for each, times in seen.items()]
        return rows

    def _shape_key(self, record: Served | Compared | NotCompared, outcome: str) -> ShapeKey:
        hour = hour_of(record.at)
        known = self.shapes.try_admit(hour, record.route, record.shape)
        return ShapeKey(
            record.route, record.control, hour, record.shape if known else OTHER_SHAPE, outcome
        )

    def _build_noise_rows(self, record: NoiseLearned) -> list[Row]:
        where = {
            "route": storable_text(record.route),
            "hour": hour_of(record.at),
            "boot": self.boot,
        }
        learned = json_or_empty(record.learned, MAX_NOISE_CHARS)
        return [{**where, "learned": learned}] if learned != NO_JSON else []

    def _add_comparison(self, record: Compared, rows: dict[Table, list[Row]]) -> None:
        owner = {"route": storable_text(record.route)}
        for rule in record.rules:
            hit = {"rule": storable_text(rule), "hour": hour_of(record.at), "times": 1}
            rows[tables.rule_hit].append({**owner, **hit, "last_at": record.at})
        if record.group is not None:
            self._add_group(record, record.group, rows)

    def _add_group(self, record: Compared, group: PairGroup, rows: dict[Table, list[Row]]) -> None:
        """Add the rows of the group of one pair.

        Beyond the limit, add the rows of the group that stands for all further groups.
        """
        hour = hour_of(record.at)
        if not self.groups.try_admit(hour, record.route, group.key):
            group = _overflow_group(group)
        owner = {
            "route": storable_text(record.route),
            "control": record.control,
            "key": storable_text(group.key),
        }
        rows[tables.mismatch_group].append({**owner, **_group_values(record, group)})
        rows[tables.group_hour].append({**owner, "hour": hour, "times": 1})
        rows[tables.group_part] += [{**owner, **_part_row(part)} for part in group.parts]
        pair = json_or_empty(group.example.pair)
        at = {"rank": storable_text(group.example.rank), "at": group.example.at}
        rows[tables.example].append({**owner, **at, "pair": pair})


def _shape_row(seen: ShapeKey, times: Sequence[float]) -> Row:
    return {
        "route": storable_text(seen.route),
        "control": seen.control,
        "hour": seen.hour,
        "method": storable_text(seen.shape.method),
        "template": storable_text(seen.shape.template),
        "query_keys": storable_text("&".join(seen.shape.query_keys)),
        "status": seen.shape.status,
        "signed_in": int(seen.shape.signed_in),
        "outcome": seen.outcome,
        "times": len(times),
        "first_at": min(times),
        "last_at": max(times),
    }


def _overflow_group(group: PairGroup) -> PairGroup:
    title = "more causes than are told apart"
    return PairGroup("f" * 16, title, "high", (UNLISTED,), group.example)


def _group_values(record: Compared, group: PairGroup) -> Row:
    return {
        "title": storable_text(group.title),
        "severity": tables.SEVERITIES.index(group.severity),
        "times": 1,
        "first_seen_at": record.at,
        "last_seen_at": record.at,
    }


def _part_row(part: Part) -> Row:
    return {
        "kind": storable_text(part.kind),
        "path": storable_text(part.path),
        "control_type": storable_text(part.control),
        "candidate_type": storable_text(part.candidate),
        "rule": storable_text(part.rule or ""),
        "severity": tables.SEVERITIES.index(part.severity),
        "gap": tables.UNBOUNDED if part.gap is None else part.gap,
        "gap_s": tables.UNBOUNDED if part.gap_s is None else part.gap_s,
        "alike": int(part.alike),
        "one_type": int(part.one_type),
        "place": storable_text(part.place),
        "other": storable_text(part.other),
        "paired": part.paired.replace("\0", ""),
    }


def part_from_row(row: Any) -> Part:
    """Return the part that is stored in a row of `group_part`."""
    return Part(
        kind=row.kind,
        path=row.path,
        control=row.control_type,
        candidate=row.candidate_type,
        severity=tables.SEVERITIES[row.severity],
        rule=row.rule or None,
        gap=None if row.gap >= tables.UNBOUNDED else row.gap,
        gap_s=None if row.gap_s >= tables.UNBOUNDED else row.gap_s,
        alike=bool(row.alike),
        one_type=bool(row.one_type),
        place=row.place,
        other=row.other,
        paired=row.paired,
    )


def example_from_row(row: Any) -> Example:
    """Return the example that is stored in a row of `example`."""
    return Example(row.rank, row.at, json.loads(row.pair))


def row_of_flip(flip: Flip) -> dict[str, Any]:
    """Return a line of flips.jsonl as a row of the table that indexes this file."""
    row = {
        name: storable_text(text) if isinstance(text, str) else text
        for name, text in asdict(flip).items()
    }
    return row | {"evidence": None if flip.evidence is None else json_or_empty(flip.evidence)}
