"""The input of a decision: the request's head, and facts from outside the request.

Pure. `head_of` turns the data that a server has read into a Head. It finds out who the client is, and trusts
forwarding headers only from trusted peers (RFC 7239, section 8.1, says why). The functions below `head_of`
parse path, query and cookies only when a decision needs them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from overgrow.routing.forwarded import is_claim, resolve_forwarded
from overgrow.routing.identity import Subject
from overgrow.routing.model import TrustedProxies, plain_address

Headers = Sequence[tuple[bytes, bytes]]  # in order, duplicates kept, names in lower case


class Head(NamedTuple):
    """A request without its body.

    `target` is the target of the request line, byte for byte, in origin form (path and query) or `*`. `peer` is
    the address of the peer: "unix" for a unix socket, "" if unknown. `client`, `scheme` and `host` (with the
    port, if given) come from trusted proxies, else from the socket and the Host header.
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
    """Facts that are not in the request's head: the kill file, open breakers, the time, the key of overrides, the user."""

    killed: bool = False
    secret: bytes | None = None  # OVERGROW_SECRET in UTF-8; without it overrides are ignored
    now_s: float = 0.0  # unix time
    # Names of routes whose breaker keeps this request from migrated. Asked once at most, so that a
    # half-open breaker counts each request that it lets through once.
    open_breakers: Container[str] = frozenset()
    # Who the user is; "unasked" until somebody has found out.
    subject: Subject | Literal["unasked"] = "unasked"

    def __repr__(self) -> str:
        """Return the repr without the key, because error reports contain the repr of local variables."""
        key = ", with a secret" if self.secret else ""
        return f"<Facts killed={self.killed} now_s={self.now_s}{key}>"


# RFC 9112 3.2.2: a target in absolute form; its authority replaces the Host header.
_ABSOLUTE = re.compile(
    rb"[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#@]*@)?([^/?#]*)([^#]*)(?:#.*)?", re.DOTALL
)

# Most targets: ASCII, no escapes, no parameters, no segment that is empty or begins with a dot. Every
# server reads them alike.
_PLAIN_PATH = re.compile(rb"(?:/(?![/.])[^%\\\0#\x80-\xff/?;]*)+(?=\?|\Z)")

_is_unusual = re.compile(rb"[\\\0#]|/[/.]").search

_UNTRUSTING = TrustedProxies()


def head_of(  # noqa: PLR0913 - the eight things a server knows about a request
    method: str,
    target: bytes,
    headers: Headers,
    *,
    peer: str,
    scheme: str,
    trusted: TrustedProxies = _UNTRUSTING,
    http_version: str = "1.1",
    known_host: str | None = None,
) -> Head:
    """Return the head of a request, with the client, scheme and host that can be trusted.

    If the peer is not trusted, only the socket, the target and the Host header count, and headers that only a
    trusted peer may send are removed. If the caller has read
    the same headers before and knows that they ask for no upgrade, it passes the value of Host in `known_host`.
    """
    if known_host is not None:
        host, upgrade = known_host, False
    else:
        names = dict(headers)  # at C speed; a server lets only one Host through
        host = names.get(b"host", b"").decode("latin-1")
        upgrade = (
            b"upgrade" in names
            and method == "GET"
            and http_version == "1.1"
            and _asks_for_websocket(headers)
        )
    if target[:1] != b"/":
        target, host = _origin_form(method, target, host)
    if ":" in peer:
        peer = plain_address(peer)
    if not (trusted.networks or trusted.unix) or not trusted.trusts(peer):
        if trusted.names:
            headers = _without(headers, trusted.names)
        return Head(method, target, headers, peer, peer, scheme, host, False, upgrade, http_version)
    client, scheme, host = resolve_forwarded(headers, peer, scheme, host, trusted)
    return Head(method, target, headers, peer, client, scheme, host, True, upgrade, http_version)


def _without(headers: Headers, names: frozenset[bytes]) -> Headers:
    """Return the headers without those of these names: the same object if there are none."""
    if any(name in names for name, _ in headers):
        return [pair for pair in headers if pair[0] not in names]
    return headers


def _origin_form(method: str, target: bytes, host: str) -> tuple[bytes, str]:
    """Return (target, host): the target in origin form or `*`, and the host of an absolute target, else `host`."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return (b"/" + target if target[:1] in (b"", b"?") else target), host
    rest = absolute[2]
    if not rest and method == "OPTIONS":  # RFC 9112 3.2.4
        rest = b"*"
    elif rest[:1] != b"/":
        rest = b"/" + rest
    return rest, absolute[1].decode("latin-1") or host


def _asks_for_websocket(headers: Headers) -> bool:
    """Return whether the request asks for an upgrade to WebSocket, and to no other protocol."""
    asked = [value.strip().lower() for value in header_values(headers, b"upgrade")]
    options = b",".join(header_values(headers, b"connection")).lower().split(b",")
    return asked == [b"websocket"] and b"upgrade" in [option.strip() for option in options]


def header_values(headers: Headers, name: bytes) -> Iterator[bytes]:
    """Yield every value of the header `name` (lower case), in order."""
    return (value for key, value in headers if key == name)


def trusted_header_values(head: Head, name: bytes) -> Iterator[bytes]:
    """Yield every value of the header `name` (lower case).

    If an untrusted peer sends a header that is reserved for trusted peers, yield nothing.

    Routes and cohorts must not depend on an X-Forwarded-* header that is hidden from both sides.
    """
    if not head.peer_trusted and (is_claim(name) or name == b"forwarded"):
        return iter(())
    return header_values(head.headers, name)


def cookie_values(headers: Headers, name: bytes) -> Iterator[bytes]:
    """Yield every value of the cookie `name`, raw, in order."""
    return (value for key, value in parse_cookies(headers) if key == name)


def first_cookie(headers: Headers, name: bytes) -> bytes:
    """Return the first value of the cookie `name`, raw; empty if there is none."""
    for key, line in headers:
        if key == b"cookie" and name in line:
            for pair in line.split(b";"):
                if name in pair:
                    own, separator, value = pair.partition(b"=")
                    if separator and own.strip() == name:
                        return value.strip()
    return b""


def parse_cookies(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    """Yield the cookies in order, names and values raw. A pair without `=` is not a cookie."""
    for key, line in headers:
        if key == b"cookie":
            for pair in line.split(b";"):
                name, separator, value = pair.partition(b"=")
                if separator:
                    yield name.strip(), value.strip()


def parse_query(target: bytes) -> list[tuple[str, str]]:
    """Return the query's decoded keys and values in order. The syntax is that of HTML forms."""
    query = target.partition(b"?")[2].decode("utf-8", "replace")
    return parse_qsl(query, keep_blank_values=True, errors="replace")


def hostname_of(host: str) -> str:
    """Return a host in lower case without its port and without the dot of the DNS root."""
    name = host.lower()
    colon = name.rfind(":")
    if colon > name.rfind("]"):
        name = name[:colon]
    return name.removesuffix(".")


def plain_path_of(target: bytes) -> str | None:
    """Return the path of a target if every server reads the target as this path; else None."""
    plain = _PLAIN_PATH.match(target)
    return None if plain is None else plain[0].decode("ascii")


def path_of(target: bytes) -> str | None:
    """Return the decoded path that routes are matched on; None if the target is ambiguous.

    Escapes are decoded once: `%252e` is the text `%2e`. Parameters such as `;v=1` stay in their segment. For a
    path with parameters, `decide` also considers the other readings.
    """
    plain = _PLAIN_PATH.match(target)
    if plain is not None:
        return plain[0].decode("ascii")
    path = target.partition(b"?")[0]
    if path == b"*":
        return "*"
    return _decode_path(path)


def is_ambiguous(target: bytes) -> bool:
    """Return whether two servers may read the target as different paths.

    A target is ambiguous if it has an encoded slash, a backslash, dot segments, an empty segment, NUL, invalid
    UTF-8 or a fragment, or if it has no leading slash. Encoded backslashes and dots count too.
    """
    return path_of(target) is None


def _decode_path(path: bytes) -> str | None:
    """Return the decoded path, or None if it can be read in more than one way."""
    if b"%" not in path and path[:1] == b"/" and _is_unusual(path) is None:
        return _decode_utf_8(path)
    first, *segments = path.split(b"/")
    if first or not segments or b"#" in path or b"" in segments[:-1]:
        return None
    decoded = [unquote_to_bytes(segment) for segment in segments]
    if any(_is_unsafe_segment(segment) for segment in decoded):
        return None
    return _decode_utf_8(b"/" + b"/".join(decoded))


def _decode_utf_8(path: bytes) -> str | None:
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _is_unsafe_segment(segment: bytes) -> bool:
    """Return whether a decoded segment can end the path or change the path that the target names."""
    return segment in (b".", b"..") or b"/" in segment or b"\\" in segment or b"\0" in segment
