"""Tries to reach legacy without a user's request: by a connection alone, or by a GET of the table's `legacy.probe`.

Every response counts as an answer, because even an error page comes from an app that runs. Each attempt uses a
new connection, because an existing connection does not show whether legacy accepts new ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from overgrow.exchange import Failure
from overgrow.forwarding.client.dialling import dialler_of
from overgrow.forwarding.client.httpx_messages import RawRequest
from overgrow.forwarding.client.transport import NO_BODY, UpstreamTimeouts
from overgrow.forwarding.failures import FOREIGN, failure_of
from overgrow.forwarding.headers import legacy_address_to_hide
from overgrow.routing.model import Legacy

CONNECT_LIMIT_S = 2.0  # so that a lost packet does not hide for long that legacy is back
RESPONSE_LIMIT_S = 5.0


async def probe_legacy(
    legacy: Legacy, transport_for: Callable[[Legacy], httpx.AsyncBaseTransport]
) -> Failure | None:
    """Return why legacy does not answer; None if legacy answers."""
    try:
        if legacy.probe is None:
            await _connect(legacy)
        else:
            await _get(legacy, legacy.probe, transport_for(legacy))
    except TimeoutError as error:
        return Failure("legacy-timeout", "connect", "legacy", str(error))
    except FOREIGN as error:
        return failure_of(error)
    except UnicodeError as error:  # the text of the URL cannot be a host name
        return failure_of(error)
    return None


class _ProbeProtocol(asyncio.Protocol):
    """Closes its connection as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close the connection."""
        transport.close()


async def _connect(legacy: Legacy) -> None:
    """Connect, including TLS, and close the connection."""
    limit_s = min(legacy.timeouts.connect_s, CONNECT_LIMIT_S)
    async with asyncio.timeout(limit_s):
        dialler = dialler_of(legacy.url, legacy.tls_ca, legacy.tls_name)
        await dialler.dial(_ProbeProtocol(), limit_s)


async def _get(legacy: Legacy, path: str, transport: httpx.AsyncBaseTransport) -> None:
    """Send a GET and wait for the head of its response."""
    try:
        response = await transport.handle_async_request(_build_request(legacy, path))
        await response.stream.aclose()  # type: ignore[union-attr]
    finally:
        await transport.aclose()


def _build_request(legacy: Legacy, path: str) -> httpx.Request:
    private = legacy_address_to_hide(legacy.url)
    host = b"localhost" if private is None else private.authority
    headers = [(b"host", host), (b"user-agent", b"overgrow-probe"), (b"connection", b"close")]
    times = legacy.timeouts
    limits = UpstreamTimeouts(
        connect_s=min(times.connect_s, CONNECT_LIMIT_S),
        response_s=min(times.response_s, RESPONSE_LIMIT_S),
        idle_s=min(times.idle_s, RESPONSE_LIMIT_S),
        stream_idle_s=RESPONSE_LIMIT_S,
    )
    extensions: dict[str, Any] = {"target": path.encode(), "overgrow": limits}
    url = httpx.URL("http://localhost" if private is None else legacy.url)
    return RawRequest("GET", url, headers, NO_BODY, extensions)
