"""Django's sessions: in signed cookies or in the database, and plain signed cookies.

With a store, the user's row is read too. As in Django, the session then ends if the password changes or the
account is disabled or deleted. Without a store, a cookie stays valid until it expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from overgrow.identity.formats import django
from overgrow.identity.formats.signed_text import Session
from overgrow.identity.sessions.session_keys import SessionKeys, lookup_in, user_in
from overgrow.identity.sessions.users import UserTable
from overgrow.identity.stores.sql import SqlStore, instant_s
from overgrow.routing.identity import Identity, Refusal

LIFETIME_S = 14 * 86_400.0  # SESSION_COOKIE_AGE
KEYS = SessionKeys(django.USER_ID)
SESSION_QUERY = "SELECT session_data AS data, expire_date AS expires FROM django_session WHERE session_key = :id"
RENEWAL = (
    "UPDATE django_session SET expire_date = :expires"
    " WHERE session_key = :id AND expire_date < :expires"
)
USER_QUERY = (
    "SELECT u.username AS name, u.password AS password, u.is_active AS active, g.name AS role"
    " FROM auth_user u LEFT JOIN auth_user_groups m ON m.user_id = u.id"
    " LEFT JOIN auth_group g ON g.id = m.group_id WHERE u.id = :id ORDER BY g.name"
)


@dataclass(frozen=True, slots=True)
class DjangoSessions:
    """Reads the cookie `sessionid`."""

    cookie: bytes
    secrets: Sequence[bytes] = field(repr=False)
    lifetime_s: float = LIFETIME_S
    sessions: SqlStore | None = None
    users: UserTable | None = None
    session_query: str = SESSION_QUERY
    keys: SessionKeys = KEYS

    def check(self, value: bytes, now_s: float) -> Identity | Refusal | None:
        """The result if the cookie alone determines it; None if the database must be asked."""
        if _is_row_key(value):
            return Refusal("malformed") if self.sessions is None else None
        session = self._cookie_session(value, now_s)
        user = session if isinstance(session, Refusal) else self._user_in(session)
        return user if isinstance(user, Refusal) or self.users is None else None

    def read(self, value: bytes, now_s: float) -> Identity | Refusal:
        """The user whom the cookie names.

        Raises:
            StoreAway: the database does not answer.

        """
        session = self._session(value, now_s)
        if isinstance(session, Refusal):
            return session
        user = self._user_in(session)
        if isinstance(user, Refusal) or self.users is None:
            return user
        return self._with_account(user, session, self.users)

    def touch(self, value: bytes, now_s: float) -> bytes | None:
        """Renew the session as SESSION_SAVE_EVERY_REQUEST does. If the session is in the cookie, return a new cookie.

        Raises:
            StoreAway: the database does not answer.

        """
        session = self._session(value, now_s)
        if isinstance(session, Refusal) or django.USER_ID not in session:
            return None
        lifetime_s = self._lifetime_of(session)
        if lifetime_s is None:
            return None
        if not _is_row_key(value):
            return self._renewed_cookie(value, now_s)
        if self.sessions is not None:
            expires = datetime.fromtimestamp(now_s + lifetime_s, UTC)
            self.sessions.execute(
                RENEWAL, {"id": value.decode(), "expires": _column_time(expires, self.sessions)}
            )
        return None

    def _renewed_cookie(self, value: bytes, now_s: float) -> bytes | None:
        """Return the session's cookie with a new time. Return None for a plain signed cookie: Django never renews one."""
        value = django.unquote(value)
        session = django.read_cookie_session(value, self.secrets, now_s, self.lifetime_s)
        if isinstance(session, Refusal):
            return None
        return django.sign(_payload(value), django.COOKIE_SALT, self.secrets[0], now_s)

    def _session(self, value: bytes, now_s: float) -> Session | Refusal:
        if _is_row_key(value):
            return self._row_session(value.decode("ascii"), now_s)
        return self._cookie_session(value, now_s)

    def _user_in(self, session: Session) -> Identity | Refusal:
        return user_in(lookup_in(session), self.keys, "django")

    def _cookie_session(self, value: bytes, now_s: float) -> Session | Refusal:
        value = django.unquote(value)
        session = django.read_cookie_session(value, self.secrets, now_s, self.lifetime_s)
        if session != Refusal("bad-signature"):
            return session
        text = django.read_signed_cookie(value, self.cookie, self.secrets, now_s, self.lifetime_s)
        return text if isinstance(text, Refusal) else {self.keys.user: text}

    def _row_session(self, session_key: str, now_s: float) -> Session | Refusal:
        if self.sessions is None:
            return Refusal("malformed")
        rows = self.sessions.rows(self.session_query, {"id": session_key, "now": now_s})
        if not rows:
            return Refusal("unknown-session")
        expires_s = instant_s(rows[0].get("expires"))
        if expires_s is None or expires_s <= now_s:
            return Refusal("expired")
        data = rows[0].get("data")
        if not isinstance(data, str):
            return Refusal("malformed")
        return django.read_row_session(data.encode("utf-8", "replace"), self.secrets)

    def _with_account(
        self, user: Identity, session: Session, users: UserTable
    ) -> Identity | Refusal:
        account = users.find(user.id)
        if isinstance(account, Refusal):
            return account
        has_password = django.USER_ID in session and account.password is not None
        if has_password and not django.is_current_password(
            session, account.password or "", self.secrets
        ):
            return Refusal("revoked")
        return account.added_to(user)

    def _lifetime_of(self, session: Session) -> float | None:
        """How long a renewed session lives; None for one that ends at a fixed date."""
        own = session.get("_session_expiry")
        if own is None or own == 0:
            return self.lifetime_s
        if isinstance(own, bool) or not isinstance(own, int | float):
            return None
        return float(own) if own > 0 else None


def _is_row_key(value: bytes) -> bool:
    return value.isascii() and django.is_session_key(value.decode("ascii"))


def _payload(value: bytes) -> bytes:
    return value.rpartition(b":")[0].rpartition(b":")[0]


def _column_time(expires: datetime, store: SqlStore) -> datetime | str:
    """The time in Django's notation: with a time zone in PostgreSQL, else in UTC without a zone."""
    if store.dialect == "postgresql":
        return expires
    return expires.replace(tzinfo=None).isoformat(" ", "microseconds")
