"""Decides whether two routes could match the same request, and finds an example of such a request.

Pure. Theory of operation: each route's path becomes a small nondeterministic automaton over characters. A
breadth-first walk through two automata at once finds the shortest path that both accept, or shows that there is
none. Single characters do not show the value of a bounded number. Therefore only the bounds of both routes are
tried: if two ranges overlap, a bound of one range lies in the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from overgrow.routing.automaton import Automaton, CharClass, Step, automaton_of
from overgrow.routing.converters import Converter
from overgrow.routing.facts import hostname_of
from overgrow.routing.model import Predicate, PredicateKind, Route
from overgrow.routing.rules import (
    acceptor,
    effective_methods,
    parse_rule,
)

ANY_WORD = "x"  # in examples, any value


def find_common_request(first: Route, second: Route) -> str | None:
    """Return a request that both routes would match, as text; None if there is none.

    Such a request has at most one value per header, query key and cookie.
    """
    method = _common_method(first.methods, second.methods)
    host = _common_host(first.host, second.host)
    values = _common_values((*first.predicates, *second.predicates))
    if method is None or host is None or values is None:
        return None
    path = common_path(first, second)
    if path is None:
        return None
    given = [(name, value) for name, value in values.items() if value is not None]
    return request_text(method, host, path, given)


def common_path(first: Route, second: Route) -> str | None:
    """Return a short path that both routes match; None if there is none."""
    tried = trial_numbers((*_converters_of(first), *_converters_of(second)))

    def add_tried(automaton: Automaton, one: Converter) -> None:
        automaton.add_choice(number_texts(one, tried))

    path = _find_shortest_common(automaton_of(first, add_tried), automaton_of(second, add_tried))
    # In mixed text the regular expression decides where a number begins, so both routes are asked.
    takes_both = path is not None and _takes_path(first, path) and _takes_path(second, path)
    return path if takes_both else None


def _takes_path(route: Route, path: str) -> bool:
    """Return whether the route matches a path, by the pattern of the route itself."""
    return route.path is None or bool(acceptor(parse_rule(route.path).segments)(path[1:]))


class TrialNumbers(NamedTuple):
    """The numbers to try for a bounded variable, and the widths in which to write them."""

    numbers: tuple[float, ...]
    widths: tuple[int, ...]


def trial_numbers(converters: Iterable[Converter]) -> TrialNumbers:
    """Return the bounds of these variables. Trying these numbers shows whether two ranges overlap."""
    numbers: set[float] = {0, 1}
    widths = {0}
    for one in converters:
        if one.kind in ("int", "float"):
            numbers |= {bound for bound in (one.minimum, one.maximum) if bound is not None}
            widths.add(one.digits)
        numbers |= {int(item) for item in one.items if item.isascii() and item.isdecimal()}
    return TrialNumbers(tuple(sorted(numbers)), tuple(sorted(widths)))


def _converters_of(route: Route) -> Iterator[Converter]:
    """Yield the variables of a route's path."""
    for segment in () if route.path is None else parse_rule(route.path).segments:
        for part in segment:
            if isinstance(part, Converter):
                yield part


def number_texts(one: Converter, tried: TrialNumbers) -> list[str]:
    """Return the texts of the numbers in `tried` that the converter accepts."""
    if one.kind == "float":
        texts = [repr(float(number)) for number in tried.numbers]
    else:
        texts = [
            str(int(number)).zfill(width) for width in tried.widths for number in tried.numbers
        ]
    return [text for text in dict.fromkeys(texts) if one.is_within(text)]


def _find_shortest_common(first: Automaton, second: Automaton) -> str | None:
    """Return the shortest text that both automata accept; None if there is none."""
    seen: set[tuple[int, int]] = set()
    queue = deque([(0, 0, "")])
    while queue:
        here, there, text = queue.popleft()
        if (here, there) == (first.end, second.end):
            return text
        if (here, there) in seen:
            continue
        seen.add((here, there))
        for onward, beyond, read in _joint_steps(
            first.steps[here], second.steps[there], here, there
        ):
            # A step without a character is free, so it goes before texts that are one character longer.
            (queue.append if read else queue.appendleft)((onward, beyond, text + read))
    return None


def _joint_steps(
    ours: list[Step], theirs: list[Step], here: int, there: int
) -> Iterator[tuple[int, int, str]]:
    """Yield (state of the first automaton, state of the second, character) for each step of both automata.

    `ours` are the steps out of the state `here`, and `theirs` are the steps out of `there`. If only one
    automaton moves, no character is read, and the character is "".
    """
    for one, onward in ours:
        if one is None:
            yield onward, there, ""
            continue
        for other, beyond in theirs:
            character = None if other is None else _common_character(one, other)
            if character is not None:
                yield onward, beyond, character
    for other, beyond in theirs:
        if other is None:
            yield here, beyond, ""


def _common_character(one: CharClass, other: CharClass) -> str | None:
    """Return a character that is in both classes; None if there is none."""
    if one.named is None and other.named is None:
        return ANY_WORD
    if one.named is None:
        one, other = other, one
    named = one.named or frozenset()
    allowed = named & other.named if other.named is not None else named.difference(other.excluded)
    if not allowed:
        return None
    return "1" if "1" in allowed else min(allowed)


def _common_method(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> str | None:
    """Return a method that is in both lists (None stands for all methods); None if there is none."""
    ours, theirs = effective_methods(first), effective_methods(second)
    if ours is None or theirs is None:
        common = ours or theirs or frozenset({"GET"})
    else:
        common = ours & theirs
    return "GET" if "GET" in common else min(common, default=None)


def _common_host(first: str | None, second: str | None) -> str | None:
    """Return a host that matches both host patterns ("" stands for any host); None if there is none."""
    ours, theirs = hostname_of(first or ""), hostname_of(second or "")
    for wide, narrow in ((ours, theirs), (theirs, ours)):
        if wide in ("", narrow) or (wide.startswith("*.") and narrow.endswith(wide[1:])):
            return narrow.replace("*", ANY_WORD)
    return None


def _common_values(
    predicates: tuple[Predicate, ...],
) -> dict[tuple[PredicateKind, str], str | None] | None:
    """Return {name: value} so that all predicates are met. The value is None if the name must be absent.

    If this is impossible, return None.
    """
    values: dict[tuple[PredicateKind, str], str | None] = {}
    for one in sorted(predicates, key=lambda predicate: predicate.value is None):
        name = (one.kind, one.name)
        asked = one.value if one.value is not None else ANY_WORD if one.present else None
        if name not in values:
            values[name] = asked
        elif values[name] != asked and (one.value is not None or None in (values[name], asked)):
            return None
    return values


def request_text(
    method: str, host: str, path: str, values: Sequence[tuple[tuple[PredicateKind, str], str]]
) -> str:
    """Return a request as a short text for messages: `GET /orders/1?beta=1 with header x-a: 1`."""
    given = [(kind, name, value) for (kind, name), value in values]
    query = "&".join(f"{name}={value}" for kind, name, value in given if kind == "query")
    extras = [f"header {name}: {value}" for kind, name, value in given if kind == "header"]
    extras += [f"cookie {name}={value}" for kind, name, value in given if kind == "cookie"]
    target = f"http://{host}{path}" if host else path
    with_extras = f" with {' and '.join(extras)}" if extras else ""
    return f"{method} {target}{'?' if query else ''}{query}{with_extras}"
