"""Builds the reader of one framework's sessions from an entry of `identity:`.

redis-py and PyJWT are extras (`pip install overgrow[identity]`), so that they are imported only if an entry
needs them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from overgrow.identity.formats import php as php_format
from overgrow.identity.formats.express import DAY_S
from overgrow.identity.reader import Builders, IdentityReader, Materials, StoreAway
from overgrow.identity.session_reader import SessionReader
from overgrow.identity.sessions import django, express, flask, php
from overgrow.identity.sessions.session_keys import SessionKeys
from overgrow.identity.sessions.users import UserTable
from overgrow.identity.stores.folder import FolderStore
from overgrow.identity.stores.sql import SqlStore
from overgrow.routing.identity import IdentitySource, JwtRules

if TYPE_CHECKING:
    from overgrow.identity.stores.redis import RedisStore


class Store(Protocol):
    """Anything that holds connections."""

    def close(self) -> None:
        """Close them."""
        ...


_REDIS = ("redis://", "rediss://", "unix://")


def build_django_reader(materials: Materials) -> IdentityReader:
    """The reader of Django's sessions. With a store, it also reads the user's row."""
    source = materials.source
    store = SqlStore(materials.store) if materials.store else None
    query = source.users_query or (django.USER_QUERY if source.id_key is None else None)
    users = _user_table(materials, store, query)
    sessions = django.DjangoSessions(
        (source.cookie or "").encode(),
        materials.secrets,
        source.lifetime_s or django.LIFETIME_S,
        sessions=store,
        users=users,
        session_query=source.sessions_query or django.SESSION_QUERY,
        keys=_keys(source, django.KEYS),
    )
    return SessionReader(source, sessions, _closing(store, users), takes_last=True)


def build_flask_reader(materials: Materials) -> IdentityReader:
    """The reader of Flask's session cookie. With a query, it also reads the user's row."""
    source = materials.source
    users = _user_table(materials, None, source.users_query)
    sessions = flask.FlaskSessions(
        materials.secrets,
        source.lifetime_s or flask.LIFETIME_S,
        users,
        _keys(source, flask.KEYS),
    )
    return SessionReader(source, sessions, _closing(None, users))


def build_express_reader(materials: Materials) -> IdentityReader:
    """The reader of the sessions of express-session, in Redis or in a SQL database."""
    source, url = materials.source, materials.store or ""
    store: RedisStore | SqlStore = _redis_store(url) if url.startswith(_REDIS) else SqlStore(url)
    users = _user_table(materials, store, source.users_query)
    sessions = express.ExpressSessions(
        materials.secrets,
        store,
        users,
        source.sessions_query,
        source.renewal_query,
        source.lifetime_s or DAY_S,
        _keys(source, express.KEYS),
    )
    return SessionReader(source, sessions, _closing(store, users))


def build_php_reader(materials: Materials) -> IdentityReader:
    """The reader of PHP's sessions, in files or in a SQL database.

    Raises:
        StoreAway: the store is not a folder, or no query says how it keeps sessions.

    """
    source, where = materials.source, materials.store or ""
    store = SqlStore(where) if "://" in where else FolderStore(where)
    if isinstance(store, SqlStore) and source.sessions_query is None:
        raise StoreAway("a database of PHP sessions needs sessions: SELECT ... in identity")
    users = _user_table(materials, store, source.users_query)
    sessions = php.PhpSessions(
        store,
        source.serializer or php_format.HANDLERS[0],
        source.lifetime_s or php.LIFETIME_S,
        session_query=source.sessions_query,
        renewal_query=source.renewal_query,
        users=users,
        keys=_keys(source, php.KEYS),
    )
    return SessionReader(source, sessions, _closing(store, users))


def build_jwt_reader(materials: Materials) -> IdentityReader:
    """The reader of JSON Web Tokens.

    Raises:
        StoreAway: PyJWT is not installed.

    """
    try:
        from overgrow.identity.sessions.jwt import Tokens  # noqa: PLC0415 - an extra
        from overgrow.identity.stores.key_set import KeySet, fetch_url  # noqa: PLC0415
    except ImportError:
        raise StoreAway("PyJWT is not installed: pip install overgrow[identity]") from None
    source, rules = materials.source, materials.source.jwt or JwtRules(())
    keys = KeySet(rules.jwks, fetch_url, time.monotonic) if rules.jwks else materials.secrets
    names = SessionKeys(
        source.id_key or rules.claim, source.name_key or "name", source.roles_key or "roles"
    )
    return SessionReader(source, Tokens(keys, rules, names), _closing(None, None))


def _user_table(materials: Materials, store: Store | None, query: str | None) -> UserTable | None:
    """The table of users: in the database that the entry names for users, else in that of the sessions."""
    if query is None:
        return None
    if materials.users_store is not None:
        return UserTable(SqlStore(materials.users_store), query)
    if isinstance(store, SqlStore):
        return UserTable(store, query)
    if materials.source.users_query is None:
        return None
    raise StoreAway("identity.users is a query, but its database is not named: write users.store")


def _closing(store: Store | None, users: UserTable | None) -> Callable[[], None]:
    def close() -> None:
        for each in (store, users.store if users is not None else None):
            if each is not None:
                each.close()

    return close


def _redis_store(url: str) -> RedisStore:
    try:
        from overgrow.identity.stores.redis import RedisStore  # noqa: PLC0415 - an extra
    except ImportError:
        raise StoreAway("redis-py is not installed: pip install overgrow[identity]") from None
    return RedisStore(url)


def _keys(source: IdentitySource, default: SessionKeys) -> SessionKeys:
    return SessionKeys(source.id_key or default.user, source.name_key, source.roles_key)


SESSION_BUILDERS: Builders = MappingProxyType(
    {
        "django": build_django_reader,
        "flask": build_flask_reader,
        "express": build_express_reader,
        "php": build_php_reader,
        "jwt": build_jwt_reader,
    }
)
