"""Lists the places at which a body could differ from another body of its family, each with its path and path shape.

Pure. A path uses names instead of indexes where possible. Noise is counted by these places, and rules are
proposed for them.
"""

from __future__ import annotations

from collections.abc import Iterator

from overgrow.shadow.compare.html_tree import Element, parse_html
from overgrow.shadow.compare.json_bodies import parse_json
from overgrow.shadow.compare.naming import child_path_steps, item_path_steps
from overgrow.shadow.values.difference import escape_unprintable, member_path, path_shape_of

ShapesAndPaths = Iterator[tuple[str, str]]


def paths_in_json(text: str) -> ShapesAndPaths:
    """Yield the places of a JSON document. If the text is not JSON, raise NotJson."""
    open_: list[tuple[str, str, object]] = [("$", "$", parse_json(text))]
    while open_:
        shape, place, value = open_.pop()
        yield shape, place
        if isinstance(value, dict):
            open_ += [
                (member_path(shape, key), member_path(place, key), each)
                for key, each in value.items()
            ]
        elif isinstance(value, list):
            steps = item_path_steps(value)
            open_ += [
                (f"{shape}[*]", f"{place}{step}", each)
                for step, each in zip(steps, value, strict=True)
            ]


def paths_in_html(text: str) -> ShapesAndPaths:
    """Yield the places of an HTML page. If the page cannot be read, raise TooDeep or ValueError."""
    return paths_in_html_tree("html:", parse_html(text))


def paths_in_html_tree(root_path: str, root: Element) -> ShapesAndPaths:
    """Yield the places of a tree. All paths begin with `root_path`."""
    open_: list[tuple[str, Element]] = [(root_path, root)]
    while open_:
        place, element = open_.pop()
        shape = path_shape_of(place)
        for name in element.attributes:
            yield f"{shape}/@{escape_unprintable(name)}", f"{place}/@{escape_unprintable(name)}"
        for _, step, child in child_path_steps(element.children):
            below = f"{place}/{step}"
            yield path_shape_of(below), below
            if isinstance(child, Element):
                open_.append((below, child))


def paths_of_lines(text: str) -> ShapesAndPaths:
    """Yield (shape, path) of each line of a text."""
    return (("text:line[*]", f"text:line[{at + 1}]") for at in range(text.count("\n") + 1))


def paths_of_bytes(text: str) -> ShapesAndPaths:  # noqa: ARG001  the same of each body
    """Yield the two places of any body of bytes: its length, and the first byte that differs."""
    return iter((("bytes", "bytes"), ("bytes[*]", "bytes[*]")))
