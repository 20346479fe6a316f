"""Shows a stored pair to people: both responses as lines, with the differing lines marked. Pure.

Everything in a pair comes from traffic and is already redacted. Rule: the result is bounded, and says where it
was cut. A difference at `$.items[1].id` marks the line with exactly this path. The store has only the first
items of an array. If no line has the path, the difference marks all lines whose paths differ only in indexes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from overgrow.evidence import Example
from overgrow.shadow.review.markup_lines import differing_lines, markup_lines
from overgrow.shadow.values.difference import member_path, path_shape_of
from overgrow.shadow.values.path_syntax import TREE_PREFIXES
from overgrow.text import printable, rfc3339

MAX_LINES = 300  # of a body
MAX_CHARS = 400  # of a line
MAX_HEADERS = 100
MAX_DIFFERENCES = 50
_HIDDEN_STEP = re.compile(r'(?:\.|\["?)<key (\d+)>(?:"?\])?')
_WHOLE_BODY = ("body", "bytes", "text:")  # the lines of such bodies have no paths


class ResponseLine(NamedTuple):
    """One line of a body, or one header as `name: value`.

    `differs` says that the other side has something else there.
    """

    text: str
    differs: bool


@dataclass(frozen=True, slots=True)
class SideOfPair:
    """One side's response. `is_cut` says that the store or this view has left out a part of it."""

    status: int
    status_differs: bool
    headers: tuple[ResponseLine, ...]
    body: tuple[ResponseLine, ...]
    body_differs: bool
    is_cut: bool


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """A pair side by side, with its differences. `more` counts the differences that are not shown."""

    at: str
    method: str
    template: str
    query_keys: tuple[str, ...]
    signed_in: bool
    legacy: SideOfPair
    migrated: SideOfPair
    differences: tuple[Mapping[str, str], ...]
    more: int

    def as_json(self) -> dict[str, Any]:
        """Return the pair as JSON data. Each line is {"text", "differs"}."""
        return {
            **asdict(self),
            "legacy": _side_json(self.legacy),
            "migrated": _side_json(self.migrated),
        }


def _side_json(side: SideOfPair) -> dict[str, Any]:
    lines = {
        "headers": [each._asdict() for each in side.headers],
        "body": [each._asdict() for each in side.body],
    }
    return {**asdict(side), **lines}


def latest_pairs(examples: Iterable[Example], most: int) -> list[ComparedPair]:
    """Return the latest examples side by side, except pairs that were too large to store."""
    whole = sorted((each for each in examples if each.pair), key=lambda each: -each.at)
    return [compare_side_by_side(each) for each in whole[:most]]


def compare_side_by_side(example: Example) -> ComparedPair:
    """Return a stored pair for people."""
    pair, asked = example.pair, example.pair["asked"]
    differences: Sequence[Mapping[str, Any]] = pair["differences"]
    paths = [_with_plain_hidden_steps(str(each["path"])) for each in differences]
    return ComparedPair(
        at=rfc3339(example.at),
        method=asked["method"],
        template=_cut(asked["template"]),
        query_keys=tuple(map(_cut, asked["query_keys"])),
        signed_in=bool(asked["signed_in"]),
        legacy=_side(pair["control"], paths),
        migrated=_side(pair["candidate"], paths),
        differences=tuple(map(_difference, differences[:MAX_DIFFERENCES])),
        more=max(0, len(differences) - MAX_DIFFERENCES),
    )


def _difference(found: Mapping[str, Any]) -> dict[str, str]:
    names = ("kind", "path", "severity", "control", "candidate")
    kind, path, severity, legacy, migrated = (_cut(str(found[name])) for name in names)
    rule = _cut(found.get("rule") or "")
    return {
        "kind": kind,
        "path": path,
        "severity": severity,
        "legacy": legacy,
        "migrated": migrated,
        "rule": rule,
    }


def _side(answer: Mapping[str, Any], paths: Sequence[str]) -> SideOfPair:
    body, is_cut = _body_lines(answer["body"], paths)
    headers = answer["headers"]
    marked = _differing_headers(paths)
    return SideOfPair(
        status=answer["status"],
        status_differs="status" in paths,
        headers=tuple(_header_line(name, value, marked) for name, value in headers[:MAX_HEADERS]),
        body=tuple(body),
        body_differs=any(path.startswith(("$", *TREE_PREFIXES, *_WHOLE_BODY)) for path in paths),
        is_cut=is_cut or len(headers) > MAX_HEADERS,
    )


def _differing_headers(paths: Sequence[str]) -> Collection[tuple[str, str]]:
    """Return the names of headers and cookies that differ, as ("header", name) and ("cookie", name)."""
    places = (path.partition(":") for path in paths if path.startswith(("header:", "cookie:")))
    return {(place, name.partition(";")[0].partition("#")[0]) for place, _, name in places}


def _header_line(name: str, value: str, marked: Collection[tuple[str, str]]) -> ResponseLine:
    cookie = value.partition("=")[0].strip() if name == "set-cookie" else ""
    differs = ("header", name) in marked or (bool(cookie) and ("cookie", cookie) in marked)
    return ResponseLine(_cut(f"{name}: {value}"), differs)


# --- bodies ---------------------------------------------------------------------------------------


def _body_lines(text: str, paths: Sequence[str]) -> tuple[list[ResponseLine], bool]:
    """Return (lines of a body, whether some lines were left out)."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        whole = any(path.startswith(_WHOLE_BODY) for path in paths)
        split = markup_lines(text)
        marked = set(range(len(split))) if whole else differing_lines(split, paths)
        lines = [ResponseLine(_cut(each), number in marked) for number, each in enumerate(split)]
        return lines[:MAX_LINES], len(lines) > MAX_LINES or len(text) > MAX_CHARS * MAX_LINES
    placed = list(_json_lines(value, "$", "", ""))
    exact = {each.path for each in placed}
    wanted = {path for path in paths if path in exact}
    shapes = {path_shape_of(path) for path in paths if path not in exact}
    lines = [
        ResponseLine(_cut(each.text), each.path in wanted or path_shape_of(each.path) in shapes)
        for each in placed[:MAX_LINES]
    ]
    return lines, len(placed) > MAX_LINES


class _PlacedLine(NamedTuple):
    """A line of pretty JSON, and the path of the value that begins there. The path is empty for a closing bracket."""

    path: str
    text: str


def _json_lines(value: Any, path: str, lead: str, tail: str) -> Iterator[_PlacedLine]:
    """Yield the lines of a JSON value, one for each member or item. `lead` stands before the value, `tail` after it."""
    indent = lead[: len(lead) - len(lead.lstrip())]
    if not isinstance(value, dict | list) or not value:
        yield _PlacedLine(path, f"{lead}{json.dumps(value, ensure_ascii=False)}{tail}")
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield _PlacedLine(path, f"{lead}{opening}")
    inner = [*_members(value, path)]
    for number, (below, name, each) in enumerate(inner, 1):
        comma = "," if number < len(inner) else ""
        yield from _json_lines(each, below, f"{indent}  {name}", comma)
    yield _PlacedLine("", f"{indent}{closing}{tail}")


def _with_plain_hidden_steps(path: str) -> str:
    """Return a path in which each hidden step has the same notation: `.<key 8>`."""
    return _HIDDEN_STEP.sub(r".<key \1>", path)


def _members(value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (path, text before the value, value) of each member or item."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield (
                _with_plain_hidden_steps(member_path(path, name)),
                f"{json.dumps(name, ensure_ascii=False)}: ",
                each,
            )
    else:
        for index, each in enumerate(value):
            yield f"{path}[{index}]", "", each


def _cut(text: str) -> str:
    shown = printable(text, keep="")
    return shown if len(shown) <= MAX_CHARS else f"{shown[:MAX_CHARS]}..."
