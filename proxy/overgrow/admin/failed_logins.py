"""Counts and logs wrong tokens. Guessing a token is not slowed down, so operators must be able to see the attempts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

LOG = logging.getLogger("overgrow")
INTERVAL_S = 60.0


class WrongTokens:
    """Counts each wrong token at once, and logs at most one line a minute. `now` returns unix time."""

    def __init__(self, now: Callable[[], float], count: Callable[[], None]) -> None:
        self._now = now
        self._count = count
        self._lock = Lock()
        self._pending = 0
        self._address: str | None = None
        self._logged_at = float("-inf")

    def record(self, address: str | None) -> None:
        """Record a wrong token from this address."""
        self._count()
        with self._lock:
            self._pending += 1
            self._address = address
        self.log_pending()

    def log_pending(self) -> None:
        """Log the wrong tokens that were not logged yet, if a minute has passed."""
        with self._lock:
            now = self._now()
            if not self._pending or now - self._logged_at < INTERVAL_S:
                return
            times, self._pending, self._logged_at = self._pending, 0, now
            LOG.warning("wrong-token from=%s times=%d", self._address or "unix", times)
