"""The four frameworks with a login, each with the reader of its sessions: what every test here is tried on."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from overgrow.identity.reader import Materials
from overgrow.identity.session_reader import SessionReader
from overgrow.identity.sessions.builders import SESSION_BUILDERS
from overgrow.routing.identity import Identity, IdentitySource, Refusal
from tests import postgres
from tests.logins import running
from tests.logins.running import SECRET, LoginSite, Visitor


@dataclass
class Login:
    """One running site, and what the front door would say of its visitors."""

    site: LoginSite
    source: IdentitySource
    store: str | None = None
    users_store: str | None = None
    secrets: tuple[bytes, ...] = (SECRET.encode(),)
    passwords: dict[str, str] = field(default_factory=dict)

    def password_of(self, name: str) -> dict[str, str]:
        return {"password": self.passwords[name]} if name in self.passwords else {}

    def change_password(self, name: str) -> None:
        """As an administrator does it: no session is told."""
        self.passwords[name] = secrets.token_hex(4)
        self.visitor().post("/change", user=name, password=self.passwords[name])

    def with_lifetime(self, lifetime_s: float) -> Login:
        return replace(self, source=replace(self.source, lifetime_s=lifetime_s))

    def visitor(self, name: str | None = None, **more: str) -> Visitor:
        visitor = Visitor(self.site.port)
        if name is not None:
            visitor.log_in(name, **more)
        return visitor

    def reader(self) -> SessionReader:
        materials = Materials(self.source, self.secrets, self.store, self.users_store)
        return SESSION_BUILDERS[self.source.reader](materials)

    def seen(self, visitor: Visitor) -> Any:
        """What a reader says of a visitor, as the site itself says it; the reason when it refuses."""
        return self.seen_value(visitor.cookies.get(self.source.cookie, ""))

    def seen_value(self, value: str) -> Any:
        reader = self.reader()
        outcome = reader._sessions.check(value.encode(), time.time())
        if outcome is None:
            outcome = reader._sessions.read(value.encode(), time.time())
        reader._close()
        if isinstance(outcome, Refusal):
            return outcome.reason
        assert isinstance(outcome, Identity)
        return {"id": outcome.id, "name": outcome.name, "roles": list(outcome.roles)}

    def touch(self, visitor: Visitor) -> None:
        """What the front door does when the visitor is at work on migrated."""
        reader = self.reader()
        value = visitor.cookies[self.source.cookie]
        renewed = reader._sessions.touch(value.encode(), time.time())
        reader._close()
        if renewed is not None:
            visitor.cookies[self.source.cookie] = renewed.decode()


USERS = "SELECT name, active, roles FROM users WHERE id = :id"


@contextmanager
def open_django(folder: Path, **settings: str) -> Iterator[Login]:
    with running.django_site(folder, **settings) as site:
        yield Login(site, IdentitySource("django", "sessionid"), f"sqlite:///{folder}/django.db")


@contextmanager
def open_django_cookies(folder: Path, **settings: str) -> Iterator[Login]:
    engine = "django.contrib.sessions.backends.signed_cookies"
    with open_django(folder, SESSION_ENGINE=engine, **settings) as login:
        yield login


@contextmanager
def open_django_cached(folder: Path, **settings: str) -> Iterator[Login]:
    engine = "django.contrib.sessions.backends.cached_db"
    with open_django(folder, SESSION_ENGINE=engine, **settings) as login:
        yield login


@contextmanager
def open_flask(folder: Path, **settings: str) -> Iterator[Login]:
    with running.flask_site(folder, **settings) as site:
        source = IdentitySource("flask", "session", users_query=USERS)
        yield Login(site, source, users_store=f"sqlite:///{folder}/flask.db")


@contextmanager
def open_php(folder: Path, **settings: str) -> Iterator[Login]:
    with running.php_site(folder, **settings) as site:
        source = IdentitySource("php", "PHPSESSID", users_query=USERS)
        yield Login(site, source, str(folder / "sessions"), f"sqlite:///{folder}/php.db")


@pytest.fixture(scope="session")
def database_server() -> Iterator[postgres.Server]:
    with postgres.server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_address() -> Iterator[str]:
    with running.redis_server() as address:
        yield address


@contextmanager
def open_express(
    folder: Path, database: str, redis: str | None = None, **settings: str
) -> Iterator[Login]:
    """Sessions in PostgreSQL, or in Redis; the users are in PostgreSQL."""
    where = {"REDIS": redis.removeprefix("unix:")} if redis else {}
    users = "SELECT name, active, array_to_string(roles, ',') AS roles FROM users WHERE id = :id"
    with running.express_site(folder, database, **where, **settings) as site:
        source = IdentitySource("express", "connect.sid", users_query=users)
        yield Login(site, source, redis or database, database)


SITES: dict[str, Callable[..., AbstractContextManager[Login]]] = {
    "django": open_django,
    "django-cookies": open_django_cookies,
    "django-cached": open_django_cached,
    "flask": open_flask,
    "php": open_php,
}
EXPRESS = ("express-sql", "express-redis")
KINDS = (*SITES, *EXPRESS)
Open = Callable[..., Login]


@pytest.fixture(scope="session")
def open_login(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Open]:
    """A running site by its kind and settings; it is started once, and all end together."""
    opened: dict[tuple[str, ...], Login] = {}
    with ExitStack() as stack:

        def open_site(kind: str, **settings: str) -> Login:
            key = (kind, *settings.items())
            if key not in opened:
                opened[key] = stack.enter_context(site_of(kind, **settings))
            return opened[key]

        def site_of(kind: str, **settings: str) -> AbstractContextManager[Login]:
            folder = tmp_path_factory.mktemp(kind)
            if kind not in EXPRESS:
                return SITES[kind](folder, **settings)
            database = request.getfixturevalue("database_server").database()
            redis = request.getfixturevalue("redis_address") if kind == EXPRESS[1] else None
            return open_express(folder, database, redis, **settings)

        yield open_site
