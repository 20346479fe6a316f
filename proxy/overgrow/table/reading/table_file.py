"""Reads the bytes, the text and the tree of routes.yaml. It limits the size of the file, and reports an empty file."""

from __future__ import annotations

from pathlib import Path

from overgrow.files import read_regular
from overgrow.yaml_file import tree
from overgrow.yaml_file.tree import Node, YamlSyntaxError

MAX_BYTES = 16 * 1024 * 1024


def read_table_file(path: Path) -> bytes:
    """Return the bytes of a file.

    If it is too large for a table (a log, for example), return only enough bytes to show that.
    """
    return read_regular(path, MAX_BYTES + 1)


def decode_text(data: bytes) -> str:
    """Return the text of the file without a byte order mark."""
    if len(data) > MAX_BYTES:
        raise YamlSyntaxError(
            "file-too-large", (1, 1), "the file is larger than 16 MiB", "Split the table."
        )
    return tree.decode_text(data)


def parse_tree(text: str) -> Node:
    """Return the document's root. If the text is not one well-formed document, raise YamlSyntaxError."""
    return tree.parse_tree(text, fix_if_empty="Write at least version: 1 and legacy.url.")
