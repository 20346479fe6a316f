"""Counts the bytes of migrated responses that wait for their clients. All responses of a pool share one bound.

Rule: only bytes in memory count. All responses of a pool share one lock: when one client takes bytes, another
response may get room. If a response waits only for its own client, it is woken alone. If sixteen threads woke
for each piece, the event loop could hardly run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from overgrow.exchange import Spool

MAX_BYTES = 64 * 1024 * 1024
AHEAD_BYTES = 256 * 1024  # of one streamed response
LARGE_BYTES = 1024 * 1024
PIECE_BYTES = 64 * 1024  # a response of which nothing waits may always add so much
SPOOLED_BYTES = 64 * 1024 * 1024  # of one streamed response: an endless one must not fill the disk


class UnsentMemory:
    """The memory that the unsent responses of one pool hold together.

    The caller of a method whose name ends in `_locked` must hold `changed`.

    `has_waiting_calls` returns whether calls wait for a thread. If they do, a streamed response goes to the
    spool, so that its thread does not have to wait for the client.
    """

    def __init__(
        self,
        has_waiting_calls: Callable[[], bool] = lambda: False,
        spool: Spool | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)  # notified when shared room becomes free
        self.waiting_threads: set[threading.Condition] = (
            set()
        )  # each waits for the client of its own response
        self.held_bytes = 0
        self.has_waiting_calls = has_waiting_calls
        self.on_room: Callable[[], None] | None = None  # called with `changed` held
        self.spool = spool
        self._max_bytes = max_bytes

    def has_room_locked(self, size: int) -> bool:
        """Whether `size` more bytes fit within the bound. A large response must leave a quarter of the bound free."""
        max_bytes = self._max_bytes
        if size > LARGE_BYTES:  # so that small ones, and those in the making, have room
            max_bytes -= max_bytes // 4
        return self.held_bytes + size <= max_bytes

    def take_locked(self, size: int, *, at_least: int) -> bool:
        """Claim `size` bytes. If there is too little room, claim nothing and return False.

        A `size` of at most `at_least` is always claimed, so that other responses never stop this one
        completely.
        """
        if self.held_bytes and size > at_least and not self.has_room_locked(size):
            return False
        self.held_bytes += size
        return True

    def give_back_locked(self, size: int) -> None:
        """Release `size` bytes, and wake the responses that wait for room."""
        self.held_bytes -= size
        self.changed.notify_all()
        if self.on_room is not None:
            self.on_room()

    def claim(self, size: int) -> bool:
        """Claim `size` bytes for the response of an ASGI app. If there is too little room, return False."""
        with self.changed:
            return self.take_locked(size, at_least=0)

    def release(self, size: int) -> None:
        """Release `size` claimed bytes."""
        with self.changed:
            self.give_back_locked(size)

    def has_room_for(self, size: int) -> bool:
        """Whether `size` bytes could be claimed now."""
        with self.changed:
            return self.has_room_locked(size)

    def wake_all(self) -> None:
        """Wake every response whose thread waits for its client, so that the response can go to the spool instead.

        This is called when calls begin to wait for a thread.
        """
        with self.changed:
            self.changed.notify_all()
            for each in self.waiting_threads:
                each.notify()
