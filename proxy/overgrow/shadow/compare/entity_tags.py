"""Recognises ETags that a framework computes from the body, so that they carry no information of their own.

Express and Rack add a weak tag to every response, and Flask adds none. Clients do not notice this difference: a
client never interprets a tag, and a weak tag cannot protect a write (RFC 9110 8.8.1, 13.1.1). This module
computes the tag from the body, so that it does not have to guess. Every other tag is compared.
"""

from __future__ import annotations

import base64
import hashlib

_EXPRESS_LENGTH = 27  # of the digest in base64, as the npm package etag cuts it
_RACK_LENGTH = 32  # of SHA-256 in hexadecimal; older versions took MD5, which is as long


def is_etag_implied_by_body(tag: str | None, body: bytes) -> bool:
    """Return whether an ETag carries no information of its own: it is absent, or weak and computed from the body."""
    if tag is None:
        return True
    if not tag.startswith('W/"') or not tag.endswith('"'):
        return False
    return tag[3:-1] in _etags_computed_from(body)


def _etags_computed_from(body: bytes) -> frozenset[str]:
    sha1 = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return frozenset(
        {
            f"{len(body):x}-{sha1[:_EXPRESS_LENGTH]}",
            hashlib.sha256(body).hexdigest()[:_RACK_LENGTH],
            hashlib.md5(body, usedforsecurity=False).hexdigest(),
        }
    )
