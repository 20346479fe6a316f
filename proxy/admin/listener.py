"""The admin listener's Server: /healthz from the event loop itself, the rest from the admin pages.

A liveness probe must say whether the loop turns, not whether a thread is free.
"""

from __future__ import annotations

from proxy.exchange import Inbound, Reply, Server
from proxy.routing.model import Decision

HEALTHZ = b"/healthz"
_OK = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"3"),
    (b"cache-control", b"no-store"),
]


class AdminListener:
    """Answers GET and HEAD /healthz at once and asks `pages` for everything else."""

    def __init__(self, pages: Server) -> None:
        self._pages = pages

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Answer one admin request."""
        head = inbound.head
        if head.target.partition(b"?")[0] == HEALTHZ and head.method in {"GET", "HEAD"}:
            return Reply(200, list(_OK), b"ok\n" if head.method == "GET" else b"")
        return await self._pages.serve(inbound, decision)
