"""How much of large bodies is read in one turn of the loop: answers of the upstream, uploads of clients.

Rule: of many bodies that come at once a few are read in each turn, in the order in which they asked, so that
no turn is long and whoever has a small request beside them is served between two turns. Who has nothing
to read keeps nobody waiting. It knows nothing of HTTP, and never how fast anybody takes what was read.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Protocol

AT_ONCE = 8  # reads in one turn; a loop reads up to 256 KiB each time
SMALL_BYTES = 16 * 1024  # a piece below this costs next to nothing


class Readable(Protocol):
    """A connection of which reading was put off."""

    def resume_read(self) -> None:
        """Read again: it is your turn."""


class ReadScheduler:
    """Gives out the reads of one event loop from one upstream, or from the clients of one listener."""

    def __init__(self, loop: asyncio.AbstractEventLoop, at_once: int = AT_ONCE) -> None:
        self._loop = loop
        self._at_once = at_once
        self._granted = 0  # in this turn
        self._is_scheduled = False
        self._waiting: dict[Readable, None] = {}  # in the order of their turns

    def __repr__(self) -> str:
        return (
            f"<ReadScheduler {self._granted}/{self._at_once} given, {len(self._waiting)} waiting>"
        )

    def may_read_now(self, connection: Readable) -> bool:
        """Whether a connection may be read now; else it is told by `resume_read` when it may."""
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
        """Forget a connection that is not to be read any more, or not for now."""
        self._waiting.pop(connection, None)

    def _start_iteration(self) -> None:
        self._granted = min(self._at_once, len(self._waiting))
        self._is_scheduled = bool(self._granted)
        if self._is_scheduled:
            self._loop.call_soon(self._start_iteration)
        for connection in [*islice(self._waiting, self._granted)]:
            del self._waiting[connection]
            connection.resume_read()
