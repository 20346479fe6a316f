"""A reader of sessions that are in a store. Queries run in threads, because every store blocks.

If the form or signature of a value is wrong, the value is refused before the store is asked. A client without a
session therefore costs no query.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from overgrow.identity.reader import Lookup, Outcome, values_of
from overgrow.identity.store_threads import StoreThreads
from overgrow.routing.facts import Head
from overgrow.routing.identity import IdentitySource, Refusal


class SessionFormat(Protocol):
    """The session format of one framework. Its methods are called in threads, except `check`."""

    def check(self, value: bytes, now_s: float) -> Outcome | None:
        """Return the result if the value alone determines it; None if the store must be asked. Pure."""
        ...

    def read(self, value: bytes, now_s: float) -> Outcome:
        """Return the user, or why nobody is signed in.

        Raises:
            StoreAway: the store does not answer.

        """
        ...

    def touch(self, value: bytes, now_s: float) -> bytes | None:
        """Renew the session as the framework does. If the session is in the cookie, return the cookie's new value.

        Raises:
            StoreAway: the store does not answer.

        """
        ...


class SessionReader:
    """The reader of one entry of `identity:` whose sessions are in a store."""

    def __init__(
        self,
        source: IdentitySource,
        sessions: SessionFormat,
        close: Callable[[], None],
        *,
        takes_last: bool = False,
    ) -> None:
        self.source = source
        self._sessions = sessions
        self._close = close
        self._at = -1 if takes_last else 0
        self._threads = StoreThreads(f"identity-{source.reader}")

    def read(self, head: Head, now_s: float) -> Outcome | Lookup:
        """Return the result if the value alone determines it; else return the query for the store."""
        values = values_of(head, self.source)
        if not values:
            return Refusal("no-value")
        value = values[self._at]
        outcome = self._sessions.check(value, now_s)
        return Lookup(hashlib.sha256(value).digest(), value) if outcome is None else outcome

    async def fetch(self, lookup: Lookup, now_s: float) -> Outcome:
        """Ask the store, in a thread.

        Raises:
            StoreAway: the store does not answer.

        """
        return await self._threads.call(self._sessions.read, lookup.question, now_s)

    async def touch(self, head: Head, now_s: float) -> bytes | None:
        """Renew the session in a thread. If the session is in the cookie, return the cookie's new value.

        Raises:
            StoreAway: the store does not answer.

        """
        values = values_of(head, self.source)
        if not values:
            return None
        return await self._threads.call(self._sessions.touch, values[self._at], now_s)

    async def aclose(self) -> None:
        """Close the connections to the store. A running query ends by itself."""
        self._close()
