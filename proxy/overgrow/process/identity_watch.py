"""Logs when users cannot be identified, and when they can be again: once for all workers.

Each worker publishes on the board which readers of `identity:` have a problem. Every worker follows the sum of them, so
that whichever speaks knows what was logged; the one that speaks logs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

logger = logging.getLogger("overgrow")

IDENTITY_FIELD = "identity"  # of a worker's state: {reader: what is wrong}


class IdentityWatch:
    """What one worker knows of the readers that have a problem in any worker."""

    def __init__(self) -> None:
        self._known: frozenset[str] | None = None  # None: not looked yet

    @property
    def knows_problems(self) -> bool:
        """Whether the last look found a problem."""
        return bool(self._known)

    def follow(self, living: Sequence[Mapping[str, Any]], *, is_speaker: bool) -> None:
        """Compare what the living workers publish with the last look; log each change if this worker speaks."""
        problems = _problems_of(living)
        before, self._known = self._known or frozenset(), frozenset(problems)
        if not is_speaker:
            return
        for reader in sorted(self._known - before):
            logger.error("identity-unavailable reader=%s why=%r", reader, problems[reader])
        for reader in sorted(before - self._known):
            logger.info("identity-available-again reader=%s", reader)


def _problems_of(living: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return {reader: what the first worker with a problem says}."""
    found: dict[str, str] = {}
    for one in living:
        for reader, what in (one.get(IDENTITY_FIELD) or {}).items():
            found.setdefault(reader, what)
    return found


def describe_problem(problem: tuple[str, str]) -> str:
    """Return the note on one reader's problem, for the board, the page and `overgrow status`."""
    reader, what = problem
    return f"identity by {reader}: {what} [identity-unavailable]"
