"""Splits a stored page into lines, and finds the lines that differences are about. Pure.

The store keeps a page as tags without values: `<ul><li class>[4]<li>[3]</ul>`. Each tag begins a line. The path
of a difference, `html:/html/body/ul/li[2]/@class`, is matched step by step. If a step names an element by its
`name` or `id`, it matches every element of that tag there, because the store does not have the value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from overgrow.shadow.values.path_syntax import TREE_PREFIXES

_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)")
_STEP = re.compile(r"([a-z][a-z0-9]*)(?:\[(\d+)\])?(?:\[[^\]]*\])?")
_VOID = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    ]
)
# An element that a new element of these tags ends, although its end tag is left out.
_ENDED_BY = {
    "li": {"li"},
    "dt": {"dt", "dd"},
    "dd": {"dt", "dd"},
    "option": {"option", "optgroup"},
    "p": {
        "p",
        "li",
        "dt",
        "dd",
        "td",
        "th",
        "tr",
        "div",
        "ul",
        "ol",
        "dl",
        "table",
        "form",
        "section",
        "h1",
        "h2",
        "h3",
        "pre",
    },
    "tr": {"tr", "tbody", "tfoot"},
    "td": {"td", "th", "tr", "tbody", "tfoot"},
    "th": {"td", "th", "tr", "tbody", "tfoot"},
}


class Step(NamedTuple):
    """One element of a path: its tag, and its number among the siblings with that tag; None for any number."""

    tag: str
    number: int | None


class _OpenElement:
    """An element whose end was not found yet, and the number of its children so far, by tag."""

    def __init__(self, step: Step) -> None:
        self.step, self.children = step, Counter[str]()


def markup_lines(text: str) -> list[str]:
    """Return a page with one tag at the beginning of each line."""
    return [line for line in text.replace("<", "\n<").split("\n") if line.strip()]


def differing_lines(lines: Sequence[str], paths: Iterable[str]) -> set[int]:
    """Return the numbers of the lines with the differences at these paths."""
    wanted = [_path_steps(path) for path in paths if path.startswith(TREE_PREFIXES)]
    return {
        number for number, place in _places(lines) if any(_is_at(place, steps) for steps in wanted)
    }


def _path_steps(path: str) -> tuple[Step, ...]:
    inner = path.partition(":/")[2].split("/")
    found = (_STEP.match(each) for each in inner if each and each[0] != "@" and each != "text()")
    return tuple(Step(each[1], int(each[2]) if each[2] else None) for each in found if each)


def _is_at(place: Sequence[Step], steps: Sequence[Step]) -> bool:
    return len(place) == len(steps) and all(
        one.tag == other.tag and other.number in (None, one.number)
        for one, other in zip(place, steps, strict=True)
    )


def _places(lines: Sequence[str]) -> Iterator[tuple[int, tuple[Step, ...]]]:
    """Yield (number, path) of each line that begins an element."""
    root = _OpenElement(Step("", None))
    stack = [root]
    for number, line in enumerate(lines):
        tag = _TAG.match(line)
        if tag is None:
            continue
        if tag[1]:
            _close(stack, tag[2])
            continue
        while len(stack) > 1 and tag[2] in _ENDED_BY.get(stack[-1].step.tag, ()):
            stack.pop()
        stack[-1].children[tag[2]] += 1
        element = _OpenElement(Step(tag[2], stack[-1].children[tag[2]]))
        yield number, (*(each.step for each in stack[1:]), element.step)
        if tag[2] not in _VOID and not line.rstrip().endswith("/>"):
            stack.append(element)


def _close(stack: list[_OpenElement], tag: str) -> None:
    """Close the innermost open element of a tag, and all elements inside it.

    An end tag without a beginning closes nothing.
    """
    for depth in range(len(stack) - 1, 0, -1):
        if stack[depth].step.tag == tag:
            del stack[depth:]
            return
