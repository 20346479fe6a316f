"""The kinds of values that parameters of the API accept: how each kind is parsed, and its JSON schema. Pure.

A value from a query or a form is text; a value from a JSON body has JSON's types. A wrong value raises
ValueError, whose message continues the words "it must be".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from overgrow.admin.api.json_text import parse_json
from overgrow.durations import parse_duration_s, write_duration

_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
LATEST_S = 253_402_300_799.0  # 9999-12-31T23:59:59Z, the latest time that can be written


class Kind(Protocol):
    """One kind of value."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of the values."""

    def from_text(self, text: str) -> Any:
        """Return the value that a text stands for."""

    def from_json(self, value: Any) -> Any:
        """Return the value that a JSON value stands for."""


class _WrittenAsText:
    """A kind whose values are JSON strings."""

    def from_text(self, text: str) -> Any:
        raise NotImplementedError

    def from_json(self, value: Any) -> Any:
        """Return the value that a JSON string stands for."""
        if not isinstance(value, str):
            raise ValueError("text")  # noqa: TRY004  the caller joins all reasons into one error
        return self.from_text(value)


@dataclass(frozen=True, slots=True)
class Text(_WrittenAsText):
    """Any text of `least` to `most` characters."""

    most: int = 200
    least: int = 0

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema."""
        return {"type": "string", "minLength": self.least, "maxLength": self.most}

    def from_text(self, text: str) -> str:
        """Return the text."""
        if not self.least <= len(text) <= self.most:
            raise ValueError(f"text of {self.least} to {self.most} characters")
        if any("\ud800" <= each <= "\udfff" for each in text):
            raise ValueError("text that UTF-8 can write")
        return text


@dataclass(frozen=True, slots=True)
class Word(_WrittenAsText):
    """One of some words."""

    words: tuple[str, ...]

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema."""
        return {"type": "string", "enum": list(self.words)}

    def from_text(self, text: str) -> str:
        """Return the word."""
        if text not in self.words:
            raise ValueError(f"one of {', '.join(self.words)}")
        return text


@dataclass(frozen=True, slots=True)
class Pattern(_WrittenAsText):
    """A text that a regular expression matches from beginning to end. `words` describe the expression in English."""

    pattern: str
    words: str

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema."""
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}

    def from_text(self, text: str) -> str:
        """Return the text."""
        if re.fullmatch(self.pattern, text, re.ASCII) is None:
            raise ValueError(self.words)
        return text


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from `least` to `most`."""

    least: int
    most: int

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def from_text(self, text: str) -> int:
        """Return the number."""
        return self.from_json(int(text) if _WHOLE.fullmatch(text) else None)

    def from_json(self, value: Any) -> int:
        """Return the number; 2.0 is the number 2 in JSON."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not self.least <= value <= self.most:
            raise ValueError(f"a whole number from {self.least} to {self.most}")
        return int(value)


@dataclass(frozen=True, slots=True)
class Time(_WrittenAsText):
    """A time in RFC 3339, such as 2026-11-30T17:02:00Z; its value is unix time in seconds.

    A time before 1970 counts as the first moment of 1970, and a time after 9999 counts as the last moment of
    9999.
    """

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema."""
        return {"type": "string", "format": "date-time"}

    def from_text(self, text: str) -> float:
        """Return the unix time."""
        wanted = "a time such as 2026-11-30T17:02:00Z"
        if not _TIME.fullmatch(text):
            raise ValueError(wanted)
        try:
            unix_s = datetime.fromisoformat(text.upper()).timestamp()
        except (ValueError, OverflowError) as error:
            raise ValueError(wanted) from error
        return min(max(unix_s, 0.0), LATEST_S)


@dataclass(frozen=True, slots=True)
class SpanKind(_WrittenAsText):
    """A whole number of seconds, minutes, hours or days, such as 10s or 1h, up to `most_s`; its value is seconds."""

    most_s: int

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema."""
        return {"type": "string", "pattern": "^[0-9]{1,9}[smhd]$"}

    def from_text(self, text: str) -> int:
        """Return the seconds."""
        seconds = parse_duration_s(text, "s", "m", "h", "d") if text.isascii() else None
        if seconds is None or not 0 < seconds <= self.most_s:
            raise ValueError(
                f"a duration such as 10s, 5m or 1h, up to {write_duration(self.most_s)}"
            )
        return int(seconds)


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object; in a form or a query it is written as JSON text.

    `members` maps each name that the object may have to the JSON schema of its value; None allows any content.
    """

    members: Mapping[str, Any] | None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema."""
        if self.members is None:
            return {"type": "object"}
        return {"type": "object", "properties": self.members, "additionalProperties": False}

    def from_text(self, text: str) -> Mapping[str, Any]:
        """Return the object."""
        try:
            return self.from_json(parse_json(text.encode()))
        except ValueError as error:
            raise ValueError("a JSON object, with each name once") from error

    def from_json(self, value: Any) -> Mapping[str, Any]:
        """Return the object."""
        if not isinstance(value, dict):
            raise ValueError("a JSON object")  # noqa: TRY004  as above
        return value
