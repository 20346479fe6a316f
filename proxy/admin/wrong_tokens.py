"""Wrong tokens: nothing slows down who guesses, so the log has to tell that somebody does."""

from __future__ import annotations

import logging
from collections.abc import Callable

LOG = logging.getLogger("overgrow")
INTERVAL_S = 60.0


class WrongTokens:
    """Counts them, and logs the first at once and what follows once a minute. `now` is unix time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._count = 0
        self._told_at = float("-inf")

    def note(self, address: str | None) -> None:
        """Somebody at this address gave a wrong one."""
        self._count += 1
        now = self._now()
        if now - self._told_at >= INTERVAL_S:
            count, self._count, self._told_at = self._count, 0, now
            LOG.warning("wrong-token from=%s times=%d", address or "unix", count)
