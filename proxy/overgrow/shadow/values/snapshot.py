"""Defines what is compared: whole responses, and the request headers that make two responses comparable.

Pure. A ResponseSnapshot holds a response exactly as a side sent it. The comparison decodes and interprets it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from overgrow.routing.facts import Headers


class Fingerprint(NamedTuple):
    """The length in bytes and a hash of a body that is too large to keep."""

    length: int
    digest: bytes


class FingerprintBuilder:
    """Computes the fingerprint of a body from its chunks, as they arrive."""

    __slots__ = ("_hash", "length")

    def __init__(self, chunks: Iterable[bytes] = ()) -> None:
        self._hash = sha256(usedforsecurity=False)
        self.length = 0
        for chunk in chunks:
            self.add(chunk)

    def add(self, chunk: bytes) -> None:
        """Add the next chunk."""
        self._hash.update(chunk)
        self.length += len(chunk)

    def fingerprint(self) -> Fingerprint:
        """Return the fingerprint of all chunks so far."""
        return Fingerprint(self.length, self._hash.digest())


@dataclass(frozen=True, slots=True)
class ResponseSnapshot:
    """One side's response: header lines in order with names in lower case, and the body as it was sent.

    If the body is too large to keep, `body` is empty and there is a fingerprint instead.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    fingerprint: Fingerprint | None = None

    def header_values(self, name: bytes) -> list[str]:
        """Return the values of a header in order, without surrounding spaces."""
        return [_decode_and_strip(value) for key, value in self.headers if key.lower() == name]

    def joined_header(self, name: bytes) -> str | None:
        """Return a header's values joined into one, as in RFC 9110 5.3; None if there is no such header."""
        values = self.header_values(name)
        return ", ".join(values) if values else None


def _decode_and_strip(value: bytes) -> str:
    return value.decode("latin-1").strip(" \t")


# RFC 9110 13.1 and 14: these headers make status and body depend on what the client already has.
_CONDITIONS = frozenset({b"if-none-match", b"if-modified-since", b"if-range", b"range"})


def drop_conditions_and_ranges(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """Return a request's headers without ranges and without conditions that ask only for a changed resource.

    Conditions that protect a write stay (If-Match, If-Unmodified-Since, If-None-Match: *). Without them, a copy
    could write although the request itself was refused.
    """
    return tuple(each for each in headers if not _is_condition_or_range(*each))


def has_conditions_or_ranges(headers: Headers) -> bool:
    """Return whether a request asks for a range, or only for a changed resource.

    The response to such a request may be less than the whole resource.
    """
    return any(_is_condition_or_range(*each) for each in headers)


def _is_condition_or_range(name: bytes, value: bytes) -> bool:
    key = name.lower()
    return key in _CONDITIONS and not (key == b"if-none-match" and value.strip() == b"*")
