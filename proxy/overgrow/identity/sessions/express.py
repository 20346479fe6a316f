"""The sessions of express-session, in Redis or in a SQL database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from overgrow.identity.formats import express
from overgrow.identity.formats.signed_text import Session
from overgrow.identity.sessions.session_keys import SessionKeys, lookup_in, user_in
from overgrow.identity.sessions.users import UserTable
from overgrow.identity.stores.sql import SqlStore, instant_s
from overgrow.routing.identity import Identity, Refusal

if TYPE_CHECKING:
    from overgrow.identity.stores.redis import RedisStore

REDIS_KEY = "sess::id"  # connect-redis
KEYS = SessionKeys(express.USER_ID)


@dataclass(frozen=True, slots=True)
class ExpressTable:
    """How a store of express-session keeps a session: the query that reads it, and the statement that renews it."""

    query: str
    renewal: str


# connect-pg-simple, express-mysql-session, connect-sqlite3.
TABLES: Mapping[str, ExpressTable] = {
    "postgresql": ExpressTable(
        'SELECT sess AS data FROM "session" WHERE sid = :id AND expire >= to_timestamp(:now)',
        'UPDATE "session" SET expire = to_timestamp(:expires)'
        " WHERE sid = :id AND expire < to_timestamp(:expires)",
    ),
    "mysql": ExpressTable(
        "SELECT data, expires FROM sessions WHERE session_id = :id",
        "UPDATE sessions SET expires = ROUND(:expires) WHERE session_id = :id AND expires < :expires",
    ),
    "sqlite": ExpressTable(
        "SELECT sess AS data, expired AS expires FROM sessions WHERE sid = :id",
        "UPDATE sessions SET expired = ROUND(:expires * 1000) WHERE sid = :id AND expired < :expires * 1000",
    ),
}


@dataclass(frozen=True, slots=True)
class ExpressSessions:
    """Reads the cookie `connect.sid`."""

    secrets: Sequence[bytes] = field(repr=False)
    store: RedisStore | SqlStore
    users: UserTable | None = None
    session_query: str | None = None
    renewal_query: str | None = None
    lifetime_s: float = express.DAY_S
    keys: SessionKeys = KEYS

    def check(self, value: bytes, now_s: float) -> Refusal | None:  # noqa: ARG002 - as the protocol has it
        """The reason why the cookie cannot be one of legacy's; None if the store must be asked."""
        session_id = express.read_session_id(value, self.secrets)
        return session_id if isinstance(session_id, Refusal) else None

    def read(self, value: bytes, now_s: float) -> Identity | Refusal:
        """The user of the session that the cookie names.

        Raises:
            StoreAway: the store does not answer.

        """
        session_id = express.read_session_id(value, self.secrets)
        if isinstance(session_id, Refusal):
            return session_id
        session = self._session(session_id, now_s)
        if isinstance(session, Refusal):
            return session
        user = user_in(lookup_in(session), self.keys, "express")
        return (
            user if isinstance(user, Refusal) or self.users is None else self.users.complete(user)
        )

    def touch(self, value: bytes, now_s: float) -> bytes | None:
        """Renew the session in the store, as express-session does at the end of each request.

        Raises:
            StoreAway: the store does not answer.

        """
        session_id = express.read_session_id(value, self.secrets)
        if isinstance(session_id, Refusal):
            return None
        session = self._session(session_id, now_s)
        if not isinstance(session, Refusal):
            self._renew(session_id, express.lifetime_s(session, self.lifetime_s), now_s)
        return None

    def _session(self, session_id: str, now_s: float) -> Session | Refusal:
        if not isinstance(self.store, SqlStore):
            data = self.store.get(self._redis_key(session_id))
            return Refusal("unknown-session") if data is None else express.read_stored_session(data)
        query = self.session_query or self._table(self.store).query
        rows = self.store.rows(query, {"id": session_id, "now": now_s})
        if not rows:
            return Refusal("unknown-session")
        if "expires" in rows[0]:
            expires_s = instant_s(rows[0]["expires"])
            if expires_s is None or expires_s <= now_s:
                return Refusal("expired")
        return express.read_stored_session(_json_bytes(rows[0].get("data")))

    def _renew(self, session_id: str, lifetime_s: float, now_s: float) -> None:
        if not isinstance(self.store, SqlStore):
            self.store.renew(self._redis_key(session_id), lifetime_s)
            return
        renewal = self.renewal_query
        if self.session_query is None:
            renewal = renewal or self._table(self.store).renewal
        if renewal is not None:
            parameters = {"id": session_id, "now": now_s, "expires": now_s + lifetime_s}
            self.store.execute(renewal, parameters)

    def _redis_key(self, session_id: str) -> str:
        return (self.session_query or REDIS_KEY).replace(":id", session_id)

    def _table(self, store: SqlStore) -> ExpressTable:
        return TABLES.get(store.dialect.replace("mariadb", "mysql"), TABLES["postgresql"])


def _json_bytes(value: object) -> bytes:
    """The JSON of a column. A driver may have parsed it already."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace")
