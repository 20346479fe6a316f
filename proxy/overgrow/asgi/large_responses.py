"""Which mounted calls make large answers in one piece, and how many of those run at once.

Rule: nobody knows an answer's size before it is made, but a route that answered a large one will make
another. Such calls run one by one while unsent answers fill their bound; calls of other routes
overtake them. It belongs to the event loop: what it counts, no thread sees.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

LARGE_BYTES = 1024 * 1024
AT_ONCE_BYTES = 16 * 1024 * 1024  # made at the same time while memory is short, or one call
MAX_ROUTES = 1024  # remembered; past that all are forgotten


class MemoryRoom(Protocol):
    """The bound of what unsent answers hold."""

    def has_room_for(self, size: int) -> bool:
        """Whether so many bytes more would be within it."""
        ...


class LargeResponseShare:
    """One call's share of what is being made; finished once, however often that is said."""

    __slots__ = ("_calls", "_expected_bytes", "_route", "_size")

    def __init__(self, calls: LargeResponseQueue, route: str, expected_bytes: int) -> None:
        self._calls: LargeResponseQueue | None = calls
        self._route = route
        self._expected_bytes = expected_bytes
        self._size = 0

    def note_piece(self, size: int) -> None:
        """Count a piece of an answer as soon as it is here, and expect one more of its size."""
        if self._calls is None or size < LARGE_BYTES:
            return
        self._size = max(self._size, size)
        more = max(0, size - self._expected_bytes)
        self._expected_bytes += more
        self._calls.expect(self._route, self._size, more)

    def finish(self) -> None:
        """Its bytes lie where they are bounded, or nobody wants them."""
        calls, self._calls = self._calls, None
        if calls is not None and self._expected_bytes:
            calls.finish(self._route, self._expected_bytes, self._size)


class LargeResponseQueue:
    """What the routes of all mounts answer in one piece, and what is being made now."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}  # of routes whose answers are large
        self._making_bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def begin(
        self, route: str, memory_room: MemoryRoom | None, within_s: float
    ) -> LargeResponseShare | None:
        """Count a call as soon as it may be made; None when that takes too long."""
        if memory_room is None or route not in self._sizes:
            return LargeResponseShare(self, route, 0)
        try:
            async with asyncio.timeout(within_s):
                while not self._may_make(self._sizes.get(route, 0), memory_room):
                    await self._wait_turn()
        except TimeoutError:
            return None
        expected = self._sizes.get(route, 0)
        self._making_bytes += expected
        self._wake()  # where there is room for more than one
        return LargeResponseShare(self, route, expected)

    def expect(self, route: str, size: int, more: int) -> None:
        """Remember what a route answers, and count so much more as being made."""
        if len(self._sizes) >= MAX_ROUTES:
            self._sizes.clear()
        self._sizes[route] = size
        self._making_bytes += more

    def finish(self, route: str, expected: int, size: int) -> None:
        """Count a call no more; a route whose answers have become small is forgotten by and by."""
        self._making_bytes -= expected
        if size < LARGE_BYTES and route in self._sizes:
            self._sizes[route] = expected // 2
            if expected // 2 < LARGE_BYTES:
                del self._sizes[route]
        self._wake()

    def _may_make(self, expected: int, memory_room: MemoryRoom) -> bool:
        making = self._making_bytes + expected
        return not self._making_bytes or making <= AT_ONCE_BYTES or memory_room.has_room_for(making)

    async def _wait_turn(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake()
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _wake(self) -> None:
        """Let the longest waiter look again; it wakes the next where there is room for more."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
