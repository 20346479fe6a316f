"""Finds out who the user of a request is, by the readers of the table in force.

Rule: the first reader that finds a user wins. Concurrent requests with equal queries ask a store once, and the
answer is reused for at most `cache`. If a store is unavailable, it is asked again after a second, by one
request at a time, so that other requests do not wait for the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from overgrow.identity.generations import Generations
from overgrow.identity.readability import Readability
from overgrow.identity.reader import (
    Fetched,
    IdentityReader,
    Lookup,
    Outcome,
    StoreAway,
    key_of,
    values_of,
)
from overgrow.identity.renewal import CookieRenewals
from overgrow.routing.facts import Head, Headers, cookie_values
from overgrow.routing.identity import Identity, IdentitySource, Refusal, Subject, Unavailable

LOG = logging.getLogger("overgrow.identity")

FETCH_LIMIT_S = 5.0  # for one question to a store
TOUCH_LIMIT_S = 1.0  # a renewal may not delay an answer for longer
AWAY_SHOWN_S = 60.0  # after the last failure, if nobody has asked since
AWAY_S = 1.0  # before a store that was away is asked again
MAX_CACHED = 10_000  # users whose answers one worker keeps


class Observer(Protocol):
    """A receiver of the outcome of each attempt to identify a user."""

    def __call__(self, reader: str, outcome: str, /) -> None:
        """Note that a reader ended as `outcome`: `known`, `unavailable`, or the reason of a refusal."""
        ...


class Touch(NamedTuple):
    """A session was renewed. If the expiry is part of the cookie's value, `value` is the new value."""

    value: bytes | None


class _Cached(NamedTuple):
    outcome: Outcome
    until_s: float
    number: int  # of the session when the store was asked


class ReaderState:
    """One reader, the answers of its store, and whether the store answers."""

    def __init__(
        self, reader: IdentityReader, stopwatch: Callable[[], float], generations: Generations
    ) -> None:
        self.reader = reader
        self._generations = generations
        self.readability = Readability(stopwatch)
        self._stopwatch = stopwatch
        self._cached: dict[bytes, _Cached] = {}
        self._asking: dict[bytes, asyncio.Task[Outcome | Unavailable]] = {}
        self._away: Unavailable | None = None
        self._away_until_s = 0.0
        self._touched_s: dict[bytes, float] = {}
        self._cookies: dict[bytes, tuple[bytes, ...]] = {}  # what legacy sent when it was asked

    @property
    def away(self) -> Unavailable | None:
        """Why the store does not answer; None if it does, as far as was seen in the last minute."""
        is_old = self._stopwatch() - self._away_until_s > AWAY_SHOWN_S
        return None if is_old else self._away

    async def look_up(self, lookup: Lookup, now_s: float) -> Outcome | Unavailable:
        """Return the answer of the store; from memory if it is recent enough."""
        known = self._cached.get(lookup.key)
        number = self._generations.number_of(lookup.key)
        if known is not None and known.until_s > self._stopwatch() and known.number == number:
            return known.outcome
        task = self._asking.get(lookup.key)
        if task is None:
            if self._away is not None and (self._asking or self._stopwatch() < self._away_until_s):
                return self._away
            task = asyncio.create_task(self._ask(lookup, now_s))
            self._asking[lookup.key] = task
            task.add_done_callback(partial(self._note_end, lookup.key))
        # A client that leaves must not take the answer away from the others.
        return await asyncio.shield(task)

    def _note_end(self, key: bytes, task: asyncio.Task[Outcome | Unavailable]) -> None:
        if self._asking.get(key) is task:
            del self._asking[key]

    async def _ask(self, lookup: Lookup, now_s: float) -> Outcome | Unavailable:
        name = self.reader.source.reader
        number = self._generations.number_of(lookup.key)
        try:
            async with asyncio.timeout(FETCH_LIMIT_S):
                found = await self.reader.fetch(lookup, now_s)
        except TimeoutError:
            return self._note_away(Unavailable(name, f"no answer within {FETCH_LIMIT_S:g} s"))
        except StoreAway as error:
            return self._note_away(Unavailable(name, str(error)))
        except Exception as error:  # noqa: BLE001  a fault of a reader must not become one of the user's request
            return self._note_away(Unavailable(name, f"the reader failed: {type(error).__name__}"))
        self._away = None
        fetched = found if isinstance(found, Fetched) else Fetched(found)
        if fetched.cookies:
            if len(self._cookies) >= MAX_CACHED:
                self._cookies.clear()
            self._cookies[lookup.key] = fetched.cookies
        self._keep(lookup.key, fetched.outcome, number)
        return fetched.outcome

    def _note_away(self, why: Unavailable) -> Unavailable:
        self._away, self._away_until_s = why, self._stopwatch() + AWAY_S
        return why

    def _keep(self, key: bytes, outcome: Outcome, number: int) -> None:
        cache_s = self.reader.source.cache_s
        if cache_s and asyncio.current_task() is self._asking.get(
            key
        ):  # else it was forgotten meanwhile
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            self._cached[key] = _Cached(outcome, self._stopwatch() + cache_s, number)

    def forget(self, key: bytes) -> None:
        """Forget the store's answer, and also one that is on its way, because the session has changed."""
        self._generations.change(key)
        self._cached.pop(key, None)
        self._asking.pop(key, None)

    async def touch(self, head: Head, now_s: float) -> Touch | None:
        """Renew a request's session, unless it was renewed within `touch`. Return what the user should get."""
        every_s, now = self.reader.source.touch_s, self._stopwatch()
        key = key_of(head, self.reader.source)
        last_s = self._touched_s.get(key)
        if every_s is None or (last_s is not None and now - last_s < every_s):
            return None
        if len(self._touched_s) >= MAX_CACHED:
            self._touched_s.clear()
        self._touched_s[key] = now
        try:
            async with asyncio.timeout(TOUCH_LIMIT_S):
                return Touch(await self.reader.touch(head, now_s))
        except Exception as error:  # noqa: BLE001  the next request tries again
            LOG.debug("a session could not be renewed: %s", type(error).__name__)
            self._touched_s.pop(key, None)
            return None

    def take_cookies(self, lookup: Lookup) -> tuple[bytes, ...]:
        """Return, once, the cookies that legacy sent when it was asked about this session."""
        return self._cookies.pop(lookup.key, ())

    async def aclose(self) -> None:
        """Cancel running queries, and close the store."""
        running = [*self._asking.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.reader.aclose()


class Resolver:
    """Identifies users for one worker, by the readers of one `identity:`."""

    def __init__(  # noqa: PLR0913 - what a worker lends it, by keyword
        self,
        readers: Sequence[IdentityReader | Unavailable],
        renewals: CookieRenewals,
        *,
        clock: Callable[[], float],
        stopwatch: Callable[[], float],
        observe: Observer,
        generations: Generations | None = None,
    ) -> None:
        shared = generations or Generations()
        self._clock = clock
        self._observe = observe
        self._renewals = renewals
        self._states: list[ReaderState | Unavailable] = [
            reader if isinstance(reader, Unavailable) else ReaderState(reader, stopwatch, shared)
            for reader in readers
        ]

    async def resolve(self, head: Head) -> Subject:
        """Return the user of a request.

        None means that nobody is signed in. Unavailable means that the user cannot be identified now.
        """
        now_s, unavailable = self._clock(), None
        for state in self._states:
            outcome = await self._outcome_of(state, head, now_s)
            if isinstance(outcome, Identity):
                return outcome
            if isinstance(outcome, Unavailable):
                unavailable = unavailable or outcome
        return unavailable

    async def _outcome_of(
        self, state: ReaderState | Unavailable, head: Head, now_s: float
    ) -> Outcome | Unavailable:
        if isinstance(state, Unavailable):
            self._observe(state.reader, "unavailable")
            return state
        found = state.reader.read(head, now_s)
        outcome = await state.look_up(found, now_s) if isinstance(found, Lookup) else found
        if outcome != _NO_VALUE:
            word = _word_of(outcome)
            self._observe(state.reader.source.reader, word)
            state.readability.note(word)
        return outcome

    async def touch(self, head: Head) -> Headers:
        """Renew the session of a request that migrated serves, and return the cookies to send to the user."""
        now_s, lines = self._clock(), list[bytes]()
        for state in self._states:
            if not isinstance(state, ReaderState) or not values_of(head, state.reader.source):
                continue
            found = state.reader.read(head, now_s)
            if isinstance(found, Lookup):
                lines += state.take_cookies(found)
            touched = await state.touch(head, now_s)
            if touched is not None and (line := self._renewal(head, state.reader, touched.value)):
                lines.append(line)
        return [(b"set-cookie", line) for line in lines]

    def _renewal(self, head: Head, reader: IdentityReader, new: bytes | None) -> bytes | None:
        """Return the line that renews the session's cookie as legacy does; None if legacy does not renew it."""
        if reader.source.cookie is None:
            return None
        name = reader.source.cookie.encode()
        value = new or next(cookie_values(head.headers, name), b"")
        if not value:
            return None
        return self._renewals.line_for(name, value, self._clock(), is_new=new is not None)

    def note_cookie(self, head: Head, line: bytes) -> None:
        """Forget what a store said about the session of a request whose response sets the session's cookie."""
        name = line.partition(b"=")[0].strip()
        for state in self._states:
            if not isinstance(state, ReaderState):
                continue
            cookie = state.reader.source.cookie
            if cookie is not None and cookie.encode() != name:
                continue
            if cookie is not None:
                self._renewals.learn(head, line, self._clock())
            found = state.reader.read(head, self._clock())
            if isinstance(found, Lookup):
                state.forget(found.key)

    @property
    def problems(self) -> list[Unavailable]:
        """The readers that cannot identify users now, and why."""
        states = self._states
        found = [each if isinstance(each, Unavailable) else each.away for each in states]
        return [each for each in found if each is not None]

    @property
    def unread(self) -> dict[str, str]:
        """Return {reader: why no session of the last minute could be read}."""
        found: dict[str, str] = {}
        for state in self._states:
            if isinstance(state, ReaderState) and (problem := state.readability.problem):
                found[state.reader.source.reader] = problem
        return found

    async def ask_for_nobody(self, head: Head) -> None:
        """Ask legacy once without a user, so that a wrong path of `ask` is known before the first user comes."""
        for state in self._states:
            if isinstance(state, ReaderState) and state.reader.source.ask is not None:
                await state.look_up(Lookup(b"nobody", head), self._clock())

    @property
    def is_legacy_silent(self) -> bool:
        """Whether a question to legacy itself failed last: it can be asked again without a user."""
        states = (each for each in self._states if isinstance(each, ReaderState))
        return any(each.away is not None and each.reader.source.ask is not None for each in states)

    @property
    def sources(self) -> list[IdentitySource]:
        """The entries of the table whose readers work."""
        return [each.reader.source for each in self._states if isinstance(each, ReaderState)]

    async def aclose(self) -> None:
        """Close the stores of all readers."""
        for state in self._states:
            if isinstance(state, ReaderState):
                await state.aclose()


_NO_VALUE = Refusal("no-value")


def _word_of(outcome: Outcome | Unavailable) -> str:
    if isinstance(outcome, Refusal):
        return outcome.reason
    return "known" if isinstance(outcome, Identity) else "unavailable"
