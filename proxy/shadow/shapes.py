"""Which paths an answer has, as shapes: what noise is counted against.

Pure and bounded: of a document with more than MAX_NODES values the first ones are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from proxy.shadow.answer import Answer
from proxy.shadow.compare_cookies import cookies_of
from proxy.shadow.compare_headers import fields_of, media_of
from proxy.shadow.compare_html import places_of
from proxy.shadow.compare_json import NotJson, document_of
from proxy.shadow.content import MAX_BODY, content_of, family_of, text_of
from proxy.shadow.difference import member, printable, shape_of
from proxy.shadow.html_tree import Element, tree_of
from proxy.shadow.numbering import TooDeep

MAX_NODES = 20_000


def shapes_of(answer: Answer) -> set[str]:
    """Return the shapes of all paths at which an answer could differ from another like it."""
    return {"status", *_of_head(answer), *islice(_of_body(answer), MAX_NODES)}


def _of_head(answer: Answer) -> Iterator[str]:
    yield from (f"header:{printable(name)}" for name in fields_of(answer))
    for name, cookies in cookies_of(answer).items():
        path = f"cookie:{printable(name)}"
        yield path
        yield from (f"{path};{printable(each)}" for each in cookies[0].attributes)


def _of_body(answer: Answer) -> Iterator[str]:
    body = content_of(answer).body
    family = family_of(media_of(answer)[0]) if len(body) <= MAX_BODY else "bytes"
    try:
        if family == "json":
            yield from _of_json(document_of(text_of(answer, body).text))
        elif family == "html":
            yield from _of_html(tree_of(text_of(answer, body).text))
    except (NotJson, TooDeep, ValueError):
        family = "text"
    yield from {"text": ("text:line[*]",), "bytes": ("bytes", "bytes[*]")}.get(family, ())


def _of_json(document: object) -> Iterator[str]:
    open_: list[tuple[str, object]] = [("$", document)]
    while open_:
        shape, value = open_.pop()
        yield shape
        if isinstance(value, dict):
            open_ += [(member(shape, key), each) for key, each in value.items()]
        elif isinstance(value, list):
            open_ += [(f"{shape}[*]", each) for each in value]


def _of_html(root: Element) -> Iterator[str]:
    open_: list[tuple[str, Element]] = [("html:", root)]
    while open_:
        shape, element = open_.pop()
        yield from (f"{shape}/@{printable(name)}" for name in element.attributes)
        for place, child in zip(places_of(shape, element.children), element.children, strict=True):
            yield shape_of(place)
            if isinstance(child, Element):
                open_.append((shape_of(place), child))
