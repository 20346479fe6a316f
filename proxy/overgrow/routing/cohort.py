"""Decides which clients a canary takes: it compares a hash of the client's identity with a limit.

Pure and stateless, so that all workers and hosts agree. The hash equals that of nginx's `split_clients` bit for
bit, so that an exported nginx config puts every client on the same side. Raising a limit only adds clients.
"""

from __future__ import annotations

from struct import unpack_from

from overgrow.routing.facts import Head, first_cookie, trusted_header_values
from overgrow.routing.model import FULL_CANARY, Cohort

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
ID_SOURCE = "cookie:overgrow_id"
IDENTITY_SOURCE = "identity"


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of `data` with seed 0, as nginx computes it."""
    size = len(data)
    mixed = size
    words = size >> 2
    for word in unpack_from(f"<{words}I", data):
        scrambled = word * _M & _MASK
        mixed = (mixed * _M ^ (scrambled ^ scrambled >> 24) * _M) & _MASK
    rest = data[words << 2 :]
    if rest:
        mixed = (mixed ^ int.from_bytes(rest, "little")) * _M & _MASK
    mixed = (mixed ^ mixed >> 13) * _M & _MASK
    return mixed ^ mixed >> 15


def bucket_of(key: bytes, salt: str) -> int:
    """Return the client's bucket, 0 to 2**32-1. With another salt, the client has another bucket."""
    return murmur2(key + salt.encode())


def canary_limit(hundredths: int) -> int:
    """Return the limit of the buckets of a canary whose share is `hundredths` hundredths of a percent.

    The canary takes the buckets below this limit. At 100% it takes every bucket.
    """
    return 1 << 32 if hundredths >= FULL_CANARY else hundredths * _MASK // FULL_CANARY


def identify_client(
    head: Head, cohort: Cohort, user_id: str | None = None
) -> tuple[str, bytes] | None:
    """Return (source, value): the source that identifies the client, and its value; None if there is none.

    The first source with a value wins. If a header or cookie is repeated, its first value counts. `user_id` is
    the value of the source `identity`.
    """
    for source in cohort.by:
        if source == IDENTITY_SOURCE:
            return (source, user_id.encode("utf-8", "replace")) if user_id else None
        key = _cohort_key_from(source, head)
        if key:
            return source, key
    return None


def _cohort_key_from(source: str, head: Head) -> bytes:
    """Return the value of one source; empty if the request does not have it."""
    kind, _, name = source.partition(":")
    if kind == "cookie":
        return first_cookie(head.headers, name.encode())
    if kind == "header":
        return next(trusted_header_values(head, name.lower().encode()), b"")
    return b"" if head.client == "unix" else head.client.encode()
