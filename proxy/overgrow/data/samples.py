"""Makes sample rows of a legacy table, to find mappings that lose values.

Each column goes through several values. Pure.
"""

from __future__ import annotations

from overgrow.data.catalog import Column, TableShape
from overgrow.data.mapping import TableMapping
from overgrow.data.sql import quote, quote_text

_INTEGERS = (*range(-120, 2_500), 9_999, 12_345, 32_767, 99_999, 123_457, 1_000_001)
_TEXTS = ("", " ", "a", "A b ", "O'Hara", "Söhne", "0", "1", "NULL", "x" * 40)
_NUMBERS = ("0", "1", "-1", "0.01", "1.15", "2.5", "19.99", "1234.56", "-0.5")
_TIMES = ("2025-03-01 08:15:00", "2025-10-26 01:30:00", "1999-12-31 23:59:59.999999")


def sample_rows(old: TableShape, mapping: TableMapping, kind: str) -> str:
    """Return a SELECT of sample rows with the legacy table's mapped columns."""
    columns = [old.columns[one.name] for one in mapping.old.columns]
    values = [_values_of(column, kind) for column in columns]
    count = max(map(len, values))
    rows = ", ".join(
        "(" + ", ".join(one[at % len(one)] for one in values) + ")" for at in range(count)
    )
    if kind == "sqlite":
        names = ", ".join(f"column{at + 1} AS {quote(one.name)}" for at, one in enumerate(columns))
        return f"SELECT {names} FROM (VALUES {rows})"
    names = ", ".join(f"{quote(one.name)}" for one in columns)
    return f"SELECT * FROM (VALUES {rows}) AS samples({names})"


def _values_of(column: Column, kind: str) -> list[str]:
    """Return literals of a column's type. Literals that do not fit its length or scale are left out."""
    found = _literals_of(column.type.lower(), kind)
    if kind == "postgresql":
        found = [f"CAST({literal} AS {column.type})" for literal in found]
    nothing = "NULL" if kind == "sqlite" else f"CAST(NULL AS {column.type})"
    return [*found, nothing] if column.is_nullable or not found else found


def _literals_of(type_: str, kind: str) -> list[str]:
    if "bool" in type_:
        return ["0", "1"] if kind == "sqlite" else ["true", "false"]
    if "interval" not in type_ and ("int" in type_ or "serial" in type_):
        most = 127 * 258 if "small" in type_ else 2**31
        return [str(number) for number in _INTEGERS if abs(number) < most]
    if any(word in type_ for word in ("numeric", "decimal", "real", "double", "float")):
        return [f"({number})" for number in _NUMBERS]
    if any(word in type_ for word in ("char", "text", "clob")):
        return [quote_text(text) for text in _TEXTS]
    if "timestamp" in type_ or type_ == "datetime":
        return [quote_text(time) for time in _TIMES]
    if type_ == "date":
        return [quote_text(time[:10]) for time in _TIMES]
    return []
