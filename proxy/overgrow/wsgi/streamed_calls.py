"""Calls that run while their body is still arriving: at most so many, the longest waiter first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Place:
    """One of the places; left once, however often that is said. Belongs to the loop."""

    __slots__ = ("_places",)

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places: asyncio.Semaphore | None = places

    def leave(self) -> None:
        """Let the next one in."""
        places, self._places = self._places, None
        if places is not None:
            places.release()


class Streams:
    """The places of one pool: clients that dawdle may hold them, and no more threads than these."""

    def __init__(self, most: int, on_waiting: Callable[[], None]) -> None:
        self._places = asyncio.Semaphore(most)
        self._on_waiting = on_waiting
        self.waiting = 0

    async def take(self, within_s: float) -> Place | None:
        """Wait for a place; None when none came free in time."""
        self.waiting += 1
        if self._places.locked():
            self._on_waiting()
        try:
            async with asyncio.timeout(within_s):
                await self._places.acquire()
        except TimeoutError:
            return None
        finally:
            self.waiting -= 1
        return Place(self._places)
