"""Finds out from the headers of trusted proxies who a request comes from.

Pure. Rule: each proxy adds the address of its own client at the right. The chain is therefore read from the
right, as long as the addresses are trusted. An entry that is not an address ends the chain. The header
Forwarded (RFC 7239) counts only if there is no X-Forwarded-* header, because a proxy that writes one kind
passes on the other kind as the client wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from overgrow.routing.model import TrustedProxies, address_of, plain_address

CLAIMS = b"x-forwarded-"
_X_FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
# The front door resolves these itself: legacy gets them in headers, migrated in its environ or scope.
FOUND_HERE = frozenset({*_X_FORWARDED, b"x-forwarded-port"})
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+)(?::[0-9]{1,5})?")
_NODE = re.compile(
    r"\[(?P<v6>[^\]]+)\](?::[0-9]+)?|(?P<v4>[0-9.]+)(?::[0-9]+)?|(?P<bare>[0-9A-Fa-f:.]+)"
)
_PAIR = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*(;|,|\Z)')
_CHAINS = (b"x-forwarded-for", b"forwarded")
_MAPPED_NODE = re.compile(r"(?<![0-9a-f:.])\[?((?:0{0,4}:)+ffff:[0-9a-f:.]+)\]?", re.IGNORECASE)
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class _Claims(NamedTuple):
    """The claims of forwarding headers. Each list goes from the client to the front door."""

    nodes: list[str]
    schemes: list[str]
    hosts: list[str]


def is_claim(name: bytes) -> bool:
    """Return whether a header (in lower case) is X-Forwarded-* or X-Forwarded itself."""
    return name[:12] in (CLAIMS, b"x-forwarded")


def is_claim_for_migrated(name: bytes) -> bool:
    """Return whether migrated gets this header if a trusted peer sends it.

    Migrated gets those X-Forwarded-* headers that the front door does not evaluate itself, such as X-Forwarded-User,
    -Email, -Groups and -Prefix. Legacy gets all X-Forwarded-* headers.
    """
    return is_claim(name) and name not in FOUND_HERE


def received_claims(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return a trusted peer's headers in order, but keep only one kind of claims: X-Forwarded-*, or else Forwarded.

    A proxy that writes one kind may pass on claims of the other kind that the client forged. All other headers
    stay. IPv4 addresses that are mapped to IPv6 are written as IPv4.
    """
    claims = [_plain_claim(pair) for pair in headers if is_claim(pair[0])]
    if any(name in _X_FORWARDED for name, _ in claims):
        return claims
    standard = [_plain_claim(pair) for pair in headers if pair[0] == b"forwarded"]
    if not standard:
        return claims
    return [*standard, *(pair for pair in claims if pair[0] not in FOUND_HERE)]


def _plain_claim(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return a header with IPv4 addresses that are mapped to IPv6 written as IPv4."""
    name, value = pair
    if name not in _CHAINS or b"ffff:" not in value.lower():
        return pair
    return name, _MAPPED_NODE.sub(_plain_node, value.decode("latin-1")).encode("latin-1")


def _plain_node(node: re.Match[str]) -> str:
    plain = plain_address(node[1])
    return node[0] if plain == node[1] else plain


def resolve_forwarded(
    headers: Sequence[tuple[bytes, bytes]],
    peer: str,
    scheme: str,
    host: str,
    trusted: TrustedProxies,
) -> tuple[str, str, str]:
    """Return client, scheme and host according to the chain of trusted proxies that ends in `peer`."""
    claims = _parse_claims(headers)
    client, hops = _walk_chain(claims.nodes, peer, trusted)
    claimed_scheme = _SCHEMES.get(_value_at_hop(claims.schemes, hops).lower(), scheme)
    claimed_host = _value_at_hop(claims.hosts, hops)
    return client, claimed_scheme, claimed_host if _HOST.fullmatch(claimed_host) else host


def _parse_claims(headers: Sequence[tuple[bytes, bytes]]) -> _Claims:
    """Return the claims of X-Forwarded-*. If there are none, return those of Forwarded."""
    lines: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in _X_FORWARDED or name == b"forwarded":
            lines.setdefault(name, []).append(value.decode("latin-1"))
    if any(name in lines for name in _X_FORWARDED):
        return _Claims(*(_split_list(lines.get(name, [])) for name in _X_FORWARDED))
    return _parse_forwarded(",".join(lines.get(b"forwarded", [])))


def _split_list(lines: list[str]) -> list[str]:
    """Return the elements of a comma-separated header; an empty list if there are no lines."""
    return [element.strip() for element in ",".join(lines).split(",")] if lines else []


def _parse_forwarded(text: str) -> _Claims:
    """Return the claims of a Forwarded header. If the header is malformed, return no claims.

    A forged element could hide the elements beside it. Therefore one malformed element makes the whole header
    invalid.
    """
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            return _Claims([], [], [])
        elements[-1].setdefault(pair[1].lower(), pair[2].strip('"'))
        if pair[3] == ",":
            elements.append({})
        position = pair.end()
    nodes = [element.get("for", "") for element in elements if element]
    schemes = [element.get("proto", "") for element in elements if element]
    hosts = [element.get("host", "") for element in elements if element]
    return _Claims(nodes, schemes, hosts)


def _walk_chain(nodes: list[str], peer: str, trusted: TrustedProxies) -> tuple[str, int]:
    """Return the first address from the right that is not trusted, and its distance from the right.

    If all addresses are trusted, return the leftmost one. The walk stops at an entry that is not an address. If
    all addresses to the right of this entry are trusted, return the leftmost of these.
    """
    client = peer
    hops = 0
    for node in reversed(nodes):
        address = _parse_address(node)
        if address is None:
            break
        client, hops = address, hops + 1
        if not trusted.trusts(address):
            break
    return client, max(hops, 1)


def _parse_address(node: str) -> str | None:
    """Return the address of `1.2.3.4`, `1.2.3.4:80`, `::1` or `[::1]:80`; None for any other text."""
    parts = _NODE.fullmatch(node)
    if parts is None:
        return None
    address = address_of(parts["v6"] or parts["v4"] or parts["bare"])
    return None if address is None else str(address)


def _value_at_hop(values: list[str], hops: int) -> str:
    """Return the value `hops` places from the right. If there are too few values, return the leftmost one."""
    return values[-min(hops, len(values))] if values else ""
