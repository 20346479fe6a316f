"""Upgrades decided for legacy: a Server that tunnels them and passes every other request on.

Band 1. The tunnel's bytes are tunnel.py's business, the headers' headers.py's; here they meet.
Where the server cannot hand its connection over (`Inbound.take_over` is None), 501 `no-upgrade`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from proxy.exchange import Failure, Inbound, Reply, Server, TakeOver, failure_reply
from proxy.forwarding.headers import address_of, from_legacy, is_loop, to_legacy
from proxy.forwarding.tunnel import Opened, open_tunnel
from proxy.routing.facts import Head
from proxy.routing.model import Decision, Legacy, RouteTable

_PROTOCOL = (b"upgrade", b"websocket")
_SWITCH = [(b"connection", b"Upgrade"), _PROTOCOL]


class Upgrader:
    """The legacy side for upgrades; `server` answers everything else."""

    def __init__(self, server: Server, table_of: Callable[[], RouteTable]) -> None:
        self._server = server
        self._table_of = table_of

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Tunnel a WebSocket handshake; anything else is the wrapped server's."""
        head = inbound.head
        if not head.upgrade or inbound.body is not None:
            return await self._server.serve(inbound, decision)
        if inbound.take_over is None:
            return failure_reply(Failure("no-upgrade", "decide", "front"))
        legacy = self._table_of().legacy
        if is_loop(head.headers, legacy.via):
            return failure_reply(Failure("loop", "read", "front"))
        timeouts = decision.route.timeouts if decision.route else legacy.timeouts
        opened = await open_tunnel(legacy, handshake(head, legacy), timeouts=timeouts)
        if isinstance(opened, Failure):
            return failure_reply(opened)
        return await _reply(opened, head, legacy, inbound.take_over)


def handshake(head: Head, legacy: Legacy) -> bytes:
    """The head of the request as legacy gets it, upgrade included."""
    private = address_of(legacy.url)
    host = private.authority if private is not None and legacy.host == "upstream" else None
    headers = to_legacy(
        head, via=legacy.via, upstream_host=host, has_body=False, forwarded=legacy.forwarded
    )
    headers = [pair for pair in headers if pair[0] not in (b"connection", b"te")] + _SWITCH
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (head.target, lines)


async def _reply(opened: Opened, head: Head, legacy: Legacy, take_over: TakeOver) -> Reply:
    private = address_of(legacy.url)
    headers = from_legacy(opened.headers, via=legacy.via, head=head, private=private)
    if not opened.is_switched:
        return Reply(opened.status, headers, opened.body, close=opened.close)
    if not any((name, value.lower()) == _PROTOCOL for name, value in opened.headers):
        await opened.close()
        detail = "101 to another protocol"
        return failure_reply(Failure("legacy-protocol", "head", "legacy", detail))
    headers = _SWITCH + headers
    return Reply(101, headers, close=opened.close, upgraded=partial(opened.run, take_over))
