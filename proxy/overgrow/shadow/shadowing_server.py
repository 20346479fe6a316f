"""A Server around another Server that records some requests, so that the mirror can send copies of them.

Rule: the user comes first. This module does not delay any chunk on its way to the user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from overgrow.exchange import Inbound, Reply, Server, close_nothing
from overgrow.routing.facts import Headers
from overgrow.routing.model import Decision, Route
from overgrow.shadow.mirror import Mirror
from overgrow.shadow.recording import Recording
from overgrow.shadow.sessions import is_login_request


class ShadowingServer:
    """A Server that has some of its requests copied to the other side after they were answered."""

    def __init__(self, server: Server, mirror: Mirror) -> None:
        self._server = server
        self._mirror = mirror

    # Map 8 (docs/architecture.md#a-request-by-numbers)
    def serve(self, inbound: Inbound, decision: Decision) -> Coroutine[Any, Any, Reply]:
        """Answer as the wrapped server does."""
        route = decision.route
        if inbound.head.method == "POST" and is_login_request(inbound.head):
            return self._serve_and_learn_session_cookies(inbound, decision)
        if route is None or not route.shadow:
            return self._server.serve(inbound, decision)
        return self._serve_shadowed(inbound, decision, route)

    async def _serve_and_learn_session_cookies(self, inbound: Inbound, decision: Decision) -> Reply:
        """Answer a login, and learn which cookies it sets."""
        route = decision.route
        if route is None or not route.shadow:
            reply = await self._server.serve(inbound, decision)
        else:
            reply = await self._serve_shadowed(inbound, decision, route)
        if reply.failure is None:
            self._mirror.sessions.learn_from_login(inbound.head, reply.status, reply.headers)
        return reply

    def _serve_shadowed(
        self, inbound: Inbound, decision: Decision, route: Route
    ) -> Coroutine[Any, Any, Reply]:
        if inbound.body is None:
            return self._serve_then_sample(inbound, decision, route)
        recording = self._mirror.start_recording_if_sampled(inbound, decision, route)
        if recording is None:
            return self._server.serve(inbound, decision)
        return self._serve_recorded(recording, inbound, decision)

    async def _serve_recorded(
        self, recording: Recording, inbound: Inbound, decision: Decision
    ) -> Reply:
        try:
            reply = await self._server.serve(inbound, decision)
        except BaseException:  # a client that leaves cancels this: what was kept is given back
            recording.abort()
            raise
        recording.wrap_reply(reply)
        return reply

    async def _serve_then_sample(self, inbound: Inbound, decision: Decision, route: Route) -> Reply:
        """Serve a request without a body.

        If the response comes in one piece, chance decides about a copy only after the user has the whole response.
        """
        try:
            reply = await self._server.serve(inbound, decision)
        except BaseException:
            if recording := self._mirror.start_recording_if_sampled(inbound, decision, route):
                recording.abort()
            raise
        if isinstance(reply.body, bytes):
            draw = partial(self._mirror.start_recording_if_sampled, inbound, decision, route)
            reply.close = partial(_close_then_sample, reply, reply.headers, reply.close, draw)
        elif recording := self._mirror.start_recording_if_sampled(inbound, decision, route):
            recording.wrap_reply(reply)
        return reply


async def _close_then_sample(
    reply: Reply,
    headers: Headers,
    close: Callable[[], Awaitable[None]],
    draw: Callable[[], Recording | None],
) -> None:
    """Close a response that was sent completely, then let chance decide whether its request is copied.

    `headers` are the headers that the side sent.
    """
    reply.close = close_nothing  # it leads back here: a circle
    try:
        await close()
    finally:
        if recording := draw():
            recording.record_sent_reply(reply, headers)
