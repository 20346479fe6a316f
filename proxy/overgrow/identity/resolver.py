"""Finds out who the user of a request is, by the readers of the table in force.

Rule: the first reader that knows somebody wins. Concurrent requests with the same question ask a store once, and what
a store said is used again for at most `cache`. A store that is away is asked again after a second, by one request at a
time, so that the others do not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from overgrow.identity.reader import IdentityReader, Lookup, Outcome, StoreAway
from overgrow.routing.facts import Head, Headers
from overgrow.routing.identity import Identity, IdentitySource, Refusal, Subject, Unavailable

FETCH_LIMIT_S = 5.0  # for one question to a store
AWAY_S = 1.0  # before a store that was away is asked again
MAX_CACHED = 10_000  # users whose answers one worker keeps


class Observer(Protocol):
    """What is told about each attempt to identify a user."""

    def __call__(self, reader: str, outcome: str, /) -> None:
        """Note that a reader ended as `outcome`: `known`, `unavailable`, or the reason of a refusal."""
        ...


class _Cached(NamedTuple):
    outcome: Outcome
    until_s: float


class ReaderState:
    """One reader, with what its store said and whether the store answers."""

    def __init__(self, reader: IdentityReader, stopwatch: Callable[[], float]) -> None:
        self.reader = reader
        self._stopwatch = stopwatch
        self._cached: dict[bytes, _Cached] = {}
        self._asking: dict[bytes, asyncio.Task[Outcome | Unavailable]] = {}
        self._away: Unavailable | None = None
        self._away_until_s = 0.0
        self._touched_s: dict[bytes, float] = {}
        self._touching: set[asyncio.Task[None]] = set()

    @property
    def away(self) -> Unavailable | None:
        """Why the store does not answer; None if it does, as far as is known."""
        return self._away

    async def look_up(self, lookup: Lookup, now_s: float) -> Outcome | Unavailable:
        """Return what the store says, from memory if it said so just now."""
        known = self._cached.get(lookup.key)
        if known is not None and known.until_s > self._stopwatch():
            return known.outcome
        task = self._asking.get(lookup.key)
        if task is None:
            if self._away is not None and (self._asking or self._stopwatch() < self._away_until_s):
                return self._away
            task = asyncio.create_task(self._ask(lookup, now_s))
            self._asking[lookup.key] = task
            task.add_done_callback(lambda _: self._asking.pop(lookup.key, None))
        # A client that leaves must not take the answer away from the others.
        return await asyncio.shield(task)

    async def _ask(self, lookup: Lookup, now_s: float) -> Outcome | Unavailable:
        name = self.reader.source.reader
        try:
            async with asyncio.timeout(FETCH_LIMIT_S):
                outcome = await self.reader.fetch(lookup, now_s)
        except TimeoutError:
            return self._note_away(Unavailable(name, f"no answer within {FETCH_LIMIT_S:g} s"))
        except StoreAway as error:
            return self._note_away(Unavailable(name, str(error)))
        self._away = None
        self._keep(lookup.key, outcome)
        return outcome

    def _note_away(self, why: Unavailable) -> Unavailable:
        self._away, self._away_until_s = why, self._stopwatch() + AWAY_S
        return why

    def _keep(self, key: bytes, outcome: Outcome) -> None:
        cache_s = self.reader.source.cache_s
        if cache_s and asyncio.current_task() is self._asking.get(
            key
        ):  # else it was forgotten meanwhile
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            self._cached[key] = _Cached(outcome, self._stopwatch() + cache_s)

    def forget(self, key: bytes) -> None:
        """Forget what the store said, also what it is just saying, because the session has changed."""
        self._cached.pop(key, None)
        self._asking.pop(key, None)

    def touch(self, lookup: Lookup, now_s: float) -> None:
        """Renew the session beside the request, unless it was renewed within `touch`."""
        every_s, now = self.reader.source.touch_s, self._stopwatch()
        last_s = self._touched_s.get(lookup.key)
        if every_s is None or (last_s is not None and now - last_s < every_s):
            return
        if len(self._touched_s) >= MAX_CACHED:
            self._touched_s.clear()
        self._touched_s[lookup.key] = now
        task = asyncio.create_task(self._touch(lookup, now_s))
        self._touching.add(task)
        task.add_done_callback(self._touching.discard)

    async def _touch(self, lookup: Lookup, now_s: float) -> None:
        try:
            async with asyncio.timeout(FETCH_LIMIT_S):
                await self.reader.touch(lookup, now_s)
        except (TimeoutError, StoreAway):
            self._touched_s.pop(lookup.key, None)  # the next request tries again

    async def aclose(self) -> None:
        """Cancel what still runs, and close the store."""
        running = [*self._asking.values(), *self._touching]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.reader.aclose()


class Resolver:
    """Identifies users for one worker, by the readers of one `identity:`."""

    def __init__(
        self,
        readers: Sequence[IdentityReader | Unavailable],
        *,
        clock: Callable[[], float],
        stopwatch: Callable[[], float],
        observe: Observer,
    ) -> None:
        self._clock = clock
        self._observe = observe
        self._states: list[ReaderState | Unavailable] = [
            reader if isinstance(reader, Unavailable) else ReaderState(reader, stopwatch)
            for reader in readers
        ]

    async def resolve(self, head: Head) -> Subject:
        """Return the user of a request; None if nobody is signed in; Unavailable if that cannot be known now."""
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
            self._observe(state.reader.source.reader, _word_of(outcome))
        return outcome

    def touch(self, head: Head) -> None:
        """Renew the session of a request's user, who is at work on migrated."""
        for state, lookup in self._lookups_of(head):
            state.touch(lookup, self._clock())

    def note_response(self, head: Head, headers: Headers) -> None:
        """Forget what a store said about the session of a request whose response sets the session's cookie."""
        names = {
            value.partition(b"=")[0].strip()
            for name, value in headers
            if name.lower() == b"set-cookie"
        }
        if not names:
            return
        for state, lookup in self._lookups_of(head):
            cookie = state.reader.source.cookie
            if cookie is None or cookie.encode() in names:
                state.forget(lookup.key)

    def _lookups_of(self, head: Head) -> Iterator[tuple[ReaderState, Lookup]]:
        now_s = self._clock()
        for state in self._states:
            if isinstance(state, ReaderState):
                found = state.reader.read(head, now_s)
                if isinstance(found, Lookup):
                    yield state, found

    @property
    def problems(self) -> list[Unavailable]:
        """The readers that cannot say now who the user is, and why."""
        states = self._states
        found = [each if isinstance(each, Unavailable) else each.away for each in states]
        return [each for each in found if each is not None]

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
