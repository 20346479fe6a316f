"""The public keys of a token's issuer, from its URL (JWKS, RFC 7517), kept for some minutes.

A token with an unknown `kid` causes one request to the issuer, and the next such request is made half a minute
later at the earliest, because a client may invent any number of key names. While the issuer is unavailable, the
last known keys are used.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

import jwt

from overgrow.identity.reader import StoreAway

KEPT_S = 300.0
NEGATIVE_S = 30.0
STALE_S = 3_600.0
WAIT_S = 2.0
MAX_BYTES = 256 * 1024
_NEVER = float("-inf")


class KeySet:
    """The keys of one URL."""

    def __init__(
        self, url: str, fetch: Callable[[str], bytes], stopwatch: Callable[[], float]
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._stopwatch = stopwatch
        self._keys: Sequence[jwt.PyJWK] = ()
        self._fetched_s = self._asked_s = _NEVER

    def known_keys(self, key_id: str | None) -> Sequence[jwt.PyJWK] | None:
        """The keys for a token; None if the issuer must be asked."""
        now_s = self._stopwatch()
        keys = self._keys_named(key_id)
        is_fresh = now_s - self._fetched_s < KEPT_S
        was_just_asked = now_s - self._asked_s < NEGATIVE_S
        may_use = now_s - self._fetched_s < STALE_S
        if (keys and is_fresh) or (was_just_asked and may_use):
            return keys
        return None

    def ask(self, key_id: str | None) -> Sequence[jwt.PyJWK]:
        """Ask the issuer, and return its present keys for a token.

        Raises: StoreAway: the issuer does not answer, and its last answer is too old.
        """
        known = self.known_keys(key_id)
        if known is not None:  # another request has asked meanwhile
            return known
        self._asked_s = self._stopwatch()
        try:
            self._keys = _usable_keys(self._fetch(self._url))
            self._fetched_s = self._stopwatch()
        except (OSError, ValueError, RecursionError, jwt.PyJWTError):
            if self._stopwatch() - self._fetched_s >= STALE_S:
                raise StoreAway("the key set of the tokens' issuer cannot be read") from None
        return self._keys_named(key_id)

    def _keys_named(self, key_id: str | None) -> Sequence[jwt.PyJWK]:
        """The key with that name. If the token names no key, all keys."""
        return [key for key in self._keys if key_id is None or key.key_id == key_id]


def fetch_url(url: str) -> bytes:
    """The body of a GET; at most MAX_BYTES.

    Raises:
        OSError: there is no answer, or its status is not 200.

    """
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - http or https: the table's reader checks it
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310
        body: bytes = answer.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise OSError("the key set is too large")
    return body


def _usable_keys(body: bytes) -> list[jwt.PyJWK]:
    """The keys that verify signatures; keys of a kind that PyJWT does not know are left out."""
    document = json.loads(body)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no key set")  # noqa: TRY004 - a bad document, as any other that cannot be read
    keys = []
    for each in listed:
        if (
            not isinstance(each, dict)
            or each.get("use", "sig") != "sig"
            or each.get("kty") == "oct"
        ):
            continue
        try:
            keys.append(jwt.PyJWK(each))
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    return keys
