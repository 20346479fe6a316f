"""The protocol of a reader, and a reader for values that contain everything needed.

A reader finds the user in a request, or the reason why nobody is signed in. It has two steps. `read` is pure.
If a store must be asked, `read` returns a Lookup. The resolver passes the Lookup to `fetch`, or uses the answer
to an equal one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from overgrow.routing.facts import Head, cookie_values, trusted_header_values
from overgrow.routing.identity import Identity, IdentitySource, ReaderName, Refusal


class Lookup(NamedTuple):
    """A query to a store. Equal queries have equal keys. A key contains no readable part of a session's value.

    `question` is the query in a form that only its reader uses. `session` tells sessions apart, if the answer depends
    on more of the request than the session: a change of a session ends what is remembered of all its queries.
    """

    key: bytes
    question: Any
    session: bytes = b""

    @property
    def session_key(self) -> bytes:
        """The digest of the session that the query is about."""
        return self.session or self.key

    def __repr__(self) -> str:
        """Leave the question out: it may be a session's value, and error reports contain the repr of local variables."""
        return f"<Lookup {self.key.hex()[:8]}>"


class StoreAway(Exception):
    """A store cannot answer. The text says why. It is shown to people and contains no secret."""


class LookupFailed(StoreAway):
    """A store has no answer to one query, but may have one to others: these need not wait for it."""


Outcome = Identity | Refusal


class Fetched(NamedTuple):
    """The answer of a store. If legacy sent Set-Cookie lines with it, the user should get these."""

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
        """Return the user, the reason why nobody is signed in, or the query that a store must answer. Never raises."""
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
    """The input for building a reader: its entry of the table, its secrets, and the address of its store."""

    source: IdentitySource
    secrets: Sequence[bytes] = ()  # the first signs, all verify
    store: str | None = None  # a URL, or the path of a folder
    users_store: str | None = None  # a URL

    def __repr__(self) -> str:
        """Leave secrets and addresses out: error reports contain the repr of local variables."""
        return f"<Materials of {self.source.reader}>"


Build = Callable[[Materials], IdentityReader]
Builders = Mapping[ReaderName, Build]


class ValueReader:
    """A reader of one cookie or header that contains everything. A pure function interprets its value."""

    def __init__(
        self, source: IdentitySource, read_value: ReadValue, *, takes_last: bool = False
    ) -> None:
        self.source = source
        self._read_value = read_value
        self._at = -1 if takes_last else 0

    def read(self, head: Head, now_s: float) -> Outcome | Lookup:
        """Read the value. If a cookie is repeated, read the one that legacy uses."""
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
    """Return a digest of the values that a request has for a source."""
    return hashlib.sha256(b"\0".join(values_of(head, source))).digest()


def values_of(head: Head, source: IdentitySource) -> list[bytes]:
    """Return the values of a source in a request: of its cookie, else of its header. Empty values are left out.

    X-Forwarded-* headers count only from a trusted peer.
    """
    found: list[bytes] = []
    if source.cookie is not None:
        found += cookie_values(head.headers, source.cookie.encode())
    if not any(found) and source.header is not None:
        found += trusted_header_values(head, source.header.encode())
    return [value for value in found if value]
