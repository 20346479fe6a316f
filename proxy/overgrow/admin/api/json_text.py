"""Parses JSON from a client strictly: it refuses duplicate names, NaN, and deeper nesting than any field needs.

Pure.
"""

from __future__ import annotations

import json
from math import isinf
from typing import Any, NoReturn


class NameGivenTwice(ValueError):
    """An object of the JSON has the same name twice."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name[:80]!r} is given twice")
        self.name = name


def parse_json(data: bytes) -> Any:
    """Parse JSON in UTF-8.

    Raises:
        ValueError: with a message that says what is wrong; NameGivenTwice if an object has a name twice.

    """
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_build_object,
            parse_constant=_refuse_constant,
            parse_float=_parse_float,
        )
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise NameGivenTwice(name)
        found[name] = value
    return found


def _parse_float(text: str) -> float:
    if isinf(found := float(text)):
        raise ValueError("a number is too large")
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
