"""Parses data.yaml into a DataDeclaration, or reports every problem in file order.

The file says who owns each table of the database that both apps use, and how a table of ours comes from one of
legacy's. This module does not use the database: mapping.py compares a declaration with the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from overgrow.data.expressions import ExpressionError, require_expression
from overgrow.data.stages import FIRST, STAGE_NAMES
from overgrow.yaml_file.fields import (
    AlreadyReported,
    Fields,
    FileReading,
    Reader,
    duplicate_key_error,
    free_text_of,
    require_list,
    scalar_of,
    text_reader,
)
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.scalars import FieldError, nearest_word
from overgrow.yaml_file.tree import Node, YamlSyntaxError, decode_text, parse_tree

FILE = "data.yaml"
MAX_BYTES = 4 * 1024 * 1024
MAX_NAME_BYTES = 63
OWNERS = ("legacy", "shared", "flask")
MOVE_FIELDS = ("key", "columns", "back", "drops", "stage")

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TableDeclaration:
    """One table: its owner and, if it comes from a legacy table, the mapping.

    `columns` has SQL over the legacy row, for columns of this table. `back` has SQL over this table's row, for
    columns of the legacy table. `places` has the line and column of each field, such as `stage` or
    `columns.total`.
    """

    name: str
    owner: str
    source: str | None = None
    key: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    back: Mapping[str, str] = field(default_factory=dict)
    drops: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    stage: str = FIRST
    places: Mapping[str, Place] = field(default_factory=dict)

    def place_of(self, name: str) -> Place:
        """Return the line and column of a field, or of the table if the field is not written."""
        return self.places.get(name) or self.places.get("", (1, 1))


@dataclass(frozen=True, slots=True)
class DataDeclaration:
    """The whole file: the database of both apps, and its tables in file order."""

    file: str
    database: str | None
    tables: Mapping[str, TableDeclaration]
    migrations: str | None = None  # the same database, with the role that runs migrations

    @property
    def moves(self) -> tuple[TableDeclaration, ...]:
        """The tables that come from a legacy table."""
        return tuple(table for table in self.tables.values() if table.source is not None)


class ParsedData(NamedTuple):
    """The meaning of a text: a declaration, or problems in file order."""

    declaration: DataDeclaration | None
    problems: tuple[Problem, ...]


def parse_declaration(data: bytes, *, file: str, env: Mapping[str, str]) -> ParsedData:
    """Read and validate the text of data.yaml."""
    reading = FileReading(file, env)
    try:
        root = _tree_of(data)
    except YamlSyntaxError as broken:
        reading.report_at(broken.at, broken)
        return ParsedData(None, tuple(reading.problems))
    fields = reading.read_fields(root, "", TOP)
    if root.kind == "mapping" and "version" not in fields.nodes:
        reading.report(root, FieldError("required", "version is missing", "Write version: 1."))
    tables = _read_tables(reading, fields.nodes.get("tables"))
    _crosscheck(reading, fields, root, tables)
    if reading.problems:
        return ParsedData(None, sorted_problems(reading.problems))
    database, migrations = map(fields.values.get, ("database", "migrations"))
    return ParsedData(DataDeclaration(file, database, tables, migrations), ())


def sorted_problems(problems: list[Problem]) -> tuple[Problem, ...]:
    """Return problems in file order."""
    return tuple(sorted(problems, key=lambda one: (one.line, one.column)))


def _tree_of(data: bytes) -> Node:
    if len(data) > MAX_BYTES:
        what = "the file is larger than 4 MiB"
        raise YamlSyntaxError("file-too-large", (1, 1), what, "Name only the tables that matter.")
    fix = "Write at least version: 1 and tables."
    return parse_tree(decode_text(data), fix_if_empty=fix)


# --- fields -------------------------------------------------------------------------------------------------


def _read_version(_: FileReading, node: Node, label: str) -> int:
    if node.kind == "scalar" and not node.style and node.text == "1":
        return 1
    written = node.text or f"a {node.kind}"
    what = f"{label} is {written}; this release reads version 1"
    raise FieldError("version", what, "Write version: 1.")


def parse_name(text: str, label: str) -> str:
    """Return the name of a table or column. Any text that SQL can quote is a valid name."""
    if not text or text != text.strip() or any(ord(char) < 32 for char in text):
        what = f"{label} is {text!r}, which is not a name of a table or column"
        raise FieldError("table-name", what, "Write the name as the database has it.")
    if len(text.encode()) > 2 * MAX_NAME_BYTES + 1:
        what = f"{label} is longer than a name can be"
        raise FieldError("table-name", what, "Write the name as the database has it.")
    return text


def _parse_expression(text: str, label: str) -> str:
    try:
        require_expression(text)
    except ExpressionError as error:
        raise FieldError("expression-syntax", f"{label} {error.what}", error.fix) from None
    return text


def _word_reader(code: str, words: tuple[str, ...]) -> Reader:
    def read(reading: FileReading, node: Node, label: str) -> str:
        text = scalar_of(reading, node, label)
        if text in words:
            return text
        near = nearest_word(text, words)
        fix = f"Did you mean {near}?" if near else f"Write {', '.join(words[:-1])} or {words[-1]}."
        raise FieldError(code, f"{label} is {text}", fix)

    return read


def _read_names(reading: FileReading, node: Node, label: str) -> tuple[str, ...]:
    found: tuple[str, ...] = reading.read_items(node, label, parse_name)
    if not require_list(node, label):
        fix = "List names, or remove the line."
        raise FieldError("value-missing", f"{label} is empty", fix)
    for at, name in enumerate(found):
        if name in found[:at]:
            what = f"{label} lists {name} twice"
            raise FieldError("duplicate-key", what, "Keep one.")
    return found


def _read_expressions(reading: FileReading, node: Node, label: str) -> dict[str, str]:
    return _read_by_name(reading, node, label, text_reader(_parse_expression))


def _read_by_name(
    reading: FileReading, node: Node, label: str, reader: Callable[..., Any]
) -> dict[str, Any]:
    """Return {name: value} of a mapping whose keys are names of tables or columns."""
    if node.kind != "mapping":
        raise FieldError("mapping-expected", f"{label} must be a mapping", "Write NAME: VALUE.")
    since, found = len(reading.problems), {}
    lines: dict[str, int] = {}
    for key, value in node.children:
        try:
            name = parse_name(
                free_text_of(reading, key, f"a name in {label}"), f"a name in {label}"
            )
            if name in lines:
                raise duplicate_key_error(f"{label}.{name}", lines[name])
        except FieldError as bad:
            reading.report(key, bad)
            continue
        lines[name] = key.line
        try:
            found[name] = reader(reading, value, f"{label}.{name}")
        except FieldError as bad:
            reading.report(value, bad)
        except AlreadyReported:
            pass
    if len(reading.problems) > since:
        raise AlreadyReported
    return found


def _keep_node(_: FileReading, node: Node, __: str) -> Node:
    return node


TOP: dict[str, Reader] = {
    "version": _read_version,
    "database": text_reader(lambda text, _: text),
    "migrations": text_reader(lambda text, _: text),
    "tables": _keep_node,
}
TABLE: dict[str, Reader] = {
    "owner": _word_reader("owner-syntax", OWNERS),
    "from": text_reader(parse_name),
    "key": _read_names,
    "columns": _read_expressions,
    "back": _read_expressions,
    "drops": _read_names,
    "routes": _read_names,
    "stage": _word_reader("stage-syntax", STAGE_NAMES),
}


def _read_tables(reading: FileReading, node: Node | None) -> dict[str, TableDeclaration]:
    if node is None:
        return {}
    found: dict[str, TableDeclaration] = {}
    try:
        _read_by_name(reading, node, "tables", lambda *given: _read_table(found, *given))
    except FieldError as bad:
        reading.report(node, bad)
    except AlreadyReported:
        pass
    return found


def _read_table(
    found: dict[str, TableDeclaration], reading: FileReading, node: Node, label: str
) -> None:
    name = label.removeprefix("tables.")
    fields = reading.read_fields(node, f"{label}.", TABLE)
    if node.kind == "mapping":
        for bad in _errors_of_table(name, fields):
            reading.report(node, bad)
    values = fields.values
    found[name] = TableDeclaration(
        name,
        values.get("owner", "legacy"),
        values.get("from"),
        values.get("key", ()),
        values.get("columns", {}),
        values.get("back", {}),
        values.get("drops", ()),
        values.get("routes", ()),
        values.get("stage", FIRST),
        _places_of(node, fields),
    )


def _errors_of_table(name: str, fields: Fields) -> list[FieldError]:
    """Return which fields of a table are missing, and which have no meaning without `from`."""
    found = []
    if "owner" not in fields.nodes:
        fix = "Write owner: legacy, shared or flask."
        found.append(FieldError("required", f"table {name} has no owner", fix))
    if "from" in fields.nodes:
        if "key" not in fields.nodes:
            what = f"table {name} comes from another table and has no key"
            found.append(FieldError("required", what, "Write key: [id]."))
        if fields.values.get("owner") in ("legacy", "shared"):
            what = (
                f"table {name} comes from another table, and its owner is {fields.values['owner']}"
            )
            found.append(FieldError("owner-conflict", what, "Write owner: flask."))
        return found
    for one in MOVE_FIELDS:
        if one in fields.nodes and (one != "stage" or fields.values.get("stage") != FIRST):
            what = f"table {name} has {one} but no from"
            found.append(FieldError("required", what, "Write from: LEGACY_TABLE, or remove it."))
    return found


def _places_of(node: Node, fields: Fields) -> dict[str, Place]:
    found = {"": (node.line, node.column)}
    for name, value in fields.nodes.items():
        found[name] = (value.line, value.column)
        if name in ("columns", "back") and value.kind == "mapping":
            found |= {
                f"{name}.{key.text}": (inner.line, inner.column) for key, inner in value.children
            }
    return found


# --- how tables fit together --------------------------------------------------------------------------------


def _crosscheck(
    reading: FileReading, top: Fields, root: Node, tables: Mapping[str, TableDeclaration]
) -> None:
    if "database" not in top.nodes and any(table.source for table in tables.values()):
        what = "database is missing, and a table comes from another one"
        fix = "Write database: postgresql://USER@HOST/NAME or sqlite:///FILE."
        reading.report(root, FieldError("required", what, fix))
    sources: dict[str, str] = {}
    for table in tables.values():
        if table.source is None:
            continue
        if (bad := _error_of_source(table, table.source, tables, sources)) is not None:
            reading.report_at(table.place_of("from"), bad)
        sources.setdefault(table.source, table.name)


def _error_of_source(
    table: TableDeclaration,
    source: str,
    tables: Mapping[str, TableDeclaration],
    sources: Mapping[str, str],
) -> FieldError | None:
    """Return why a table cannot come from this one; None if it can."""
    if source == table.name:
        what = f"table {table.name} comes from itself"
        return FieldError("owner-conflict", what, "Give the new table another name.")
    if source in sources:
        what = f"tables {sources[source]} and {table.name} both come from {source}"
        return FieldError("mapping-ambiguous", what, "Let one table come from it.")
    other = tables.get(source)
    if other is not None and other.owner == "flask":
        what = f"table {table.name} comes from {source}, whose owner is flask"
        return FieldError("owner-conflict", what, f"Write owner: legacy at {source}.")
    return None
