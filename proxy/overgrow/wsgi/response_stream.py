"""Passes the body of a migrated response from the app's thread to the event loop.

Rule: the thread waits for its client as little as possible. If bytes do not fit into memory, they go to the
spool in two cases. First, the body is one piece, so that the app has finished. Second, other calls wait for a
thread, and the client (not the event loop) is slow. In all other cases, and whenever the spool is full, the
thread waits for its client.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

from overgrow.exchange import BodyBroken, Failure, SpooledBody
from overgrow.wsgi.loop_calls import call_on_loop, release_waiter
from overgrow.wsgi.unsent_memory import AHEAD_BYTES, PIECE_BYTES, SPOOLED_BYTES, UnsentMemory

MAX_CHECKS = 4  # iterations in which a reader takes what waits, if there is a reader
LOOP_S = 0.25  # for the event loop to say who is slow; after that the loop counts as busy


class ResponseStream:
    """The body of one response. `put` and `end` are called in the thread, all other methods on the event loop.

    `is_whole` says that the app has made the whole body. `is_events` keeps a body out of the spool: events
    must not be delayed, and spooling an endless stream would not free its thread.
    """

    __slots__ = (
        "_blocks",
        "_checks",
        "_ended",
        "_failure",
        "_held_bytes",
        "_idle_s",
        "_is_abandoned",
        "_is_kept_off_disk",
        "_is_slow",
        "_is_whole",
        "_loop",
        "_progress",
        "_spooled",
        "_taken_bytes",
        "_unsent_memory",
        "_waiter",
    )

    def __init__(
        self,
        unsent: UnsentMemory,
        loop: asyncio.AbstractEventLoop,
        idle_s: float,
        *,
        is_whole: bool = False,
        is_events: bool = False,
    ) -> None:
        self._unsent_memory = unsent
        self._loop = loop
        self._idle_s = idle_s
        self._is_whole = is_whole
        self._is_kept_off_disk = is_events or unsent.spool is None
        self._blocks: list[bytes] = []
        self._spooled: SpooledBody | None = None  # what comes after the blocks
        self._held_bytes = 0  # waiting here, or taken by the loop and not yet sent
        self._taken_bytes = 0
        self._is_slow = False  # the client, not the event loop
        self._checks = 0  # since a block was added last
        self._progress: threading.Condition | None = (
            None  # the client took something; made when waited for
        )
        self._ended = False
        self._is_abandoned = False
        self._failure: Failure | None = None
        self._waiter: asyncio.Future[None] | None = None

    def try_put(self, block: bytes) -> bool:
        """Add a block if that is possible without waiting. Return whether the block was added."""
        with self._unsent_memory.changed:
            return self._add_to_memory(block)

    def put(self, block: bytes) -> bool:
        """Add a block; wait until there is room. If the client is gone, return False."""
        while True:
            if self._wait_for_room(block):
                return not self._is_abandoned
            if self._may_spool and self._append_to_spool(block):
                return True
            if len(block) > PIECE_BYTES:
                return all(self.put(piece) for piece in _pieces(block))

    def end(self, failure: Failure | None = None) -> None:
        """Mark the end of the body. With a failure, the body counts as broken."""
        with self._unsent_memory.changed:
            self._ended, self._failure = True, self._failure or failure
            self._wake_reader()

    def abandon(self, failure: Failure | None = None) -> None:
        """Release the thread and the memory, because the client left or had to wait too long.

        With a failure, also end the body.
        """
        with self._unsent_memory.changed:
            self._is_abandoned = True
            self._blocks.clear()
            self._wake_thread()
            held, self._held_bytes, self._taken_bytes = self._held_bytes, 0, 0
            self._unsent_memory.give_back_locked(held)
            if self._spooled is not None:
                self._spooled.close()
        if failure is not None:
            self.end(failure)

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> bytes:
        """Return all waiting bytes as one chunk. A further call tells the stream that this chunk was sent."""
        while True:
            waiter = self._create_waiter()
            if waiter is None:
                return self._take_blocks() or await self._take_from_spool()
            try:
                async with asyncio.timeout(self._idle_s):
                    await waiter
            except TimeoutError:
                raise BodyBroken(self._idle_failure()) from None

    # In the thread.

    def _wait_for_room(self, block: bytes) -> bool:
        """Add a block to memory. Return False if the block must go to the spool, or must be added in pieces."""
        size = len(block)
        with self._unsent_memory.changed:
            while not self._is_abandoned and not self._add_to_memory(block):
                may_spool = self._may_spool
                if may_spool and (self._is_whole or self._is_slow or self._has_own_room(size)):
                    return False
                nothing_waits = not self._held_bytes and not self._spooled_bytes
                if nothing_waits and size > PIECE_BYTES:
                    return False
                self._wait_in_thread(size, may_spool=may_spool)
        return True

    def _wait_in_thread(self, size: int, *, may_spool: bool) -> None:
        """Wait until there may be room.

        With `may_spool`, also find out whether the client or the event loop is slow.
        """
        unsent = self._unsent_memory
        if self._has_own_room(size):
            unsent.changed.wait()
            return
        moved = self._progress = self._progress or threading.Condition(unsent.lock)
        unsent.waiting_threads.add(moved)
        try:
            if may_spool:
                call_on_loop(self._loop, self._classify_slowness)
                self._is_slow = not moved.wait(LOOP_S) or self._is_slow
            else:
                moved.wait()
        finally:
            unsent.waiting_threads.discard(moved)

    def _has_own_room(self, size: int) -> bool:
        """Whether this body may run ahead of its client by `size` more bytes."""
        held = self._held_bytes
        return not self._spooled_bytes and not (held and held + size > AHEAD_BYTES)

    def _wake_thread(self) -> None:
        if self._progress is not None:
            self._progress.notify()

    def _add_to_memory(self, block: bytes) -> bool:
        size = len(block)
        if self._is_abandoned or not self._has_own_room(size):
            return False
        if not self._unsent_memory.take_locked(
            size, at_least=0 if self._held_bytes else PIECE_BYTES
        ):
            return False
        self._blocks.append(block)
        self._held_bytes += size
        self._is_slow, self._checks = False, 0
        self._wake_reader()
        return True

    @property
    def _may_spool(self) -> bool:
        if self._is_kept_off_disk:
            return False
        spooled = self._spooled
        size = 0 if spooled is None else spooled.size_bytes
        return self._is_whole or (size < SPOOLED_BYTES and self._unsent_memory.has_waiting_calls())

    def _append_to_spool(self, block: bytes) -> bool:
        """Add a block to the spool. After one failure, do not try the spool again."""
        unsent = self._unsent_memory
        with unsent.changed:
            if self._is_abandoned or unsent.spool is None:
                return False
            spooled = self._spooled = self._spooled or unsent.spool.open()
        if not spooled.append(block):
            self._is_kept_off_disk = True
            return False
        with unsent.changed:
            self._wake_reader()
        return True

    def _wake_reader(self) -> None:
        if self._waiter is not None:
            call_on_loop(self._loop, release_waiter, self._waiter)
            self._waiter = None

    # On the loop.

    def _classify_slowness(self) -> None:
        """Find out why the thread waits: the client is slow but still taking bytes, or the event loop is slow."""
        with self._unsent_memory.changed:
            self._checks += 1
            is_given = self._taken_bytes or self._spooled_bytes
            self._is_slow = bool(is_given) or self._checks >= MAX_CHECKS
            self._wake_thread()

    @property
    def _spooled_bytes(self) -> int:
        return 0 if self._spooled is None else self._spooled.unread_bytes

    def _create_waiter(self) -> asyncio.Future[None] | None:
        """Return a future to wait for. Return None if bytes are waiting already, or if no more bytes will come."""
        with self._unsent_memory.changed:
            if self._taken_bytes:
                self._held_bytes -= self._taken_bytes
                self._unsent_memory.give_back_locked(self._taken_bytes)
                self._taken_bytes = 0
                self._wake_thread()
            if self._blocks or self._spooled_bytes or self._ended or self._is_abandoned:
                return None
            self._waiter = self._loop.create_future()
            return self._waiter

    def _take_blocks(self) -> bytes:
        with self._unsent_memory.changed:
            if not self._blocks:
                return b""
            block = self._blocks[0] if len(self._blocks) == 1 else b"".join(self._blocks)
            self._blocks.clear()
            self._taken_bytes = len(block)
            return block

    async def _take_from_spool(self) -> bytes:
        """Return the next bytes from the disk.

        Raises:
            BodyBroken: the body is broken, or the spool cannot be read.
            StopAsyncIteration: the body is complete.

        """
        spool, spooled = self._unsent_memory.spool, self._spooled
        if spool is not None and spooled is not None and spooled.unread_bytes:
            try:
                data = await spool.run_in_thread(spooled.take, PIECE_BYTES)
            except OSError as error:
                raise BodyBroken(_spool_failure(error)) from error
            with self._unsent_memory.changed:
                self._wake_thread()
            if data:
                return data
        if self._failure is not None:
            raise BodyBroken(self._failure)
        raise StopAsyncIteration

    def _idle_failure(self) -> Failure:
        detail = f"the app sent nothing for {self._idle_s:g} s"
        return Failure("migrated-timeout", "body", "migrated", detail)


def _pieces(block: bytes) -> Iterator[bytes]:
    return (block[at : at + PIECE_BYTES] for at in range(0, len(block), PIECE_BYTES))


def _spool_failure(error: OSError) -> Failure:
    return Failure("migrated-crash", "body", "front", f"the spool cannot be read: {error}")
