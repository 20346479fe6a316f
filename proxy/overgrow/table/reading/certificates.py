"""Checks whether the certificate file that a table names can be used. A table needs no other file.

If its certificates could not be read, a table would cut off legacy. Such a table must not take effect.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from overgrow.files import ANSWER_S, read_regular, within
from overgrow.table.reading.parse import ParsedTable
from overgrow.table.reading.table_file import decode_text, parse_tree
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.tree import Node


def reject_unusable_certificates(loaded: ParsedTable, data: bytes, file: str) -> ParsedTable:
    """Return the table. If legacy has an https address and its certificates cannot be used, return a problem."""
    legacy = loaded.table.legacy if loaded.table else None
    if legacy is None or legacy.tls_ca is None or not legacy.url.startswith("https:"):
        return loaded
    why = _unusable_reason(legacy.tls_ca)
    if why is None:
        return loaded
    place = _field(_field(parse_tree(decode_text(data)), "legacy"), "tls_ca")
    what = f"legacy.tls_ca is {legacy.tls_ca}, which cannot be used: {why}"
    fix = "Name a file with certificates in PEM form; once it is fixed, save this file again."
    problem = Problem("tls-ca", file, place.line, place.column, None, what, fix)
    return ParsedTable(None, (problem,), loaded.notes)


def _unusable_reason(path: str) -> str | None:
    import ssl  # noqa: PLC0415  slow to import, and most tables name no certificates

    try:
        within(ANSWER_S, Path(path), partial(_load_certificates, path))
    except ssl.SSLError:
        return "it holds no certificate in PEM form"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _load_certificates(path: str) -> None:
    import ssl  # noqa: PLC0415  as above

    read_regular(Path(path), 1)  # OpenSSL would wait for a writer of a FIFO
    ssl.create_default_context(cafile=path)


def _field(node: Node, name: str) -> Node:
    found: Node = next(value for key, value in node.children if key.text == name)
    return found
