"""Parses HTML into a small tree: elements, attributes, and text with white space as a browser shows it.

Pure and linear. The parser adds the end tags that HTML makes optional. It is simpler than a browser: two pages
with the same tree count as the same page. Comments are left out, and scripts and styles are text.

Two compared pages have most of their markup in common. If only texts and attributes differ, the tree of one
page is built. The tree of the other page is a copy of the elements above each difference, and shares all other
elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from overgrow.shadow.compare.pairing import MAX_DEPTH, TooDeep
from overgrow.shadow.redact.html_tokens import (
    RAW,
    SPACE,
    Markup,
    Token,
    decode_character_references,
    parse_markup,
    split_html_tokens,
)

VOID = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split()  # noqa: SIM905
)
# Inline elements: white space beside them is visible.
INLINE = frozenset(
    "a abbr b bdi bdo button cite code data del dfn em i img input ins kbd label mark meter"  # noqa: SIM905
    " output picture progress q ruby s samp select small span strong sub sup svg textarea time u var"
    " wbr".split()
)
PRESERVED = frozenset({"pre", "textarea", "listing"})
_RAW = frozenset(RAW)
_FOREIGN = frozenset({"svg", "math"})

# A start tag ends the open elements of these names, within the boundary that contains both.
_IMPLIED: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    name: (frozenset(ended.split()), frozenset(boundary.split()))
    for name, ended, boundary in (
        ("li", "li", "ul ol menu"),
        ("dt", "dt dd", "dl"),
        ("dd", "dt dd", "dl"),
        ("option", "option", "select datalist optgroup"),
        ("optgroup", "option optgroup", "select"),
        ("tr", "tr td th", "table tbody thead tfoot"),
        ("td", "td th", "tr"),
        ("th", "td th", "tr"),
        ("tbody", "tbody thead tr td th", "table"),
        ("tfoot", "tbody thead tr td th", "table"),
        ("body", "head", "html"),
    )
}
_ENDS_PARAGRAPH = (
    "address article aside blockquote div dl fieldset footer form h1 h2 h3 h4 h5 h6 header hr main"
    " nav ol p pre section table ul"
)
_IMPLIED |= dict.fromkeys(
    _ENDS_PARAGRAPH.split(), (frozenset({"p"}), frozenset({"button", "td", "th", "object"}))
)
_SPACES = re.compile(r"[ \t\n\r\f]+")
MAX_DIFFERENT = 200  # tokens; with more differences each page gets a tree of its own


@dataclass(slots=True, eq=False)
class Element:
    """An element: its name, its attributes, and its child elements and texts in order."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)


Node = Element | str


def parse_html(text: str) -> Element:
    """Return the document as an element without a name. Raises TooDeep or ValueError."""
    return _HtmlTreeBuilder({}).build_tree(split_html_tokens(text))


def parse_html_pair(control: str, candidate: str) -> tuple[Element, Element]:
    """Return both documents, which may share equal elements. Raises TooDeep or ValueError."""
    first, second = split_html_tokens(control), split_html_tokens(candidate)
    tags: dict[str, Tag] = {}
    at = _find_differing_tokens(first, second, tags)
    if at is None:
        return _HtmlTreeBuilder(tags).build_tree(first), _HtmlTreeBuilder(tags).build_tree(second)
    builder = _HtmlTreeBuilder(tags, frozenset(at))
    return builder.build_tree(first), builder.build_patched_tree(second)


@dataclass(slots=True, frozen=True)
class Tag:
    """The effect of one piece of markup on the tree."""

    markup: Markup
    attributes: dict[str, str]


def _parse_tag_cached(text: str, known: dict[str, Tag]) -> Tag:
    """Return the effect of a piece of markup. The result is cached, because pages repeat most pieces."""
    tag = known.get(text)
    if tag is None:
        markup = parse_markup(text)
        pairs = {
            name: _normalise_attribute_value(name, value)
            for name, value in reversed(markup.attributes)
        }
        tag = known[text] = Tag(markup, dict(sorted(pairs.items())))
    return tag


def _normalise_attribute_value(name: str, value: str) -> str:
    """Return an attribute's value in a normal form, because the order of classes and link types has no meaning."""
    if name in {"class", "rel"}:
        return " ".join(sorted(set(value.split())))
    return value


def _find_differing_tokens(
    control: Sequence[Token], candidate: Sequence[Token], tags: dict[str, Tag]
) -> list[int] | None:
    """Return the indexes of the tokens that differ.

    Return None if the pages also differ in structure, or if more than MAX_DIFFERENT tokens differ.
    """
    if len(control) != len(candidate):
        return None
    both = enumerate(zip(control, candidate, strict=True))
    found = [at for at, (first, second) in both if first != second]
    if len(found) > MAX_DIFFERENT:
        return None
    pairs = ((control[at][1], candidate[at][1]) for at in found)
    return found if all(_have_same_structure(*pair, tags) for pair in pairs) else None


def _have_same_structure(control: str, candidate: str, tags: dict[str, Tag]) -> bool:
    """Return whether two pieces of markup have the same effect on the structure of the tree."""
    if control == candidate:
        return True
    first, second = (_parse_tag_cached(each, tags).markup for each in (control, candidate))
    return (
        (first.form, first.name, first.is_closed) == (second.form, second.name, second.is_closed)
        and first.form in {"start", "nothing"}
        and (first.raw is None) == (second.raw is None)
    )


class _ReplaceableText(str):
    """A text in the first page's tree. The second page's tree has the text of the second page's token `at` instead."""

    __slots__ = ("at",)
    at: int


class _HtmlTreeBuilder:
    """Builds the tree of a page. `open` holds the elements that have begun but not ended.

    It records which elements the tokens with the indexes `watched` changed. The tree of a second page can then
    be built by replacing only these tokens.
    """

    def __init__(self, tags: dict[str, Tag], watched: frozenset[int] = frozenset()) -> None:
        self.tags = tags
        self.watched = watched
        self.root = Element("")
        self.open = [self.root]
        self.elements_with_text: dict[
            int, Element
        ] = {}  # elements with texts, whose white space is normalised at the end
        self.pieces: dict[
            int, list[Node]
        ] = {}  # children before that, if one is a _ReplaceableText
        self.started: dict[int, Element] = {}
        self.open_paths: list[list[Element]] = []

    def build_tree(self, tokens: Sequence[Token]) -> Element:
        """Return the root of the tree of all tokens."""
        for at, (text, markup) in enumerate(tokens):
            if at in self.watched:
                self.add_replaceable_token(at, text, markup)
                continue
            if text:
                self.add_text(text)
            if markup:
                self.apply_markup(markup)
        for element in self.elements_with_text.values():
            if any(type(each) is _ReplaceableText for each in element.children):
                self.pieces[id(element)] = [*element.children]
            element.children = _normalise_child_whitespace(element)
        return self.root

    def add_replaceable_token(self, at: int, text: str, markup: str) -> None:
        """Add the token with the index `at`, and record which elements it changed."""
        piece = _ReplaceableText(decode_character_references(text))
        piece.at = at
        self.open[-1].children.append(piece)
        self.elements_with_text[id(self.open[-1])] = self.open[-1]
        self.open_paths.append([*self.open])
        if markup:
            parent = self.apply_markup(markup)
            if parent is not None:
                self.started[at] = parent.children[-1]  # type: ignore[assignment]  # it was added
                self.open_paths.append(
                    [*self.open[: self.open.index(parent) + 1], self.started[at]]
                )

    def add_text(self, text: str) -> None:
        """Add a text to the innermost open element. Ignore a text that a browser would not show there."""
        element = self.open[-1]
        children = element.children
        if not text.strip(SPACE) and element.tag not in PRESERVED:
            before = children[-1] if children else element
            if type(before) is Element and before.tag not in INLINE:
                return
        children.append(
            decode_character_references(text)
        )  # in pieces; _normalise_child_whitespace joins them
        self.elements_with_text[id(element)] = element

    def apply_markup(self, text: str) -> Element | None:
        """Start or end elements according to a piece of markup.

        Return the parent of the element that was started; None if none was started.
        """
        tag = self.tags.get(text) or _parse_tag_cached(text, self.tags)
        form, name, _, is_closed, raw = tag.markup
        if form == "end":
            self.end_element(name)
        elif form == "start":
            return self.start_element(name, tag.attributes, raw, is_closed=is_closed)
        elif form == "doctype":
            self.root.attributes["doctype"] = _SPACES.sub(" ", name).strip().lower()
        return None

    def start_element(
        self, name: str, attributes: dict[str, str], raw: str | None, *, is_closed: bool
    ) -> Element:
        """Start an element and return its parent.

        First end the open elements whose end tag HTML makes optional here.
        """
        if name in _IMPLIED:
            self.add_implied_end_tags(*_IMPLIED[name])
        parent = self.open[-1]
        element = Element(name, attributes, [])
        parent.children.append(element)
        if name in VOID:
            return parent
        if len(self.open) > MAX_DEPTH:
            raise TooDeep
        # A closing slash has no meaning in HTML, but ends an element in SVG and MathML.
        if not (
            is_closed and (name in _FOREIGN or any(each.tag in _FOREIGN for each in self.open))
        ):
            self.open.append(element)
        if raw:
            element.children.append(raw)
            self.elements_with_text[id(element)] = element
        return parent

    def end_element(self, name: str) -> None:
        """End the innermost open element of a name and all elements inside it.

        If there is no such element, do nothing.
        """
        for at in range(len(self.open) - 1, 0, -1):
            if self.open[at].tag == name:
                del self.open[at:]
                return

    def add_implied_end_tags(self, ended: frozenset[str], boundary: frozenset[str]) -> None:
        """End the outermost open element with a name in `ended`, and all elements inside it.

        Only elements inside the innermost element with a name in `boundary` count.
        """
        outermost = len(self.open)
        for at in range(len(self.open) - 1, 0, -1):
            tag = self.open[at].tag
            if tag in boundary:
                break
            if tag in ended:
                outermost = at
        del self.open[outermost:]

    def build_patched_tree(self, tokens: Sequence[Token]) -> Element:
        """Return the tree of a second page, in which `tokens` replace the watched ones.

        Both trees share unchanged elements.
        """
        on_ways = {id(element): element for way in self.open_paths for element in way}
        on_ways[id(self.root)] = self.root
        copies = {key: Element(each.tag, each.attributes, []) for key, each in on_ways.items()}
        for key, element in on_ways.items():
            copies[key].children = self.build_patched_children(element, tokens, copies)
        for at, element in self.started.items():
            tag = _parse_tag_cached(tokens[at][1], self.tags)
            copy = copies[id(element)]
            copy.attributes = tag.attributes
            if tag.markup.raw is not None:
                copy.children = [tag.markup.raw] if tag.markup.raw else []
                copy.children = _normalise_child_whitespace(copy)
        return copies[id(self.root)]

    def build_patched_children(
        self, element: Element, tokens: Sequence[Token], copies: dict[int, Element]
    ) -> list[Node]:
        """Return the children of the second page's copy of an element."""
        untidy = self.pieces.get(id(element))
        found = [copies.get(id(each), each) for each in untidy or element.children]
        if untidy is None:
            return found
        texts = [
            decode_character_references(tokens[each.at][0])
            if isinstance(each, _ReplaceableText)
            else each
            for each in found
        ]
        return _normalise_child_whitespace(Element(element.tag, {}, texts))


def _normalise_child_whitespace(element: Element) -> list[Node]:
    """Return the children of an element with white space as a browser shows it. Leave invisible texts out."""
    children = list(_join_adjacent_texts(element.children))
    if element.tag in _RAW:
        return [each.strip() if isinstance(each, str) else each for each in children]
    if element.tag in PRESERVED:
        if children and isinstance(children[0], str):
            children[0] = children[0].removeprefix(
                "\n"
            )  # HTML ignores a line end right after the start tag
    else:
        ends: list[Node] = [element, *children, element]
        children = [_collapse_whitespace(*ends[at : at + 3]) for at in range(len(children))]
    return [each for each in children if each != ""]


def _join_adjacent_texts(children: list[Node]) -> Iterator[Node]:
    run: list[str] = []
    for child in children:
        if isinstance(child, str):
            run.append(child)
            continue
        if run:
            yield "".join(run)
            run = []
        yield child
    if run:
        yield "".join(run)


def _collapse_whitespace(before: Node, child: Node, after: Node) -> Node:
    """Return a text with the white space that a browser shows, given its neighbours and the edges of its parent."""
    if isinstance(child, Element):
        return child
    text = _SPACES.sub(" ", child)
    text = text.lstrip(" ") if _breaks_line(before) else text
    return text.rstrip(" ") if _breaks_line(after) else text


def _breaks_line(neighbour: Node) -> bool:
    return isinstance(neighbour, Element) and neighbour.tag not in INLINE
