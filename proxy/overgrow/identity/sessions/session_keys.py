"""Finds the values of a session that say who the user is. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from overgrow.identity.formats.signed_text import Session, value_at
from overgrow.identity.formats.user_fields import id_text, name_text, role_names
from overgrow.routing.identity import Identity, Refusal

Lookup = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """Paths in a session: `passport.user.id` is a key in an object in an object.

    A path is None if the session lacks the value.
    """

    user: str
    name: str | None = None
    roles: str | None = None


def user_in(lookup: Lookup, keys: SessionKeys, source: str) -> Identity | Refusal:
    """The user whom a session names. `lookup` finds the value at a path."""
    value = lookup(keys.user)
    if isinstance(value, Refusal):
        return value
    if value is None or value == "":
        return Refusal("anonymous")
    user = id_text(value)
    if user is None:
        return Refusal("malformed")
    name = name_text(lookup(keys.name)) if keys.name else None
    roles = role_names(lookup(keys.roles)) if keys.roles else ()
    return Identity(user, name, roles, source=source)


def lookup_in(session: Session) -> Lookup:
    """Return a function that looks up paths in a session from JSON."""

    def find(path: str) -> object:
        if path in session:  # a key may contain a dot
            return session[path]
        return value_at(session, path.split("."))

    return find
