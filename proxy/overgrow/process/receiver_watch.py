"""Logs when a receiver of telemetry begins to fail, and when it works again: once for all workers.

Each worker publishes on the board which receivers fail for it. Every worker follows the reports of all workers,
but only the worker that speaks for all logs. If another worker takes over, it therefore knows what was logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

logger = logging.getLogger("overgrow")

BOARD_FIELD = "receivers"  # of a worker's state: {name: why it fails}


class ReceiverWatch:
    """What one worker knows about receivers that fail in any worker."""

    def __init__(self) -> None:
        self._failing: frozenset[str] | None = None  # None: not looked yet

    def follow(self, living: Sequence[Mapping[str, Any]], *, is_speaker: bool) -> None:
        """Compare what the living workers publish with the last check. If this worker speaks for all, log each change.

        Other workers have logged everything that they had found before the first check of this worker.
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
