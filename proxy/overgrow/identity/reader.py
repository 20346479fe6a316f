"""The protocol of a reader, and a reader for formats whose values say everything themselves.

A reader turns what a request carries into a user, or into the reason why nobody is signed in. It has two steps. `read`
is pure. If a store must be asked, `read` returns a Lookup, and the resolver passes it to `fetch`, unless another
request has just asked the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from overgrow.routing.facts import Head, cookie_values, trusted_header_values
from overgrow.routing.identity import Identity, IdentitySource, ReaderName, Refusal


class Lookup(NamedTuple):
    """A question to a store. Equal keys ask the same question; a key holds no part of a session's value in clear.

    `question` is for the reader itself.
    """

    key: bytes
    question: Any


class StoreAway(Exception):
    """A store cannot answer. The text says why, without any secret; it is shown to people."""


Outcome = Identity | Refusal


class Fetched(NamedTuple):
    """What a store said, and the Set-Cookie lines that legacy sent with it, which its user should get."""

    outcome: Outcome
    cookies: tuple[bytes, ...] = ()


ReadValue = Callable[[bytes, float], Outcome | Lookup]


class IdentityReader(Protocol):
    """Reads the user of a request by one source of `identity:`."""

    @property
    def source(self) -> IdentitySource:
        """The entry of the table that this reader was built from."""
        ...

    def read(self, head: Head, now_s: float) -> Outcome | Lookup:
        """Return the user, or why nobody is signed in, or what a store must be asked. Never raises."""
        ...

    async def fetch(self, lookup: Lookup, now_s: float) -> Outcome | Fetched:
        """Ask the store.

        Raises:
            StoreAway: if the store cannot answer.

        """
        ...

    async def touch(self, head: Head, now_s: float) -> bytes | None:
        """Renew the expiry of a request's session, as legacy does for each request.

        Return the new value of the session's cookie, if the expiry is part of the value; else None.

        Raises:
            StoreAway: if the store cannot be written.

        """
        ...

    async def aclose(self) -> None:
        """Close connections to the store."""
        ...


class Materials(NamedTuple):
    """What a reader is built from: its entry of the table, and the texts of its secrets and of its store."""

    source: IdentitySource
    secrets: Sequence[bytes] = ()  # the first signs, all verify
    store: str | None = None  # a URL, or the path of a folder
    users_store: str | None = None  # a URL


Build = Callable[[Materials], IdentityReader]
Builders = Mapping[ReaderName, Build]


class ValueReader:
    """A reader whose one cookie or header says everything, by a pure function of that value."""

    def __init__(
        self, source: IdentitySource, read_value: ReadValue, *, takes_last: bool = False
    ) -> None:
        self.source = source
        self._read_value = read_value
        self._at = -1 if takes_last else 0

    def read(self, head: Head, now_s: float) -> Outcome | Lookup:
        """Read the value; of repeated cookies the one that legacy takes."""
        values = values_of(head, self.source)
        if not values:
            return Refusal("no-value")
        found = self._read_value(values[self._at], now_s)
        return found._replace(source=self.source.reader) if isinstance(found, Identity) else found

    async def fetch(self, lookup: Lookup, now_s: float) -> Outcome:
        """Never called: `read` returns no Lookup."""
        raise NotImplementedError

    async def touch(self, head: Head, now_s: float) -> bytes | None:
        """Do nothing, because the value keeps its own expiry."""

    async def aclose(self) -> None:
        """Do nothing, because there are no connections."""


def key_of(head: Head, source: IdentitySource) -> bytes:
    """Return a digest of what a request carries for a source."""
    return hashlib.sha256(b"\0".join(values_of(head, source))).digest()


def values_of(head: Head, source: IdentitySource) -> list[bytes]:
    """Return what a request carries for a source: the values of its cookie, else of its header; empty ones are left out.

    X-Forwarded-* headers count only from a trusted peer.
    """
    found: list[bytes] = []
    if source.cookie is not None:
        found += cookie_values(head.headers, source.cookie.encode())
    if not any(found) and source.header is not None:
        found += trusted_header_values(head, source.header.encode())
    return [value for value in found if value]
