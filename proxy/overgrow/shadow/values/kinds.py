"""The kinds of differences that a rule may name: the kinds of a Difference, and finer kinds.

Pure. Rule: each change of a value's class is a kind of its own, so that a rule for one change does not hide
another: "sometimes null instead of a number" is one kind, "text instead of a number" another. During a
comparison the change is found from the values, and later from the stored types. Both ways give the same kind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from overgrow.shadow.values.difference import SEVERITIES, Change, Kind, Likeness, json_type_of

RuleKind = Kind | Change | Literal["null"]

# Between two classes of values. `type` in a rule covers all of them.
CHANGES_OF_TYPE: Final = (
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
)
# The kinds that a kind of a rule includes.
WIDER: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "type": frozenset(CHANGES_OF_TYPE),
        "null": frozenset(each for each in CHANGES_OF_TYPE if each.startswith("null-")),
    }
)
RULE_KINDS: Final = (*SEVERITIES, "null", *CHANGES_OF_TYPE, "empty")
# The kinds of differences in which both responses have a value that may be empty.
_MAY_BE_EMPTY = frozenset(
    {"value", "length", "text", "header-value", "cookie-value", "cookie-attribute-value"}
)

EMPTY_WORD = "empty "  # precedes the type of an empty value in the store


class _ValueClass(NamedTuple):
    """The class of a value; an integer and a decimal are both numbers."""

    name: str
    type: str
    is_empty: bool = False


_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "null": "null",
        "boolean": "boolean",
        "integer": "number",
        "number": "number",
        "not a number": "number",
        "string": "text",
        "array": "array",
        "object": "object",
    }
)
_TYPES_OF_WORDS: Mapping[str, str] = MappingProxyType(
    {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}
)
_CONTAINERS = frozenset({"array", "object"})


def class_change_between(control: object, candidate: object) -> Change:
    """Return how the classes of two JSON values, or of two texts, differ; empty if they are the same."""
    return _change_between_classes(_class_of_value(control), _class_of_value(candidate))


def class_change_between_stored_types(path: str, control: str, candidate: str) -> Change:
    """Return the result of class_change_between for two values, but from their stored types."""
    if not path.startswith("$"):  # texts: only empty ones are a class of their own
        return _change_between_classes(
            _ValueClass("text", "", not control), _ValueClass("text", "", not candidate)
        )
    return _change_between_classes(_class_of_stored_type(control), _class_of_stored_type(candidate))


def _class_of_value(value: object) -> _ValueClass:
    name = json_type_of(value)
    is_empty = isinstance(value, str | list) and not value
    return _ValueClass(_CLASSES.get(name, ""), name, is_empty)


def _class_of_stored_type(word: str) -> _ValueClass:
    plain = word.removeprefix(EMPTY_WORD)
    name = _TYPES_OF_WORDS.get(plain, plain)
    return _ValueClass(_CLASSES.get(name, ""), name, plain != word)


def _change_between_classes(control: _ValueClass, candidate: _ValueClass) -> Change:
    if control.name == candidate.name:
        return _change_within_class(control, candidate)
    names = {control.name, candidate.name}
    if "" in names:
        return ""
    if "null" in names:
        return _change_from_null(candidate if control.name == "null" else control)
    if names == _CONTAINERS:
        return "array-object"
    if "object" not in names and (control.is_empty or candidate.is_empty):
        return "scalar-empty"
    if names & _CONTAINERS:
        return "scalar-array" if "array" in names else "scalar-object"
    if "boolean" in names:
        return "boolean-number" if "number" in names else "boolean-text"
    return "number-text"


def _change_within_class(control: _ValueClass, candidate: _ValueClass) -> Change:
    """Return how two values of the same class differ: whole or decimal number, empty or not."""
    if control.name == "number":
        return "integer-decimal" if control.type != candidate.type else ""
    return "empty" if control.name and control.is_empty is not candidate.is_empty else ""


def _change_from_null(other: _ValueClass) -> Change:
    if other.is_empty:
        return "null-empty"
    names: Mapping[str, Change] = {
        "boolean": "null-boolean",
        "number": "null-number",
        "text": "null-text",
        "array": "null-array",
    }
    return names.get(other.name, "null-object")


def rule_kind_of(kind: str, likeness: Likeness) -> str:
    """Return the kind of a difference in the words of a rule's `kinds`, which are finer than Difference.kind."""
    change = likeness.change
    if change == "empty":
        return change if kind in _MAY_BE_EMPTY else kind
    if change and kind in {"type", "value"}:
        return change
    return "type" if kind == "value" and not likeness.one_type else kind


def is_kind_covered(kind: str, kinds: Collection[str]) -> bool:
    """Return whether a rule with these `kinds` covers a kind: the rule lists the kind, or a wider kind."""
    return kind in kinds or any(kind in WIDER.get(each, ()) for each in kinds)
