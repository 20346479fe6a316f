"""The classes of `identity:` in routes.yaml: the user of a request, and the sources that name the user.

Pure values. A table contains the place of a secret, never its text. Only overgrow.identity knows the formats of
legacy's sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

ReaderName = Literal["django", "flask", "express", "php", "jwt", "header", "ask"]
READERS: tuple[ReaderName, ...] = ("django", "flask", "express", "php", "jwt", "header", "ask")
DEFAULT_COOKIES: Mapping[str, str] = MappingProxyType(
    {
        "django": "sessionid",
        "flask": "session",
        "express": "connect.sid",
        "php": "PHPSESSID",
    }
)
ENVIRON_KEY = "overgrow.identity"  # in a WSGI environ, and in the state of an ASGI scope
PHP_SERIALIZERS = ("php", "php_binary", "php_serialize")
NO_CLAIMS: Mapping[str, Any] = MappingProxyType({})

# Why a value signs nobody in. The words are labels of a metric, so the list is closed.
RefusalReason = Literal[
    "no-value",
    "malformed",
    "too-large",
    "bad-signature",
    "expired",
    "not-yet-valid",
    "wrong-audience",
    "wrong-issuer",
    "unknown-key",
    "unknown-session",
    "anonymous",
    "revoked",
    "disabled",
    "objects",
    "unknown-format",
    "not-trusted",
]


class Identity(NamedTuple):
    """A user whom legacy has signed in. `source` is the reader that identified the user."""

    id: str
    name: str | None = None
    roles: tuple[str, ...] = ()
    claims: Mapping[str, Any] = NO_CLAIMS
    source: str = ""

    def __repr__(self) -> str:
        """Return the repr without the user, because error reports contain the repr of local variables."""
        return f"<Identity from {self.source}>"


def environ_of_identity(identity: Identity) -> dict[str, Any]:
    """Return the environ keys of a user for a WSGI app. Headers of a client cannot have these names."""
    return {"REMOTE_USER": identity.id, ENVIRON_KEY: identity_as_dict(identity)}


def identity_as_dict(identity: Identity) -> dict[str, Any]:
    """Return an identity in the form that an app gets: a dict of plain values."""
    return {**identity._asdict(), "roles": list(identity.roles), "claims": dict(identity.claims)}


class Refusal(NamedTuple):
    """The reason why a value does not identify a user. It contains no part of the value."""

    reason: RefusalReason


class Unavailable(NamedTuple):
    """The identity is unavailable: a store does not answer, a secret is missing, or legacy gives no usable answer.

    `why` is a sentence for the log and the page. It contains no part of a secret or of a user's data.
    """

    reader: str
    why: str


Subject = Identity | Unavailable | None  # None: nobody is signed in


class SecretPlace(NamedTuple):
    """Where a secret is kept: in a variable of the environment, or in a file."""

    kind: Literal["env", "file", "dir"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class JwtRules(NamedTuple):
    """What a JSON Web Token must satisfy."""

    algorithms: tuple[str, ...]
    issuer: str | None = None
    audience: str | None = None
    jwks: str | None = None  # the URL of the public keys
    leeway_s: float = 0.0
    claim: str = "sub"  # the claim with the user's id


@dataclass(frozen=True, slots=True)
class IdentitySource:
    """One entry of `identity:`: what reads the user, from where, and by which secret.

    The first of `secrets` makes signatures, and all of them verify signatures. `store` is a database, a Redis
    server, or a folder (`dir:`). `id_key`, `name_key` and `roles_key` name values of a session; None stands for
    the reader's default.
    """

    reader: ReaderName
    cookie: str | None = None
    header: str | None = None  # in lower case
    secrets: tuple[SecretPlace, ...] = ()
    store: SecretPlace | None = None
    ask: str | None = None  # the path of legacy that says who the user is
    touch_s: float | None = 60.0  # None: legacy's sliding expiry is not renewed
    cache_s: float = 30.0
    id_key: str | None = None
    name_key: str | None = None
    roles_key: str | None = None
    jwt: JwtRules | None = None
    lifetime_s: float | None = (
        None  # how long legacy keeps a session; None: the framework's default
    )
    sessions_query: str | None = None  # SQL: the session of :id
    renewal_query: str | None = None  # SQL: renew the session of :id
    users_store: SecretPlace | None = None  # the database of the users; None: `store`
    users_query: str | None = None  # SQL: name, active and roles of the user :id
    serializer: str | None = None  # PHP's session.serialize_handler

    @property
    def is_about_all_cookies(self) -> bool:
        """Whether any cookie or Authorization header may say who the user is."""
        return self.cookie is None and self.header is None


def names_for_proxies(sources: Sequence[IdentitySource]) -> frozenset[bytes]:
    """Return the headers by which only a trusted peer may name the user. Other peers could forge them for both sides."""
    headers = (each.header for each in sources if each.reader == "header")
    return frozenset(header.encode() for header in headers if header is not None)


def carries_identity(
    sources: Sequence[IdentitySource], headers: Sequence[tuple[bytes, bytes]]
) -> bool:
    """Return whether a request has a cookie or header of one of the sources."""
    lines = [value for name, value in headers if name == b"cookie"]
    names = {name for name, _ in headers}
    for source in sources:
        if source.header is not None and source.header.encode() in names:
            return True
        if source.cookie is not None and _carries_cookie(source.cookie.encode(), lines):
            return True
        if source.is_about_all_cookies and (lines or b"authorization" in names):
            return True
    return False


def _carries_cookie(wanted: bytes, lines: Sequence[bytes]) -> bool:
    crumbs = (crumb.partition(b"=") for line in lines for crumb in line.split(b";"))
    return any(name.strip() == wanted and value.strip() for name, _, value in crumbs)
