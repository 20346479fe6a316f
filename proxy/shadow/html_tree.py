"""HTML as a small tree: elements, attributes, text with white space as a browser sees it.

Pure; on the standard library's parser, with the end tags that HTML lets a writer leave out. It is
no browser: two pages that give the same tree here are taken for the same page. Comments are left
out, scripts and styles are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import groupby

from proxy.shadow.numbering import MAX_DEPTH, TooDeep

VOID = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split()  # noqa: SIM905
)
# Elements that stand in a line of text: white space beside them counts.
INLINE = frozenset(
    "a abbr b bdi bdo button cite code data del dfn em i img input ins kbd label mark meter"  # noqa: SIM905
    " output picture progress q ruby s samp select small span strong sub sup svg textarea time u var"
    " wbr".split()
)
PRESERVED = frozenset({"pre", "textarea", "listing"})
RAW = frozenset({"script", "style"})

# A start tag ends the open element of these names, up to the boundary that holds both.
_ENDS = {
    "li": ({"li"}, {"ul", "ol", "menu"}),
    "dt": ({"dt", "dd"}, {"dl"}),
    "dd": ({"dt", "dd"}, {"dl"}),
    "option": ({"option"}, {"select", "datalist", "optgroup"}),
    "optgroup": ({"option", "optgroup"}, {"select"}),
    "tr": ({"tr", "td", "th"}, {"table", "tbody", "thead", "tfoot"}),
    "td": ({"td", "th"}, {"tr"}),
    "th": ({"td", "th"}, {"tr"}),
    "tbody": ({"tbody", "thead", "tr", "td", "th"}, {"table"}),
    "tfoot": ({"tbody", "thead", "tr", "td", "th"}, {"table"}),
    "body": ({"head"}, {"html"}),
}
_ENDS_PARAGRAPH = frozenset(
    "address article aside blockquote div dl fieldset footer form h1 h2 h3 h4 h5 h6 header hr main"  # noqa: SIM905
    " nav ol p pre section table ul".split()
)
_SPACE = re.compile(r"[ \t\n\r\f]+")  # what HTML calls white space; a no-break space is none
# Characters of markup that is still open when the page ends: in more of it the standard library's
# parser would look for the end again and again.
MAX_UNENDED = 2000


@dataclass(slots=True)
class Element:
    """An element: its name, its attributes by name, and elements and texts in order."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)


def tree_of(text: str) -> Element:
    """Return the document as an element without a name; raise TooDeep or ValueError."""
    builder = _Builder()
    try:
        builder.feed(text)
        if len(builder.rawdata) > MAX_UNENDED:
            raise ValueError("a tag or script that never ends")
        builder.close()
    except AssertionError as error:  # the parser's answer to some malformed declarations
        raise ValueError(str(error)) from error
    _tidy(builder.root)
    return builder.root


class _Builder(HTMLParser):
    """Builds the tree; `open` are the elements that have not ended yet."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.end_implied(tag)
        attributes = {name: _attribute(name, value or "") for name, value in reversed(attrs)}
        element = Element(tag, dict(sorted(attributes.items())))
        self.open[-1].children.append(element)
        if tag not in VOID:
            if len(self.open) > MAX_DEPTH:
                raise TooDeep
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)  # the slash means nothing in HTML, but much in SVG
        if tag not in VOID and any(each.tag in {"svg", "math"} for each in self.open):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        names = [each.tag for each in self.open]
        if tag in names:
            del self.open[len(names) - 1 - names[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)  # in pieces; _tidy joins them

    def handle_decl(self, decl: str) -> None:
        self.root.attributes["doctype"] = _SPACE.sub(" ", decl).strip().lower()

    def end_implied(self, tag: str) -> None:
        """End the elements whose end tag may be left out before this start tag."""
        ended, boundary = _ENDS.get(tag, (set(), set()))
        if tag in _ENDS_PARAGRAPH:
            ended, boundary = {"p"}, {"button", "td", "th", "object"}
        outermost = len(self.open)
        for at in range(len(self.open) - 1, 0, -1):
            if not ended or self.open[at].tag in boundary:
                break
            if self.open[at].tag in ended:
                outermost = at
        del self.open[outermost:]


def _attribute(name: str, value: str) -> str:
    """Return an attribute's value; the order of classes and link types says nothing."""
    if name in {"class", "rel"}:
        return " ".join(sorted(set(value.split())))
    return value


def _tidy(element: Element) -> None:
    """Make the texts below an element what a browser would show, and drop those that are nothing."""
    children = list(_joined(element.children))
    for child in children:
        if isinstance(child, Element):
            _tidy(child)
    if element.tag in RAW:
        children = [each.strip() if isinstance(each, str) else each for each in children]
    elif element.tag not in PRESERVED:
        ends: list[Element | str] = [element, *children, element]
        children = [_shown(*ends[at : at + 3]) for at in range(len(children))]
    element.children = [each for each in children if each != ""]


def _joined(children: list[Element | str]) -> Iterator[Element | str]:
    for is_text, run in groupby(children, lambda child: isinstance(child, str)):
        if is_text:
            yield "".join(str(each) for each in run)
        else:
            yield from run


def _shown(before: Element | str, child: Element | str, after: Element | str) -> Element | str:
    """Return a text without the white space that its neighbours, or the edges, make invisible."""
    if isinstance(child, Element):
        return child
    text = _SPACE.sub(" ", child)
    text = text.lstrip(" ") if _breaks_line(before) else text
    return text.rstrip(" ") if _breaks_line(after) else text


def _breaks_line(neighbour: Element | str) -> bool:
    return isinstance(neighbour, Element) and neighbour.tag not in INLINE
