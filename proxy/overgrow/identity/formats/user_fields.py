"""Turns the fields of a user from sessions, rows and tokens into texts that a header may carry. Pure."""

from __future__ import annotations

from typing import Final

MAX_TEXT: Final = 255
_LARGEST_ID: Final = 1 << 128


def id_text(value: object) -> str | None:
    """The text of an id: a whole number or a short printable text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if isinstance(value, int):
        return str(value) if abs(value) < _LARGEST_ID else None
    return value if 0 < len(value) <= MAX_TEXT and value.isprintable() else None


def name_text(value: object) -> str | None:
    """A name, if it is a short printable text."""
    return id_text(value) if isinstance(value, str) else None


def role_names(value: object) -> tuple[str, ...]:
    """The names of roles: a list of texts, or one text with commas between them."""
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        return ()
    names = (name_text(each.strip()) for each in listed if isinstance(each, str))
    return tuple(dict.fromkeys(name for name in names if name))
