"""Short functions that return JSON schemas of answers. Pure.

Later versions may add keys to a response, so that the schema of a record always allows additional keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
ANYTHING: Schema = {}
SIDE: Schema = {"type": "string", "enum": ["legacy", "migrated"]}


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(schema: Schema, most: int | None = None) -> Schema:
    """Return the schema of a list, of at most `most` items."""
    return {"type": "array", "items": schema} | ({} if most is None else {"maxItems": most})


def map_of(schema: Schema) -> Schema:
    """Return the schema of an object whose names are data, such as names of routes."""
    return {"type": "object", "additionalProperties": schema}


def record(
    properties: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None
) -> Schema:
    """Return the schema of an object that always has the keys of `properties`, and may have those of `optional`."""
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
    }
