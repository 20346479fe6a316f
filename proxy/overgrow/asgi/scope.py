"""Builds the ASGI scope of a mounted app from a Head. Pure.

Rule: the app sees the client, scheme and host that the front door found, so it needs no middleware for
forwarding headers. X-Forwarded-For, -Proto, -Host and similar headers do not reach the app. If the peer is
trusted, its other X-Forwarded-* headers, such as X-Forwarded-User, reach the app. `path` and `raw_path` are the
whole path and `root_path` is the mounted prefix, as ASGI defines them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overgrow.app_types import Scope
from overgrow.exchange import Inbound
from overgrow.http import DEFAULT_PORTS
from overgrow.routing.facts import Head, header_values, path_of
from overgrow.routing.forwarded import is_claim, is_claim_for_migrated
from overgrow.routing.identity import ENVIRON_KEY, Identity, identity_as_dict
from overgrow.routing.readings import REWRITING

_ASGI = {"version": "3.0", "spec_version": "2.4"}
_HIDDEN = REWRITING | {b"host", b"forwarded"}


def http_scope(
    inbound: Inbound, prefix: str, state: dict[str, Any], identity: Identity | None = None
) -> Scope:
    """Return the scope of a plain request; it has `overgrow.commit` if the route has `fallback`.

    Its state has the user as `overgrow.identity`, if somebody is signed in.
    """
    head = inbound.head
    scope: dict[str, Any] = {
        "type": "http",
        "method": head.method,
        "scheme": head.scheme,
        "extensions": {},
    }
    if inbound.commit is not None:
        scope["overgrow.commit"] = inbound.commit
    return scope | _common_scope(head, prefix, state, identity)


def websocket_scope(
    inbound: Inbound, prefix: str, state: dict[str, Any], identity: Identity | None = None
) -> Scope:
    """Return the scope of a WebSocket. The scope lets the app reject the handshake with a response of its own."""
    head = inbound.head
    scope: dict[str, Any] = {
        "type": "websocket",
        "scheme": "wss" if head.scheme == "https" else "ws",
        "subprotocols": offered_subprotocols(head),
        "extensions": {"websocket.http.response": {}},
    }
    return scope | _common_scope(head, prefix, state, identity)


def offered_subprotocols(head: Head) -> list[str]:
    """Return the subprotocols that the client offers, in its order."""
    line = b",".join(header_values(head.headers, b"sec-websocket-protocol")).decode("latin-1")
    return [name.strip() for name in line.split(",") if name.strip()]


def _common_scope(
    head: Head, prefix: str, state: dict[str, Any], identity: Identity | None
) -> dict[str, Any]:
    raw_path, _, query = head.target.partition(b"?")
    return {
        "asgi": dict(_ASGI),
        "http_version": head.http_version,
        "path": path_of(head.target) or "",
        "raw_path": raw_path,
        "query_string": query,
        "root_path": prefix.rstrip("/"),
        "headers": list(_visible_headers(head)),
        "server": _server_name_and_port(head),
        "client": None if head.client in ("", "unix") else (head.client, 0),
        "state": _state_with(state, identity),
    }


def _state_with(state: dict[str, Any], identity: Identity | None) -> dict[str, Any]:
    """Return a copy of the lifespan's state, with the user of this request."""
    own = {} if identity is None else {ENVIRON_KEY: identity_as_dict(identity)}
    return state | own


def _visible_headers(head: Head) -> Iterator[tuple[bytes, bytes]]:
    """Yield Host as the client sent it, then the other headers except those that a client could forge."""
    if head.host:
        yield b"host", head.host.encode("latin-1")
    for name, value in head.headers:
        if name in _HIDDEN:
            continue
        if not is_claim(name) or (head.peer_trusted and is_claim_for_migrated(name)):
            yield name, value


def _server_name_and_port(head: Head) -> tuple[str, int]:
    name, colon, port = head.host.rpartition(":")
    if not colon or not port.isdecimal():  # no port, or the colon of an IPv6 literal
        name, port = head.host, ""
    return name or "localhost", int(port) if port else DEFAULT_PORTS.get(head.scheme, 80)
