"""Decides which connections are read in one iteration of the event loop while many large bodies arrive.

Rule: a few connections are read in each iteration, in the order in which they asked. Each iteration is
therefore short, and small requests are served between the reads. A connection that has no bytes to read does
not delay other connections. This module does not know HTTP, and does not limit how much a connection reads.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Protocol

AT_ONCE = 8  # reads in one iteration; a loop reads up to 256 KiB each time
SMALL_BYTES = 16 * 1024  # a piece below this costs next to nothing


class Readable(Protocol):
    """A connection whose reading was deferred."""

    def on_read_turn(self) -> None:
        """Read again, because it is this connection's turn."""


class ReadScheduler:
    """Schedules the reads of one event loop: from one upstream, or from the clients of one listener."""

    def __init__(self, loop: asyncio.AbstractEventLoop, at_once: int = AT_ONCE) -> None:
        self._loop = loop
        self._at_once = at_once
        self._granted = 0  # in this iteration
        self._is_scheduled = False
        self._waiting: dict[Readable, None] = {}  # in the order in which they asked

    def __repr__(self) -> str:
        return (
            f"<ReadScheduler {self._granted}/{self._at_once} given, {len(self._waiting)} waiting>"
        )

    def may_read_now(self, connection: Readable) -> bool:
        """Return whether a connection may be read now. If it may not, its `on_read_turn` is called later."""
        is_admitted = self._granted < self._at_once and not self._waiting
        if is_admitted:
            self._granted += 1
        else:
            self._waiting[connection] = None
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._start_iteration)
        return is_admitted

    def forget(self, connection: Readable) -> None:
        """Remove a connection that does not need a turn for now."""
        self._waiting.pop(connection, None)

    def _start_iteration(self) -> None:
        self._granted = min(self._at_once, len(self._waiting))
        self._is_scheduled = bool(self._granted)
        if self._is_scheduled:
            self._loop.call_soon(self._start_iteration)
        for connection in [*islice(self._waiting, self._granted)]:
            del self._waiting[connection]
            connection.on_read_turn()
