"""Finds the values of one request that a report must not contain: in headers, cookies, path, query, body and user.

Pure. Rule: a value counts as secret unless a list here names it. If some values cannot be read completely, the
result says so, and a report hides more.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from overgrow.routing.facts import Head, Headers

MIN_LENGTH = 4  # a shorter text says nothing, and would be found in every sentence
MAX_VALUES = 1000
# Headers of which every client has the same values.
_HARMLESS = frozenset(
    {
        *(b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"connection"),
        *(b"content-encoding", b"content-length", b"content-type", b"expect", b"host", b"pragma"),
        *(b"te", b"transfer-encoding", b"upgrade", b"upgrade-insecure-requests"),
    }
)
_COMMON_WORDS = frozenset(
    {"basic", "bearer", "digest", "false", "form", "http", "https", "none", "null", "true"}
)
_HEADER_PIECES = re.compile(r"[\s,;=:\"'&]+")
_BODY_PIECES = re.compile(r"[\s,;=:\"'&<>{}\[\]()]+")
_FILE_NAME = re.compile(rb'filename="([^"\r\n]*)"')


class RequestValues(NamedTuple):
    """The values that a report must not contain.

    `are_all` is False if other values may exist that could not be read.
    """

    values: frozenset[str]
    are_all: bool = True


NO_VALUES = RequestValues(frozenset())


def values_of_request(
    head: Head,
    template: str,
    body: bytes,
    *,
    body_is_whole: bool,
    identity: Iterable[Any] = (),
) -> RequestValues:
    """Return the values of a request. `template` is its route's path, whose own words are not secret."""
    found = set[str]()
    found.update(_values_of_headers(head.headers))
    found.update(_values_of_target(head.target, template))
    found.update(_values_of_body(_content_type(head.headers), body))
    for each in identity:
        found.update(_leaves(each))
    secret = {each for each in found if _may_be_secret(each)}
    are_all = body_is_whole and len(secret) <= MAX_VALUES
    return RequestValues(frozenset(sorted(secret, key=len)[-MAX_VALUES:]), are_all)


def _may_be_secret(text: str) -> bool:
    return len(text) >= MIN_LENGTH and text.lower() not in _COMMON_WORDS


def _values_of_headers(headers: Headers) -> Iterator[str]:
    for name, value in headers:
        if name in _HARMLESS or name.startswith(b"sec-"):
            continue
        text = value.decode("utf-8", "replace").strip()
        yield text
        yield value.decode("latin-1").strip()
        if name != b"user-agent":  # whose words are those of many browsers
            for piece in _HEADER_PIECES.split(text):
                yield piece
                yield _unquote(piece)
        if text[:6].lower() == "basic ":
            yield from _values_of_basic_login(text[6:])


def _values_of_basic_login(encoded: str) -> Iterator[str]:
    try:
        login = base64.b64decode(encoded.strip()).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return
    yield login
    yield from login.split(":", 1)


def _values_of_target(target: bytes, template: str) -> Iterator[str]:
    path, _, query = target.partition(b"?")
    known = set(template.split("/"))
    segments = [_unquote(each.decode("latin-1")) for each in path.split(b"/")]
    if any(each not in known for each in segments):
        yield path.decode("latin-1")
        yield "/".join(segments)
    yield from (each for each in segments if each not in known)
    yield from _values_of_form(query)


def _values_of_form(data: bytes) -> Iterator[str]:
    """Yield the values of a query or form, and names without a value, each in the sent and in the decoded form."""
    for pair in data.split(b"&"):
        name, equals, value = pair.partition(b"=")
        yield (value if equals else name).decode("latin-1")
    for key, text in parse_qsl(data.decode("latin-1"), keep_blank_values=True):
        yield text or key


def _content_type(headers: Headers) -> str:
    found = (value for name, value in headers if name == b"content-type")
    return next(found, b"").decode("latin-1").partition(";")[0].strip().lower()


def _values_of_body(content_type: str, body: bytes) -> Iterator[str]:
    if not body:
        return
    if content_type == "application/x-www-form-urlencoded":
        yield from _values_of_form(body)
        return
    text = body.decode("utf-8", "replace")
    yield text.strip()
    if content_type.startswith("multipart/"):
        yield from _values_of_parts(body, text)
        return
    try:
        yield from _leaves(json.loads(text))
    except (ValueError, RecursionError):
        yield from _BODY_PIECES.split(text)


def _values_of_parts(body: bytes, text: str) -> Iterator[str]:
    for name in _FILE_NAME.findall(body):
        yield name.decode("utf-8", "replace")
    lines = text.splitlines()
    yield from (
        each.strip() for each in lines if not each.startswith(("--", "Content-", "content-"))
    )


def _leaves(value: Any) -> Iterator[str]:
    """Yield the texts and numbers within JSON data, except keys."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list | tuple | set | frozenset):
            waiting.extend(each)
        elif each is not None and not isinstance(each, bool):
            yield str(each)


def _unquote(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace") if "%" in text else text
