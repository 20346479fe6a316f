"""The paths of a route as a small nondeterministic automaton over characters.

Pure. Single characters do not show whether a number is within its bounds. Therefore the caller passes a
function that adds the texts of a bounded number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from overgrow.routing.converters import Converter
from overgrow.routing.model import Route
from overgrow.routing.rules import parse_rule, segments_of_prefix


class CharClass(NamedTuple):
    """A set of characters: those in `named`. If `named` is None, all characters except those in `excluded`."""

    named: frozenset[str] | None
    excluded: str = ""


DIGIT = CharClass(frozenset("0123456789"))
_HEX = CharClass(frozenset("0123456789abcdefABCDEF"))
_WITHIN_SEGMENT = CharClass(None, "/")
_ANYTHING = CharClass(None)
_IN_LINE = CharClass(None, "\n")  # the `.` of a regular expression

_MAX_LENGTH = 8190  # no request line holds a longer one

Step = tuple[CharClass | None, int]  # None moves without a character


class Automaton:
    """States 0, 1, ... `end`, and for each state the steps to other states."""

    def __init__(self) -> None:
        self.steps: list[list[Step]] = [[]]

    @property
    def end(self) -> int:
        """The accepting state: the last one added."""
        return len(self.steps) - 1

    def add_classes(self, *classes: CharClass) -> None:
        """Add a step for one character of each class, in order."""
        for one in classes:
            self.steps.append([])
            self.steps[-2].append((one, self.end))

    def add_text(self, text: str) -> None:
        """Add steps for exactly this text."""
        self.add_classes(*(CharClass(frozenset(character)) for character in text))

    def add_optional(self, one: CharClass) -> None:
        """Add a step that reads at most one character of this class."""
        self.add_classes(one)
        self.steps[-2].append((None, self.end))

    def add_repeat(self, one: CharClass) -> None:
        """Add a loop that reads any number of characters of this class."""
        self.steps[-1].append((one, self.end))

    def add_choice(self, texts: Iterable[str]) -> None:
        """Add alternative steps, one for each of the texts."""
        start = self.end
        ends: list[int] = []
        for text in texts:
            self.steps.append([])
            self.steps[start].append((None, self.end))
            self.add_text(text)
            ends.append(self.end)
        self.steps.append([])
        for end in ends:
            self.steps[end].append((None, self.end))


AddNumber = Callable[["Automaton", Converter], None]  # adds the texts of a bounded number


def automaton_of(route: Route, add_number: AddNumber) -> Automaton:
    """Return the automaton of all paths that a route matches; `add_number` adds the texts of a bounded number."""
    automaton = Automaton()
    if route.path is None:
        _add_prefix(automaton, segments_of_prefix(route.prefix or "/"))
        return automaton
    for segment in parse_rule(route.path).segments:
        automaton.add_text("/")
        for part in segment:
            if isinstance(part, str):
                automaton.add_text(part)
            else:
                _add_converter(automaton, part, add_number)
    return automaton


def _add_prefix(automaton: Automaton, segments: tuple[str, ...]) -> None:
    """Add a prefix: its segments, and then the end of the path, or a slash and any text."""
    automaton.add_text("".join(f"/{segment}" for segment in segments))
    start = automaton.end
    automaton.add_text("/")
    automaton.add_repeat(_ANYTHING)
    automaton.add_optional(_ANYTHING)
    if segments:
        automaton.steps[start].append((None, automaton.end))


def _add_converter(automaton: Automaton, one: Converter, add_number: AddNumber) -> None:
    """Add the texts that one variable accepts."""
    match one.kind:
        case "any":
            automaton.add_choice(one.items)
        case "uuid":
            automaton.add_classes(*[_HEX] * 8)
            for size in (4, 4, 4, 12):
                automaton.add_text("-")
                automaton.add_classes(*[_HEX] * size)
        case "string":
            _add_word(automaton, one)
        case "path":
            automaton.add_classes(_WITHIN_SEGMENT)
            automaton.add_repeat(_IN_LINE)
        case _ if one.is_bounded:
            add_number(automaton, one)
        case _:
            _add_number(automaton, one)


def _add_word(automaton: Automaton, one: Converter) -> None:
    """Add the characters of one segment, within the length that the string converter allows."""
    minimum = min(int(one.minimum or 0), _MAX_LENGTH)
    automaton.add_classes(*[_WITHIN_SEGMENT] * minimum)
    if one.maximum is None:
        automaton.add_repeat(_WITHIN_SEGMENT)
        return
    for _ in range(minimum, min(int(one.maximum), _MAX_LENGTH)):
        automaton.add_optional(_WITHIN_SEGMENT)


def _add_number(automaton: Automaton, one: Converter) -> None:
    """Add the written form of a number with any value."""
    if one.signed:
        automaton.add_optional(CharClass(frozenset("-")))
    automaton.add_classes(DIGIT)
    automaton.add_repeat(DIGIT)
    if one.kind == "float":
        automaton.add_text(".")
        automaton.add_classes(DIGIT)
        automaton.add_repeat(DIGIT)
