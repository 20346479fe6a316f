"""The commit point of one request: either the app commits, or legacy may answer instead.

The app gets one callable in its environ, `overgrow.commit`, and calls it just before it commits a transaction
(docs/fallback.md has the lines for SQLAlchemy). After that call the request does not fall back. If a fallback
began before the call, the call raises, so that the app rolls back. The app calls it in the app's thread, while
the fallback runs on the event loop.
"""

from __future__ import annotations

from threading import Lock
from typing import Literal


class TooLate(RuntimeError):
    """Raised in an app that commits although legacy is already answering the app's request."""


class CommitPoint:
    """The callable that the app finds in its environ as `overgrow.commit`."""

    __slots__ = ("_lock", "_state")

    def __init__(self) -> None:
        self._lock = Lock()
        self._state: Literal["open", "committed", "yielded"] = "open"

    def __call__(self) -> None:
        """Say that a transaction is about to be committed.

        Raises:
            TooLate: legacy is answering this request; the transaction must be rolled back.

        """
        with self._lock:
            if self._state == "yielded":
                raise TooLate("this request took too long and is answered by legacy: roll back")
            self._state = "committed"

    def yield_to_legacy(self) -> bool:
        """Let legacy answer the request from now on. If the app has committed already, return False."""
        with self._lock:
            if self._state == "open":
                self._state = "yielded"
            return self._state == "yielded"
