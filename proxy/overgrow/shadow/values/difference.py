"""The words of a comparison: what kinds of differences there are, where they stand, how grave.

Pure. The kind decides the severity: what breaks a client (status, type, structure) is high, another
value is medium, something added is low. A path is exact and stable; its shape, with `[*]` for every
index, is what rules and groups go by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Verdict = Literal["matched", "ignored", "mismatched"]
# Why nobody can tell whether two answers say the same; empty where it is known.
Undecided = Literal["", "answer-too-large", "too-much-work"]
Severity = Literal["high", "medium", "low"]
Kind = Literal[
    "status",
    "content-type",
    "header-missing",
    "header-extra",
    "header-value",
    "cookie-missing",
    "cookie-extra",
    "cookie-value",
    "cookie-attribute-missing",
    "cookie-attribute-extra",
    "cookie-attribute-value",
    "type",
    "missing",
    "extra",
    "value",
    "order",
    "length",
    "text",
    "encoding",
    "content-coding",
    "bytes",
]

# How two values differ in class; empty where they do not. Rules know it as a kind: see kinds.py.
Change = Literal[
    "",
    "null-boolean",
    "null-number",
    "null-text",
    "null-empty",
    "null-array",
    "null-object",
    "integer-decimal",
    "number-text",
    "boolean-number",
    "boolean-text",
    "scalar-empty",
    "scalar-array",
    "scalar-object",
    "array-object",
    "empty",
]

SEVERITIES: Mapping[Kind, Severity] = MappingProxyType(
    {
        "status": "high",
        "content-type": "high",
        "header-missing": "high",
        "cookie-missing": "high",
        "cookie-attribute-missing": "high",
        "type": "high",
        "missing": "high",
        "length": "high",
        "encoding": "high",
        "header-value": "medium",
        "cookie-value": "medium",
        "cookie-attribute-value": "medium",
        "value": "medium",
        "order": "medium",
        "text": "medium",
        "bytes": "medium",
        "content-coding": "low",
        "header-extra": "low",
        "cookie-extra": "low",
        "cookie-attribute-extra": "low",
        "extra": "low",
    }
)
_GRAVEST_FIRST: tuple[Severity, ...] = ("high", "medium", "low")

MAX_RENDERED = 200  # characters of a value that a Difference carries
MAX_PATH = 1000  # characters of a path: a hostile one is cut, and no rule is that long


class Likeness(NamedTuple):
    """What two values have in common, without the values: all that a rule asks of them.

    `gap` is how far two numbers lie apart, `gap_s` how many seconds two times that are written alike do,
    both rounded up; None where they are none. `alike`: they have the same shape; `one_type`: both are texts,
    whole numbers, numbers with a point, and so on. `pieces` are those of two texts of one shape that differ, from
    1; None where they have none, or where it is not known any more. `change`: how they differ in class.
    """

    gap: float | None = None
    gap_s: float | None = None
    alike: bool = False
    one_type: bool = False
    pieces: tuple[int, ...] | None = None
    change: Change = ""


UNLIKE: Final = Likeness()


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the answers differ; values as text, not redacted, empty where there is none.

    `rule` names the rule that covers it (`PATH HOW`), or is None. `paired` names the rules by which the
    items of the arrays were paired that the path passes through; `other` is its other path, if any.
    """

    kind: Kind
    path: str
    severity: Severity
    control: str
    candidate: str
    rule: str | None = None
    likeness: Likeness = field(default=UNLIKE, compare=False, repr=False)
    paired: tuple[str, ...] = field(default=(), compare=False, repr=False)
    other: str = field(default="", compare=False, repr=False)

    @property
    def shape(self) -> str:
        """The path with every index as `[*]`."""
        return shape_of(self.path)

    def __str__(self) -> str:
        values = f"{self.control or '(none)'} -> {self.candidate or '(none)'}"
        text = f"{self.path}: {self.kind} ({self.severity}): {values}"
        return f"{text} [{self.rule}]" if self.rule else text


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing two answers.

    `truncated`: more differs than `differences` tells; the verdict is right all the same. `undecided`: why
    nobody can tell whether the bodies say the same; then only `mismatched` is proven.
    """

    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    truncated: bool = False
    undecided: Undecided = ""

    @property
    def severity(self) -> Severity | None:
        """The gravest severity of what no rule covers; None unless mismatched."""
        found = {each.severity for each in self.differences if each.rule is None}
        return next((each for each in _GRAVEST_FIRST if each in found), None)


class Absent:
    """The one value ABSENT: nothing stands at this path."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()

# One of several steps of a name, told by what it is called rather than by its index: an HTML element by
# its name or id, an item of a JSON array by a member. Only what reads like a name is told so.
NAMED_STEP = r"\[@(?:name|id)=[A-Za-z_$][A-Za-z0-9_$-]*\]"
KEYED_STEP = r"\[[A-Za-z_][A-Za-z0-9_-]*=[A-Za-z_$][A-Za-z0-9_$-]*\]"

# A key in quotes may hold what looks like an index; it stays as it is.
_INDEX = re.compile(r'("(?:[^"\\]|\\.)*")|\[\d+\]')
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def shape_of(path: str) -> str:
    """Return a path with every index as `[*]`: `$.items[3].id` becomes `$.items[*].id`."""
    return _INDEX.sub(lambda found: found[1] or "[*]", path) if "[" in path else path


def member_path(path: str, key: str) -> str:
    """Return the path of an object's member: `$.name`, or `$["odd name"]`."""
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}"[:MAX_PATH]
    return f"{path}[{escape_unprintable(json_quote(key))}]"[:MAX_PATH]


def escape_unprintable(text: str) -> str:
    """Return text that any store and terminal takes: control characters and surrogates escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    """Return a character as JSON escapes it, beyond U+FFFF as a pair of surrogates."""
    named = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(character)
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return named or "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def json_quote(text: str) -> str:
    """Return text as JSON writes it, in quotes."""
    return json.dumps(text, ensure_ascii=False)


def shorten(text: str) -> str:
    """Return printable text of at most MAX_RENDERED characters, and how long it was if cut."""
    if len(text) <= MAX_RENDERED:
        return escape_unprintable(text)
    return f"{escape_unprintable(text[:MAX_RENDERED])}… ({len(text)} characters)"


class DuplicateKeyValues(list[object]):
    """The values of a key that stands more than once in one JSON object, in order."""


@dataclass(frozen=True, slots=True)
class NotANumber:
    """NaN, Infinity or -Infinity: what some writers put into JSON although it is none."""

    text: str


def type_of(value: object) -> str:
    """Return the name of a JSON value's type; integers and other numbers are told apart."""
    return _TYPES[type(value)]


_TYPES: Mapping[type, str] = MappingProxyType(
    {
        Absent: "absent",
        type(None): "null",
        bool: "boolean",
        int: "integer",
        Decimal: "number",
        NotANumber: "not a number",
        str: "string",
        list: "array",
        dict: "object",
        DuplicateKeyValues: "repeated key",
    }
)


def render_value(value: object) -> str:
    """Return a JSON value as text: scalars as JSON, containers by type and length."""
    match value:
        case Absent():
            return ""
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case str():
            return shorten(json_quote(value))
        case NotANumber():
            return value.text
        case Sequence():
            return f"{type_of(value)} ({_count(len(value), 'item')})"
        case Mapping():
            return f"{type_of(value)} ({_count(len(value), 'key')})"
        case _:
            return shorten(str(value))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
