"""PHP's sessions: in files of a folder, or in a database by a query that routes.yaml states."""

from __future__ import annotations

from dataclasses import dataclass

from overgrow.identity.formats import php
from overgrow.identity.formats.signed_text import MAX_SESSION_BYTES
from overgrow.identity.sessions.session_keys import SessionKeys, user_in
from overgrow.identity.sessions.users import UserTable
from overgrow.identity.stores.folder import FolderStore
from overgrow.identity.stores.sql import Row, SqlStore, instant_s
from overgrow.routing.identity import Identity, Refusal

LIFETIME_S = 1440.0  # session.gc_maxlifetime
KEYS = SessionKeys("user_id")


@dataclass(frozen=True, slots=True)
class PhpSessions:
    """Reads the cookie `PHPSESSID`."""

    store: FolderStore | SqlStore
    handler: str = "php"
    lifetime_s: float = LIFETIME_S
    session_query: str | None = None
    renewal_query: str | None = None
    users: UserTable | None = None
    keys: SessionKeys = KEYS

    def check(self, value: bytes, now_s: float) -> Refusal | None:  # noqa: ARG002 - as the protocol has it
        """The reason why the value cannot be an id; None if the store must be asked."""
        return Refusal("malformed") if _session_id(value) is None else None

    def read(self, value: bytes, now_s: float) -> Identity | Refusal:
        """The user of the session that the cookie names.

        Raises:
            StoreAway: the store does not answer.

        """
        session_id = _session_id(value)
        if session_id is None:
            return Refusal("malformed")
        data = self._data(session_id, now_s)
        session = data if isinstance(data, Refusal) else php.read_session(data, self.handler)
        if isinstance(session, Refusal):
            return session
        user = user_in(lambda path: php.value_at(session, path.split(".")), self.keys, source="php")
        return (
            user if isinstance(user, Refusal) or self.users is None else self.users.complete(user)
        )

    def touch(self, value: bytes, now_s: float) -> bytes | None:
        """Renew the session, as PHP does at the end of each request.

        Raises:
            StoreAway: the store does not answer.

        """
        session_id = _session_id(value)
        if session_id is None or isinstance(self._data(session_id, now_s), Refusal):
            return None
        if isinstance(self.store, FolderStore):
            self.store.renew(session_id)
        elif self.renewal_query is not None:
            parameters = {"id": session_id, "now": now_s, "expires": now_s + self.lifetime_s}
            self.store.execute(self.renewal_query, parameters)
        return None

    def _data(self, session_id: str, now_s: float) -> bytes | Refusal:
        if isinstance(self.store, FolderStore):
            file = self.store.read(session_id, MAX_SESSION_BYTES + 1)
            if file is None:
                return Refusal("unknown-session")
            is_expired = now_s - file.used_at_s > self.lifetime_s
            return Refusal("expired") if is_expired else file.data
        rows = self.store.rows(self.session_query or "", {"id": session_id, "now": now_s})
        if not rows:
            return Refusal("unknown-session")
        return self._row_data(rows[0], now_s)

    def _row_data(self, row: Row, now_s: float) -> bytes | Refusal:
        expires_s = _expiry_of(row, self.lifetime_s)
        if expires_s is None or expires_s <= now_s:
            return Refusal("expired")
        data = row.get("data")
        if isinstance(data, bytes | bytearray | memoryview):
            return bytes(data)
        return data.encode("utf-8", "replace") if isinstance(data, str) else Refusal("malformed")


def _expiry_of(row: Row, lifetime_s: float) -> float | None:
    """The expiry of a row: its column `expires`, or its column `used` plus the lifetime.

    If it has neither, it never expires.
    """
    if "expires" in row:
        return instant_s(row["expires"])
    if "used" in row:
        used_s = instant_s(row["used"])
        return None if used_s is None else used_s + lifetime_s
    return float("inf")


def _session_id(value: bytes) -> str | None:
    text = value.decode("ascii", "replace")
    return text if php.is_session_id(text) else None
