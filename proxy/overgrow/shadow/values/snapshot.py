"""What is compared: a whole answer, and the request header lines that make two answers comparable.

Pure. An Answer is what a side sent, nothing decoded; who compares decides what it means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from overgrow.routing.facts import Headers


class Fingerprint(NamedTuple):
    """What is kept of a body that is too large to keep: its length in bytes, and a hash of it."""

    length: int
    digest: bytes


class FingerprintBuilder:
    """Makes the fingerprint of a body as it passes by."""

    __slots__ = ("_hash", "length")

    def __init__(self, chunks: Iterable[bytes] = ()) -> None:
        self._hash = sha256(usedforsecurity=False)
        self.length = 0
        for chunk in chunks:
            self.add(chunk)

    def add(self, chunk: bytes) -> None:
        """Take in what comes next."""
        self._hash.update(chunk)
        self.length += len(chunk)

    def fingerprint(self) -> Fingerprint:
        """Return what stands for all that came."""
        return Fingerprint(self.length, self._hash.digest())


@dataclass(frozen=True, slots=True)
class ResponseSnapshot:
    """One side's answer: header lines in order with names in lower case, the body as sent.

    Of a body that is too large to keep there is a fingerprint, and `body` is empty.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    fingerprint: Fingerprint | None = None

    def values(self, name: bytes) -> list[str]:
        """Return the values of a header in order, without the spaces around them."""
        return [_strip_spaces(value) for key, value in self.headers if key.lower() == name]

    def field(self, name: bytes) -> str | None:
        """Return a header's values as one, joined as RFC 9110 5.3 joins them; None without any."""
        values = self.values(name)
        return ", ".join(values) if values else None


def _strip_spaces(value: bytes) -> str:
    return value.decode("latin-1").strip(" \t")


# RFC 9110 13.1 and 14: with these the status and the body depend on what the client already has.
_CONDITIONS = frozenset({b"if-none-match", b"if-modified-since", b"if-range", b"range"})


def drop_conditional_headers(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """Return a request's headers without those that ask for only a part, or only for news.

    What guards a write stays (If-Match, If-Unmodified-Since, If-None-Match: *): a copy without it
    would write where the request itself may not.
    """
    return tuple(each for each in headers if not _is_condition(*each))


def is_conditional(headers: Headers) -> bool:
    """Return whether normalising changes the request, so that its first answer is no control."""
    return any(_is_condition(*each) for each in headers)


def _is_condition(name: bytes, value: bytes) -> bool:
    key = name.lower()
    return key in _CONDITIONS and not (key == b"if-none-match" and value.strip() == b"*")
