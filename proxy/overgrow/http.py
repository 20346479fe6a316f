"""Facts of HTTP that more than one part needs, about headers, methods and cookies. Pure.

Rule: each fact is here once, with its source. A fact that only one part needs belongs to that part.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

# RFC 9110 5.6.2, as the inside of a pattern for text or bytes; possessive where it is repeated.
TCHAR = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN = TCHAR + "++"
TOKEN_BYTES = TOKEN.encode()

# RFC 9110 7.6.1, and two older ones: headers about one connection, not about the message.
CONNECTION_HEADERS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)

# RFC 9110 9.2.1: methods that are meant to change nothing.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# RFC 9110 9.2.2: repeating these has the intended effect of doing them once.
IDEMPOTENT_METHODS = SAFE_METHODS | {"PUT", "DELETE"}

Pair = tuple[bytes, bytes]  # name and value of a header line
Pairs = list[Pair]

DEFAULT_PORTS = {"http": 80, "https": 443}

# Headers between the front door and its clients, by the first eleven bytes of the name in lower case.
OWN_HEADERS = (b"x-overgrow", b"x-overgrow-")
SHADOW_MARK = b"x-overgrow-shadow"
# Cookies for the front door alone. A browser sends the admin pages' cookie to every port of their host.
OWN_COOKIES = (b"overgrow_override", b"overgrow_admin")


def is_own_header(name: bytes) -> bool:
    """Whether a header is the front door's own: `X-Overgrow` or `X-Overgrow-*`. The name must be in lower case."""
    return name[:11] in OWN_HEADERS


@lru_cache(maxsize=256)  # called for every response
def is_event_stream(content_type: bytes) -> bool:
    """Return whether a body of this type is a stream of events. Such a stream has no end of its own."""
    return content_type[:17].lower() == b"text/event-stream"


def streams_events(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a response with these headers is a stream of events."""
    return any(
        name.lower() == b"content-type" and is_event_stream(value) for name, value in headers
    )


def declared_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the length in bytes that headers declare for a body; 0 if they declare none.

    Names must be in lower case.
    """
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
