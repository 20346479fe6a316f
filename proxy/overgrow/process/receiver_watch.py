"""Logs when a receiver of telemetry begins to fail, and when it works again: once for all workers.

Each worker publishes on the board which receivers fail for it. Every worker follows the sum of them, so that whichever
speaks knows what was logged; the one that speaks logs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

logger = logging.getLogger("overgrow")

BOARD_FIELD = "receivers"  # of a worker's state: {name: why it fails}


class ReceiverWatch:
    """What one worker knows of the receivers that fail in any worker."""

    def __init__(self) -> None:
        self._failing: frozenset[str] | None = None  # None: not looked yet

    def follow(self, living: Sequence[Mapping[str, Any]], *, is_speaker: bool) -> None:
        """Compare what the living workers publish with the last look; log each change if this worker speaks.

        What other workers had found before this worker's first look was logged by them.
        """
        reasons = _reasons(living)
        now = frozenset(reasons)
        before = now if self._failing is None and len(living) > 1 else self._failing or frozenset()
        self._failing = now
        if is_speaker:
            for name in sorted(now - before):
                logger.error("%s-fails why=%r", name, reasons[name])
            for name in sorted(before - now):
                logger.info("%s-works-again", name)


def _reasons(living: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return {name: the reason that the first failing worker gives}."""
    found: dict[str, str] = {}
    for one in living:
        for name, why in (one.get(BOARD_FIELD) or {}).items():
            found.setdefault(name, why)
    return found
