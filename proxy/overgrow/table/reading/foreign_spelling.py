"""Recognises the notation of other tools for paths, methods and blanks, and suggests ours.

Pure. Such texts are mostly legal, but no request would match them: `/items/:id` takes only the path
"/items/:id". Therefore a note names the spelling that was probably meant.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

# The registry of HTTP methods (IANA; RFC 9110 16.1), and PURGE, which caches know.
_REGISTERED_METHODS = """
    ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE
    MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI
    PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK
    UPDATE UPDATEREDIRECTREF VERSION-CONTROL
"""
HTTP_METHODS = frozenset(_REGISTERED_METHODS.split())
_USUAL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_NAME = r"[A-Za-z_]\w*"
_DIGITS = r"(?:\\d|\[0-9\])(?:\+|\{\d+(?:,\d*)?\})"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?P<host>[^/?#]*)(?P<path>[^?#]*).*", re.DOTALL)
# What other frameworks write in one segment, and the variable that is meant.
_SEGMENTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf":(?P<name>{_NAME})\({_DIGITS}\)\??"), "<int:{name}>"),  # Express
    (re.compile(rf":(?P<name>{_NAME})(?:\(\.:format\))?\??"), "<{name}>"),  # Express, Rails
    (
        re.compile(rf"\{{(?P<name>{_NAME}):(?:int|{_DIGITS})\}}"),
        "<int:{name}>",
    ),  # Starlette, JAX-RS
    (re.compile(rf"\{{(?P<name>{_NAME})(?::[^{{}}]+)?\??\}}"), "<{name}>"),  # Laravel, Spring
    (re.compile(rf"<(?P<name>{_NAME}):int>"), "<int:{name}>"),  # converter and name swapped
    (re.compile(rf"<(?P<name>{_NAME}):(?:str|string|slug)>"), "<{name}>"),
    (re.compile(rf"\(\?P?<(?P<name>{_NAME})>{_DIGITS}\)"), "<int:{name}>"),  # regular expressions
    (re.compile(rf"\(\?P?<(?P<name>{_NAME})>[^()]*\)"), "<{name}>"),
    (re.compile(rf"\(?{_DIGITS}\)?"), "<int:id>"),
    (re.compile(r"\(?(?:\[\^/\]|\\w|\[[^\]]+\])[+*]\)?"), "<name>"),
    (re.compile(r"\*{1,2}"), "<name>"),
)
# What stands for everything below, as a last segment.
_REST = re.compile(
    rf"\(?\.\*\)?|\*{{1,2}}(?:{_NAME})?|:{_NAME}\*|\{{{_NAME}:(?:path|\.\*)\}}|\{{\*{_NAME}\}}|\(\.\+\)"
)
_HINT = re.compile(r"/[:{*^(]|[{(*\[\\]|\$$")
_INVISIBLE_BLANKS = "\u00a0\u115f\u1160\u1680\u180e\u2028\u2029\u202f\u205f\u3000\u3164\uffa0"
_INVISIBLE = re.compile(
    rf"[\u00ad\u200b-\u200f\u2000-\u200a\u202a-\u202e\u2060-\u2064\ufeff{_INVISIBLE_BLANKS}]"
)
# Where YAML wants a blank or a token: the indentation, and what follows a key or a list's dash.
_STRUCTURE = re.compile(
    rf"^(?P<indent>[ -]*)(?P<first>{_INVISIBLE.pattern})|"
    rf"^[ -]*[\w.-]+:(?P<second>{_INVISIBLE.pattern})|[{{,] *[\w.-]+:(?P<third>{_INVISIBLE.pattern})",
    re.MULTILINE,
)


class Invisible(NamedTuple):
    """An invisible character: its name by code point, and its line and column, both from 1."""

    name: str
    line: int
    column: int


def may_be_foreign(text: str) -> bool:
    """Return whether a path needs a closer check. This test is quick, for tables of 10,000 routes."""
    return not text.isascii() or _HINT.search(text) is not None


def suggest_spelling(text: str, field: str) -> str | None:
    """Return what to write instead of a path or prefix in another tool's notation; None if it is in our notation.

    `field` is `path` or `prefix`; the answer reads like `path: /items/<id>`.
    """
    url = _URL.fullmatch(text)
    if url is not None:
        path = suggest_spelling(url["path"] or "/", field) or f"{field}: {url['path'] or '/'}"
        return f"{path} and host: {url['host'].partition(':')[0].lower()}"
    plain = text.removeprefix("^").removesuffix("$")
    if not plain.startswith("/"):
        if plain == text and not _is_foreign(plain):
            return None
        plain = f"/{plain}"
    *segments, last = plain.split("/")[1:]
    if field == "prefix" or _REST.fullmatch(last):
        rest = "" if _REST.fullmatch(last) else last
        kept = [*segments, *([rest] if rest else [])]
        written = f"prefix: /{'/'.join(map(_translate_segment, kept))}"
    else:
        written = f"{field}: /{'/'.join(map(_translate_segment, [*segments, last]))}"
    return None if written == f"{field}: {text}" else written


def _is_foreign(text: str) -> bool:
    return any(_translate_segment(segment) != segment for segment in text.split("/"))


def _translate_segment(segment: str) -> str:
    for pattern, variable in _SEGMENTS:
        found = pattern.fullmatch(segment)
        if found is not None:
            return variable.format(**found.groupdict())
    return segment


def suggest_method(name: str) -> str | None:
    """Return the usual method that an unknown method probably means; "" if none is similar.

    Return None for a known method.
    """
    if name in HTTP_METHODS:
        return None
    near = get_close_matches(name, _USUAL_METHODS, 1, cutoff=0.6)
    return near[0] if near else ""


def find_invisible(text: str) -> str | None:
    """Return the name of the first invisible character, such as `U+200B ZERO WIDTH SPACE`."""
    found = _INVISIBLE.search(text)
    return None if found is None else name_of(found[0])


def name_of(character: str) -> str:
    """Return code point and name of a character."""
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X} {name}".strip()


def find_invisible_structure(text: str) -> Iterator[Invisible]:
    """Yield the invisible characters where YAML needs blanks: in indentation, and after the colon of a key."""
    if text.isascii():
        return
    for found in _STRUCTURE.finditer(text):
        group = next(name for name in ("first", "second", "third") if found[name])
        at = found.start(group)
        line = text.count("\n", 0, at) + 1
        yield Invisible(name_of(found[group]), line, at - text.rfind("\n", 0, at))
