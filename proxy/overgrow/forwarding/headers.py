"""Applies the header rules of a reverse proxy to requests and responses. Pure: pairs of bytes in, pairs of bytes out.

RFC 9110 7.6 (hop-by-hop, Via, Max-Forwards), RFC 7239 (Forwarded), de facto X-Forwarded-*. Names are lower case
on the way in; order and duplicates are kept. The forwarding headers are the only ones that this module adds: it
adds no User-Agent, Accept or Accept-Encoding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from overgrow.caches.bounded_cache import BoundedCache
from overgrow.caches.header_memo import PreparedHeaders, SplitHeaders, split_headers
from overgrow.http import CONNECTION_HEADERS, DEFAULT_PORTS, is_own_header
from overgrow.routing.facts import Head, Headers, hostname_of
from overgrow.routing.forwarded import CLAIMS, received_claims
from overgrow.routing.readings import REWRITING

Pair = tuple[bytes, bytes]

# A proxy drops these three too: they are meant for the next hop only. Trailer stays: it announces what this hop passes on.
HOP_BY_HOP = CONNECTION_HEADERS | {
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-authentication-info",
}
# A client may not use Connection to remove these: the first two frame the message, and the legacy
# app trusts us to send the rest.
UNTOUCHABLE = frozenset({b"host", b"content-length", b"via", b"forwarded", b"x-forwarded"})
# Trailers of requests are not passed on (RFC 9110 6.5.1), so nothing may announce them. An unknown
# expectation cannot be met here, and one without a body has nothing to wait for (RFC 9110 10.1.1).
# Claims of a trusted peer are added again behind the other headers.
_EXPECTING_DROPS = HOP_BY_HOP | REWRITING | {b"trailer", b"forwarded", b"x-forwarded"}
_REQUEST_DROPS = _EXPECTING_DROPS | {b"expect"}
# RFC 9110 7.6.2: the methods Max-Forwards counts for
MAX_FORWARDS_METHODS = frozenset({"OPTIONS", "TRACE"})
_MAX_CACHED_NAMES = 64  # names of one head; a longer list is worked out each time
_MAX_CACHED_BYTES = 255  # of a text that clients choose; a longer one is worked out each time


class PrivateAddress(NamedTuple):
    """Legacy's private address as its responses may contain it: scheme, host, port; no host for a unix socket.

    `note_cookie` is called for each Set-Cookie of a response, with the request's head and the value.
    """

    scheme: str
    host: str
    port: int
    authority: bytes
    note_cookie: Callable[[Head, bytes], None] | None = None


def legacy_address_to_hide(url: str) -> PrivateAddress | None:
    """Return the private address in `legacy.url`; None for a unix socket, which has no name that could leak."""
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS:
        return None
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return PrivateAddress(parts.scheme, parts.hostname or "", port, parts.netloc.encode())


def connection_options(headers: Headers) -> frozenset[bytes]:
    """Return the header names that Connection lists, in lower case, except those that it must not remove."""
    lines = [value for name, value in headers if name == b"connection"]
    return _connection_options[b",".join(lines)] if lines else _NOTHING


def _parse_connection_options(value: bytes) -> frozenset[bytes]:
    """Return the header names that one Connection value lists. Cached, because clients repeat the same few values."""
    tokens = {token.strip().lower() for token in value.split(b",")}
    return frozenset(
        name
        for name in tokens
        if name not in UNTOUCHABLE
        and not name.startswith(CLAIMS)
        and name
        and not is_own_header(name)
    )


_connection_options = BoundedCache(
    _parse_connection_options, max_entries=256, max_length=_MAX_CACHED_BYTES
)
_NOTHING: frozenset[bytes] = frozenset()


def is_forwarding_loop(headers: Headers, via: str) -> bool:
    """Whether a request passes this front door in a loop: its own pseudonym is in Via twice (RFC 9110 7.6.3)."""
    seen = 0
    wanted = via.encode()
    for name, value in headers:
        if name == b"via":
            seen += sum(entry.split()[1:2] == [wanted] for entry in value.split(b","))
    return seen >= 2


def max_forwards(head: Head) -> int | None:
    """Return the Max-Forwards value of an OPTIONS or TRACE request, else None (RFC 9110 7.6.2)."""
    if head.method not in MAX_FORWARDS_METHODS:
        return None
    values = [value for name, value in head.headers if name == b"max-forwards"]
    if len(values) != 1 or not values[0].isdigit() or len(values[0]) > 9:
        return None
    return int(values[0])


def headers_for_legacy(  # noqa: PLR0913 - settings of legacy, by keyword
    head: Head,
    *,
    via: str,
    upstream_host: bytes | None,
    has_body: bool,
    forwarded: bool = False,
    rewrite_headers: bool = False,
) -> list[Pair]:
    """Return the headers of the request to legacy.

    If the table says `host: upstream`, `upstream_host` replaces Host. If `upstream_host` is None, Host stays
    the public one. `has_body` without a Content-Length means that the body is sent chunked. `forwarded` adds
    the Forwarded header (RFC 7239). `rewrite_headers` lets X-Original-URL and X-Rewrite-URL through.
    """
    host = upstream_host if upstream_host is not None else head.host.encode("latin-1")
    named = connection_options(head.headers)
    dropped = _EXPECTING_DROPS if has_body and expects_continue(head) else _REQUEST_DROPS
    dropped = dropped - REWRITING if rewrite_headers else dropped
    dropped = dropped | named if named else dropped
    kept = [pair for pair in head.headers if pair[0] not in dropped and pair[0][:12] != CLAIMS]
    names = {name for name, _ in kept}
    if b"host" in names:
        kept = [(b"host", host) if pair[0] == b"host" else pair for pair in kept]
    else:
        kept.insert(0, (b"host", host))  # RFC 9112 3.2: there must be one, empty if unknown
    if has_body and b"content-length" not in names:
        kept.append((b"transfer-encoding", b"chunked"))
    if head.method in MAX_FORWARDS_METHODS:
        kept = [_with_decremented_max_forwards(pair, head) for pair in kept]
    if wants_trailers(head.headers):
        kept += [(b"te", b"trailers"), (b"connection", b"te")]
    kept += _forwarding_headers(head)
    if forwarded:
        kept.append((b"forwarded", _forwarded_elements[head.peer, head.scheme, head.host]))
    kept.append((b"via", b"1.1 " + via.encode()))
    return kept


def expects_continue(head: Head) -> bool:
    """Whether the client waits for 100 before it sends its body (RFC 9110 10.1.1)."""
    lines = [value.lower() for name, value in head.headers if name == b"expect"]
    return lines == [b"100-continue"] and head.http_version == "1.1"


def wants_trailers(headers: Headers) -> bool:
    """Whether the client accepts trailers: TE lists the word `trailers` (RFC 9110 10.1.4)."""
    lines = [value for name, value in headers if name == b"te"]
    tokens = b",".join(lines).lower().split(b",") if lines else ()
    return b"trailers" in [token.strip() for token in tokens]


def _forwarding_headers(head: Head) -> tuple[Pair, ...]:
    """Return X-Forwarded-For, -Proto, -Host and -Port; if the peer is trusted, also its other forwarding headers."""
    if not head.peer_trusted:
        return _own_claims[head.peer, head.scheme, head.host]
    received = received_claims(head.headers)
    route = [value for name, value in received if name == b"x-forwarded-for"]
    if not route and head.client != head.peer:
        route = [head.client.encode()]  # only Forwarded names the client
    if head.peer not in {"", "unix"}:
        route.append(head.peer.encode())
    claims = [(b"x-forwarded-for", b", ".join(route))] if route else []
    claims += [
        (b"x-forwarded-proto", head.scheme.encode()),
        (b"x-forwarded-host", head.host.encode("latin-1")),
        (b"x-forwarded-port", _public_port(head.scheme, head.host, received)),
    ]
    ours = {name for name, _ in claims}
    return (*claims, *(pair for pair in received if pair[0] not in ours))


def _build_own_forwarding_headers(facts: tuple[str, str, str]) -> tuple[Pair, ...]:
    """Return our own forwarding headers for a peer, scheme and host. Cached, because a client repeats these."""
    peer, scheme, host = facts
    known = () if peer in {"", "unix"} else ((b"x-forwarded-for", peer.encode()),)
    return (
        *known,
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", host.encode("latin-1")),
        (b"x-forwarded-port", _public_port(scheme, host, ())),
    )


def _host_length(facts: tuple[str, str, str]) -> int:
    return len(facts[2])


_own_claims = BoundedCache(
    _build_own_forwarding_headers,
    max_entries=4096,
    max_length=_MAX_CACHED_BYTES,
    length_of=_host_length,
)


def _build_forwarded_element(facts: tuple[str, str, str]) -> bytes:
    """Return our own element of Forwarded. The elements of a trusted peer are in an earlier header line.

    An IPv6 address is bracketed and quoted, and a peer without an address is "unknown" (RFC 7239 6).
    """
    peer, scheme, host = facts
    node = f'"[{peer}]"' if ":" in peer else peer
    parts = [f"for={'unknown' if peer in {'', 'unix'} else node}"]
    parts += [f'host="{host}"'] if _can_quote_host(host) else []
    return ";".join([*parts, f"proto={scheme}"]).encode("latin-1")


_forwarded_elements = BoundedCache(
    _build_forwarded_element,
    max_entries=4096,
    max_length=_MAX_CACHED_BYTES,
    length_of=_host_length,
)


def _can_quote_host(host: str) -> bool:
    return bool(host) and '"' not in host and "\\" not in host


def _public_port(scheme: str, host: str, claims: Iterable[Pair]) -> bytes:
    for name, value in claims:
        if name == b"x-forwarded-port" and value.isdigit():
            return value
    _, _, port = host.rpartition(":")
    if port.isascii() and port.isdigit():  # else there is none, or it is the end of an IPv6 literal
        return port.encode()
    return str(DEFAULT_PORTS.get(scheme, 80)).encode()


def _with_decremented_max_forwards(pair: Pair, head: Head) -> Pair:
    """Return Max-Forwards reduced by one. Return any other header unchanged."""
    left = max_forwards(head)
    if pair[0] != b"max-forwards" or left is None:
        return pair
    return (b"max-forwards", str(max(left - 1, 0)).encode())


def headers_for_client(
    headers: Iterable[Pair], *, via: str, head: Head, private: PrivateAddress | None
) -> list[Pair]:
    """Return the response headers for the client: hop-by-hop headers removed, private address rewritten, Via added."""
    fields = headers if type(headers) is SplitHeaders else split_headers(list(headers))
    names, values = fields.names, fields.values
    plan = _header_plans[names]
    named = _NOTHING
    if plan.connection_at:
        named = _connection_options[b",".join([values[at] for at in plan.connection_at])]
    if plan.is_simple and fields.are_checked and named.isdisjoint(plan.names):
        return _prepare_headers(plan, values, _via_entry(via))
    kept = [(name, values[at]) for at, name in zip(plan.kept_at, plan.names, strict=True)]
    if named:
        kept = [pair for pair in kept if pair[0] not in named]
    if plan.rewrites and private is not None:
        kept = [
            _rewrite_private_address(name, value, head, private)
            if name in _REWRITTEN
            else (name, value)
            for name, value in kept
        ]
    kept.append(_via_entry(via)[0])
    return kept


def _prepare_headers(
    plan: _HeaderPlan, values: tuple[bytes, ...], via: tuple[Pair, bytes]
) -> PreparedHeaders:
    """Return headers whose values need no check, together with the lines for the wire."""
    if len(values) != len(plan.kept_at):
        values = tuple([values[at] for at in plan.kept_at])
    prepared = PreparedHeaders(zip(plan.names, values, strict=True))
    prepared.append(via[0])
    prepared.lines = plan.template % values + via[1]
    prepared.length = None if plan.length_at is None else values[plan.length_at]
    prepared.has_date = plan.has_date
    return prepared


@lru_cache(maxsize=64)
def _via_entry(name: str) -> tuple[Pair, bytes]:
    """Return our entry in Via (RFC 9110 7.6.3) in two forms: as a pair, and as a header line."""
    value = b"1.1 " + name.encode()
    return (b"via", value), b"via: %b\r\n" % value


class _HeaderPlan(NamedTuple):
    """What happens to a response's headers, as far as their names alone determine it."""

    names: tuple[bytes, ...]  # of those that are kept, in lower case
    kept_at: tuple[int, ...]  # where they stood
    connection_at: tuple[int, ...]
    rewrites: bool
    is_simple: bool  # no value has to be read, and there is at most one Content-Length
    template: bytes  # the lines, with %b for each value
    length_at: int | None  # position of Content-Length among those kept
    has_date: bool


def _header_plan_of(names: tuple[bytes, ...]) -> _HeaderPlan:
    """Return the plan for a list of header names. Cached, because an app repeats a few lists of names."""
    lower = [name.lower() for name in names]
    kept = [
        (at, name)
        for at, name in enumerate(lower)
        if name not in HOP_BY_HOP and not is_own_header(name)
    ]
    kept_names = tuple([name for _, name in kept])
    lengths = [at for at, name in enumerate(kept_names) if name == b"content-length"]
    rewrites = not _REWRITTEN.isdisjoint(lower)
    return _HeaderPlan(
        kept_names,
        tuple([at for at, _ in kept]),
        tuple(at for at, name in enumerate(lower) if name == b"connection"),
        rewrites,
        not rewrites and len(lengths) <= 1,
        b"".join([name.replace(b"%", b"%%") + b": %b\r\n" for name in kept_names]),
        lengths[0] if lengths else None,
        b"date" in kept_names,
    )


_header_plans = BoundedCache(_header_plan_of, max_entries=256, max_length=_MAX_CACHED_NAMES)


def trailers_for_client(trailers: Iterable[Pair], headers: Iterable[Pair] = ()) -> list[Pair]:
    """Return the trailers that the client may see; `headers` are those of legacy's response.

    A trailer must not frame, route or authenticate (RFC 9110 6.5.1). Three more kinds of trailers are dropped:
    those that could reveal the private address, those that seem to come from the front door, and those that
    Connection names (7.6.1).
    """
    listed = [(name.lower(), value) for name, value in trailers]
    named = connection_options([(name.lower(), value) for name, value in headers])
    dropped = _NO_TRAILERS | named if named else _NO_TRAILERS
    return [pair for pair in listed if pair[0] not in dropped and not is_own_header(pair[0])]


# RFC 9110 6.5.1: fields that frame, route, modify a request, authenticate, or say how a response is
# handled or its body is read. They come too late once the head has been acted upon.
_NO_TRAILERS = HOP_BY_HOP | {
    b"age",
    b"authentication-info",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-length",
    b"content-location",
    b"content-range",
    b"content-type",
    b"cookie",
    b"date",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"location",
    b"max-forwards",
    b"persistent-auth",
    b"pragma",
    b"proxy",
    b"proxy-support",
    b"range",
    b"refresh",
    b"retry-after",
    b"set-cookie",
    b"trailer",
    b"vary",
    b"via",
    b"www-authenticate",
}
_REWRITTEN = frozenset({b"location", b"content-location", b"refresh", b"set-cookie"})
# Refresh as browsers read it: seconds, a separator, optional `url=`, optional quotes (HTML, "declarative refresh").
_REFRESH = re.compile(
    rb"([ \t]*[0-9.]*[ \t]*[;,]?[ \t]*(?:url[ \t]*=[ \t]*)?)([\"']?)(.*)", re.DOTALL | re.IGNORECASE
)


def _rewrite_private_address(
    name: bytes, value: bytes, head: Head, private: PrivateAddress
) -> Pair:
    """Return Location, Content-Location, Refresh or Set-Cookie with the private address replaced by the public one."""
    if name == b"set-cookie" and private.note_cookie is not None:
        private.note_cookie(head, value)
    if not head.host or not private.host:
        return (name, value)
    if name == b"set-cookie":
        return (name, _rewrite_cookie_domains(value, head, private))
    if name == b"refresh":
        return (name, _rewrite_refresh(value, head, private))
    return (name, _rewrite_location(value, head, private))


def _rewrite_location(value: bytes, head: Head, private: PrivateAddress) -> bytes:
    """Replace the private address by the public one in an absolute or //network-path reference."""
    try:
        parts = urlsplit(value.decode("latin-1"))
        port = parts.port or DEFAULT_PORTS.get(parts.scheme or private.scheme)
    except ValueError:
        return value  # not a URL that we can parse, so it is not changed
    if (parts.hostname, port) != (private.host.lower(), private.port):
        return value
    _, _, rest = value.partition(b"//")
    path = rest[len(parts.netloc.encode("latin-1")) :]
    scheme = head.scheme.encode() + b":" if parts.scheme else b""
    return scheme + b"//" + head.host.encode("latin-1") + path


def _rewrite_refresh(value: bytes, head: Head, private: PrivateAddress) -> bytes:
    """Return Refresh with its URL rewritten like Location."""
    found = _REFRESH.fullmatch(value)
    if found is None:
        return value
    before, quote, rest = found.groups()
    url, closing, behind = rest.partition(quote) if quote else (rest, b"", b"")
    return before + quote + _rewrite_location(url, head, private) + closing + behind


def _rewrite_cookie_domains(value: bytes, head: Head, private: PrivateAddress) -> bytes:
    """Replace the private host in each Domain attribute by the public host.

    If the public host cannot be a domain, drop the attribute.
    """
    if b"domain" not in value.lower():
        return value
    cookie, *attributes = value.split(b";")  # RFC 6265 5.2: the first is its name and value
    public = [_rewrite_domain_attribute(attribute, head, private) for attribute in attributes]
    return b";".join([cookie, *(attribute for attribute in public if attribute is not None)])


def _rewrite_domain_attribute(piece: bytes, head: Head, private: PrivateAddress) -> bytes | None:
    key, _, domain = piece.partition(b"=")
    if key.strip().lower() != b"domain":
        return piece
    if domain.strip().lstrip(b".").lower() != private.host.lower().encode():
        return piece
    public = hostname_of(head.host).strip("[]")
    # RFC 6265 5.1.3: an IP address or a single label has no domain to share; host-only fits it.
    if ":" in public or "." not in public or public.replace(".", "").isdigit():
        return None
    return key + b"=" + public.encode("latin-1")
