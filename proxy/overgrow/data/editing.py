"""The stage of a table in the text of data.yaml: only that word changes, byte for byte. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from overgrow.data.database import DataError
from overgrow.data.declaration import parse_declaration
from overgrow.yaml_file.tree import Node, decode_text, parse_tree

BOM = b"\xef\xbb\xbf"


def write_stage(data: bytes, table: str, stage: str, *, file: str, env: Mapping[str, str]) -> bytes:
    """Return the file with another stage of a table.

    Raises:
        DataError: if the value is not written in a way that can be changed safely.

    """
    text = decode_text(data)
    entry = _entry_of(parse_tree(text, fix_if_empty=""), table)
    node = _value_of(entry, "stage")
    edited = _insert(text, entry, stage) if node is None else _replace(text, node, stage)
    after = (BOM if data.startswith(BOM) else b"") + edited.encode()
    before = parse_declaration(data, file=file, env=env).declaration
    found = parse_declaration(after, file=file, env=env).declaration
    if before is None or found is None or _stages(found) != {**_stages(before), table: stage}:
        line = entry.line if node is None else node.line
        what = (
            f"{file}:{line}: the stage of {table} is written in a way that cannot be edited safely"
        )
        raise DataError("shape-unknown", what, f"Write stage: {stage} there by hand.")
    return after


def _stages(declaration: object) -> dict[str, str]:
    return {table.name: table.stage for table in getattr(declaration, "tables", {}).values()}


def _entry_of(root: Node, table: str) -> Node:
    entry = _value_of(_value_of(root, "tables"), table)
    if entry is None:
        raise DataError("shape-unknown", f"the file has no table {table}", "")
    return entry


def _value_of(node: Node | None, name: str) -> Node | None:
    if node is None or node.kind != "mapping":
        return None
    return next((value for key, value in node.children if key.text == name), None)


def _replace(text: str, node: Node, stage: str) -> str:
    if node.shared or node.style not in ("", "'", '"'):
        return text
    return f"{text[: node.start]}{node.style}{stage}{node.style}{text[node.end :]}"


def _insert(text: str, entry: Node, stage: str) -> str:
    """Insert the field after `from`, with its indent; in `{}` behind a comma."""
    key, source = next((key, value) for key, value in entry.children if key.text == "from")
    if entry.shared:
        return text
    if entry.style == "flow":
        return f"{text[: source.end]}, stage: {stage}{text[source.end :]}"
    line = " " * (key.column - 1) + f"stage: {stage}"
    newline = re.search(r"\r?\n", text[source.end :])
    if newline is None:
        return f"{text}\n{line}"
    at = source.end + newline.end()
    return f"{text[:at]}{line}{newline[0]}{text[at:]}"
