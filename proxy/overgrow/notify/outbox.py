"""Keeps the waiting events and what the receiver has been told in a file, so that both survive a worker.

One worker reads and writes the file: the one with the lowest slot. If two workers do so for a moment, an event
may be sent twice, with the same id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overgrow.files import read_regular, replace_file
from overgrow.notify.event import WebhookEvent

FILE = "webhook.json"
MAX_WAITING = 200  # events; then the oldest is dropped
MAX_AGE_S = 3600.0  # then an event is old news
_MAX_BYTES = 4 << 20
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0


@dataclass(slots=True)
class Outbox:
    """The waiting events in order, and the last state of the front door for which events were made."""

    known: Mapping[str, Any] | None = None  # None: nothing was ever told
    waiting: list[tuple[float, WebhookEvent]] = field(default_factory=list)  # since when (unix)
    failed_attempts: int = 0  # in a row
    next_attempt_s: float = 0.0

    @classmethod
    def read(cls, state: Path) -> Outbox:
        """Read the file of a state folder. If the file is missing or unreadable, return a new outbox."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = json.loads(read_regular(state / FILE, _MAX_BYTES))
            waiting = [(float(at), WebhookEvent.from_json(each)) for at, each in stored["waiting"]]
            return cls(dict(stored["known"]), waiting)
        return cls()

    def write(self, state: Path) -> None:
        """Write the file; raise OSError if that fails, for instance on a full disk."""
        stored = {
            "known": self.known,
            "waiting": [(at, event.as_json()) for at, event in self.waiting],
        }
        replace_file(state / FILE, json.dumps(stored).encode())

    def add(self, events: Iterable[WebhookEvent], now_s: float) -> int:
        """Add events; return how many were dropped because there were too many or they were too old."""
        self.waiting += [(now_s, each) for each in events]
        fresh = [each for each in self.waiting if 0 <= now_s - each[0] <= MAX_AGE_S]
        dropped = len(self.waiting) - len(fresh[-MAX_WAITING:])
        self.waiting = fresh[-MAX_WAITING:]
        return dropped

    def due(self, now_s: float) -> WebhookEvent | None:
        """Return the event to send now. Return None if no event waits, or if the next attempt is due later."""
        is_later = 0 < self.next_attempt_s - now_s <= _LONGEST_WAIT_S
        return self.waiting[0][1] if self.waiting and not is_later else None

    def remove(self, event: WebhookEvent) -> None:
        """Remove an event that was sent or refused. The next event is due at once."""
        self.waiting = [each for each in self.waiting if each[1].id != event.id]
        self.failed_attempts, self.next_attempt_s = 0, 0.0

    def postpone(self, now_s: float, wait_s: float) -> None:
        """Wait longer after each failed attempt, and at least as long as the receiver asked for, up to a minute."""
        backoff_s = _FIRST_WAIT_S * 2 ** min(self.failed_attempts, 10)
        self.failed_attempts += 1
        self.next_attempt_s = now_s + min(max(backoff_s, wait_s), _LONGEST_WAIT_S)
