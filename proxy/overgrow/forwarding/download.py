"""Passes a response of legacy to a client that may be slower than legacy.

Rule: as long as no request waits for a connection to legacy, the response is read at the client's pace. While
requests wait, the rest of the response goes to the spool, so that the connection is free soon. The client gets
this rest from the spool at its own pace. An error that breaks legacy's response is mapped to BodyBroken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from overgrow.connection_login import ClientConnection
from overgrow.exchange import BodyBroken, ClientGone, Failure, Spool, SpooledBody
from overgrow.forwarding.failures import FOREIGN, failure_of

READ_BYTES = 64 * 1024
SPOOLED_BYTES = 64 * 1024 * 1024  # of one response: an endless one must not fill the disk


class Download:
    """The body of one response.

    `spool` is None if the response must not be delayed, as in the case of an event stream.
    """

    __slots__ = (
        "_error",
        "_has_ended",
        "_may_spill",
        "_piece_spooled",
        "_pieces",
        "_spilling",
        "_spool",
        "_spooled",
        "_stream",
        "_unspooled",
        "client",
    )

    def __init__(
        self, stream: Any, client: ClientConnection | None = None, spool: Spool | None = None
    ) -> None:
        self._stream = stream
        self._pieces: AsyncIterator[bytes] = aiter(stream)
        self.client = client
        self._spool = spool
        self._may_spill = spool is not None
        self._spooled: SpooledBody | None = None
        self._spilling: asyncio.Task[None] | None = None
        self._piece_spooled: asyncio.Event | None = None
        self._unspooled = b""  # what the spool had no room for
        self._has_ended = False
        self._error: Exception | None = None

    @property
    def is_arriving_from_legacy(self) -> bool:
        """Whether legacy is still sending the body."""
        return not getattr(self._stream, "is_complete", False)

    def __aiter__(self) -> Download:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece, from the spool or from legacy.

        Raises:
            BodyBroken: legacy's response broke off.
            ClientGone: the body of the client's request broke off.

        """
        if self._spooled is not None:
            return await self._read_spooled_piece(self._spooled)
        return await self._read_piece_from_legacy()

    async def aclose(self) -> None:
        """Give up what has not been read."""
        if self._spilling is not None:
            self._spilling.cancel()
        if self._spooled is not None:
            self._spooled.close()
        await self._stream.aclose()

    @property
    def is_spilling(self) -> bool:
        """Whether the rest of the body is going to the spool."""
        return self._spilling is not None

    def start_spilling_if_held_back(self, on_done: Callable[[], None] = lambda: None) -> bool:
        """If the client keeps legacy waiting, start to move the rest to the spool and return True; else return False.

        `on_done` is called when everything has been moved, or when that has failed.
        """
        is_upstream_paused = getattr(self._stream, "is_upstream_paused", False)
        if not self._may_spill or self._spilling is not None or not is_upstream_paused:
            return False
        assert self._spool is not None  # noqa: S101 - else it may not
        self._spooled = self._spooled or self._spool.open()
        self._piece_spooled = asyncio.Event()
        spilling = self._move_rest_to_spool(self._spool, self._spooled, self._piece_spooled)
        self._spilling = asyncio.get_running_loop().create_task(spilling)
        self._spilling.add_done_callback(lambda _: on_done())
        return True

    async def _move_rest_to_spool(
        self, spool: Spool, spooled: SpooledBody, piece_spooled: asyncio.Event
    ) -> None:
        try:
            async for piece in self._pieces:
                is_full = spooled.size_bytes >= SPOOLED_BYTES
                if is_full or not await spool.run_in_thread(spooled.append, piece):
                    self._may_spill = False
                    self._unspooled = piece
                    return
                piece_spooled.set()
            self._has_ended = True
        except Exception as error:  # noqa: BLE001 - the reader's, who raises it
            self._error = error
        finally:
            self._spilling = None
            piece_spooled.set()

    async def _read_spooled_piece(self, spooled: SpooledBody) -> bytes:
        while not spooled.unread_bytes:
            if self._spilling is None:
                return await self._read_piece_after_spool()
            assert self._piece_spooled is not None  # noqa: S101 - made with the task
            self._piece_spooled.clear()
            await self._piece_spooled.wait()
        try:
            assert self._spool is not None  # noqa: S101 - it is where the bytes are
            return await self._spool.run_in_thread(spooled.take, READ_BYTES)
        except OSError as error:
            detail = f"the spool cannot be read: {error}"
            raise BodyBroken(Failure("legacy-closed", "body", "front", detail)) from error

    async def _read_piece_after_spool(self) -> bytes:
        if self._unspooled:
            piece, self._unspooled = self._unspooled, b""
            return piece
        if self._error is not None:
            error, self._error = self._error, None
            raise _as_reply_error(error) from error
        if self._has_ended:
            raise StopAsyncIteration
        return await self._read_piece_from_legacy()

    async def _read_piece_from_legacy(self) -> bytes:
        try:
            return await anext(self._pieces)
        except ClientGone:
            raise
        except FOREIGN as error:
            raise BodyBroken(failure_of(error, stage="body")) from error


def _as_reply_error(error: Exception) -> Exception:
    if isinstance(error, FOREIGN) and not isinstance(error, ClientGone):
        return BodyBroken(failure_of(error, stage="body"))
    return error
