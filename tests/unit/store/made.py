"""Records as tests need them: sane values, but for what a test is about."""

from __future__ import annotations

from overgrow.store.records import (
    Compared,
    Differing,
    Example,
    FellBack,
    NotCompared,
    Part,
    Served,
    Shape,
)

WAIT_S = 60  # a bound on a wait that succeeds costs nothing
NOW = 1_800_000_000.0
HOUR = 3600.0
SHAPE = Shape("GET", "/orders/<int:id>", ("page",), 200)
PART = Part("value", "$.price", "float", "float", "medium", None, 0.5, None)


def differing(key="a" * 16, *, severity="medium", parts=(PART,), rank="0" * 16, at=NOW):
    return Differing(key, f"group {key[:4]}", severity, parts, Example(rank, at, {"rank": rank}))


def compared(outcome="matched", *, at=NOW, route="orders", shape=SHAPE, **changes):
    return Compared(route, "legacy", at, shape, outcome, **changes)


def mismatched(key="a" * 16, *, at=NOW, route="orders", outcome="mismatched", **changes):
    return compared(outcome, at=at, route=route, differing=differing(key, at=at, **changes))


def served(*, at=NOW, route="orders", shape=SHAPE):
    return Served(route, "legacy", at, shape)


def fell_back(*, at=NOW, route="orders", migrated="500", legacy="200", duration_s=0.25):
    return FellBack(route, at, "GET", migrated, legacy, duration_s)


def left_out(why, *, at=NOW, route="orders", shape=SHAPE):
    return NotCompared(route, "legacy", at, shape, why)
