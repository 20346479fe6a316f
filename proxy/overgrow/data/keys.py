"""Ranges of keys, and keys as JSON in the ledger. Pure.

A range is half-open: above one key, up to and including another. None stands for no limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from overgrow.data.sql import key_of_row, parameters, quote

Key = tuple[Any, ...]


class KeyRange(NamedTuple):
    """Keys above `after`, up to and including `until`."""

    after: Key | None
    until: Key | None

    def condition(self, names: Sequence[str], row: str = "") -> tuple[str, list[Any]]:
        """Return the condition that a row's key lies in the range, and its values."""
        key, found = key_of_row(row, names), []
        values: list[Any] = []
        for limit, sign in ((self.after, ">"), (self.until, "<=")):
            if limit is not None:
                found.append(f"{key} {sign} {parameters(len(limit))}")
                values += limit
        return " AND ".join(found) or "1 = 1", values


_KINDS: dict[str, Callable[[str], Any]] = {
    "bytes": bytes.fromhex,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "decimal": Decimal,
    "uuid": UUID,
}


def key_as_json(key: Key) -> str:
    """Return a key as text, from which `key_from_json` makes an equal key."""
    return json.dumps([_plain(value) for value in key])


def key_from_json(text: str) -> Key:
    """Return the key of a text of `key_as_json`."""
    return tuple(map(_from_plain, json.loads(text)))


def _from_plain(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    return _KINDS[kind](text)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case Decimal():
            return {"decimal": str(value)}
        case UUID():
            return {"uuid": str(value)}
        case bytes():
            return {"bytes": value.hex()}
    return value


def ascending(names: Sequence[str], row: str = "") -> str:
    """Return the order of a key's columns."""
    prefix = f"{row}." if row else ""
    return ", ".join(f"{prefix}{quote(name)}" for name in names)


def descending(names: Sequence[str]) -> str:
    """Return the reverse order of a key's columns."""
    return ", ".join(f"{quote(name)} DESC" for name in names)
