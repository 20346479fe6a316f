"""Reduces an HTML page to its skeleton: its elements without their texts. Pure.

Rule: the result contains only names from ELEMENTS and ATTRIBUTES, and lengths of texts. It never contains
values of attributes, comments, or names that HTML does not define.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache

from overgrow.shadow.redact.html_tokens import (
    MAX_CACHED_MARKUP,
    decode_character_references,
    iter_html_tokens,
    parse_markup,
    split_html_tokens,
)

_ELEMENTS = (
    "a abbr address article aside audio b blockquote body br button canvas caption cite code col "
    "colgroup data datalist dd del details dfn dialog div dl dt em fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd label legend li "
    "link main map mark menu meta meter nav noscript object ol optgroup option output p picture "
    "pre progress q s samp script section select small source span strong style sub summary sup "
    "svg table tbody td template textarea tfoot th thead time title tr track u ul var video"
)
_ATTRIBUTES = (
    "accept action alt async autocomplete charset checked class cols colspan content data datetime "
    "defer dir disabled enctype for form formaction headers height hidden href id integrity lang "
    "max maxlength media method min multiple name nonce pattern placeholder readonly rel required "
    "role rows rowspan scope selected size src srcset step style tabindex target title type value "
    "width"
)
MAX_AT_ONCE = 12_000  # characters
ELEMENTS = frozenset(_ELEMENTS.split())
ATTRIBUTES = frozenset(_ATTRIBUTES.split())


def html_skeleton(
    text: str, looks_like_a_name: Callable[[str], bool], max_chars: int = sys.maxsize
) -> str:
    """Return a page's tags with the names of their attributes, and `[12]` for a text of 12 characters.

    The result ends after `max_chars` characters. Raises ValueError if some markup never ends.
    """
    parts: list[str] = []
    size = 0
    # Splitting a whole page at once is faster, but a long page is cut after a few thousand characters.
    tokens = split_html_tokens(text) if len(text) < MAX_AT_ONCE else iter_html_tokens(text)
    for plain, markup in tokens:
        shown = (
            _length_placeholder(decode_character_references(plain))
            if plain and not plain.isspace()
            else ""
        )
        if markup:
            is_short = len(markup) <= MAX_CACHED_MARKUP
            shown += (_cached_redact_tag if is_short else _redact_tag)(markup, looks_like_a_name)
        parts.append(shown)
        size += len(shown)
        if size > max_chars:
            break
    return "".join(parts)


def _length_placeholder(text: str) -> str:
    visible = text.strip()
    return f"[{len(visible)}]" if visible else ""


def _redact_tag(text: str, looks_like_a_name: Callable[[str], bool]) -> str:
    markup = parse_markup(text)
    if markup.form == "end":
        return f"</{_redact_element_name(markup.name)}>"
    if markup.form != "start":
        return ""
    names = "".join(
        f" {_redact_attribute_name(name, looks_like_a_name)}" for name, _ in markup.attributes
    )
    return f"<{_redact_element_name(markup.name)}{names}>{_length_placeholder(markup.raw or '')}"


def _redact_attribute_name(name: str, looks_like_a_name: Callable[[str], bool]) -> str:
    known = name in ATTRIBUTES or (name.startswith(("data-", "aria-")) and looks_like_a_name(name))
    return name if known else "?"


def _redact_element_name(tag: str) -> str:
    return tag if tag in ELEMENTS else "?"


_cached_redact_tag = lru_cache(maxsize=2048)(_redact_tag)
