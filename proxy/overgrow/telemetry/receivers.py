"""Keeps the status of the receivers of telemetry (a webhook, Sentry, a collector).

Exporters report each attempt here, from their own threads. Rule: a report costs no I/O and waits for nothing. Each
failed attempt is counted. Nothing is logged here: process/receiver_watch.py asks for `problems`, and logs each change.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

MAX_REASON = 200  # characters of one reason


class ReceiverStatus:
    """The outcome of the last attempt to send something to one receiver. Any thread may report an attempt."""

    __slots__ = ("_count_failure", "name", "problem")

    def __init__(self, name: str, count_failure: Callable[[str], None]) -> None:
        self.name = name
        self.problem: str | None = None  # why the last attempt failed; None if it did not
        self._count_failure = count_failure

    def note_success(self) -> None:
        """Note that the receiver took what it was sent."""
        self.problem = None

    def note_failure(self, why: str) -> None:
        """Count a failed attempt. `why` is logged: it must not contain an address, a key or an answer of the receiver."""
        self.problem = " ".join(why.split())[:MAX_REASON] or "unknown"
        self._count_failure(self.name)


class Receivers:
    """The receivers of one process. `count_failure` counts a failed attempt under the name of its receiver."""

    def __init__(self, count_failure: Callable[[str], None]) -> None:
        self._count_failure = count_failure
        self._known: dict[str, ReceiverStatus] = {}
        self._lock = Lock()

    def status_of(self, name: str) -> ReceiverStatus:
        """Return the status of the receiver with this name, such as `sentry`. The first call creates it."""
        with self._lock:
            if name not in self._known:
                self._known[name] = ReceiverStatus(name, self._count_failure)
            return self._known[name]

    @property
    def are_configured(self) -> bool:
        """Whether there is a receiver to which something may be sent."""
        return bool(self._known)

    def problems(self) -> dict[str, str]:
        """Return {name: why the last attempt failed} of the receivers that fail."""
        with self._lock:
            known = list(self._known.values())
        return {each.name: why for each in known if (why := each.problem) is not None}
