"""Hides everything in two responses except what a list here permits.

Pure. Rule: a value that no list permits is replaced by its type and length ("<str 12>", "<int 4 digits>"). Two
responses that differ only in hidden values are therefore stored alike. These stay readable: the status, names
of headers, JSON keys that look like names rather than data, true, false and null, known words in some header
values, and the values at the exact paths that a person lists under `show`. Credentials are never readable. If a
body cannot be parsed or is too large, only its family and its size are stored.

The Likeness of two hidden values is stored: rounded distances of numbers and times, and whether their shapes
are equal. With it, a later rule decides in the same way as with the values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Protocol
from urllib.parse import unquote_plus

from overgrow.shadow.redact.html_skeleton import html_skeleton
from overgrow.shadow.redact.paths import (
    looks_like_a_name,
    redact_difference_path,
    redact_name,
    redacted_path_shape,
)
from overgrow.shadow.values.difference import MAX_RENDERED, Difference, member_path
from overgrow.shadow.values.snapshot import ResponseSnapshot

MAX_BODY_BYTES = 256 * 1024  # larger bodies leave their family and size only
MAX_KEPT_CHARS = 4096
MAX_DEPTH = 32
MAX_KEYS = 50
MAX_ITEMS = 3
MAX_SHOWN_CHARS = 80
MAX_QUERY_KEYS = 16

SECRET_HEADERS = frozenset(
    ["authorization", "cookie", "proxy-authorization", "set-cookie", "www-authenticate"]
)
_MEDIA = (
    "application/json application/problem+json application/ld+json application/xml "
    "application/javascript application/octet-stream application/pdf application/zip "
    "application/x-www-form-urlencoded multipart/form-data multipart/byteranges text/html "
    "text/plain text/css text/csv text/xml text/javascript text/event-stream image/png "
    "image/jpeg image/gif image/svg+xml image/webp image/x-icon font/woff font/woff2"
)
_CHARSETS = "charset utf-8 utf-16 us-ascii iso-8859-1 iso-8859-15 windows-1252"
_FIELDS = (
    "* accept accept-encoding accept-language authorization cookie host origin user-agent "
    "x-requested-with"
)
_CACHING = (
    "public private no-cache no-store no-transform must-revalidate proxy-revalidate immutable "
    "max-age s-maxage stale-while-revalidate stale-if-error must-understand"
)
_METHODS = "get head post put patch delete options trace"
# Header -> the words its value may consist of; any other word in it is hidden.
READABLE: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "accept-ranges": "bytes none",
        "allow": _METHODS,
        "cache-control": _CACHING,
        "connection": "close keep-alive",
        "content-disposition": "inline attachment form-data filename",
        "content-encoding": "gzip br deflate zstd identity",
        "content-type": f"{_MEDIA} {_CHARSETS}",
        "pragma": "no-cache",
        "referrer-policy": "no-referrer same-origin strict-origin origin unsafe-url",
        "transfer-encoding": "chunked gzip",
        "vary": _FIELDS,
        "x-content-type-options": "nosniff",
        "x-frame-options": "deny sameorigin",
    }.items()
}
_COOKIE_WORDS = frozenset(["httponly", "secure", "partitioned", "lax", "strict", "none"])
_COOKIE_ATTRIBUTES = frozenset(
    ["httponly", "secure", "partitioned", "samesite", "path", "domain", "max-age", "expires"]
)
_PLAIN_WORDS = frozenset(["", "true", "false", "null"])

_CONTAINER = re.compile(r"(array|object) \(([0-9]+) (?:items?|keys?)\)")
_TOO_LARGE = re.compile(r"([0-9]+) bytes, too large to show")
_CUT = re.compile(r"… \(([0-9]+) characters\)")


@dataclass(frozen=True, slots=True)
class RedactedResponse:
    """One side's response, reduced to the parts that a list permits."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


@dataclass(frozen=True, slots=True)
class RedactedDifference:
    """A difference without its values: their types and lengths, and how far apart they are.

    `gap` (numbers) and `gap_s` (times) are upper bounds, or None. `alike` says that both values have the same
    shape, and `one_type` that both have the same type. `paired` has the rules that paired the items of
    enclosing arrays, one rule per line. `other` is another path that a rule may use for the same place.
    """

    kind: str
    path: str
    severity: str
    control: str
    candidate: str
    rule: str | None = None
    gap: float | None = None
    gap_s: float | None = None
    alike: bool = False
    one_type: bool = False
    paired: str = ""
    other: str = ""


@dataclass(frozen=True, slots=True)
class RedactedRequest:
    """The part of a request that may be stored.

    It has the route's template instead of the path, and names of query parameters.
    """

    method: str
    template: str
    query_keys: tuple[str, ...] = ()
    signed_in: bool = False


@dataclass(frozen=True, slots=True)
class RedactedPair:
    """Two redacted responses to one request, with the differences between them."""

    asked: RedactedRequest
    control: RedactedResponse
    candidate: RedactedResponse
    differences: tuple[RedactedDifference, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the pair as JSON data, for the store and for people."""
        return asdict(self)


def redact_query_keys(query: str) -> tuple[str, ...]:
    """Return the names of the query's parameters, sorted and unique. Hide names that look like data."""
    names = {unquote_plus(part.partition("=")[0]) for part in query.split("&") if part}
    shown = sorted({redact_name(name) for name in names})
    return tuple(shown[:MAX_QUERY_KEYS])


def redact_difference(
    difference: Difference, show: frozenset[str] = frozenset()
) -> RedactedDifference:
    """Return one difference in the form that may be stored."""
    control, candidate = difference.control, difference.candidate
    return RedactedDifference(
        difference.kind,
        redact_difference_path(difference.path),
        difference.severity,
        _redact_rendered_value(difference, control, show),
        _redact_rendered_value(difference, candidate, show),
        difference.rule,
        *difference.likeness[:4],  # all except the pieces, which are not kept
        "\n".join(difference.paired),
        redact_difference_path(difference.other),
    )


def _redact_rendered_value(difference: Difference, text: str, show: frozenset[str]) -> str:
    """Return a value in the form that may be stored: unchanged if a person listed its path in `show`, else hidden.

    A status stays readable, and so do words that a list permits in a header or cookie.
    """
    if difference.kind == "status":
        return text if re.fullmatch(r"[1-5][0-9]{2}", text) else _text_placeholder(text)
    place, _, name = difference.path.partition(":")
    if place == "cookie":
        return _redact_cookie_value(text)
    if place == "header":
        return _redact_header_value(name.partition(";")[0].lower(), text)
    if not place.startswith("$"):
        large = _TOO_LARGE.fullmatch(text) if place == "bytes" else None
        return f"<too_large_to_show {large[1]}>" if large else _text_placeholder(text)
    # A JSON string is quoted, so a text that looks like a rendered container is one.
    container = _CONTAINER.fullmatch(text)
    if container:
        return f"<{container[1]} {container[2]}>"
    allowed = redacted_path_shape(difference.path) in show and len(text) <= MAX_SHOWN_CHARS
    return text if allowed else redact_rendered_json(text)


def redact_rendered_json(text: str) -> str:
    """Return the type and length of a rendered value. Return JSON's true, false and null unchanged."""
    try:
        return _type_placeholder(json.loads(text))
    except (ValueError, RecursionError):
        return _text_placeholder(text)


def _text_placeholder(text: str) -> str:
    """Return `<str N>` or `<text N>` for a text of N characters. For a shortened text, N is its full length."""
    cut = _CUT.search(text, MAX_RENDERED)
    kind = "str" if cut and text.startswith('"') else "text"
    return f"<{kind} {cut[1] if cut else len(text)}>" if text else ""


def _type_placeholder(value: object) -> str:
    match value:
        case None | bool():
            return json.dumps(value)
        case int() | float():
            digits = sum(character.isdigit() for character in repr(value))
            return f"<{type(value).__name__} {digits} digit{'' if digits == 1 else 's'}>"
        case str():
            return f"<str {len(value)}>"
        case list():
            return f"<array {len(value)}>"
        case dict():
            return f"<object {len(value)}>"
    return "<unknown>"


class RedactableFamily(Protocol):
    """A family of bodies, as far as redaction needs to know it."""

    @property
    def name(self) -> str:
        """The name of the family. It is stored with the size if nothing else of a body may be stored."""

    @property
    def structure(self) -> Callable[[str, frozenset[str]], str | None]:
        """A function that returns what may be stored of a text of the family; None if nothing may be stored."""


def redact_response_by_family(
    family: RedactableFamily, response: ResponseSnapshot, show: frozenset[str] = frozenset()
) -> RedactedResponse:
    """Return the part of one response that may be stored: status, names of headers, the structure of the body."""
    headers = tuple(_redact_header(name, value) for name, value in response.headers)
    return RedactedResponse(response.status, headers, _redact_body(family, response, show))


def _redact_header(name: bytes, value: bytes) -> tuple[str, str]:
    lowered, text = name.decode("latin-1").lower(), value.decode("latin-1")
    return redact_name(lowered), _redact_set_cookie(
        text
    ) if lowered == "set-cookie" else _redact_header_value(lowered, text)


def _redact_header_value(name: str, text: str) -> str:
    """Hide every word of the value that is not in the header's vocabulary."""
    words = READABLE.get(name)
    if words is None or name in SECRET_HEADERS:
        return f"<str {len(text)}>" if text else ""
    return _hide_unlisted_words(text, words)


def _hide_unlisted_words(text: str, words: frozenset[str]) -> str:
    """Hide every word of a text that is not in a list. A quoted text is one word."""
    parts = re.split(r'("[^"]*"|[\s,;=]+)', text)
    return "".join(
        each
        if re.fullmatch(r"[\s,;=]*", each) or each.lower() in words
        else _word_placeholder(each)
        for each in parts
    )


def _word_placeholder(word: str) -> str:
    kind = "int" if word.isascii() and word.isdigit() else "str"
    return f"<{kind} {len(word)} digits>" if kind == "int" else f"<str {len(word)}>"


def _redact_set_cookie(text: str) -> str:
    """Return a Set-Cookie header with the cookie's name and its attributes, without its value."""
    pair, *attributes = text.split(";")
    name, _, value = pair.partition("=")
    return "; ".join(
        [
            f"{redact_name(name.strip())}=<str {len(value)}>",
            *map(_redact_cookie_attribute, attributes),
        ]
    )


def _redact_cookie_attribute(text: str) -> str:
    name, equals, value = text.strip().partition("=")
    shown = name if name.lower() in _COOKIE_ATTRIBUTES else f"<str {len(name)}>"
    return f"{shown}{equals}{_redact_cookie_value(value)}"


def _redact_cookie_value(text: str) -> str:
    """Hide the value of a cookie or of an attribute. Flags and SameSite stay readable."""
    shown = text == "/" or text.lower() in _COOKIE_WORDS | _PLAIN_WORDS
    return text if shown else f"<str {len(text)}>"


def _redact_body(family: RedactableFamily, response: ResponseSnapshot, show: frozenset[str]) -> str:
    """Return the structure of a body.

    If it has none, or its structure is too long, return only the family and the size.
    """
    if response.fingerprint is not None:
        return f"<{family.name} {response.fingerprint.length} bytes>"
    if not response.body:
        return ""
    if len(response.body) <= MAX_BODY_BYTES:
        text = response.body.decode("utf-8", "replace")
        with suppress(ValueError, RecursionError):
            kept = family.structure(text, show)
            if kept is not None and len(kept) <= MAX_KEPT_CHARS:
                return kept
    return f"<{family.name} {len(response.body)} bytes>"


def json_structure(text: str, show: frozenset[str]) -> str:
    """Return a JSON text with its names and types.

    Values at paths in `show` stay. Raises ValueError or RecursionError.
    """
    return json.dumps(_redact_json(json.loads(text), "$", show, MAX_DEPTH))


def html_structure(text: str, shown_json_paths: frozenset[str]) -> str:  # noqa: ARG001  paths of JSON
    """Return the elements of a page without their texts. If some markup never ends, raise ValueError."""
    return html_skeleton(text, looks_like_a_name, MAX_KEPT_CHARS)


def _redact_json(value: object, path: str, show: frozenset[str], depth: int) -> object:
    """Return a JSON value with types in place of values.

    A long list or object is cut, and says how many items are missing.
    """
    if isinstance(value, dict) and depth:
        return _redact_object(value, path, show, depth - 1)
    if isinstance(value, list) and depth:
        first = [_redact_json(each, f"{path}[*]", show, depth - 1) for each in value[:MAX_ITEMS]]
        rest = len(value) - len(first)
        return [*first, f"<{rest} more>"] if rest else first
    if isinstance(value, dict | list):
        return _type_placeholder(value)
    if value is None or isinstance(value, bool):
        return value
    allowed = path in show and len(str(value)) <= MAX_SHOWN_CHARS
    return value if allowed else _type_placeholder(value)


def _redact_object(
    value: Mapping[str, object], path: str, show: frozenset[str], depth: int
) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key in list(value)[:MAX_KEYS]:
        kept[redact_name(key)] = _redact_json(value[key], member_path(path, key), show, depth)
    if len(value) > MAX_KEYS:
        kept["..."] = f"<{len(value) - MAX_KEYS} more>"
    return kept
