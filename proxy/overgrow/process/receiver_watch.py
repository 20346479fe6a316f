"""Logs when a receiver of telemetry begins to fail, and when it works again: once for all workers.

Each worker publishes on the board which receivers fail for it, and which of them it knows to be logged. Every worker
follows the union of the failing ones, so that any worker can take over the log. Only the worker that speaks logs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

logger = logging.getLogger("overgrow")

# Fields of a worker's state on the board.
FAILING_FIELD = "receivers"  # {name: why it fails}
LOGGED_FIELD = "receivers_logged"  # names


class ReceiverWatch:
    """What one worker knows of the receivers that fail in any worker. `logged` are those that the log has as failing."""

    def __init__(self) -> None:
        self._failing: frozenset[str] | None = None  # None: not looked yet
        self.logged: frozenset[str] = frozenset()

    def follow(self, living: Sequence[Mapping[str, Any]], *, is_speaker: bool) -> bool:
        """Compare what the living workers publish with the last look; log each change if this worker speaks.

        At its first look a worker learns from the others what was logged before. Return whether `logged` changed.
        """
        reasons, was_logged = _reasons(living), self.logged
        now = frozenset(reasons)
        if self._failing is None:
            self.logged = frozenset(name for one in living for name in one.get(LOGGED_FIELD) or ())
            self._failing = self.logged
        before, self._failing = self._failing, now
        if is_speaker:
            for name in sorted(now - before):
                logger.error("%s-fails why=%r", name, reasons[name])
            for name in sorted(before - now):
                logger.info("%s-works-again", name)
            self.logged |= now
        self.logged &= now
        return self.logged != was_logged


def _reasons(living: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return {name: the reason that the first failing worker gives}."""
    found: dict[str, str] = {}
    for one in living:
        for name, why in (one.get(FAILING_FIELD) or {}).items():
            found.setdefault(name, why)
    return found
