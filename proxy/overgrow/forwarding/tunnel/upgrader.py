"""A Server that tunnels upgrades to legacy and passes every other request on.

The module tunnel.py moves the bytes, forwarding/headers.py makes the headers, and this module combines the two.
If the HTTP server cannot give the client's connection away (`Inbound.switch_protocol` is None), the response is
501 `no-upgrade`.

A handshake counts in `max_connections` like an ordinary request, until legacy has sent a 101 or a whole refusal. Open
tunnels are not counted; the limit of client connections bounds them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from overgrow.exchange import (
    Failure,
    Inbound,
    Reply,
    Server,
    SwitchProtocol,
    custom_reason,
    failure_reply,
)
from overgrow.forwarding.client.transport import PoolSlot
from overgrow.forwarding.forwarder import login_of
from overgrow.forwarding.headers import (
    headers_for_client,
    headers_for_legacy,
    is_forwarding_loop,
    legacy_address_to_hide,
)
from overgrow.forwarding.traced_transport import (
    AttemptTracer,
    TracedAttempt,
    add_header_lines,
    failure_of_attempt,
)
from overgrow.forwarding.tunnel.tunnel import Inform, UpgradeResponse, open_tunnel
from overgrow.routing.facts import Head, Headers
from overgrow.routing.model import Decision, Legacy, RouteTable, Timeouts

_PROTOCOL = (b"upgrade", b"websocket")
Reserve = Callable[[Timeouts], Awaitable[PoolSlot | Failure]]
OutcomeCallback = Callable[[Failure | None, Legacy], object]
_SWITCH = [(b"connection", b"Upgrade"), _PROTOCOL]


class Upgrader:
    """Serves upgrades for the legacy side; `server` serves all other requests.

    `reserve` reserves a slot for a connection to legacy. If no slot is free, it returns a Failure. `on_outcome`
    is called after each handshake with None if legacy answered, else with the Failure.
    """

    def __init__(
        self,
        server: Server,
        table_of: Callable[[], RouteTable],
        reserve: Reserve,
        on_outcome: OutcomeCallback = lambda _failure, _legacy: None,
        tracer_for: Callable[[Legacy], AttemptTracer | None] = lambda _legacy: None,
    ) -> None:
        self._server = server
        self._table_of = table_of
        self._reserve = reserve
        self._on_outcome = on_outcome
        self._tracer_for = tracer_for

    def serve(self, inbound: Inbound, decision: Decision) -> Coroutine[Any, Any, Reply]:
        """Tunnel a WebSocket handshake; pass any other request to the wrapped server."""
        if not inbound.head.upgrade or inbound.body is not None:
            return self._server.serve(inbound, decision)
        return self._serve_tunnel(inbound, decision)

    async def _serve_tunnel(self, inbound: Inbound, decision: Decision) -> Reply:
        head = inbound.head
        if inbound.switch_protocol is None:
            return failure_reply(Failure("no-upgrade", "decide", "front"))
        legacy = self._table_of().legacy
        if is_forwarding_loop(head.headers, legacy.via):
            return failure_reply(Failure("loop", "read", "front"))
        timeouts = decision.route.timeouts if decision.route else legacy.timeouts
        login = login_of(inbound, legacy)
        slot = _build_uncounted_slot() if login is not None else await self._reserve(timeouts)
        if isinstance(slot, Failure):
            return failure_reply(slot)
        inform = (
            None
            if inbound.inform is None
            else _make_interim_forwarder(inbound.inform, head, legacy)
        )
        tracer = self._tracer_for(legacy)
        attempt = tracer.begin(head.method, head.target) if tracer is not None else None
        asked = _build_traced_handshake(head, legacy, tracer, attempt)
        try:
            opened = await open_tunnel(legacy, asked, timeouts=timeouts, inform=inform, login=login)
        except BaseException as error:
            slot.free()
            if attempt is not None:
                attempt.end(None, failure_of_attempt(error))
            raise
        if attempt is not None:
            failure = opened if isinstance(opened, Failure) else None
            attempt.end(None if isinstance(opened, Failure) else opened.status, failure)
        self._on_outcome(opened if isinstance(opened, Failure) else None, legacy)
        if isinstance(opened, Failure):
            slot.free()
            return failure_reply(opened)
        if opened.is_endless:
            slot.free()
        return await _build_reply(opened, slot, head, legacy, inbound.switch_protocol)


def _build_uncounted_slot() -> PoolSlot:
    """Return a slot that does nothing when it is freed: a connection with a login is no longer counted."""
    return PoolSlot(lambda: None)


def _build_traced_handshake(
    head: Head, legacy: Legacy, tracer: AttemptTracer | None, attempt: TracedAttempt | None
) -> bytes:
    """Return the head of the handshake, with the trace context of the attempt in place of the client's."""
    if tracer is None or attempt is None:
        return handshake_head(head, legacy)
    if attempt.replaces_headers:
        kept = [pair for pair in head.headers if pair[0] not in tracer.header_names]
        head = head._replace(headers=kept)
    return add_header_lines(handshake_head(head, legacy), attempt.lines)


def handshake_head(head: Head, legacy: Legacy) -> bytes:
    """Return the head of the request that legacy gets, with the headers of the upgrade."""
    private = legacy_address_to_hide(legacy.url)
    host = private.authority if private is not None and legacy.host == "upstream" else None
    headers = headers_for_legacy(
        head,
        via=legacy.via,
        upstream_host=host,
        has_body=False,
        forwarded=legacy.forwarded,
        rewrite_headers=legacy.rewrite_headers,
    )
    headers = [pair for pair in headers if pair[0] not in (b"connection", b"te")] + _SWITCH
    if not any(name == b"host" for name, _ in headers):
        headers.insert(0, (b"host", b""))  # RFC 9112 3.2: empty where the authority is not known
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (head.target, lines)


def _make_interim_forwarder(inform: Inform, head: Head, legacy: Legacy) -> Inform:
    """Return a function that applies the header rules to a 1xx and passes it on. The function ignores a 100."""

    async def forward_unless_continue(status: int, headers: Headers) -> None:
        if status != 100:
            allowed = headers_for_client(headers, via=legacy.via, head=head, private=None)
            await inform(status, [pair for pair in allowed if pair[0] != b"content-length"])

    return forward_unless_continue


async def _build_reply(
    opened: UpgradeResponse,
    slot: PoolSlot,
    head: Head,
    legacy: Legacy,
    switch_protocol: SwitchProtocol,
) -> Reply:
    private = legacy_address_to_hide(legacy.url)
    headers = headers_for_client(opened.headers, via=legacy.via, head=head, private=private)
    if not opened.is_switched:
        close, reason = (
            partial(_close_and_free_slot, opened, slot),
            custom_reason(opened.status, opened.reason),
        )
        return Reply(opened.status, headers, opened.body, close=close, reason=reason)
    if not any((name, value.lower()) == _PROTOCOL for name, value in opened.headers):
        await opened.close()
        detail = "101 to another protocol"
        return failure_reply(Failure("legacy-protocol", "head", "legacy", detail))
    headers = _SWITCH + headers
    return Reply(
        101, headers, close=opened.close, upgraded=partial(opened.relay_both_ways, switch_protocol)
    )


async def _close_and_free_slot(opened: UpgradeResponse, slot: PoolSlot) -> None:
    await opened.close()
    slot.free()
