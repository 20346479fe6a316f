"""One plain request to a mounted ASGI app: its `receive` and `send`, and the wait for its head."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from overgrow.app_types import Message, Scope
from overgrow.asgi.large_responses import LargeResponseShare
from overgrow.asgi.response import AsgiResponse, ResponseMemory
from overgrow.exchange import ClientGone, Failure, Inbound
from overgrow.routing.model import Timeouts

_DISCONNECT = {"type": "http.disconnect"}


class HttpCall:
    """One call of an app: the app uses `receive` and `send`, and its caller uses all other methods."""

    def __init__(
        self,
        scope: Scope,
        inbound: Inbound,
        timeouts: Timeouts,
        response_memory: ResponseMemory | None = None,
        share: LargeResponseShare | None = None,
    ) -> None:
        self.scope = scope
        self.response = AsgiResponse(inbound.head.method, timeouts, response_memory, share)
        self._loop = asyncio.get_running_loop()
        self._inbound = inbound
        self._timeouts = timeouts
        self._body: AsyncIterator[bytes] | None = None
        if inbound.body is not None:
            self._body = aiter(inbound.body)
        self._reading: asyncio.Task[bytes | None] | None = None
        self._is_end_sent = False
        self._waits = False
        self._last_byte_at_s = self._loop.time()

    @property
    def deadline_s(self) -> float:
        """When the response timeout ends, counted from the last byte of the request."""
        since_s = self._loop.time() if self._waits else self._last_byte_at_s
        return since_s + self._timeouts.response_s

    async def receive(self) -> Message:
        """Return the next message of ASGI's receive: a chunk of the body, its end, or the disconnect."""
        if self.response.over.is_set():
            return dict(_DISCONNECT)
        if self._body is not None:
            return await self._next_message(self._body)
        if not self._is_end_sent:
            self._is_end_sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.response.over.wait()
        return dict(_DISCONNECT)

    async def send(self, message: Mapping[str, Any]) -> None:
        """ASGI send."""
        await self.response.take_message(message)

    def finish(self, error: BaseException | None) -> None:
        """Note that the app has returned or raised."""
        self.response.finish(error)
        self._stop_reading()

    def close(self) -> None:
        """Note that the exchange is over and nobody needs the rest of the response."""
        self.response.close()
        self._stop_reading()

    def _stop_reading(self) -> None:
        """Cancel a pending read of the body, because the call is over.

        The cancelled read ends the body, so that the request can no longer fall back to legacy.
        """
        if self._reading is None or self._reading.done():
            return
        self._reading.cancel()
        if self._inbound.commit is not None:
            with suppress(Exception):
                self._inbound.commit()

    async def _next_message(self, body: AsyncIterator[bytes]) -> Message:
        # A task of its own: an app may cancel its receive(), which must not lose a chunk.
        if self._reading is None:
            self._reading = asyncio.create_task(_chunk_of(body))
        self._waits, over = True, asyncio.ensure_future(self.response.over.wait())
        try:
            await asyncio.wait(
                {self._reading, over},
                timeout=self._timeouts.idle_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            over.cancel()
            self._waits, self._last_byte_at_s = False, self._loop.time()
        if self.response.over.is_set():
            return dict(_DISCONNECT)
        return self._message_from(self._reading)

    def _message_from(self, reading: asyncio.Task[bytes | None]) -> Message:
        try:
            chunk = reading.result()
        except asyncio.InvalidStateError:
            return self._fail_body("client-timeout")
        except ClientGone:
            return self._fail_body("bad-request")
        self._reading = None
        if chunk is None:
            self._body, self._is_end_sent = None, True
            return {"type": "http.request", "body": b"", "more_body": False}
        self._inbound.started = True
        return {"type": "http.request", "body": chunk, "more_body": True}

    def _fail_body(self, code: str) -> Message:
        self.response.fail(Failure(code, "read", "client", "the body broke off"))
        self._stop_reading()
        return dict(_DISCONNECT)


async def _chunk_of(body: AsyncIterator[bytes]) -> bytes | None:
    with suppress(StopAsyncIteration):
        return await anext(body)
    return None
