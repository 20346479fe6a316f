"""What a decision may look at: the request's head, and facts from outside it.

Pure. `head_of` turns what a server read into a Head: it resolves who the client is, believing
forwarding headers only from trusted peers (RFC 7239, section 8.1 of it says why).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Headers = Sequence[tuple[bytes, bytes]]  # in order, duplicates kept, names in lower case


class Head(NamedTuple):
    """A request before its body.

    `target` is what stood in the request line, byte for byte, in origin form (path and query) or
    `*`. `peer` is the address at the socket ("unix" for a unix-socket peer, "" unknown); `client`,
    `scheme` and `host` (with port where given) are what trusted proxies say, else what the socket
    and the Host header say.
    """

    method: str
    target: bytes
    headers: Headers
    peer: str
    client: str
    scheme: str
    host: str
    peer_trusted: bool = False
    upgrade: bool = False  # GET with Connection: upgrade and Upgrade: websocket, nothing else
    http_version: str = "1.1"


class Facts(NamedTuple):
    """What lies outside the request: kill file, open breakers, time, the override key."""

    killed: bool = False
    secret: bytes | None = None  # OVERGROW_SECRET in UTF-8; without it overrides are ignored
    now_s: float = 0.0  # unix time
    open_breakers: frozenset[str] = frozenset()  # names of routes whose migrated breaker is open
