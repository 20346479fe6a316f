"""Servers that generate responses themselves: for gone, upgrades, and bodies that are too large.

Band 2, beside the front door. Each of these servers refuses one kind of request and passes all other requests on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from overgrow.app_types import Receive, Scope, Send
from overgrow.exchange import ClientGone, Failure, Inbound, Reply, Server, failure_reply
from overgrow.http import declared_length
from overgrow.routing.model import Decision

RETRY_AFTER_S = 1


class RefusingServer:
    """The Server for requests that go to neither side: routes that are `gone`, refused paths, unknown users."""

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:  # noqa: ARG002
        """Answer 410 `gone`, 400 `ambiguous-path` or 503 `identity-unavailable`, as the decision says."""
        if decision.reason == "identity":
            code, wait_s = "identity-unavailable", RETRY_AFTER_S
            return failure_reply(Failure(code, "decide", "front", retry_after_s=wait_s))
        code = "gone" if decision.side == "gone" else "ambiguous-path"
        return failure_reply(Failure(code, "decide", "front"))


class NoUpgrade:
    """A Server that refuses upgrades with 501 `no-upgrade` and passes the rest on."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Answer 501 to a WebSocket handshake. For any other request, ask the wrapped server."""
        if inbound.head.upgrade:
            return failure_reply(Failure("no-upgrade", "decide", "front"))
        return await self._server.serve(inbound, decision)


class BodyLimit:
    """A Server that answers 413 `body-too-large` to bodies beyond a limit.

    A body whose declared length is over the limit is refused at once. A body without a declared length breaks
    off at the limit: the wrapped server sees an upload that broke off, and never takes it for complete.
    """

    def __init__(self, server: Server, max_bytes: Callable[[], int | None]) -> None:
        self._server = server
        self._max_bytes = max_bytes

    def serve(self, inbound: Inbound, decision: Decision) -> Coroutine[Any, Any, Reply]:
        """If the body is too large, refuse it; else ask the wrapped server."""
        if inbound.body is None:  # most requests: without a coroutine more
            return self._server.serve(inbound, decision)
        return self._serve_limited(inbound, inbound.body, decision)

    async def _serve_limited(
        self, inbound: Inbound, body: AsyncIterator[bytes], decision: Decision
    ) -> Reply:
        max_bytes = self._max_bytes()
        if max_bytes is None:
            return await self._server.serve(inbound, decision)
        if declared_length(inbound.head.headers) > max_bytes:
            return failure_reply(_TOO_LARGE)
        bounded = _LimitedBody(body, max_bytes)
        inbound.body = bounded.chunks()
        reply = await self._server.serve(inbound, decision)
        if not bounded.is_exceeded:
            return reply
        await reply.close()
        return failure_reply(_TOO_LARGE)


_TOO_LARGE = Failure("body-too-large", "read", "client")


class _LimitedBody:
    """A body that breaks off at the limit, as if the client had left."""

    def __init__(self, body: AsyncIterator[bytes], max_bytes: int) -> None:
        self._body = body
        self._left = max_bytes
        self.is_exceeded = False

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            self._left -= len(chunk)
            if self._left < 0:
                self.is_exceeded = True
                raise ClientGone
            yield chunk


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket scope; only other ASGI servers than ours send scopes of that type."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", ()):
        await send({"type": "websocket.close", "code": 1000})
        return
    reply = failure_reply(Failure("no-upgrade", "read", "front"))
    await send(
        {"type": "websocket.http.response.start", "status": reply.status, "headers": reply.headers}
    )
    await send({"type": "websocket.http.response.body", "body": reply.body})
