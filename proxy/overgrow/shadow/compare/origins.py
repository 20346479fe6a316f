"""Makes references of a response to its own site absolute, so that absolute and relative references are equal.

Pure. RFC 3986 5.2: in a response of https://shop.example, `/cart` and `https://shop.example/cart` are the same
reference. A reference with another scheme, host or port is a different one.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

REFERRING = frozenset({"location", "content-location", "refresh", "link"})
_REFRESH = re.compile(r"\s*([\d.]+)\s*[;,]\s*(?:url\s*=\s*)?([\"']?)(.*?)\2\s*", re.IGNORECASE)
_TARGET = re.compile(r"<([^<>]*)>")
_PORTS = {"http": ":80", "https": ":443"}


def resolve_references_in_field(name: str, value: str, base: str) -> str:
    """Return a field's value with absolute references. If the base is unknown, return it unchanged."""
    if not base:
        return value
    if name == "link":
        return _TARGET.sub(lambda found: f"<{_resolve_reference(found[1], base)}>", value)
    if name == "refresh":
        found = _REFRESH.fullmatch(value)
        return f"{found[1]};{_resolve_reference(found[3], base)}" if found else value
    return _resolve_reference(value, base)


def _resolve_reference(reference: str, base: str) -> str:
    try:
        full = urlsplit(urljoin(base, reference))
    except ValueError:
        return reference
    host = full.netloc.lower().removesuffix(_PORTS.get(full.scheme, ":-"))
    return full._replace(netloc=host, path=full.path or ("/" if host else "")).geturl()
