"""The stand-in for `scope["overgrow"]` on ASGI servers that are not ours.

Rule: it implements overgrow.exchange.NativeScope, but can do only what ASGI can do. It reads the target and the
peer from the ASGI scope.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from overgrow.exchange import NativeScope


class PlainScope:
    """The stand-in for the native scope, on a server that has none."""

    is_native = False
    decision = None
    client_connection = None
    can_switch_protocol = False
    task = None
    ended_as = None
    send_response = None

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        client = scope.get("client")
        self.target = _request_target(scope)
        self.peer: str = client[0] if client else "unix"
        self.accepts_trailers = "http.response.trailers" in scope.get("extensions", ())
        self.idle_s = 0.0  # nobody reads it
        self.is_events = False

    def switch_protocol(self, _protocol: object, _head: bytes) -> None:
        """Refuse, because a plain ASGI server does not give its connections away."""
        raise RuntimeError("This ASGI server cannot hand over a client's connection")

    def on_disconnect(self, callback: Callable[[], object]) -> None:
        """Do nothing, because a plain ASGI server reports a disconnect by `receive` only."""

    def abort(self) -> None:
        """Do nothing, because a plain ASGI server breaks a connection when the app raises."""


def _request_target(scope: MutableMapping[str, Any]) -> bytes:
    """Return the request target, as exact as a plain ASGI server provides it."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("latin-1")
    query: bytes = scope.get("query_string", b"")
    return raw + b"?" + query if query and b"?" not in raw else raw


if TYPE_CHECKING:
    _implements: Callable[..., NativeScope] = PlainScope
