"""Which paths an answer has, as shapes: what noise is counted against.

Pure and bounded: of a document with more than MAX_NODES values the first ones are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from overgrow.shadow.compare.content import MAX_BODY, decode_body, family_of, unpack_body
from overgrow.shadow.compare.cookies import cookies_of
from overgrow.shadow.compare.headers import compared_headers, media_type_of
from overgrow.shadow.compare.html_tree import Element, parse_html
from overgrow.shadow.compare.json_bodies import NotJson, parse_json
from overgrow.shadow.compare.naming import child_steps, item_steps
from overgrow.shadow.compare.pairing import TooDeep
from overgrow.shadow.compare.policies import directive_paths
from overgrow.shadow.values.difference import escape_unprintable, member_path, shape_of
from overgrow.shadow.values.snapshot import ResponseSnapshot

MAX_NODES = 20_000


def shapes_of(answer: ResponseSnapshot) -> set[str]:
    """Return the shapes of all paths at which an answer could differ from another like it."""
    return {shape for shape, _ in places_in(answer)}


def places_in(answer: ResponseSnapshot) -> Iterator[tuple[str, str]]:
    """Yield the shape and the path of each place at which an answer could differ from another.

    The path is by name where a place has one; of a large body only the first places are told.
    """
    yield "status", "status"
    yield from ((path, path) for path in _of_head(answer))
    yield from islice(_of_body(answer), MAX_NODES)


def _of_head(answer: ResponseSnapshot) -> Iterator[str]:
    for name, values in compared_headers(answer).items():
        yield f"header:{escape_unprintable(name)}"
        yield from directive_paths(name, values)
    for name, cookies in cookies_of(answer).items():
        path = f"cookie:{escape_unprintable(name)}"
        yield path
        yield from (f"{path};{escape_unprintable(each)}" for each in cookies[0].attributes)


def _of_body(answer: ResponseSnapshot) -> Iterator[tuple[str, str]]:
    content = unpack_body(answer)
    body = content.body
    is_readable = len(body) <= MAX_BODY and not content.trouble
    family = family_of(media_type_of(answer)[0]) if is_readable else "bytes"
    lines = 1
    try:
        if family == "json":
            yield from _of_json(parse_json(decode_body(answer, body).text))
        elif family == "html":
            yield from _of_html(parse_html(decode_body(answer, body).text))
        elif family == "text":
            lines = decode_body(answer, body).text.count("\n") + 1
    except (NotJson, TooDeep, ValueError):
        family = "text"
        lines = decode_body(answer, body).text.count("\n") + 1
    if family == "text":
        yield from (("text:line[*]", f"text:line[{at}]") for at in range(1, lines + 1))
    elif family == "bytes":
        yield from (("bytes", "bytes"), ("bytes[*]", "bytes[*]"))


def _of_json(document: object) -> Iterator[tuple[str, str]]:
    open_: list[tuple[str, str, object]] = [("$", "$", document)]
    while open_:
        shape, place, value = open_.pop()
        yield shape, place
        if isinstance(value, dict):
            open_ += [
                (member_path(shape, key), member_path(place, key), each)
                for key, each in value.items()
            ]
        elif isinstance(value, list):
            steps = item_steps(value)
            open_ += [
                (f"{shape}[*]", f"{place}{step}", each)
                for step, each in zip(steps, value, strict=True)
            ]


def _of_html(root: Element) -> Iterator[tuple[str, str]]:
    open_: list[tuple[str, Element]] = [("html:", root)]
    while open_:
        place, element = open_.pop()
        shape = shape_of(place)
        for name in element.attributes:
            yield f"{shape}/@{escape_unprintable(name)}", f"{place}/@{escape_unprintable(name)}"
        for _, step, child in child_steps(element.children):
            below = f"{place}/{step}"
            yield shape_of(below), below
            if isinstance(child, Element):
                open_.append((below, child))


def plain_lines(answer: ResponseSnapshot) -> set[str]:
    """Return the places of a text's lines without a digit, which no rule of shapes can hide."""
    body = unpack_body(answer).body
    if family_of(media_type_of(answer)[0]) in {"html", "bytes"} or len(body) > MAX_BODY:
        return set()
    lines = enumerate(islice(decode_body(answer, body).text.split("\n"), MAX_NODES), 1)
    return {f"text:line[{at}]" for at, line in lines if not any(map(str.isdigit, line))}
