"""JSON Web Tokens, by PyJWT. Pure: the keys come in by argument.

The list of algorithms in routes.yaml decides; the `alg` of a token only chooses from it, and `none` is in no list. A
token without `exp` is refused: it could never be revoked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import jwt

from overgrow.identity.formats.signed_text import MAX_COOKIE_BYTES
from overgrow.identity.formats.user_fields import id_text, name_text, role_names
from overgrow.routing.identity import Identity, JwtRules, Refusal

Key = bytes | jwt.PyJWK
Reason = Literal["expired", "not-yet-valid", "wrong-audience", "wrong-issuer", "bad-signature"]

_REASONS: Final[Sequence[tuple[type[Exception], Reason]]] = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not-yet-valid"),
    (jwt.InvalidAudienceError, "wrong-audience"),
    (jwt.InvalidIssuerError, "wrong-issuer"),
    (jwt.InvalidSignatureError, "bad-signature"),
    (jwt.InvalidAlgorithmError, "bad-signature"),
)


def token_of(value: bytes) -> bytes:
    """The token in the value of a cookie or of a header `Authorization: Bearer TOKEN`."""
    scheme, space, token = value.partition(b" ")
    return token.strip() if space and scheme.lower() == b"bearer" else value


def key_id_of(token: bytes) -> str | Refusal | None:
    """The `kid` of a token, which no signature has vouched for yet."""
    if len(token) > MAX_COOKIE_BYTES:
        return Refusal("too-large")
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        return Refusal("malformed")
    return key_id if key_id is None or isinstance(key_id, str) else Refusal("malformed")


def read_token(
    token: bytes, keys: Sequence[Key], rules: JwtRules, now_s: float
) -> Identity | Refusal:
    """The user of a token that one of the keys has signed."""
    if len(token) > MAX_COOKIE_BYTES:
        return Refusal("too-large")
    refusal = Refusal("unknown-key")
    for key in keys:
        claims = _claims_by(key, token, rules)
        if not isinstance(claims, Refusal):
            return _in_time(claims, rules, now_s) or _user_of(claims, rules)
        refusal = claims
        if refusal.reason != "bad-signature":
            return refusal
    return refusal


def _claims_by(key: Key, token: bytes, rules: JwtRules) -> Mapping[str, Any] | Refusal:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=list(rules.algorithms),
            audience=rules.audience,
            issuer=rules.issuer,
            options={
                "require": ["exp", rules.claim],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": rules.audience is not None,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        return Refusal(
            next((why for kind, why in _REASONS if isinstance(error, kind)), "malformed")
        )


def _in_time(claims: Mapping[str, Any], rules: JwtRules, now_s: float) -> Refusal | None:
    expires, begins = claims["exp"], claims.get("nbf", 0)
    if not (_is_number(expires) and _is_number(begins)):
        return Refusal("malformed")
    if now_s >= expires + rules.leeway_s:
        return Refusal("expired")
    return Refusal("not-yet-valid") if now_s < begins - rules.leeway_s else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _user_of(claims: Mapping[str, Any], rules: JwtRules) -> Identity | Refusal:
    user = id_text(claims[rules.claim])
    if user is None:
        return Refusal("malformed")
    roles = role_names(claims.get("roles") or claims.get("groups"))
    return Identity(user, name_text(claims.get("name")), roles, dict(claims), "jwt")
