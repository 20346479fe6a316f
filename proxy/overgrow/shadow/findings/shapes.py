"""Lists the path shapes of a response, by which noise is counted.

Pure and bounded: if a document has more than MAX_NODES values, only the first ones are listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from overgrow.shadow.compare.content import MAX_BODY, decode_body, unpack_body
from overgrow.shadow.compare.cookies import cookies_of
from overgrow.shadow.compare.families import BYTES, UNREADABLE, body_family_of
from overgrow.shadow.compare.headers import headers_to_compare
from overgrow.shadow.compare.places import paths_of_lines
from overgrow.shadow.compare.policies import policy_directive_paths
from overgrow.shadow.values.difference import escape_unprintable
from overgrow.shadow.values.snapshot import ResponseSnapshot

MAX_NODES = 20_000


def path_shapes_of(response: ResponseSnapshot) -> set[str]:
    """Return the shapes of all paths at which a response could differ from another one."""
    return {shape for shape, _ in paths_in_response(response)}


def paths_in_response(response: ResponseSnapshot) -> Iterator[tuple[str, str]]:
    """Yield (shape, path) of each place at which a response could differ from another one.

    A path uses the name of a place if it has one. Of a large body, only the first places are listed.
    """
    yield "status", "status"
    yield from ((path, path) for path in _paths_in_head(response))
    yield from islice(_paths_in_body(response), MAX_NODES)


def _paths_in_head(response: ResponseSnapshot) -> Iterator[str]:
    for name, values in headers_to_compare(response).items():
        yield f"header:{escape_unprintable(name)}"
        yield from policy_directive_paths(name, values)
    for name, cookies in cookies_of(response).items():
        path = f"cookie:{escape_unprintable(name)}"
        yield path
        yield from (f"{path};{escape_unprintable(each)}" for each in cookies[0].attributes)


def _paths_in_body(response: ResponseSnapshot) -> Iterator[tuple[str, str]]:
    content = unpack_body(response)
    is_readable = len(content.body) <= MAX_BODY and not content.trouble
    family = body_family_of(response) if is_readable else BYTES
    text = decode_body(response, content.body).text if family is not BYTES else ""
    try:
        yield from family.places(text)
    except UNREADABLE:
        yield from paths_of_lines(text)


def paths_of_lines_without_digits(response: ResponseSnapshot) -> set[str]:
    """Return the paths of the text lines that contain no digit.

    A `same_shape` rule cannot hide a change in such a line.
    """
    body = unpack_body(response).body
    if not body_family_of(response).may_be_lines or len(body) > MAX_BODY:
        return set()
    lines = enumerate(islice(decode_body(response, body).text.split("\n"), MAX_NODES), 1)
    return {f"text:line[{at}]" for at, line in lines if not any(map(str.isdigit, line))}
