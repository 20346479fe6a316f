"""Limits how many calls of mounted apps may build large responses in one piece at the same time.

Rule: the size of a response is not known before it is made, but a route that made a large response is expected to
make another. While unsent responses fill their memory limit, the calls of such routes run one by one, and calls of
other routes overtake them. Everything here belongs to the event loop; no thread touches it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

LARGE_BYTES = 1024 * 1024
AT_ONCE_BYTES = 16 * 1024 * 1024  # may be in the making while memory is short; one call always may
MAX_ROUTES = 1024  # remembered; beyond that all are forgotten


class MemoryRoom(Protocol):
    """The bound on the memory of unsent responses."""

    def has_room_for(self, size: int) -> bool:
        """Whether `size` more bytes fit within the bound."""
        ...


class LargeResponseShare:
    """The number of bytes counted for one call while the app generates its response.

    `finish` may be called more than once.
    """

    __slots__ = ("_calls", "_expected_bytes", "_route", "_size")

    def __init__(self, calls: LargeResponseQueue, route: str, expected_bytes: int) -> None:
        self._calls: LargeResponseQueue | None = calls
        self._route = route
        self._expected_bytes = expected_bytes
        self._size = 0

    def note_piece(self, size: int) -> None:
        """Count a large piece of the response that has come, and expect a next piece of the same size."""
        if self._calls is None or size < LARGE_BYTES:
            return
        self._size = max(self._size, size)
        more = max(0, size - self._expected_bytes)
        self._expected_bytes += more
        self._calls.expect(self._route, self._size, more)

    def finish(self) -> None:
        """Stop counting the call: its response is counted elsewhere from now on, or nobody needs it any more."""
        calls, self._calls = self._calls, None
        if calls is not None and self._expected_bytes:
            calls.finish(self._route, self._expected_bytes, self._size)


class LargeResponseQueue:
    """The sizes of large responses by route, for all mounted apps, and how many bytes are being generated."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}  # of routes whose responses are large
        self._making_bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def begin(
        self, route: str, memory_room: MemoryRoom | None, within_s: float
    ) -> LargeResponseShare | None:
        """Wait until a call may run, and count it. If the wait takes too long, return None."""
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
        """Remember the size of a route's response. Add `more` to the number of bytes that are being generated."""
        if len(self._sizes) >= MAX_ROUTES:
            self._sizes.clear()
        self._sizes[route] = size
        self._making_bytes += more

    def finish(self, route: str, expected: int, size: int) -> None:
        """Stop counting a call.

        If its response was small, halve the size that is expected of the route's next response.
        """
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
        """Wake the longest waiter; it wakes the next one if there is room for more."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
