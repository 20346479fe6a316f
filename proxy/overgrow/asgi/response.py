"""What an ASGI app sends with HTTP messages, as a Reply.

Rule: a response that is complete in the next iteration of the loop becomes a Reply with a body in bytes. Any
other becomes a stream that runs at most 64 KiB ahead of its reader. A larger piece counts in the memory of all
unsent responses. If that memory is full, the piece goes to the spool; if the spool is full too, the app's send
waits. If an app fails before its head was sent, the client gets 500 `migrated-crash`. If it fails later, the
stream breaks, so that a client recognises a short body as incomplete.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol

from overgrow.asgi.large_responses import LargeResponseShare
from overgrow.exchange import BodyBroken, Failure, Reply, Spool, SpooledBody, failure_reply
from overgrow.http import CONNECTION_HEADERS, TOKEN_BYTES, Pairs, is_own_header, streams_events
from overgrow.routing.model import Timeouts

BUFFER_BYTES = 64 * 1024

# RFC 9110 5.1 and 5.5.
_NAME = re.compile(TOKEN_BYTES)
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
# RFC 9110 7.6.1: about one connection, which does not belong to the app.
_NOT_ITS_OWN = CONNECTION_HEADERS | {b"trailer"}
_NO_BODY = frozenset({204, 304})


class ResponseMemory(Protocol):
    """The bound on the memory of all unsent responses of the migrated side."""

    spool: Spool | None

    def claim(self, size: int) -> bool:
        """Claim `size` bytes; return False if there is too little room."""
        ...

    def release(self, size: int) -> None:
        """Release `size` claimed bytes."""
        ...

    def has_room_for(self, size: int) -> bool:
        """Whether `size` bytes could be claimed now."""
        ...


_HANDED_OVER = Reply(0, [])


class AsgiClientDisconnected(OSError):
    """Raised in an app that sends to a client that is gone (ASGI 2.4 asks for an OSError)."""


def sanitize_headers(headers: Iterable[Iterable[bytes]]) -> Pairs:
    """Return an app's headers with names in lower case; leave out hop-by-hop headers and X-Overgrow-*.

    Raises:
        RuntimeError: for a name or value that could end a line.

    """
    pairs = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    for name, value in pairs:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise RuntimeError(f"The header {name!r} has a name or value that is not valid")
    return [pair for pair in pairs if pair[0] not in _NOT_ITS_OWN and not is_own_header(pair[0])]


def crash_failure(error: BaseException | None, stage: Any = "head") -> Failure:
    """Return the failure of an app that raised, or that returned before its response was complete."""
    detail = "it returned without an answer" if error is None else _describe_error(error)
    return Failure("migrated-crash", stage, "migrated", detail)


def _describe_error(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except Exception:  # noqa: BLE001 - whatever an app's __str__ raises
        return kind


class AsgiResponse:
    """One response. The app's messages go to `take_message`; `reply` is None until the response has a Reply."""

    def __init__(
        self,
        method: str,
        timeouts: Timeouts,
        response_memory: ResponseMemory | None = None,
        share: LargeResponseShare | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.reply: asyncio.Future[Reply] = self._loop.create_future()
        self.over = asyncio.Event()  # the response is complete, or nobody wants the rest
        self.is_complete = False
        self._method = method
        self._timeouts = timeouts
        self._status = 0
        self._headers: Pairs = []
        self._omits_body = False
        self._left_bytes: int | None = None  # bytes of the declared Content-Length still to come
        self._chunks: list[bytes] = []
        self._held_bytes = 0
        self._response_memory = response_memory
        self._share = share
        self._claimed_bytes = 0
        self._spooled: SpooledBody | None = None  # what comes after the chunks
        self._failure: Failure | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def take_message(self, message: Mapping[str, Any]) -> None:
        """Take a start or a body message; wait while the client reads slowly.

        Raises:
            AsgiClientDisconnected: the client is gone.
            RuntimeError: the message is not possible here.

        """
        if self.over.is_set() and not self.is_complete:
            raise AsgiClientDisconnected("The client closed the connection")
        kind = message["type"].rpartition(".")[2]
        if kind == "start" and not self._status:
            self._begin_response(message)
        elif kind == "body" and self._status and not self.is_complete:
            await self._add_body(
                message.get("body", b""), is_last=not message.get("more_body", False)
            )
        else:
            raise RuntimeError(f"{message['type']!r} is not possible here")

    def finish(self, error: BaseException | None) -> None:
        """Note that the app has returned or raised."""
        if self.is_complete:
            return
        self.fail(crash_failure(error, "body" if self.reply.done() else "head"))

    def fail(self, failure: Failure) -> None:
        """Record a failure.

        Before the head, the failure replaces the response; after the head, it ends the body with an error.
        """
        if self.is_complete:
            return
        if not self.reply.done():
            self.reply.set_result(failure_reply(failure))
        self._failure = self._failure or failure
        self._changed.set()
        self._release_app()

    def close(self) -> None:
        """Release the app and drop the waiting pieces, because nobody needs the rest of the body."""
        self._release_app()
        self._chunks.clear()
        self._held_bytes = 0
        self._release_claimed()
        if self._spooled is not None:
            self._spooled.close()

    def take_reply(self) -> Reply:
        """Return the reply, which must exist. Drop the reference to it, so that the two objects form no cycle."""
        reply = self.reply.result()
        self.reply = self._loop.create_future()
        self.reply.set_result(_HANDED_OVER)
        return reply

    def _release_app(self) -> None:
        self.over.set()
        if self._share is not None:
            self._share.finish()
        self._room.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            BodyBroken: the app failed, or was silent for too long.

        """
        idle_s = self._idle_timeout_s()
        while True:
            while self._chunks:
                yield self._take_chunks()
                self._release_claimed()
            while self._spooled is not None and self._spooled.unread_bytes:
                yield await self._take_from_spool(self._spooled)
            if self._failure is not None:
                raise BodyBroken(self._failure)
            if self.is_complete:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(idle_s):
                    await self._changed.wait()
            except TimeoutError:
                detail = f"nothing for {idle_s:g} s"
                failure = Failure("migrated-timeout", "body", "migrated", detail)
                raise BodyBroken(failure) from None

    def _idle_timeout_s(self) -> float:
        if streams_events(self._headers):
            return self._timeouts.stream_idle_s
        return self._timeouts.idle_s

    def _take_chunks(self) -> bytes:
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._held_bytes = 0
        self._room.set()
        return data

    def _begin_response(self, message: Mapping[str, Any]) -> None:
        status, headers = message["status"], sanitize_headers(message.get("headers", ()))
        if not 200 <= status <= 999:
            raise RuntimeError(f"{status} cannot be a final status")
        lengths = {value for name, value in headers if name == b"content-length"}
        if len(lengths) > 1 or not all(value.isdigit() for value in lengths):
            raise RuntimeError("Content-Length is not one number")
        self._omits_body = self._method == "HEAD" or status in _NO_BODY
        self._left_bytes = int(lengths.pop()) if lengths and not self._omits_body else None
        self._status, self._headers = status, headers
        # A body that follows in the same iteration goes out with the head; a head alone must not wait
        # for a body that may be minutes away (event streams).
        self._loop.call_soon(self._start_stream)

    def _start_stream(self) -> None:
        if not self.reply.done():
            self.reply.set_result(Reply(self._status, self._headers, self.chunks()))

    async def _add_body(self, body: bytes, *, is_last: bool) -> None:
        body = b"" if self._omits_body else bytes(body)
        if self._left_bytes is not None:
            if len(body) > self._left_bytes:
                raise RuntimeError("The body is longer than its Content-Length")
            self._left_bytes -= len(body)
        if is_last and self._left_bytes:
            raise RuntimeError("The body is shorter than its Content-Length")
        if len(body) > BUFFER_BYTES and self._response_memory is not None:
            await self._add_large(body, self._response_memory, is_last=is_last)
        elif body:
            await self._wait_until_spool_read()
            self._chunks.append(body)
            self._held_bytes += len(body)
        if is_last:
            self._finish()
            return
        self._changed.set()
        await self._wait_for_room()

    async def _add_large(
        self, body: bytes, response_memory: ResponseMemory, *, is_last: bool
    ) -> None:
        """Keep a large piece in bounded memory or in the spool; if both are full, wait for the client."""
        if self._share is not None:
            self._share.note_piece(len(body))
        if is_last and self._left_bytes is None:
            self._add_length(len(body))
        self._start_stream()
        await self._wait_until_spool_read()
        if response_memory.claim(len(body)):
            self._claimed_bytes += len(body)
            self._chunks.append(body)
            self._held_bytes += len(body)
        elif not await self._spool(body, response_memory.spool):
            for at in range(0, len(body), BUFFER_BYTES):
                self._chunks.append(body[at : at + BUFFER_BYTES])
                self._held_bytes += len(self._chunks[-1])
                self._changed.set()
                await self._wait_for_room()

    def _add_length(self, size: int) -> None:
        is_new = not self.reply.done() and not self._omits_body
        if is_new and not any(name == b"content-length" for name, _ in self._headers):
            self._headers.append((b"content-length", b"%d" % size))

    async def _spool(self, body: bytes, spool: Spool | None) -> bool:
        if spool is None or self.over.is_set():
            return False
        spooled = self._spooled = self._spooled or spool.open()
        return await spool.run_in_thread(spooled.append, body)

    async def _wait_until_spool_read(self) -> None:
        while self._spooled is not None and self._spooled.unread_bytes:
            if self.over.is_set():
                raise AsgiClientDisconnected("The client closed the connection")
            self._room.clear()
            await self._room.wait()

    async def _take_from_spool(self, spooled: SpooledBody) -> bytes:
        assert self._response_memory is not None and self._response_memory.spool is not None  # noqa: S101, PT018
        try:
            data = await self._response_memory.spool.run_in_thread(spooled.take, BUFFER_BYTES)
        except OSError as error:
            detail = f"the spool cannot be read: {error}"
            raise BodyBroken(Failure("migrated-crash", "body", "front", detail)) from error
        self._room.set()
        return data

    def _release_claimed(self) -> None:
        """Release the claimed bytes: they were sent or dropped."""
        claimed, self._claimed_bytes = self._claimed_bytes, 0
        if claimed and self._response_memory is not None:
            self._response_memory.release(claimed)

    def _finish(self) -> None:
        self.is_complete = True
        if not self.reply.done():
            self.reply.set_result(self._whole_reply())
        self._changed.set()
        self._release_app()

    def _whole_reply(self) -> Reply:
        body, headers = self._take_chunks(), self._headers
        if not self._omits_body and not any(name == b"content-length" for name, _ in headers):
            headers = [*headers, (b"content-length", str(len(body)).encode())]
        return Reply(self._status, headers, body)

    async def _wait_for_room(self) -> None:
        while self._held_bytes >= BUFFER_BYTES:
            if self.over.is_set():
                raise AsgiClientDisconnected("The client closed the connection")
            self._room.clear()
            await self._room.wait()
