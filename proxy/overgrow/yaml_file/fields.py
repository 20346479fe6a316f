"""Reads mappings field by field: it checks names and duplicates, and calls a reader for each value.

A FileReading collects every problem instead of stopping at the first. A reader takes the node of one field, and
returns its value or raises FieldError. The part that owns a file defines the file's fields and their meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.scalars import (
    FieldError,
    fill_variables,
    hide_variables,
    nearest_word,
    yaml_trap,
    yaml_type,
)
from overgrow.yaml_file.tree import Node, YamlSyntaxError

Reader = Callable[["FileReading", Node, str], Any]


class Fields(NamedTuple):
    """The fields of one mapping: the values of valid fields, and the nodes of all fields."""

    values: dict[str, Any]
    nodes: dict[str, Node]


@dataclass(slots=True)
class FileReading:
    """One pass over one file: the variables that the file may use, and the problems found so far.

    If `env` is missing, the file has no variables: `${` is plain text in it. `codes` maps general problem codes
    to the codes in the documentation of this file.
    """

    file: str
    env: Mapping[str, str] | None
    codes: Mapping[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def report(self, node: Node, bad: FieldError) -> None:
        """Add a problem at a node. Once the route's name has been read, `name_route` adds this name to the problem."""
        if self.env is not None and "${" in node.text:
            bad = hide_variables(bad, node.text, self.env)
        self.report_at((node.line, node.column), bad)

    def report_at(self, at: tuple[int, int], bad: FieldError | YamlSyntaxError) -> None:
        """Add a problem at a line and column."""
        code = self.codes.get(bad.code, bad.code)
        self.problems.append(Problem(code, self.file, *at, None, bad.message, bad.fix))

    def note(self, node: Node, route: str | None, bad: FieldError) -> None:
        """Add a note: something that is worth knowing but not wrong."""
        at = (node.line, node.column)
        self.notes.append(Problem(bad.code, self.file, *at, route, bad.message, bad.fix))

    def name_route(self, since: int, route: str | None) -> None:
        """Put a route's name into all problems whose index in `problems` is at least `since`."""
        for index in range(since, len(self.problems)):
            self.problems[index] = replace(self.problems[index], route=route)

    def read_fields(self, node: Node, where: str, readers: Mapping[str, Reader]) -> Fields:
        """Read a mapping by a table of readers. `where` is "" or a prefix such as "legacy."."""
        found = Fields({}, {})
        if node.kind != "mapping":
            what = f"{where.rstrip('.') or 'the file'} must be a mapping of names to values"
            self.report(node, FieldError("mapping-expected", what, "Write NAME: VALUE lines."))
            return found
        values, nodes = found
        for key, value in node.children:
            name = key.text
            reader = readers.get(name) if key.kind == "scalar" else None
            if reader is None:
                self.report(key, unknown_key_error(key, where, readers))
                continue
            if name in nodes:
                self.report(key, duplicate_key_error(where + name, nodes[name].line))
                continue
            nodes[name] = value
            try:
                values[name] = reader(self, value, where + name)
            except FieldError as bad:
                self.report(value, bad)
            except AlreadyReported:
                pass
        return found

    def read_items(self, node: Node, label: str, one: Callable[[str, str], Any]) -> tuple[Any, ...]:
        """Read a list of scalars, each with `one`. Report each invalid item, and then raise AlreadyReported."""
        found: list[Any] = []
        for item in require_list(node, label):
            try:
                found.append(one(free_text_of(self, item, label), label))
            except FieldError as bad:
                self.report(item, bad)
        if len(found) < len(node.children):
            raise AlreadyReported
        return tuple(found)


class AlreadyReported(Exception):
    """A field cannot be read, and its problems have already been reported."""


def unknown_key_error(key: Node, where: str, known: Mapping[str, object]) -> FieldError:
    """Return the error of an unknown field. Its fix names the most similar known field."""
    if key.kind != "scalar":
        return FieldError(
            "unknown-key", f"a field's name in {where or 'the file'} is not text", "Remove it."
        )
    if key.text == "<<" and not key.style:
        return FieldError("merge-key", "the merge key << is not supported", "Write the fields out.")
    name = f"{where}{key.text}"
    if not key.style and yaml_type(key.text) == "bool":
        what = f"unknown field {name}; YAML 1.1 reads this key as a truth value"
        return FieldError("yaml-trap", what, "Remove the line.")
    close = nearest_word(key.text, known)
    fix = f"Did you mean {close}?" if close else f"Known fields are {', '.join(known)}."
    return FieldError("unknown-key", f"unknown field {name}", fix)


def duplicate_key_error(name: str, first: int) -> FieldError:
    """Return the error of a key that appears twice in a mapping."""
    fix = "Keep one of the two; YAML would silently take the last."
    return FieldError("duplicate-key", f"{name} is given twice, first on line {first}", fix)


def require_list(node: Node, label: str) -> Sequence[Node]:
    """Return the items of a list. For any other node, raise FieldError."""
    if node.kind == "list":
        return node.children
    fix = f"Write [{node.text}]." if node.kind == "scalar" and node.text else "Write [...]."
    raise FieldError("list-expected", f"{label} must be a list", fix)


def is_null(node: Node) -> bool:
    """Return whether a node is null: empty, `~` or `null`, without quotes."""
    return (
        node.kind == "scalar" and not node.style and node.text in ("", "~", "null", "Null", "NULL")
    )


def scalar_of(reading: FileReading, node: Node, label: str) -> str:
    """Return a scalar's text with its variables filled in. For null and for other nodes, raise FieldError."""
    if node.kind != "scalar":
        what = f"{label} must be one value, not a {node.kind}"
        raise FieldError("text-expected", what, "Write a single value.")
    if is_null(node):
        raise FieldError("value-missing", f"{label} has no value", "Write one, or remove the line.")
    if reading.env is None or "${" not in node.text:
        return node.text
    return fill_variables(node.text, label, reading.env)


def free_text_of(reading: FileReading, node: Node, label: str) -> str:
    """Return the text of a scalar.

    If the scalar has no quotes and YAML reads it as a number or truth value, raise FieldError.
    """
    kind = "str" if node.style else yaml_type(node.text)
    if kind == "str" and node.kind == "scalar" and "${" not in node.text:
        return node.text  # nearly always
    text = scalar_of(reading, node, label)
    if kind == "str":
        return text
    if (caught := yaml_trap(node.text, label)) is not None:
        raise caught
    kind = {"int": "number", "float": "number", "bool": "truth value"}.get(kind, kind)
    what = f"{label} is the {kind} {node.text}; it must be text"
    raise FieldError("text-expected", what, f'Write "{node.text}" with quotes.')


def plain_of(reading: FileReading, node: Node, label: str) -> str:
    """Return the text of a number or truth value.

    If it is written in quotes and contains no variable, raise FieldError.
    """
    text = scalar_of(reading, node, label)
    if node.style and "${" not in node.text:
        what = f"{label} is text; it must be written without quotes"
        raise FieldError("number-expected", what, f"Write {node.text.strip()}.")
    if "${" not in node.text and (caught := yaml_trap(node.text, label)) is not None:
        raise FieldError(caught.code, caught.message, "Write the number in plain decimal digits.")
    return text


def text_reader(of: Callable[[str, str], Any]) -> Reader:
    """Return a reader for a field of free text. The function `of` parses the text."""
    return lambda reading, node, label: of(free_text_of(reading, node, label), label)


def scalar_reader(of: Callable[[str, str], Any]) -> Reader:
    """Return a reader for a scalar of any YAML type, such as a duration or percentage.

    The function `of` parses its text.
    """
    return lambda reading, node, label: of(scalar_of(reading, node, label), label)


def plain_reader(of: Callable[[str, str], Any]) -> Reader:
    """Return a reader for a number or truth value. The function `of` parses its text."""
    return lambda reading, node, label: of(plain_of(reading, node, label), label)
