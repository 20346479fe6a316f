"""Splits HTML into texts and markup, as a browser's tokenizer does (WHATWG 13.2.5).

Pure and linear: the patterns never backtrack. A raw element (script, style, ...) and its content are one token,
so that nothing in the content is read as markup.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from html import unescape
from typing import Final, NamedTuple

# Characters of markup that is still open at the end of the page. A browser shows none of it; a page with
# more of it is compared as text, as too much would be ignored.
MAX_UNCLOSED = 2000
MAX_TOKENS = 10_000  # of a page; one with more is compared as text
# Distinct pieces of markup in a page: each of them is parsed and kept.
MAX_DISTINCT = 6_000
MAX_ATTRIBUTES = 1_000  # of a tag; a page with more is compared as text
MAX_CACHED_MARKUP = 200  # characters; longer markup is not cached

SPACE = " \t\n\r\f"  # HTML's white space; a no-break space is not
RAW: Final = ("script", "style", "xmp", "iframe", "noembed", "noframes")
REFERENCES: Final = ("textarea", "title")  # raw except for character references
# CPython before 3.11.5, which Debian 12 has, continues from the middle of a failed repetition inside a
# group that is repeated possessively (gh-106052). The groups repeated here cannot match where what follows
# begins, so both forms match the same text; the possessive form saves memory, as it never backtracks.
_MANY: Final = "*+" if sys.version_info >= (3, 11, 5) else "*"
_ATTRIBUTES: Final = r"""[^>=]*+(?:=[ \t\n\r\f]*+(?:"[^"]*+"|'[^']*+'|(?!["']))[^>=]*+)"""


def compile_token_pattern(many: str) -> re.Pattern[str]:
    """Return the pattern for a text and the markup behind it.

    `many` is the operator that repeats a group in the pattern.
    """
    attributes = _ATTRIBUTES + many
    raw_elements = "|".join(
        rf"(?i:<{name}(?=[ \t\n\r\f/>])){attributes}(?<!/)>"
        rf"(?:[^<]++|<(?!(?i:/{name})[ \t\n\r\f/>])){many}"
        for name in (*RAW, *REFERENCES)
    )
    return re.compile(
        rf"([^<]*+(?:<(?![A-Za-z/!?])[^<]*+){many})"  # a text; `<` before a space is one of its characters
        rf"(?:((?:{raw_elements})|<[A-Za-z]{attributes}>|</[A-Za-z][^>]*+>"
        rf"|<!--(?:-?>|(?:[^-]++|-(?!-!?>)){many}(?:--!?>)?)|<[!?/][^>]*+>)"
        r"|(<.++))?",  # markup that never ends
        re.DOTALL,
    )


_TOKENS = compile_token_pattern(_MANY)
_ATTRIBUTE = re.compile(
    r"""([^ \t\n\r\f/=][^ \t\n\r\f/=]*+)"""
    r"""(?:[ \t\n\r\f]*+=[ \t\n\r\f]*+(?:"([^"]*+)"|'([^']*+)'|([^ \t\n\r\f]*+)))?"""
)
_NAME = re.compile(r"</?([A-Za-z][^ \t\n\r\f/>]*+)")
_TAG = re.compile(rf"<[A-Za-z]{_ATTRIBUTES}{_MANY}>")

Token = tuple[str, str]  # a text, and the markup after it; either may be empty


class Markup(NamedTuple):
    """The meaning of one piece of markup. `form` is start, end, doctype or nothing.

    For a start tag, `is_closed` says whether it ends with `/>`, and `raw` is the text of a raw element (else None).
    """

    form: str
    name: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    is_closed: bool = False
    raw: str | None = None


def split_html_tokens(text: str) -> list[Token]:
    """Return the texts and the markup of a page, in order. If some markup never ends, raise ValueError."""
    # Every token but the last has markup, and every piece of markup contains one `<`.
    if text.count("<") > MAX_TOKENS:
        raise ValueError("a page of more markup than is looked at")
    found = _TOKENS.findall(text)
    found.pop()  # the empty match at the end
    if len({markup for _, markup, _ in found}) > MAX_DISTINCT:
        raise ValueError("a page of more different markup than is looked at")
    if not found:
        return []
    rest = found[-1][2] or _unclosed_markup(found[-1][1])
    if len(rest) > MAX_UNCLOSED:
        raise ValueError("a tag, comment or script that never ends")
    tokens: list[Token] = [each[:2] for each in found]
    if found[-1][2]:
        tokens.append((found[-1][2], ""))  # no browser shows it; here it counts as text
    return tokens


def iter_html_tokens(text: str) -> Iterator[Token]:
    """Yield the result of split_html_tokens token by token."""
    for found in _TOKENS.finditer(text):
        rest, markup = found[3] or "", found[2] or ""
        if markup and found.end() == len(text):
            rest = _unclosed_markup(markup)
        if len(rest) > MAX_UNCLOSED:
            raise ValueError("a tag, comment or script that never ends")
        yield found[1] + (found[3] or ""), markup


def _unclosed_markup(markup: str) -> str:
    """If a page ends inside markup, return this markup; else return an empty text."""
    if markup.startswith("<!--"):
        return "" if markup.endswith(("-->", "--!>")) else markup
    return markup if parse_markup(markup).raw is not None else ""


def parse_markup(text: str) -> Markup:
    """Return the meaning of a piece of markup. Short pieces are cached, because the pages of a site repeat them."""
    return _cached_parse_markup(text) if len(text) <= MAX_CACHED_MARKUP else _parse_markup(text)


def _parse_markup(text: str) -> Markup:
    found = _NAME.match(text)
    if found is None:
        is_doctype = text[:9].lower() == "<!doctype"
        return Markup("doctype", text[2:].rstrip(">")) if is_doctype else Markup("nothing")
    name = found[1].lower()
    if text[1] == "/":
        return Markup("end", name)
    tag = _TAG.match(text)
    inside = tag[0][found.end() : -1] if tag else ""
    attributes: list[tuple[str, str]] = []
    end = 0
    for each in _ATTRIBUTE.finditer(inside):
        value = next((value for value in each.groups()[1:] if value is not None), "")
        if len(attributes) == MAX_ATTRIBUTES:
            raise ValueError("a tag of more attributes than are looked at")
        attributes.append((each[1].lower(), unescape(value) if "&" in value else value))
        end = each.end()
    is_closed = "/" in inside[end:]
    raw = (
        text[tag.end() :]
        if tag and name in _WITH_RAW_CONTENT and not inside.endswith("/")
        else None
    )
    return Markup("start", name, tuple(attributes), is_closed, _unescape_raw_text(name, raw))


def _unescape_raw_text(name: str, raw: str | None) -> str | None:
    return unescape(raw) if raw and name in REFERENCES else raw


def decode_character_references(text: str) -> str:
    """Return a text with its character references decoded."""
    return unescape(text) if "&" in text else text


_WITH_RAW_CONTENT = frozenset({*RAW, *REFERENCES})
_cached_parse_markup = lru_cache(maxsize=2048)(_parse_markup)
