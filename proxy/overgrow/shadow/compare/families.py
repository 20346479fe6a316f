"""The families of bodies. For each family: how bodies are compared, which places a body has, and what may be stored.

Pure. Rule: everything that depends on the family stands in its row of FAMILIES. To add a family, write one
module beside this one and one row. If its paths begin with its name, values/path_syntax.py must list the name,
too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from overgrow.shadow.compare.findings import Findings
from overgrow.shadow.compare.headers import media_type_and_parameters_of
from overgrow.shadow.compare.html_bodies import compare_html_trees
from overgrow.shadow.compare.html_tree import parse_html_pair
from overgrow.shadow.compare.json_bodies import NotJson, compare_json, parse_json
from overgrow.shadow.compare.naming import HtmlPathNaming, JsonPathNaming
from overgrow.shadow.compare.pairing import TooDeep
from overgrow.shadow.compare.places import (
    paths_in_html,
    paths_in_json,
    paths_of_bytes,
    paths_of_lines,
)
from overgrow.shadow.compare.text_bodies import compare_lines
from overgrow.shadow.redact.redact import html_structure, json_structure
from overgrow.shadow.values.snapshot import ResponseSnapshot

# Raised for a text that is not what its media type says; it is compared by lines instead.
UNREADABLE = (NotJson, TooDeep, ValueError)


def omit_structure(text: str, show: frozenset[str]) -> None:
    """Return None: of a text of this family, only the size is stored."""


@dataclass(frozen=True, slots=True)
class BodyFamily:
    """One family of bodies. Its functions may raise the exceptions in UNREADABLE.

    `includes` returns whether a media type, in lower case, belongs to the family. `compare` reports where two
    texts differ. `places` yields (shape, path) for each place in a text. `structure` returns what may be stored
    of a text, or None; values at the JSON paths in `show` stay readable. A text that is unreadable or longer
    than `max_chars` is compared by lines. If `may_be_lines` is True, such a comparison may teach rules for
    single lines.
    """

    name: str
    includes: Callable[[str], bool]
    compare: Callable[[str, str, Findings], None] = compare_lines
    places: Callable[[str], Iterator[tuple[str, str]]] = paths_of_lines
    structure: Callable[[str, frozenset[str]], str | None] = omit_structure
    max_chars: int = sys.maxsize
    may_be_lines: bool = True


def _is_json_media_type(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")


_TEXTUAL = frozenset(
    [
        *("application/javascript", "application/x-javascript", "application/ecmascript"),
        *("application/xml", "application/x-www-form-urlencoded", "application/x-ndjson"),
        *("application/yaml", "application/graphql", "application/sql", "image/svg+xml"),
    ]
)


def _is_text_media_type(media: str) -> bool:
    return media.startswith("text/") or media in _TEXTUAL or media.endswith("+xml")


def _compare_json_texts(control: str, candidate: str, findings: Findings) -> None:
    document = parse_json(control)
    findings.naming = JsonPathNaming(document)
    compare_json(document, parse_json(candidate), findings)


def _compare_html_texts(control: str, candidate: str, findings: Findings) -> None:
    tree, other = parse_html_pair(control, candidate)
    findings.naming = HtmlPathNaming(tree)
    compare_html_trees("html:", tree, other, findings)


# The most precise first: bodies of two families are compared as the first of them. A tag takes ten times as
# long as a number, so HTML has the smaller limit.
FAMILIES = (
    BodyFamily(
        "json", _is_json_media_type, _compare_json_texts, paths_in_json, json_structure, 1024 * 1024
    ),
    BodyFamily(
        "html",
        frozenset({"text/html", "application/xhtml+xml"}).__contains__,
        _compare_html_texts,
        paths_in_html,
        html_structure,
        512 * 1024,
        may_be_lines=False,
    ),
    TEXT := BodyFamily("text", _is_text_media_type),
    # Compared as bytes, never as text.
    BYTES := BodyFamily("bytes", lambda media: True, places=paths_of_bytes, may_be_lines=False),  # noqa: ARG005
)


def body_family_of(response: ResponseSnapshot) -> BodyFamily:
    """Return the family of a response's media type."""
    media = media_type_and_parameters_of(response)[0]
    return next(each for each in FAMILIES if each.includes(media))


def choose_common_family(control: ResponseSnapshot, candidate: ResponseSnapshot) -> BodyFamily:
    """Return the family by which both bodies are compared: of their two families, the one that FAMILIES lists first."""
    return min(body_family_of(control), body_family_of(candidate), key=FAMILIES.index)
