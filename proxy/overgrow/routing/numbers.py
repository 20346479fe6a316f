"""Describes the exact texts of a bounded whole number as patterns of digits, for an automaton.

Pure. A few patterns of digits cover a range of numbers of equal length: 105 to 320 is 10[5-9], 1[1-9][0-9],
2[0-9][0-9], 3[01][0-9] and 320.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from overgrow.routing.automaton import DIGIT, Automaton, CharClass
from overgrow.routing.converters import Converter

MAX_DIGITS = 40  # of a bound: beyond it a range is called unknown

Digits = list[tuple[int, int]]  # for each place, the lowest and the highest digit
Limits = tuple[int, int | None]  # of a number without its sign, both included; None: no maximum


def add_whole_number(automaton: Automaton, one: Converter) -> bool:
    """Extend an automaton with the texts that a bounded int converter accepts; return whether this was possible.

    If the texts are unknown, return False and leave the automaton unchanged.
    """
    bounds = _bounds_of(one)
    if one.kind != "int" or bounds is None or one.digits > MAX_DIGITS:
        return False
    minimum, maximum = bounds
    start, ends = automaton.end, []
    for sign, limits in _limits_by_sign(minimum, maximum, signed=one.signed):
        width = one.digits and one.digits - len(sign)
        if limits is None or (one.digits and width < 1):
            continue
        for digits, goes_on in _digit_patterns(limits, width):
            ends.append(_add_pattern(automaton, start, sign, digits, width=width, goes_on=goes_on))
    automaton.steps.append([])
    for end in ends:
        automaton.steps[end].append((None, automaton.end))
    return True


def _bounds_of(one: Converter) -> tuple[int | None, int | None] | None:
    """Return (lowest, highest) as whole numbers. A bound that does not exist is None.

    Return None instead of the pair if a bound is infinite or has too many digits.
    """
    found: list[int | None] = []
    for bound, rounded in ((one.minimum, math.ceil), (one.maximum, math.floor)):
        if bound is None:
            found.append(None)
            continue
        if not abs(bound) < 10**MAX_DIGITS:  # infinite, and NaN too
            return None
        found.append(rounded(bound))
    return found[0], found[1]


def _limits_by_sign(
    minimum: int | None, maximum: int | None, *, signed: bool
) -> Iterator[tuple[str, Limits | None]]:
    """Yield the limits for digits without a sign, then the limits for digits after a minus sign."""
    yield "", None if maximum is not None and maximum < 0 else (max(minimum or 0, 0), maximum)
    if signed:
        lowest = 0 if maximum is None else max(0, -maximum)
        yield "-", (lowest, None if minimum is None else -minimum)


def _digit_patterns(limits: Limits, width: int) -> Iterator[tuple[Digits, bool]]:
    """Yield (pattern, goes on): a pattern of digits, and whether further digits may follow.

    `width` is the number of digits; 0 means any number of digits.
    """
    minimum, maximum = limits
    if width:
        maximum = 10**width - 1 if maximum is None else min(maximum, 10**width - 1)
    if maximum is not None and minimum > maximum:
        return
    if width and maximum is not None:
        yield from (
            (one, False) for one in _patterns_between(f"{minimum:0{width}}", f"{maximum:0{width}}")
        )
        return
    longest = len(str(minimum if maximum is None else maximum))
    for length in range(len(str(minimum)), longest + 1):
        low = max(minimum, 10 ** (length - 1) if length > 1 else 0)
        high = 10**length - 1 if maximum is None else min(maximum, 10**length - 1)
        yield from ((one, False) for one in _patterns_between(str(low), str(high)))
    if maximum is None:
        yield [(1, 9), *[(0, 9)] * longest], True


def _patterns_between(low: str, high: str) -> Iterator[Digits]:
    """Yield the patterns of the numbers from `low` to `high`, inclusive. Both must have the same number of digits."""
    if not low:
        yield []
        return
    first, last = int(low[0]), int(high[0])
    if first == last:
        yield from ([(first, first), *rest] for rest in _patterns_between(low[1:], high[1:]))
        return
    zeros, nines = "0" * (len(low) - 1), "9" * (len(low) - 1)
    if low[1:] != zeros:
        yield from ([(first, first), *rest] for rest in _patterns_between(low[1:], nines))
        first += 1
    if high[1:] != nines:
        yield from ([(last, last), *rest] for rest in _patterns_between(zeros, high[1:]))
        last -= 1
    if first <= last:
        yield [(first, last), *[(0, 9)] * len(zeros)]


def _add_pattern(  # noqa: PLR0913 - where to begin, and what a pattern is
    automaton: Automaton, start: int, sign: str, digits: Digits, *, width: int, goes_on: bool
) -> int:
    """Add one pattern from the state `start` on; return the state in which it ends."""
    automaton.steps.append([])
    automaton.steps[start].append((None, automaton.end))
    automaton.add_text(sign)
    if not width:
        automaton.add_repeat(CharClass(frozenset("0")))
    for low, high in digits:
        automaton.add_classes(CharClass(frozenset("0123456789"[low : high + 1])))
    if goes_on:
        automaton.add_repeat(DIGIT)
    return automaton.end
