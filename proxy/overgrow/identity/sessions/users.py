"""Looks up the user of an id: the name, the roles, and whether the account is still active.

The query has one parameter, `:id`. The names of its columns determine their meaning: `name`, `active`,
`password`, and `role` (a row for each role) or `roles` (separated by commas). If there is no row, the account
was deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from overgrow.identity.formats.user_fields import name_text, role_names
from overgrow.identity.stores.sql import Row, SqlStore
from overgrow.routing.identity import Identity, Refusal

_LARGEST_NUMBER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class User:
    """An account that is active."""

    name: str | None
    roles: tuple[str, ...]
    password: str | None  # the column, which is a hash: Django's sessions end when it changes

    def added_to(self, user: Identity) -> Identity:
        """The user of a session, with the name and the roles of the account."""
        return user._replace(name=self.name or user.name, roles=self.roles or user.roles)


@dataclass(frozen=True, slots=True)
class UserTable:
    """Where users are looked up."""

    store: SqlStore
    query: str

    def find(self, user_id: str) -> User | Refusal:
        """The user of an id, by one query.

        Raises:
            StoreAway: the database does not answer.

        """
        rows = self.store.rows(self.query, {"id": _parameter(user_id)})
        if not rows:
            return Refusal("revoked")
        first = rows[0]
        if "active" in first and not first["active"]:
            return Refusal("disabled")
        password = first.get("password")
        return User(
            name_text(first.get("name")),
            _roles(rows),
            password if isinstance(password, str) else None,
        )

    def complete(self, user: Identity) -> Identity | Refusal:
        """The user with the name and the roles of the account.

        Raises:
            StoreAway: the database does not answer.

        """
        account = self.find(user.id)
        if isinstance(account, Refusal):
            return account
        return account.added_to(user)


def _roles(rows: Sequence[Row]) -> tuple[str, ...]:
    listed = [row["role"] for row in rows if row.get("role")]
    return role_names([*role_names(rows[0].get("roles")), *listed])


def _parameter(user_id: str) -> str | int:
    """Return the id as a number if it is one, because a strict database does not compare numbers with texts."""
    is_number = user_id.isascii() and user_id.isdecimal() and str(int(user_id)) == user_id
    return int(user_id) if is_number and int(user_id) <= _LARGEST_NUMBER else user_id
