"""Reads data.yaml for the commands of `overgrow data`: exit 1 with every problem, or the declaration."""

from __future__ import annotations

import os
from pathlib import Path

from overgrow.cli.context import Invocation
from overgrow.cli.failures import Failed, InvalidTable
from overgrow.cli.file_deadline import file_deadline
from overgrow.data.declaration import (
    FILE,
    MAX_BYTES,
    DataDeclaration,
    ParsedData,
    TableDeclaration,
    parse_declaration,
)
from overgrow.files import read_regular
from overgrow.text import join_or
from overgrow.yaml_file.scalars import nearest_word


def data_file(call: Invocation) -> Path:
    """Return the path of data.yaml: beside the route table."""
    return call.config.parent / FILE


def read_data_file(call: Invocation) -> bytes:
    """Return the bytes of data.yaml. If it cannot be read, exit 1 with the fix."""
    path = data_file(call)
    try:
        with file_deadline(call):
            return read_regular(path, MAX_BYTES + 1)
    except FileNotFoundError as error:
        fix = "Write version: 1 and tables there; docs/moving-data.md has an example."
        raise Failed("data-missing", f"{path} does not exist.", fix) from error
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror or error}."
        raise Failed("file-unusable", what, "Check its permissions.") from error


def parse_data_file(call: Invocation) -> ParsedData:
    """Parse data.yaml with the variables of the environment."""
    return parse_declaration(read_data_file(call), file=str(data_file(call)), env=os.environ)


def load_declaration(call: Invocation) -> DataDeclaration:
    """Return the declaration. If it is invalid, exit 1 with every problem."""
    parsed = parse_data_file(call)
    if parsed.declaration is None:
        raise InvalidTable(data_file(call), parsed.problems)
    return parsed.declaration


def require_move(declaration: DataDeclaration, name: str) -> TableDeclaration:
    """Return the declaration of a table that moves. For any other name, exit 1 with the nearest names."""
    table = declaration.tables.get(name)
    if table is not None and table.source is not None:
        return table
    names = [one.name for one in declaration.moves]
    if table is not None:
        what = f"{declaration.file}: table {name} comes from no other table, so it has no stages."
        raise Failed("unknown-table", what, "Write from: LEGACY_TABLE and key: [id] at it.")
    near = nearest_word(name, names)
    fix = f"Did you mean {near}?" if near else f"Tables that move: {join_or(names) or 'none'}."
    raise Failed("unknown-table", f"{declaration.file} has no table {name}.", fix)
