"""The skeleton of an HTML page: its elements without their texts. Pure.

Rule: only the names in ELEMENTS and ATTRIBUTES and the lengths of texts leave this module; an
attribute's value, a comment or a name that HTML does not know never do.
"""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

from proxy.shadow.html_tree import MAX_UNENDED

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
ELEMENTS = frozenset(_ELEMENTS.split())
ATTRIBUTES = frozenset(_ATTRIBUTES.split())


class _Skeleton(HTMLParser):
    """Collects tags and the lengths of the texts between them."""

    def __init__(self, looks_like_a_name: Callable[[str], bool]) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._looks_like_a_name = looks_like_a_name

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = "".join(f" {self._attribute(name)}" for name, _ in attrs)
        self.parts.append(f"<{_element(tag)}{names}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"</{_element(tag)}>")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.parts.append(f"[{len(data.strip())}]")

    def _attribute(self, name: str) -> str:
        known = name in ATTRIBUTES or (
            name.startswith(("data-", "aria-")) and self._looks_like_a_name(name)
        )
        return name if known else "?"


def _element(tag: str) -> str:
    return tag if tag in ELEMENTS else "?"


def skeleton(text: str, looks_like_a_name: Callable[[str], bool]) -> str:
    """The page's tags with the names of their attributes, and `[12]` for a text of 12 characters.

    Raises:
        ValueError: markup that never ends; AssertionError: some malformed declarations.

    """
    parser = _Skeleton(looks_like_a_name)
    parser.feed(text)
    if len(parser.rawdata) > MAX_UNENDED:
        raise ValueError("a tag or comment that never ends")
    parser.close()
    return "".join(parser.parts)
