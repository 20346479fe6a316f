"""Calls that run while their body is still arriving: at most so many, the longest waiter first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class StreamingSlot:
    """One of the places; left once, however often that is said. Belongs to the loop."""

    __slots__ = ("_semaphore",)

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore: asyncio.Semaphore | None = semaphore

    def release(self) -> None:
        """Let the next one in."""
        semaphore, self._semaphore = self._semaphore, None
        if semaphore is not None:
            semaphore.release()


class StreamingSlots:
    """The places of one pool: clients that dawdle may hold them, and no more threads than these."""

    def __init__(self, max_count: int, on_waiting: Callable[[], None]) -> None:
        self._semaphore = asyncio.Semaphore(max_count)
        self._on_waiting = on_waiting
        self.waiting = 0

    async def acquire(self, within_s: float) -> StreamingSlot | None:
        """Wait for a place; None when none came free in time."""
        self.waiting += 1
        if self._semaphore.locked():
            self._on_waiting()
        try:
            async with asyncio.timeout(within_s):
                await self._semaphore.acquire()
        except TimeoutError:
            return None
        finally:
            self.waiting -= 1
        return StreamingSlot(self._semaphore)
