"""Builds pieces of SQL with the same meaning in both databases: quoted names, lists, comparisons. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from overgrow.data.database import PARAMETER


def quote(name: str) -> str:
    """Return a name as SQL reads it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def quote_table(name: str, kind: str) -> str:
    """Return a table's name as SQL reads it; in PostgreSQL a dot separates its schema."""
    return quote(name) if kind == "sqlite" else ".".join(map(quote, name.split(".", 1)))


def quote_text(text: str) -> str:
    """Return a text as an SQL literal. Backslashes have no special meaning in it."""
    return "'" + text.replace("'", "''") + "'"


def quote_list(names: Iterable[str]) -> str:
    """Return quoted names, separated by commas."""
    return ", ".join(map(quote, names))


def key_of_row(row: str, names: Sequence[str]) -> str:
    """Return the key of a row, such as `(NEW."a", NEW."b")`; `row` is empty for a row without a name."""
    prefix = f"{row}." if row else ""
    return "(" + ", ".join(f"{prefix}{quote(name)}" for name in names) + ")"


def parameters(count: int) -> str:
    """Return a row of as many parameters."""
    return "(" + ", ".join([PARAMETER] * count) + ")"
