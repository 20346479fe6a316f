"""Buffers the body of a response between the connection and the caller, within a limit.

Rule: the connection feeds the buffer, and one reader empties it. An incomplete body never looks complete: the
reader gets all bytes that came, and then the error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

import httpx

from overgrow.http import Pairs

# Reading from the upstream pauses above the first and resumes below the second.
HIGH_WATER_BYTES = 131072
LOW_WATER_BYTES = 32768


class BodySource(Protocol):
    """The source of a body. Its reader can pause and abandon it."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read on."""

    def abandon(self) -> None:
        """Stop for good, because nobody reads the rest of the body."""


class WholeBody(httpx.AsyncByteStream):
    """A body that came together with the head of its response, as most bodies do: reading it never waits.

    `whole` is the body; it is None once it has been read or given up.
    """

    __slots__ = ("_is_given_up", "whole")

    trailer_pairs: Pairs = []  # noqa: RUF012 - for ResponseBody's sake: none, for all of them

    def __init__(self, data: bytes) -> None:
        self.whole: bytes | None = data
        self._is_given_up = False

    @property
    def is_complete(self) -> bool:
        """True: the upstream has sent everything."""
        return True

    def trailers(self) -> Pairs:
        """Return the trailers: none."""
        return []

    def __aiter__(self) -> WholeBody:
        return self

    async def __anext__(self) -> bytes:
        data, self.whole = self.whole, None
        if data:
            return data
        raise httpx.StreamClosed if self._is_given_up else StopAsyncIteration

    async def aclose(self) -> None:
        """Give up what has not been read."""
        self.abandon()

    def abandon(self) -> None:
        """Give up what has not been read, as `aclose` does, but without await."""
        self._is_given_up = self._is_given_up or bool(self.whole)
        self.whole = None


class ResponseBody(httpx.AsyncByteStream):
    """The body of one response, read once, in the pieces it came in.

    If the body was not read to its end or taken whole, `aclose` (or `abandon`) must be called.
    """

    __slots__ = (
        "_buffered_bytes",
        "_chunks",
        "_error",
        "_held_back",
        "_is_given_up",
        "_source",
        "_taken",
        "_waiter",
        "trailer_pairs",
    )

    def __init__(self, source: BodySource) -> None:
        self._source: BodySource | None = source
        self._chunks: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._held_back = False
        self._taken = False
        self._is_given_up = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.trailer_pairs: Pairs = []

    @property
    def whole(self) -> bytes | None:
        """The complete body, if all of it has come and the reader has taken none of it; else None.

        Reading this property does not take the body: it can be read again, and the body can still be iterated.
        """
        if self._source is not None or self._taken or self._error is not None:
            return None
        chunks = self._chunks
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def is_upstream_paused(self) -> bool:
        """True while the upstream is made to wait for the reader."""
        return self._held_back and self._source is not None

    @property
    def is_complete(self) -> bool:
        """True once the upstream has sent everything, even if the reader has not read it yet."""
        return self._source is None and self._error is None and not self._is_given_up

    def trailers(self) -> Pairs:
        """Return the trailers; they are complete once the body has been read to its end."""
        return self.trailer_pairs

    def __aiter__(self) -> ResponseBody:
        return self

    async def __anext__(self) -> bytes:
        self._taken = True
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._is_given_up:
                raise httpx.StreamClosed
            if self._source is None:
                raise StopAsyncIteration
            await self._wait_for_more()
        return self._next_chunk()

    def _next_chunk(self) -> bytes:
        """Return the oldest piece. Once there is room again, let the upstream continue."""
        data = self._chunks.popleft()
        self._buffered_bytes -= len(data)
        if self._held_back and self._buffered_bytes < LOW_WATER_BYTES:
            self._held_back = False
            if self._source is not None:
                self._source.resume()
        return data

    async def _wait_for_more(self) -> None:
        """Wait until something happens. If the reader is cancelled, give the response up."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            self._waiter = None

    async def aclose(self) -> None:
        """Give up what has not been read. If the upstream is still sending the message, close the connection."""
        self.abandon()

    def abandon(self) -> None:
        """Give up what has not been read, as `aclose` does, but without await."""
        source, self._source = self._source, None
        if source is not None or self._chunks:
            self._is_given_up, self._error = True, None
        if source is not None:
            self._wake_reader()
            source.abandon()
        self._chunks.clear()
        self._buffered_bytes = 0
        self._taken = True

    def feed(self, data: bytes) -> None:
        """Take a piece from the upstream. If enough bytes wait for the reader, pause the upstream."""
        self._chunks.append(data)
        self._buffered_bytes += len(data)
        self._wake_reader()
        if self._buffered_bytes > HIGH_WATER_BYTES and not self._held_back:
            self._held_back = True
            if self._source is not None:
                self._source.pause()

    def finish(self) -> None:
        """Note that the message is complete."""
        self._source = None
        self._wake_reader()

    def fail(self, error: BaseException) -> None:
        """Note that no more bytes will come, and why."""
        self._source = None
        self._error = error
        self._wake_reader()

    def _wake_reader(self) -> None:
        """Wake a waiting reader, so that it checks the buffer."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
