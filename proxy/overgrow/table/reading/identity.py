"""`identity:` of the table: one source or a list of them, each a mapping whose fields depend on its reader.

The table names places of secrets, never secrets. So no message of this module repeats what stands in `secret` or
`store`: somebody may have written the secret itself there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from overgrow.routing.identity import (
    DEFAULT_COOKIES,
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
    "django": ("store", *_KEYS),
    "flask": _KEYS,
    "express": _KEYS,
    "php": _KEYS,
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
    for name, place in fields.nodes.items():
        if name not in known:
            what = f"identity.{name} has no meaning for the reader {reader}"
            yield place, FieldError("identity-field", what, "Remove the line.")


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
        touch_s=get("touch", 60.0),
        cache_s=get("cache", MAX_CACHE_S),
        id_key=get("id"),
        name_key=get("name"),
        roles_key=get("roles"),
        jwt=get("jwt"),
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
        return text
    raise FieldError("jwks-url", f"{label} is not an http or https URL", "Write https://HOST/PATH.")


def _read_switchable_duration(
    maximum_s: float, reading: FileReading, node: Node, label: str
) -> float | None:
    """Return a duration in seconds; None for false."""
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
    "header": _read_header,
    "jwt": _read_jwt,
}
