"""Reads the body of a request before the request gets a thread or an upstream connection.

Rule: 64 KiB are kept in memory and the rest in the spool. A client that sends one byte at a time therefore
costs no more than a client that sends everything at once. If the spool is full, the rest stays unread for now.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from overgrow.exchange import Spool, SpooledBody

MEMORY_BYTES = 64 * 1024


class BufferedBody:
    """The part of a body that has arrived: its beginning is `spooled` on disk, and the rest is `held` in memory.

    `rest` yields the bytes that are still to come. Once the whole body has arrived, `rest` is None.
    """

    __slots__ = ("held", "rest", "spooled")

    def __init__(self, rest: AsyncIterator[bytes] | None) -> None:
        self.held = bytearray()
        self.spooled: SpooledBody | None = None
        self.rest = rest

    async def read_more(self, idle_s: float) -> bool:
        """Wait for the next bytes and keep them. At the end of the body, return False.

        Raises:
            ClientGone: the client broke off.
            TimeoutError: no byte came for `idle_s`.

        """
        if self.rest is None:
            return False
        async with asyncio.timeout(idle_s):
            chunk = await anext(self.rest, None)
        if chunk is None:
            self.rest = None
            return False
        self.held += chunk
        return True

    async def spill_to_disk(self, spool: Spool) -> bool:
        """Move the bytes in memory to the spool. If the spool is full, keep them in memory and return False."""
        if self.spooled is None:
            self.spooled = spool.open()
        if not await spool.run_in_thread(self.spooled.append, bytes(self.held)):
            return False
        self.held = bytearray()
        return True

    async def chunks(self, spool: Spool | None, *, with_rest: bool = True) -> AsyncIterator[bytes]:
        """Yield the body from its start: from disk, from memory, then from the client.

        Raises:
            OSError: the disk cannot be read.

        """
        while spool is not None and self.spooled is not None and self.spooled.unread_bytes:
            yield await spool.run_in_thread(self.spooled.take, MEMORY_BYTES)
        if self.held:
            held, self.held = bytes(self.held), bytearray()
            yield held
        if with_rest and self.rest is not None:
            async for chunk in self.rest:
                yield chunk

    def close(self) -> None:
        """Discard the bytes on disk."""
        if self.spooled is not None:
            self.spooled.close()


async def buffer_body(
    body: AsyncIterator[bytes],
    spool: Spool | None,
    idle_s: float,
    is_enough: Callable[[], bool] = lambda: False,
) -> BufferedBody:
    """Read until the body ends, the spool is full, or 64 KiB have come and `is_enough` returns True.

    Raises:
        ClientGone: the client broke off.
        TimeoutError: no byte came for `idle_s`.

    """
    buffered = BufferedBody(aiter(body))
    try:
        while await buffered.read_more(idle_s):
            if len(buffered.held) < MEMORY_BYTES:
                continue
            if is_enough() or spool is None or not await buffered.spill_to_disk(spool):
                break
    except BaseException:
        buffered.close()
        raise
    return buffered
