"""Flask's session cookie with the user of Flask-Login.

Flask keeps the whole session in the cookie. Only a query of the user's row (`user_query`) shows that a user was
disabled, as the app's `user_loader` does for Flask-Login.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from overgrow.identity.formats import flask
from overgrow.identity.sessions.session_keys import SessionKeys, lookup_in, user_in
from overgrow.identity.sessions.users import UserTable
from overgrow.routing.identity import Identity, Refusal

LIFETIME_S = 31 * 86_400.0  # PERMANENT_SESSION_LIFETIME
KEYS = SessionKeys(flask.USER_ID)


@dataclass(frozen=True, slots=True)
class FlaskSessions:
    """Reads the cookie `session`."""

    secrets: Sequence[bytes] = field(repr=False)
    lifetime_s: float = LIFETIME_S
    users: UserTable | None = None
    keys: SessionKeys = KEYS

    def check(self, value: bytes, now_s: float) -> Identity | Refusal | None:
        """The result if the cookie alone determines it; None if the row of the user must be read."""
        user = self._user_in(value, now_s)
        return user if isinstance(user, Refusal) or self.users is None else None

    def read(self, value: bytes, now_s: float) -> Identity | Refusal:
        """The user whom the cookie names.

        Raises:
            StoreAway: the database of the users does not answer.

        """
        user = self._user_in(value, now_s)
        return (
            user if isinstance(user, Refusal) or self.users is None else self.users.complete(user)
        )

    def touch(self, value: bytes, now_s: float) -> bytes | None:
        """The cookie with a new time, as Flask sends it for a permanent session; None for any other session."""
        session = flask.read_session(value, self.secrets, now_s, self.lifetime_s)
        if isinstance(session, Refusal) or session.get("_permanent") is not True:
            return None
        return flask.renew(value, self.secrets[0], now_s)

    def _user_in(self, value: bytes, now_s: float) -> Identity | Refusal:
        session = flask.read_session(value, self.secrets, now_s, self.lifetime_s)
        if isinstance(session, Refusal):
            return session
        find = lookup_in(session)
        return user_in(lambda path: flask.untag(find(path)), self.keys, "flask")
