"""References in a response to its own site: absolute and relative ones are compared as the same.

Pure. RFC 3986 5.2: `/cart` and `https://shop.example/cart` are one reference in a response of
https://shop.example. Another scheme, host or port makes another reference.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

REFERRING = frozenset({"location", "content-location", "refresh", "link"})
_REFRESH = re.compile(r"\s*([\d.]+)\s*[;,]\s*(?:url\s*=\s*)?([\"']?)(.*?)\2\s*", re.IGNORECASE)
_TARGET = re.compile(r"<([^<>]*)>")
_PORTS = {"http": ":80", "https": ":443"}


def resolve_references_in_field(name: str, value: str, base: str) -> str:
    """Return a field's value with absolute references; unchanged if the base is not known."""
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
