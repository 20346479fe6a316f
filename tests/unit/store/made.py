"""Records as tests need them: sane values, but for what a test is about."""

from __future__ import annotations

from overgrow.evidence import (
    Compared,
    Example,
    FallbackRecord,
    NotCompared,
    PairGroup,
    Part,
    Served,
    Shape,
)

WAIT_S = 60  # a bound on a wait that succeeds costs nothing
NOW = 1_800_000_000.0
HOUR = 3600.0
SHAPE = Shape("GET", "/orders/<int:id>", ("page",), 200)
PART = Part("value", "$.price", "float", "float", "medium", None, 0.5, None)


def pair_group(key="a" * 16, *, severity="medium", parts=(PART,), rank="0" * 16, at=NOW):
    return PairGroup(key, f"group {key[:4]}", severity, parts, Example(rank, at, {"rank": rank}))


def compared(verdict="matched", *, at=NOW, route="orders", shape=SHAPE, **changes):
    return Compared(route, "legacy", at, shape, verdict, **changes)


def mismatched(key="a" * 16, *, at=NOW, route="orders", verdict="mismatched", **changes):
    return compared(verdict, at=at, route=route, group=pair_group(key, at=at, **changes))


def served(*, at=NOW, route="orders", shape=SHAPE):
    return Served(route, "legacy", at, shape)


def fell_back(*, at=NOW, route="orders", migrated="500", legacy="200", duration_s=0.25):
    return FallbackRecord(route, at, "GET", migrated, legacy, duration_s)


def left_out(why, *, at=NOW, route="orders", shape=SHAPE):
    return NotCompared(route, "legacy", at, shape, why)
