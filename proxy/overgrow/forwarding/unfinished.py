"""Limits requests whose body is still arriving: together they hold at most half of the connections to one upstream.

Rule: requests that wait for a client's body must leave connections for all other requests. Each request whose
body is arriving has a slot. A free slot goes to the request that has waited longest. Releasing a slot a second
time does nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from overgrow.connection_login import ClientConnection


class UploadSlot:
    """The right of one request to hold a connection while its body arrives."""

    __slots__ = ("_unfinished", "client")

    def __init__(self, unfinished: UnfinishedUploads, client: ClientConnection | None) -> None:
        self._unfinished: UnfinishedUploads | None = unfinished
        self.client = client

    def release(self) -> None:
        """Free the slot: the body has arrived, or nobody needs it any more."""
        unfinished, self._unfinished = self._unfinished, None
        if unfinished is not None:
            unfinished.release(self)


class UnfinishedUploads:
    """At most `maximum` slots for requests whose body is still arriving. Each object belongs to one event loop."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._stays: set[UploadSlot] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._promised = 0  # slots given to waiters that have not taken them yet

    @property
    def waiting_requests(self) -> int:
        """How many requests wait for a slot."""
        return len(self._waiting)

    def uploading_clients(self) -> Iterator[ClientConnection | None]:
        """The clients whose bodies are still arriving."""
        return (slot.client for slot in self._stays)

    def has_free_slot(self) -> bool:
        """Whether a slot is free."""
        return len(self._stays) + self._promised < self._maximum

    def try_acquire(self, client: ClientConnection | None) -> UploadSlot | None:
        """Take a slot and return it; None if no slot is free."""
        if not self.has_free_slot():
            return None
        slot = UploadSlot(self, client)
        self._stays.add(slot)
        return slot

    async def wait_for_slot(
        self, client: ClientConnection | None, within_s: float
    ) -> UploadSlot | None:
        """Take a slot as soon as one is free, and return it; None if that takes too long."""
        slot = self.try_acquire(client)
        if slot is not None:
            return slot
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(within_s):
                await turn
        except TimeoutError:
            return None
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
            if turn.done() and not turn.cancelled():
                self._promised -= 1
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    self._promise_free_slots()
        return self.try_acquire(client)

    def release(self, slot: UploadSlot) -> None:
        """Free a slot."""
        self._stays.discard(slot)
        self._promise_free_slots()

    def _promise_free_slots(self) -> None:
        while self._waiting and self.has_free_slot():
            turn = self._waiting.popleft()
            if not turn.done():
                self._promised += 1
                turn.set_result(None)
