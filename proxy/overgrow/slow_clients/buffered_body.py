"""The body of a request, gathered before anybody else is troubled with it.

Rule: 64 KiB of it lie in memory, the rest in the spool; who gives a byte at a time costs no more than
who gives it all at once. Where the spool has no room the rest stays with the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from overgrow.exchange import Spool, SpooledBody

MEMORY_BYTES = 64 * 1024


class BufferedBody:
    """What of a body is here, oldest first: `spooled`, then `held`; `rest` is None when that is all."""

    __slots__ = ("held", "rest", "spooled")

    def __init__(self, rest: AsyncIterator[bytes] | None) -> None:
        self.held = bytearray()
        self.spooled: SpooledBody | None = None
        self.rest = rest

    async def read_more(self, idle_s: float) -> bool:
        """Wait for the next bytes; False at the end of the body.

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
        """Move what is held to the spool; False, and it stays, where there is no room."""
        if self.spooled is None:
            self.spooled = spool.open()
        if not await spool.run_in_thread(self.spooled.append, bytes(self.held)):
            return False
        self.held = bytearray()
        return True

    async def chunks(self, spool: Spool | None, *, with_rest: bool = True) -> AsyncIterator[bytes]:
        """The body from its start: from the disk, from memory, from the client.

        Raises:
            OSError: the disk does not give it back.

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
        """Give up what is on disk."""
        if self.spooled is not None:
            self.spooled.close()


async def buffer_body(
    body: AsyncIterator[bytes],
    spool: Spool | None,
    idle_s: float,
    is_enough: Callable[[], bool] = lambda: False,
) -> BufferedBody:
    """Gather until all is here, until there is no room, or until 64 KiB are here and `is_enough`.

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
