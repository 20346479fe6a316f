"""`wsgi.input` for a large body: it returns first the buffered bytes, then the bytes that the event loop feeds.

Rule: at most 256 KiB are kept in memory here; while it is full, nothing is read from the client. If a body
breaks off, WsgiClientDisconnected (an OSError) is raised, or a subclass that the app's framework understands.
An app therefore never mistakes half an upload for a whole one.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from overgrow.slow_clients.buffered_body import BufferedBody
from overgrow.wsgi.loop_calls import release_waiter

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LIMIT_BYTES = 256 * 1024


class WsgiClientDisconnected(ConnectionAbortedError):
    """Raised in the app's thread: the client left, or broke off its body."""


class WsgiInput(io.RawIOBase):
    """The raw stream under `wsgi.input`; wrap it in io.BufferedReader for read and readline.

    `pump` runs on the event loop, `readinto` in a thread. While `waits_for_client` is True, the client causes
    the pause and not the app, so that the response timeout does not count this time. If `on_first_read` is
    given, it is called once, in the thread that first finds nothing to read.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        start: BufferedBody,
        disconnect_error: type[WsgiClientDisconnected] = WsgiClientDisconnected,
    ) -> None:
        super().__init__()
        self._disconnect_error = disconnect_error
        self._loop = loop
        self._ready = threading.Condition()
        self._spooled = start.spooled  # comes before the chunks
        self._chunks = deque([memoryview(bytes(start.held))] if start.held else [])
        self._held_bytes = len(start.held)
        self._ended = start.rest is None
        self._broken = False
        self._room: asyncio.Future[None] | None = None
        self.on_first_read: Callable[[], None] | None = None
        self.waits_for_client = not self._ended
        self.last_byte_at_s = loop.time()

    async def pump(self, body: AsyncIterator[bytes], idle_s: float) -> None:
        """Read the body from the client, no faster than the app reads it.

        Raises:
            ClientGone: the client broke off.
            TimeoutError: no byte came for `idle_s`.

        """
        chunks = aiter(body)
        while True:
            await self._wait_for_room()
            self.waits_for_client = True
            async with asyncio.timeout(idle_s):
                chunk = await anext(chunks, None)
            self.waits_for_client = False
            self.last_byte_at_s = self._loop.time()
            if chunk is None:
                break
            self._add(chunk)
        with self._ready:
            self._ended = True
            self._ready.notify()

    def break_off(self) -> None:
        """Let the app's reads fail from now on, because no more bytes will come."""
        with self._ready:
            self._broken = True
            self._chunks.clear()
            self._held_bytes = 0
            self._ready.notify()
        self.release_spool()

    def release_spool(self) -> None:
        """Free the bytes on disk, because nobody will read them any more."""
        if self._spooled is not None:
            self._spooled.close()

    def _add(self, chunk: bytes) -> None:
        with self._ready:
            self._chunks.append(memoryview(chunk))
            self._held_bytes += len(chunk)
            self._ready.notify()

    async def _wait_for_room(self) -> None:
        """Wait, on the event loop, until fewer bytes than the limit are in memory."""
        with self._ready:
            if self._held_bytes < LIMIT_BYTES:
                return
            self._room = self._loop.create_future()
        await self._room

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read the bytes that have come. If there are none, wait for some. Return 0 at the end (the io protocol)."""
        with memoryview(buffer) as view, view.cast("B") as room:
            if self._spooled is not None and self._spooled.unread_bytes and not self._broken:
                taken = self._spooled.take(len(room))
                room[: len(taken)] = taken
                if taken:
                    return len(taken)
            self._call_on_first_read()
            with self._ready:
                self._ready.wait_for(lambda: self._chunks or self._ended or self._broken)
                if self._broken:
                    raise self._disconnect_error("the client broke off the body of its request")
                return self._copy_into(room) if self._chunks else 0

    def _call_on_first_read(self) -> None:
        wanted, self.on_first_read = self.on_first_read, None
        if wanted is not None:
            wanted()

    def _copy_into(self, room: memoryview) -> int:
        chunk = self._chunks[0]
        size = min(len(room), len(chunk))
        room[:size] = chunk[:size]
        if size == len(chunk):
            self._chunks.popleft()
        else:
            self._chunks[0] = chunk[size:]
        self._held_bytes -= size
        if self._room is not None and self._held_bytes < LIMIT_BYTES:
            self._loop.call_soon_threadsafe(release_waiter, self._room)
            self._room = None
        return size
