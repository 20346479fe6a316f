"""Decides whether some routes cover every path of other routes. If they do not, it finds an uncovered path.

Pure. Theory of operation: there are two lists of routes, `within` and `outside`. Each route becomes an
automaton that accepts its paths. The walk lets all automata read the same text, and keeps for each automaton
the set of its possible states. It is breadth-first: it finds the shortest text that all routes in `within`
match and no route in `outside` matches. If the paths of a route are not known exactly, the walk assumes too
many paths for a route in `within`, and no paths at all for a route in `outside`. Therefore the answer "there is
no such path" is always true. If a path is found, it is checked again with the routes themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain

from overgrow.routing.automaton import Automaton, CharClass, automaton_of
from overgrow.routing.conflicts import segment_takes_all
from overgrow.routing.converters import Converter
from overgrow.routing.model import Route
from overgrow.routing.numbers import add_whole_number
from overgrow.routing.rules import Segment, acceptor, parse_rule, segments_of_prefix

MAX_STATES = 20_000

_States = frozenset[int]


class Undecidable(Exception):
    """The search would take too long, or it depends on numbers whose texts are not known exactly."""


def find_path_outside(within: Sequence[Route], outside: Iterable[Route]) -> str | None:
    """Return a path that all routes in `within` match and no route in `outside` matches; None if there is none.

    Raises:
        Undecidable: if there is no exact answer after MAX_STATES steps.

    """
    others = list(outside)
    if any(surely_takes_all(other, one) for other in others for one in within):
        return None
    exact = [
        one
        for other in others
        if (one := _language_of(_path_and_prefix(other), exactly=True)) is not None
    ]
    wide = [_wide_language(_path_and_prefix(route)) for route in within]
    path = _find_shortest(wide, exact)
    if path is not None and "//" in path:
        path = _find_shortest([*wide, _plain_path_language()], exact) or path
    if path is None or _is_really_outside(path, within, others):
        return path
    raise Undecidable


def surely_takes_all(wide: Route, narrow: Route) -> bool:
    """Return True if a comparison of the two rules shows that `wide` matches every path of `narrow`."""
    if wide.path is None:
        literal = segments_of_prefix(wide.prefix or "/")
        if narrow.path is None:
            return segments_of_prefix(narrow.prefix or "/")[: len(literal)] == literal
        begin = parse_rule(narrow.path).segments[: len(literal)]
        return begin == tuple((text,) for text in literal)
    if narrow.path is None:
        return False
    ours, theirs = parse_rule(wide.path), parse_rule(narrow.path)
    if ours.segments == theirs.segments:
        return True
    if ours.tail is not None or theirs.tail is not None:
        return False
    pairs = zip(ours.segments, theirs.segments, strict=False)
    return len(ours.segments) == len(theirs.segments) and all(
        segment_takes_all(*pair) for pair in pairs
    )


def _is_really_outside(path: str, within: Iterable[Route], others: Iterable[Route]) -> bool:
    """Return whether all routes in `within` and no route in `others` match the path, by the routes' own tests."""
    return all(takes_path(one, path) for one in within) and not any(
        takes_path(one, path) for one in others
    )


def takes_path(route: Route, path: str) -> bool:
    """Return whether a route matches a path."""
    if route.path is not None:
        return bool(acceptor(parse_rule(route.path).segments)(path[1:]))
    literal = "".join(f"/{one}" for one in segments_of_prefix(route.prefix or "/"))
    return path == literal or path.startswith(f"{literal}/")


_PathAndPrefix = tuple[str | None, str | None]  # path, prefix


def _path_and_prefix(route: Route) -> _PathAndPrefix:
    return route.path, route.prefix


class _Language:
    """The texts that an automaton accepts. The results of `_closure` are cached."""

    __slots__ = ("_automaton", "_closed", "end", "start")

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._closed: dict[_States, _States] = {}
        self.end = automaton.end
        self.start = self._closure(frozenset([0]))

    def classes_out_of(self, states: _States) -> Iterator[CharClass]:
        """Yield the character classes of the steps that begin in these states."""
        for state in states:
            for one, _ in self._automaton.steps[state]:
                if one is not None:
                    yield one

    def all_classes(self) -> Iterator[CharClass]:
        """Yield the character class of every step of the automaton."""
        return self.classes_out_of(frozenset(range(len(self._automaton.steps))))

    def next_states(self, states: _States, character: str) -> _States:
        """Return the states that can be reached from `states` by reading one character."""
        onward = [
            beyond
            for state in states
            for one, beyond in self._automaton.steps[state]
            if one is not None and _contains(one, character)
        ]
        return self._closure(frozenset(onward))

    def _closure(self, states: _States) -> _States:
        """Return these states and all states that can be reached from them without reading a character."""
        if states not in self._closed:
            found, waiting = set(states), list(states)
            while waiting:
                for one, beyond in self._automaton.steps[waiting.pop()]:
                    if one is None and beyond not in found:
                        found.add(beyond)
                        waiting.append(beyond)
            self._closed[states] = frozenset(found)
        return self._closed[states]


def _contains(one: CharClass, character: str) -> bool:
    """Return whether a character is in the class."""
    return character in one.named if one.named is not None else character not in one.excluded


@lru_cache(maxsize=1)
def _plain_path_language() -> _Language:
    """Return the paths in which only the last segment may be empty.

    People understand examples of this kind.
    """
    automaton, within = Automaton(), CharClass(None, "/")
    automaton.add_text("/")
    begin = automaton.end
    automaton.add_classes(within)
    automaton.add_repeat(within)
    automaton.steps[automaton.end].append((CharClass(frozenset("/")), begin))
    automaton.steps.append([])
    for state in (begin, begin + 1):
        automaton.steps[state].append((None, automaton.end))
    return _Language(automaton)


def _wide_language(shape: _PathAndPrefix) -> _Language:
    """Return the paths of a route. If they are not known exactly, return more paths rather than fewer."""
    found = _language_of(shape, exactly=False)
    assert found is not None  # noqa: S101 - only exactness can fail
    return found


@lru_cache(maxsize=4096)  # a pure memo but for what a language remembers of itself
def _language_of(shape: _PathAndPrefix, *, exactly: bool) -> _Language | None:
    """Return all paths of a path rule or prefix.

    If the exact paths are unknown because of numbers, return too many paths; with `exactly`, return None.
    """
    unknown: list[Converter] = []

    def add_number(automaton: Automaton, one: Converter) -> None:
        if not add_whole_number(automaton, one):
            unknown.append(one)
            _add_any_number(automaton, one)

    path, prefix = shape
    automaton = automaton_of(Route("", path, prefix), add_number)
    if exactly and (
        unknown or (path is not None and _has_bounded_number_in_text(parse_rule(path).segments))
    ):
        return None
    return _Language(automaton)


def _add_any_number(automaton: Automaton, one: Converter) -> None:
    """Add the texts of all numbers of this form, whatever their value."""
    start = automaton.end
    if one.signed:
        automaton.add_optional(CharClass(frozenset("-")))
    digit = CharClass(frozenset("0123456789"))
    automaton.add_classes(digit)
    automaton.add_repeat(digit)
    if one.kind == "float":
        automaton.add_text(".")
        automaton.add_classes(digit)
        automaton.add_repeat(digit)
    assert automaton.end > start  # noqa: S101 - a number is never empty


def _has_bounded_number_in_text(segments: Sequence[Segment]) -> bool:
    """Return whether a bounded number shares its segment with other text.

    In such a segment the text alone does not show where the number begins: the regular expression decides that.
    """
    return any(
        isinstance(part, Converter) and part.is_bounded
        for segment in segments
        if len(segment) > 1
        for part in segment
    )


def _find_shortest(within: list[_Language], outside: list[_Language]) -> str | None:
    """Return the shortest text that every language of `within`, and no language of `outside`, contains.

    Return None if there is none.
    """
    blocks = _CharacterClasses([one for each in (*within, *outside) for one in each.all_classes()])
    everybody = [*within, *outside]
    begin = tuple(each.start for each in everybody)
    seen = {begin}
    queue = deque([(begin, "")])
    count = len(within)
    while queue:
        here, text = queue.popleft()
        at_end = [each.end in states for each, states in zip(everybody, here, strict=True)]
        if all(at_end[:count]) and not any(at_end[count:]):
            return text
        for character in blocks.representatives(within[0].classes_out_of(here[0])):
            onward = tuple(
                each.next_states(states, character)
                for each, states in zip(everybody, here, strict=True)
            )
            if all(onward[:count]) and onward not in seen:
                seen.add(onward)
                queue.append((onward, text + character))
        if len(seen) > MAX_STATES:
            raise Undecidable
    return None


class _CharacterClasses:
    """Divides all characters into sets, and keeps one example of each set.

    Two characters are in the same set if every given class contains both of them or neither of them.
    """

    def __init__(self, classes: Iterable[CharClass]) -> None:
        self._distinct = list(dict.fromkeys(classes))
        self._known: dict[CharClass, list[str]] = {}
        named = {c for one in self._distinct for c in (one.named or frozenset(one.excluded))}
        rest = next(c for c in chain(_PLAIN, map(chr, range(0x4E00, 0x9FFF))) if c not in named)
        alike: dict[tuple[bool, ...], str] = {}
        for character in sorted(named | {rest}, key=lambda c: (_PLAIN.find(c) % 999, c)):
            alike.setdefault(tuple(_contains(one, character) for one in self._distinct), character)
        self._chosen = list(alike.values())

    def representatives(self, classes: Iterable[CharClass]) -> list[str]:
        """Return the example characters that one of these classes contains. Readable characters come first."""
        found: dict[str, None] = {}
        for one in dict.fromkeys(classes):
            if one not in self._known:
                self._known[one] = [c for c in self._chosen if _contains(one, c)]
            found.update(dict.fromkeys(self._known[one]))
        return list(found)


_PLAIN = "x1yzabcdefghijklmnopqrstuvw023456789XYZABCDEFGHIJKLMNOPQRSTUVW-_~äöüéèñßøåæœžšč"
