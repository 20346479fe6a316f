"""`identity:` of the table: one source or a list of them, each a mapping whose fields depend on its reader.

The table names places of secrets, never secrets. Messages of this module never repeat the values of `secret`
and `store`, because somebody may have written the secret itself there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from overgrow import durations
from overgrow.routing.identity import (
    DEFAULT_COOKIES,
    PHP_SERIALIZERS,
    READERS,
    IdentitySource,
    JwtRules,
    ReaderName,
    SecretPlace,
)
from overgrow.table.reading import values as v
from overgrow.table.reading.grammar import list_reader, word_reader
from overgrow.yaml_file.fields import (
    AlreadyReported,
    Fields,
    FileReading,
    Reader,
    free_text_of,
    scalar_of,
    scalar_reader,
    text_reader,
)
from overgrow.yaml_file.scalars import FieldError
from overgrow.yaml_file.tree import Node

ALGORITHMS = (
    *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512"),
    *("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"),
)
MAX_LIFETIME_S = 10 * 365 * 86_400.0
# Django renews a session only with SESSION_SAVE_EVERY_REQUEST, so a front door does it only when told.
_DEFAULT_TOUCH_S: dict[ReaderName, float | None] = {"django": None}
MAX_CACHE_S = 30.0  # a user who was locked out must not stay longer
# reader -> the fields it cannot do without, and those it can use beside `cookie`, `touch` and `cache`
_NEEDS: dict[ReaderName, tuple[str, ...]] = {
    "django": ("secret",),
    "flask": ("secret",),
    "express": ("secret", "store"),
    "php": ("store",),
    "jwt": ("jwt",),
    "header": ("header",),
    "ask": ("ask",),
}
_KEYS = ("id", "name", "roles")
_USES: dict[ReaderName, tuple[str, ...]] = {
    "django": ("store", "lifetime", "sessions", "users", *_KEYS),
    "flask": ("lifetime", "users", *_KEYS),
    "express": ("lifetime", "sessions", "renewal", "users", *_KEYS),
    "php": ("lifetime", "sessions", "renewal", "users", "serializer", *_KEYS),
    "jwt": ("secret", "header", *_KEYS),
    "header": (),
    "ask": _KEYS,
}


def read_identity(reading: FileReading, node: Node | None) -> tuple[IdentitySource, ...]:
    """Return the sources of `identity`, in file order; report what is wrong with them."""
    if node is None:
        return ()
    entries: Sequence[Node] = node.children if node.kind == "list" else [node]
    if not entries:
        fix = "Write from: and the fields of the reader, or remove the line."
        reading.report(node, FieldError("value-missing", "identity is empty", fix))
    return tuple(source for entry in entries for source in _read_source(reading, entry))


def _read_source(reading: FileReading, node: Node) -> Iterator[IdentitySource]:
    since = len(reading.problems)
    fields = reading.read_fields(node, "identity.", IDENTITY)
    if node.kind == "mapping":
        for place, bad in _find_conflicts(node, fields):
            reading.report(place, bad)
    if len(reading.problems) == since:
        yield _build_source(fields.values)


def _find_conflicts(node: Node, fields: Fields) -> Iterator[tuple[Node, FieldError]]:
    """Yield (node, error) for fields that are missing, or that do not belong to the reader."""
    if "from" not in fields.nodes:
        fix = f"Write from: and one of {', '.join(READERS)}."
        yield node, FieldError("required", "identity.from is missing", fix)
    reader: ReaderName | None = fields.values.get("from")
    if reader is None:
        return
    for name in _NEEDS[reader]:
        if name not in fields.nodes:
            what = f"identity.{name} is missing, which the reader {reader} needs"
            yield node, FieldError("required", what, f"Write {_EXAMPLES[name]}.")
    jwt: JwtRules | None = fields.values.get("jwt")
    if reader == "jwt" and jwt is not None and jwt.jwks is None and "secret" not in fields.nodes:
        what = "identity.secret is missing, and identity.jwt names no jwks"
        yield node, FieldError("required", what, f"Write {_EXAMPLES['secret']}, or jwks: URL.")
    known = {"from", "cookie", "touch", "cache", *_NEEDS[reader], *_USES[reader]}
    if reader == "header":
        known.discard("cookie")
    yield from _find_missing_stores(reader, fields)
    for name, place in fields.nodes.items():
        if name not in known:
            what = f"identity.{name} has no meaning for the reader {reader}"
            yield place, FieldError("identity-field", what, "Remove the line.")


def _find_missing_stores(reader: ReaderName, fields: Fields) -> Iterator[tuple[Node, FieldError]]:
    """Yield (node, error) for queries without a database."""
    users: Users = fields.values.get("users", NO_USERS)
    store: SecretPlace | None = fields.values.get("store")
    is_database = "store" in fields.nodes and (store is None or store.kind != "dir")
    has_place = users.store is not None or (is_database and reader != "flask")
    if users.query is not None and not has_place:
        what = "identity.users has a query, but no database to ask"
        fix = "Write users: {store: env:USERS_DB, query: SELECT ...}."
        yield fields.nodes["users"], FieldError("required", what, fix)
    if reader == "django" and "sessions" in fields.nodes and "store" not in fields.nodes:
        what = "identity.sessions is a query, but there is no database to ask"
        yield fields.nodes["sessions"], FieldError("required", what, f"Write {_EXAMPLES['store']}.")


class Users(NamedTuple):
    """Where users are looked up."""

    store: SecretPlace | None = None
    query: str | None = None


NO_USERS = Users()
_EXAMPLES = {
    "secret": "secret: env:LEGACY_SECRET",
    "store": "store: env:LEGACY_DB",
    "jwt": "jwt: {algorithms: [RS256], jwks: URL}",
    "header": "header: {name: X-Forwarded-User}",
    "ask": "ask: /whoami",
}


def _build_source(values: dict[str, Any]) -> IdentitySource:
    get = values.get
    reader: ReaderName = values["from"]
    header = get("header")
    if reader == "jwt" and header is None and get("cookie") is None:
        header = "authorization"
    return IdentitySource(
        reader=reader,
        cookie=get("cookie", DEFAULT_COOKIES.get(reader)),
        header=header,
        secrets=get("secret", ()),
        store=get("store"),
        ask=get("ask"),
        touch_s=get("touch", _DEFAULT_TOUCH_S.get(reader, 60.0)),
        cache_s=get("cache", MAX_CACHE_S),
        id_key=get("id"),
        name_key=get("name"),
        roles_key=get("roles"),
        jwt=get("jwt"),
        lifetime_s=get("lifetime"),
        sessions_query=get("sessions"),
        renewal_query=get("renewal"),
        users_store=get("users", NO_USERS).store,
        users_query=get("users", NO_USERS).query,
        serializer=get("serializer"),
    )


def _read_secrets(reading: FileReading, node: Node, label: str) -> tuple[SecretPlace, ...]:
    """Return the places of the secrets: one, or a list whose first one signs."""
    if node.kind != "list":
        return (_parse_secret_place(free_text_of(reading, node, label), label),)
    if not node.children:
        fix = f"Write {_EXAMPLES['secret']}, or remove the line."
        raise FieldError("value-missing", f"{label} is empty", fix)
    return reading.read_items(node, label, _parse_secret_place)


def _parse_secret_place(text: str, label: str) -> SecretPlace:
    place = _parse_place(text)
    if place is not None and place.kind != "dir":
        return place
    what = (
        f"{label} must name the place of the secret; the secret itself does not belong in the table"
    )
    raise FieldError("secret-place", what, "Write env:NAME or file:/PATH.")


def _parse_store(text: str, label: str) -> SecretPlace:
    place = _parse_place(text)
    if place is not None:
        return place
    what = (
        f"{label} must name the place of a URL, or a folder; the URL itself may contain a password"
    )
    raise FieldError("secret-place", what, "Write env:NAME, file:/PATH or dir:/PATH.")


def _parse_place(text: str) -> SecretPlace | None:
    kind, _, name = text.partition(":")
    if kind == "env" and name.isidentifier():
        return SecretPlace("env", name)
    if kind in {"file", "dir"} and name.startswith("/") and "\0" not in name:
        return SecretPlace("file" if kind == "file" else "dir", name)
    return None


def _read_users(reading: FileReading, node: Node, label: str) -> Users:
    """Return the query of users, and its database if it differs from that of the sessions."""
    if node.kind != "mapping":
        return Users(None, _parse_query(free_text_of(reading, node, label), label))
    fields = reading.read_fields(node, f"{label}.", USERS)
    if "query" not in fields.nodes:
        fix = "Write query: SELECT name, active, role FROM ... WHERE id = :id."
        reading.report(node, FieldError("required", f"{label}.query is missing", fix))
    if "query" not in fields.values:
        raise AlreadyReported
    return Users(fields.values.get("store"), fields.values["query"])


def _parse_query(text: str, label: str) -> str:
    """Return a query, which must name the id that it is about."""
    if ":id" in text:
        return text
    what = f"{label} does not name :id, so it would be about every session or user"
    raise FieldError("identity-query", what, "Write WHERE ... = :id.")


def _parse_user_store(text: str, label: str) -> SecretPlace:
    place = _parse_place(text)
    if place is not None and place.kind != "dir":
        return place
    what = f"{label} must name the place of a URL; the URL itself may contain a password"
    raise FieldError("secret-place", what, "Write env:NAME or file:/PATH.")


def _parse_lifetime_s(text: str, label: str) -> float:
    value = durations.parse_duration_s(text, "s", "m", "h", "d")
    if value is not None and 0 < value <= MAX_LIFETIME_S:
        return value
    what = f"{label} is {text}; a lifetime lies between 1s and {MAX_LIFETIME_S / 86_400:g}d"
    raise FieldError(
        "duration-syntax", what, "Write a whole number with s, m, h or d, such as 14d."
    )


def _parse_header_name(text: str, label: str) -> str:
    if v.TOKEN.fullmatch(text):
        return text.lower()
    what = f"{label} is {text!r}, which is not a header name"
    raise FieldError("predicate-syntax", what, "Write a name such as X-Forwarded-User.")


def _read_header(reading: FileReading, node: Node, label: str) -> str:
    if node.kind != "mapping":
        return _parse_header_name(free_text_of(reading, node, label), label)
    fields = reading.read_fields(node, f"{label}.", HEADER)
    if "name" not in fields.nodes:
        fix = "Write name: X-Forwarded-User."
        reading.report(node, FieldError("required", f"{label}.name is missing", fix))
    if "name" not in fields.values:
        raise AlreadyReported
    return str(fields.values["name"])


def _read_jwt(reading: FileReading, node: Node, label: str) -> JwtRules:
    since = len(reading.problems)
    fields = reading.read_fields(node, f"{label}.", JWT)
    is_empty = fields.values.get("algorithms") == ()
    if node.kind == "mapping" and ("algorithms" not in fields.nodes or is_empty):
        what = f"{label}.algorithms is missing; a token must not choose how it is verified"
        reading.report(node, FieldError("required", what, "Write algorithms: [RS256]."))
    if len(reading.problems) > since:
        raise AlreadyReported
    get = fields.values.get
    return JwtRules(
        algorithms=fields.values["algorithms"],
        issuer=get("issuer"),
        audience=get("audience"),
        jwks=get("jwks"),
        leeway_s=get("leeway", 0.0),
        claim=get("claim", "sub"),
    )


def _parse_jwks_url(text: str, label: str) -> str:
    if text.startswith(("https://", "http://")) and not any(each.isspace() for each in text):
        if "@" in text.split("/")[2]:  # a table is shown to many
            what = f"{label} contains a user or a password, and these are shown with the table"
            raise FieldError("jwks-url", what, "Write https://HOST/PATH: these keys are public.")
        return text
    raise FieldError("jwks-url", f"{label} is not an http or https URL", "Write https://HOST/PATH.")


def _read_switchable_duration(
    maximum_s: float, reading: FileReading, node: Node, label: str
) -> float | None:
    """Return a duration in seconds; None if the value is false."""
    text = scalar_of(reading, node, label)
    if text == "false" and not node.style:
        return None
    value = v.parse_duration_s(text, label)
    if value > maximum_s:
        what = f"{label} is {text}; the most is {maximum_s:g}s"
        raise FieldError("number-out-of-range", what, f"Write {maximum_s:g}s or less.")
    return value


def _read_cache(reading: FileReading, node: Node, label: str) -> float:
    return _read_switchable_duration(MAX_CACHE_S, reading, node, label) or 0.0


def _keep_text(text: str, _: str) -> str:
    return text


USERS: dict[str, Reader] = {
    "store": text_reader(_parse_user_store),
    "query": text_reader(_parse_query),
}
HEADER: dict[str, Reader] = {"name": text_reader(_parse_header_name)}
JWT: dict[str, Reader] = {
    "algorithms": list_reader(
        lambda text, label: v.parse_word(text, f"a name in {label}", ALGORITHMS)
    ),
    "issuer": text_reader(_keep_text),
    "audience": text_reader(_keep_text),
    "jwks": text_reader(_parse_jwks_url),
    "leeway": scalar_reader(v.parse_duration_s),
    "claim": text_reader(_keep_text),
}
IDENTITY: dict[str, Reader] = {
    "from": word_reader(*READERS),
    "cookie": text_reader(v.parse_cookie_name),
    "secret": _read_secrets,
    "store": text_reader(_parse_store),
    "ask": text_reader(v.parse_probe_path),
    "touch": partial(_read_switchable_duration, v.MAX_DURATION_S),
    "cache": _read_cache,
    "id": text_reader(_keep_text),
    "name": text_reader(_keep_text),
    "roles": text_reader(_keep_text),
    "lifetime": scalar_reader(_parse_lifetime_s),
    "sessions": text_reader(_parse_query),
    "renewal": text_reader(_parse_query),
    "users": _read_users,
    "serializer": word_reader(*PHP_SERIALIZERS),
    "header": _read_header,
    "jwt": _read_jwt,
}
