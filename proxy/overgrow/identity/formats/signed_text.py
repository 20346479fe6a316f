"""Functions for all formats of signed cookies: base64, signatures, bounded inflating and JSON. Pure.

The text of a signature is compared in constant time. A second spelling of the same bytes is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from overgrow.routing.identity import Refusal

MAX_COOKIE_BYTES = 16 * 1024
MAX_SESSION_BYTES = 1024 * 1024
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]*")

Session: TypeAlias = Mapping[str, object]


def decode_base64url(text: bytes) -> bytes | None:
    """The bytes of unpadded URL-safe base64, or None."""
    if not _BASE64URL.fullmatch(text):
        return None
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None


def encode_base64url(data: bytes) -> bytes:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def hmac_of(key: bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    """The HMAC of a message."""
    return hmac.digest(key, message, algorithm)


def salted_key(salt: bytes, secret: bytes) -> bytes:
    """The key that Django derives from a salt and a secret."""
    return hashlib.sha256(salt + secret).digest()


def is_signed_by(
    signature: bytes, secrets: Sequence[bytes], signature_by: Callable[[bytes], bytes]
) -> bool:
    """Whether one of the secrets makes this signature. Every secret is tried, each in constant time."""
    is_signed = False
    for secret in secrets:
        is_signed |= hmac.compare_digest(signature, signature_by(secret))
    return is_signed


def inflate(data: bytes, limit: int = MAX_SESSION_BYTES) -> bytes | Refusal:
    """The bytes that zlib packed. At most `limit` bytes are ever made."""
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, limit)
    except zlib.error:
        return Refusal("malformed")
    if unpacker.unconsumed_tail:
        return Refusal("too-large")
    return unpacked if unpacker.eof else Refusal("malformed")


def read_payload(text: bytes) -> Session | Refusal:
    """The JSON object in base64. A leading dot means that zlib has packed it."""
    data = decode_base64url(text.removeprefix(b"."))
    if data is None:
        return Refusal("malformed")
    unpacked = inflate(data) if text.startswith(b".") else data
    return unpacked if isinstance(unpacked, Refusal) else read_json_object(unpacked)


def read_json_object(data: bytes) -> Session | Refusal:
    """A JSON object as a mapping."""
    if len(data) > MAX_SESSION_BYTES:
        return Refusal("too-large")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):  # ValueError includes UnicodeDecodeError
        return Refusal("malformed")
    return value if isinstance(value, dict) else Refusal("malformed")


def value_at(session: object, path: Iterable[str]) -> object:
    """The value at a path of keys (`passport.user` has two keys). It is None if there is no such path."""
    value = session
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
