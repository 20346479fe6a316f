"""The stages of a table's move, their order, and what each means. Pure.

A stage changes by one step at a time, forward or back. `complete` is final, because the legacy table gets no writes
from then on.
"""

from __future__ import annotations

from typing import NamedTuple


class Stage(NamedTuple):
    """One stage: its meaning, and the sides that may serve reads and writes."""

    name: str
    meaning: str
    is_synced: bool  # whether triggers carry each write to the other table
    leader: str  # whose new keys win: "legacy" or "flask"
    reads_may_move: bool
    writes_may_move: bool


STAGES = (
    Stage("none", "the new table is not used", False, "legacy", False, False),
    Stage("dual_write", "each write reaches both tables", True, "legacy", False, False),
    Stage("shadow", "the new table is complete; reads may move", True, "legacy", True, False),
    Stage("live", "the new table leads; writes may move", True, "flask", True, True),
    Stage("ramp_down", "all routes leave legacy", True, "flask", True, True),
    Stage("complete", "the legacy table gets no writes", False, "flask", True, True),
)
STAGE_NAMES = tuple(stage.name for stage in STAGES)
FIRST, LAST = STAGE_NAMES[0], STAGE_NAMES[-1]


def stage_named(name: str) -> Stage:
    """Return the stage with this name."""
    return STAGES[STAGE_NAMES.index(name)]


def steps_between(current: str, wanted: str) -> int:
    """Return how many steps lead from one stage to another; negative for steps back."""
    return STAGE_NAMES.index(wanted) - STAGE_NAMES.index(current)


def stage_after(name: str) -> str | None:
    """Return the next stage; None if this is the last stage."""
    at = STAGE_NAMES.index(name) + 1
    return STAGE_NAMES[at] if at < len(STAGE_NAMES) else None
