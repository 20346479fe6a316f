"""Values as texts that are equal exactly if the values are equal, as far as an app can tell. Pure.

1.0 and 1.00 are one number, the same moment in two time zones is one moment, and JSON has no order of keys; NULL
and '' differ. PostgreSQL makes these texts itself; for SQLite `canonical_text` does, as a function of SQL.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from overgrow.data.crossing import typed_value
from overgrow.data.mapping import MappedColumn

SQLITE_FUNCTION = "overgrow_canonical"


def canonical_sql(expression: str, column: MappedColumn, kind: str) -> str:
    """Return SQL that gives the text of an expression, as a value of a column; NULL stays NULL."""
    if kind == "sqlite":
        return f"{SQLITE_FUNCTION}(({expression}), {_family_of(column.type)!r})"
    value = typed_value(expression, column)
    type_ = column.type.lower()
    if type_.startswith("numeric") and not type_.endswith("[]"):
        return f"trim_scale({value})::text"
    if type_.startswith("timestamp") and type_.endswith("with time zone"):
        return f"({value} AT TIME ZONE 'UTC')::text"
    if type_ in ("real", "double precision"):
        return f"({value} + CAST(0 AS {type_}))::text"  # 0 and -0 are one number
    if type_ == "bytea":
        return f"encode({value}, 'hex')"
    return f'{value}::text COLLATE "C"'


def _family_of(type_: str) -> str:
    upper = type_.upper()
    if "JSON" in upper:
        return "json"
    if "DATETIME" in upper or "TIMESTAMP" in upper:
        return "time"
    return "plain"


def canonical_text(value: Any, family: str) -> str | None:
    """Return the text of a value of SQLite."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return f"x{value.hex()}"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, str) and family == "json":
        return _json_text(value)
    if isinstance(value, str) and family == "time":
        return _time_text(value)
    return str(value)


def _json_text(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def _time_text(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(" ", "microseconds")
