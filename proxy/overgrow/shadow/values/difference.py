"""Defines differences: their kinds, paths and severity.

Pure. The kind decides the severity: a change that can break a client (status, type, structure) is high, a
different value is medium, an addition is low. A path names one place exactly. Rules and groups refer to its
shape, which has `[*]` for every index.
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
# Why a comparison did not reach a result; empty where it did.
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

# How the classes of two values differ; empty where they do not. Rules name it as a kind: see kinds.py.
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
MAX_PATH = 1000  # characters; a longer path is cut, and no rule may have one


class Likeness(NamedTuple):
    """What two values have in common, without the values. A rule needs to know nothing else about them.

    `gap` is the distance of two numbers, and `gap_s` the seconds between two times in one notation. Both are
    rounded up, and are None for other values. `alike` says that the values have the same shape. `one_type` says
    that both are texts, both integers, both decimals, and so on. `pieces` are the numbers, from 1, of the
    pieces in which two texts of one shape differ; None if there are none, or if they are no longer known.
    `change` says how the classes of the values differ.
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
    """One place where the responses differ. The values are texts and not redacted; a value is empty if a side lacks it.

    `rule` names the rule that covers the difference (`PATH HOW`), or is None. `paired` has the rules that
    paired the items of enclosing arrays. `other` is another path that a rule may use for the same place, if
    there is one.
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
    def path_shape(self) -> str:
        """The path with every index as `[*]`."""
        return path_shape_of(self.path)

    def __str__(self) -> str:
        values = f"{self.control or '(none)'} -> {self.candidate or '(none)'}"
        text = f"{self.path}: {self.kind} ({self.severity}): {values}"
        return f"{text} [{self.rule}]" if self.rule else text


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of comparing two responses.

    `truncated` says that there are more differences than `differences` lists; this does not affect the verdict.
    `undecided` says why the bodies could not be compared to the end. In this case the only verdict that can be
    proven is `mismatched`.
    """

    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    truncated: bool = False
    undecided: Undecided = ""

    @property
    def severity(self) -> Severity | None:
        """The highest severity of differences that no rule covers; None if the verdict is not `mismatched`."""
        found = {each.severity for each in self.differences if each.rule is None}
        return next((each for each in _GRAVEST_FIRST if each in found), None)


class Absent:
    """The type of ABSENT, which stands for a value that one side lacks."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()

# A step that names one of several siblings instead of giving its index: an HTML element by its name or
# id, an item of a JSON array by a member. Only values that look like names are used.
NAMED_STEP = r"\[@(?:name|id)=[A-Za-z_$][A-Za-z0-9_$-]*\]"
KEYED_STEP = r"\[[A-Za-z_][A-Za-z0-9_-]*=[A-Za-z_$][A-Za-z0-9_$-]*\]"

# A quoted key may contain text that looks like an index; it is not changed.
_INDEX = re.compile(r'("(?:[^"\\]|\\.)*")|\[\d+\]')
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def path_shape_of(path: str) -> str:
    """Return a path with every index as `[*]`: `$.items[3].id` becomes `$.items[*].id`."""
    return _INDEX.sub(lambda found: found[1] or "[*]", path) if "[" in path else path


def member_path(path: str, key: str) -> str:
    """Return the path of an object's member: `$.name`, or `$["odd name"]`."""
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}"[:MAX_PATH]
    return f"{path}[{escape_unprintable(json_quote(key))}]"[:MAX_PATH]


def escape_unprintable(text: str) -> str:
    """Return text with control characters and surrogates escaped, so that every store and terminal accepts the text."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape_character(each) for each in text)


def _escape_character(character: str) -> str:
    """Return a character as JSON escapes it. A character beyond U+FFFF becomes a pair of surrogates."""
    named = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(character)
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return named or "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def json_quote(text: str) -> str:
    """Return text as JSON writes it, in quotes."""
    return json.dumps(text, ensure_ascii=False)


def shorten(text: str) -> str:
    """Return a printable text. A long text is cut to MAX_RENDERED characters and ends with its full length."""
    if len(text) <= MAX_RENDERED:
        return escape_unprintable(text)
    return f"{escape_unprintable(text[:MAX_RENDERED])}… ({len(text)} characters)"


class DuplicateKeyValues(list[object]):
    """The values of a key that appears more than once in one JSON object, in order."""


@dataclass(frozen=True, slots=True)
class NotANumber:
    """NaN, Infinity or -Infinity: some programs write these into JSON, although JSON has no such numbers."""

    text: str


def json_type_of(value: object) -> str:
    """Return the name of a JSON value's type. Integers and other numbers are two types."""
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


def render_json_value(value: object) -> str:
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
            return f"{json_type_of(value)} ({_count_with_noun(len(value), 'item')})"
        case Mapping():
            return f"{json_type_of(value)} ({_count_with_noun(len(value), 'key')})"
        case _:
            return shorten(str(value))


def _count_with_noun(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
