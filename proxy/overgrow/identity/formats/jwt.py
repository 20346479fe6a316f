"""JSON Web Tokens, by PyJWT. Pure: the keys come in by argument.

The list of algorithms in routes.yaml decides: the `alg` of a token can only choose from this list, which never
contains `none`. A token without `exp` is refused, because it would be valid for ever.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import jwt

from overgrow.identity.formats.signed_text import MAX_COOKIE_BYTES
from overgrow.routing.identity import JwtRules, Refusal

Key = bytes | jwt.PyJWK
Claims = Mapping[str, Any]
Reason = Literal["expired", "not-yet-valid", "wrong-audience", "wrong-issuer", "bad-signature"]

_REASONS: Final[Sequence[tuple[type[Exception], Reason]]] = (
    (jwt.InvalidAudienceError, "wrong-audience"),
    (jwt.InvalidIssuerError, "wrong-issuer"),
    (jwt.InvalidSignatureError, "bad-signature"),
    (jwt.InvalidAlgorithmError, "bad-signature"),
    (jwt.InvalidKeyError, "bad-signature"),
)


def token_of(value: bytes) -> bytes:
    """The token in the value of a cookie, or of a header `Authorization: Bearer TOKEN`."""
    scheme, space, token = value.partition(b" ")
    return token.strip() if space and scheme.lower() == b"bearer" else value


def key_id_of(token: bytes) -> str | Refusal | None:
    """The `kid` of a token. It is not verified yet by a signature."""
    if len(token) > MAX_COOKIE_BYTES:
        return Refusal("too-large")
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        return Refusal("malformed")
    return key_id if key_id is None or isinstance(key_id, str) else Refusal("malformed")


def verify(token: bytes, keys: Sequence[Key], rules: JwtRules) -> Claims | Refusal:
    """The claims of a token that one of the keys has signed, at whatever time it is valid."""
    if len(token) > MAX_COOKIE_BYTES:
        return Refusal("too-large")
    refusal = Refusal("unknown-key")
    for key in keys:
        claims = _claims_by(key, token, rules)
        if not isinstance(claims, Refusal):
            return claims
        refusal = claims
        if refusal.reason != "bad-signature":
            return refusal
    return refusal


def refusal_by_time(claims: Claims, rules: JwtRules, now_s: float) -> Refusal | None:
    """Why a token is not valid now; None if it is."""
    expires, begins = claims["exp"], claims.get("nbf", 0)
    if not (_is_number(expires) and _is_number(begins)):
        return Refusal("malformed")
    if now_s >= expires + rules.leeway_s:
        return Refusal("expired")
    return Refusal("not-yet-valid") if now_s < begins - rules.leeway_s else None


def _claims_by(key: Key, token: bytes, rules: JwtRules) -> Claims | Refusal:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=list(rules.algorithms),
            audience=rules.audience,
            issuer=rules.issuer,
            options={
                "require": ["exp"],
                "verify_exp": False,  # below, by the clock that comes in
                "verify_nbf": False,
                "verify_iat": False,
                "verify_sub": False,  # some issuers number their users
                "verify_jti": False,
                "verify_aud": rules.audience is not None,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError, Warning) as error:
        return Refusal(
            next((why for kind, why in _REASONS if isinstance(error, kind)), "malformed")
        )


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
