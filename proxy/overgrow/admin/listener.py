"""The admin listener's Server: the event loop serves /healthz and /readyz, the pages serve the rest.

A probe must say whether the event loop runs, not whether a thread is free: the pages may wait for a lock
or for a file system.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from overgrow.admin.app import HEADERS
from overgrow.admin.view import AdminView, Worker, readiness
from overgrow.exchange import Inbound, Reply, Server
from overgrow.routing.model import Decision

_SECURITY_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class AdminListener:
    """Serves GET and HEAD of the probes itself, and passes every other request to `pages`.

    `living` returns the living workers without blocking for long.
    """

    def __init__(
        self,
        pages: Server,
        view: AdminView,
        living: Callable[[], Awaitable[Sequence[Worker]]],
    ) -> None:
        self._pages, self._view, self._living = pages, view, living

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Serve one admin request."""
        head = inbound.head
        path = head.target.partition(b"?")[0] if head.method in {"GET", "HEAD"} else b""
        if path == b"/healthz":
            return _reply(head.method, 200, b"text/plain; charset=utf-8", b"ok\n")
        if path == b"/readyz":
            payload = readiness(self._view, await self._living())
            status = 200 if payload["status"] == "ready" else 503
            body = json.dumps(payload, separators=(",", ":")).encode() + b"\n"
            return _reply(head.method, status, b"application/json", body)
        return await self._pages.serve(inbound, decision)


def _reply(method: str, status: int, kind: bytes, body: bytes) -> Reply:
    length = b"%d" % len(body)
    headers = [(b"content-type", kind), (b"content-length", length), *_SECURITY_HEADERS]
    return Reply(status, headers, body if method == "GET" else b"")
