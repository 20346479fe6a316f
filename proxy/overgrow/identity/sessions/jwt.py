"""Tokens in a cookie or a header. Secrets of routes.yaml or the keys of the issuer verify them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from overgrow.identity.formats import jwt
from overgrow.identity.sessions.session_keys import SessionKeys, lookup_in, user_in
from overgrow.identity.stores.key_set import KeySet
from overgrow.routing.identity import Identity, JwtRules, Refusal

MAX_KEPT = 1_000
MAX_KEPT_BYTES = 4_096


class Verified(NamedTuple):
    """The claims of a token, and the keys by which its signature was checked."""

    keys: Sequence[jwt.Key]
    claims: jwt.Claims


@dataclass(frozen=True, slots=True)
class Tokens:
    """Reads tokens; the signature of each is checked once and remembered. `keys` is a list of secrets or public keys, or the issuer's key set."""

    keys: Sequence[bytes] | KeySet = field(repr=False)
    rules: JwtRules
    names: SessionKeys
    _verified: dict[bytes, Verified] = field(default_factory=dict, repr=False)

    def check(self, value: bytes, now_s: float) -> Identity | Refusal | None:
        """The result of the token; None if its issuer must be asked for a key."""
        token = jwt.token_of(value)
        key_id = jwt.key_id_of(token)
        if isinstance(key_id, Refusal):
            return key_id
        keys = self.keys.known_keys(key_id) if isinstance(self.keys, KeySet) else self.keys
        return None if keys is None else self._user_of(token, keys, now_s)

    def read(self, value: bytes, now_s: float) -> Identity | Refusal:
        """The result of the token, verified with the present keys of its issuer.

        Raises:
            StoreAway: the issuer does not answer.

        """
        token = jwt.token_of(value)
        key_id = jwt.key_id_of(token)
        if isinstance(key_id, Refusal):
            return key_id
        keys = self.keys.ask(key_id) if isinstance(self.keys, KeySet) else self.keys
        return self._user_of(token, keys, now_s)

    def touch(self, value: bytes, now_s: float) -> bytes | None:  # noqa: ARG002 - as the protocol has it
        """Do nothing: a token lives until its `exp`, and only its issuer can make another one."""
        return None

    def _user_of(self, token: bytes, keys: Sequence[jwt.Key], now_s: float) -> Identity | Refusal:
        claims = self._claims_of(token, keys)
        if isinstance(claims, Refusal):
            return claims
        refusal = jwt.refusal_by_time(claims, self.rules, now_s)
        user = refusal or user_in(lookup_in(claims), self.names, "jwt")
        return user if isinstance(user, Refusal) else user._replace(claims=dict(claims))

    def _claims_of(self, token: bytes, keys: Sequence[jwt.Key]) -> jwt.Claims | Refusal:
        known = self._verified.get(token)
        if known is not None and known.keys == keys:
            return known.claims
        claims = jwt.verify(token, keys, self.rules)
        if not isinstance(claims, Refusal) and len(token) <= MAX_KEPT_BYTES:
            if len(self._verified) >= MAX_KEPT:
                self._verified.clear()
            self._verified[token] = Verified(keys, claims)
        return claims
