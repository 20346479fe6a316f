"""Limits the calls that run while their request body is still arriving. Waiting calls are served in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class StreamingSlot:
    """The right of one call to run while its body is arriving. `release` may be called more than once."""

    __slots__ = ("_semaphore",)

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore: asyncio.Semaphore | None = semaphore

    def release(self) -> None:
        """Give the slot to the next waiter."""
        semaphore, self._semaphore = self._semaphore, None
        if semaphore is not None:
            semaphore.release()


class StreamingSlots:
    """The streaming slots of one pool. Slow clients can hold only as many threads as there are slots."""

    def __init__(self, max_count: int, on_waiting: Callable[[], None]) -> None:
        self._semaphore = asyncio.Semaphore(max_count)
        self._on_waiting = on_waiting
        self.waiting = 0

    async def acquire(self, within_s: float) -> StreamingSlot | None:
        """Wait for a slot. If no slot becomes free in time, return None."""
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
