"""Finds out who the user of a request is, by the readers of the table in force.

Rule: the first reader that finds a user wins. Concurrent requests with equal queries ask a store once, and the
answer is reused for at most `cache`. If a store is unavailable, it is asked again after a second, by few
requests at a time, so that other requests do not wait for the store. If it answers others, only the query that failed
waits for a second: no client can make the store unavailable for others by a session that cannot be read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from overgrow.identity.generations import Generations
from overgrow.identity.readability import Readability
from overgrow.identity.reader import (
    Fetched,
    IdentityReader,
    Lookup,
    LookupFailed,
    Outcome,
    StoreAway,
    key_of,
    values_of,
)
from overgrow.identity.renewal import CookieRenewals
from overgrow.routing.facts import Head, Headers
from overgrow.routing.identity import Identity, IdentitySource, Refusal, Subject, Unavailable

LOG = logging.getLogger("overgrow.identity")
T = TypeVar("T", bound=Outcome | Unavailable)

FETCH_LIMIT_S = 5.0  # for one question to a store
TOUCH_LIMIT_S = 1.0  # a renewal may not delay an answer for longer
AWAY_SHOWN_S = 60.0  # after the last failure, if nobody has asked since
AWAY_S = 1.0  # before a store that was away is asked again, and before a query that failed is
COOKIES_S = 5.0  # for so long the cookies of legacy's answer can be passed to the user
MAX_PROBES = 4  # queries at a time to a store that was away: a slow one does not hold up all users
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
    outcome: Outcome | Unavailable
    until_s: float
    number: int  # of the session when the store was asked


class _SentCookies(NamedTuple):
    """The Set-Cookie lines that legacy sent when it was asked. Later they could overwrite newer cookies."""

    lines: tuple[bytes, ...]
    until_s: float
    number: int  # of the session when legacy was asked


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
        self._asking: dict[tuple[bytes, int], asyncio.Task[Outcome | Unavailable]] = {}
        self._away: Unavailable | None = None
        self._away_until_s = 0.0
        self._is_pausing = False  # nothing is asked until then
        self._answers = 0
        self._touched_s: dict[bytes, float] = {}
        self._cookies: dict[bytes, _SentCookies] = {}

    @property
    def away(self) -> Unavailable | None:
        """Why the store does not answer; None if it does, as far as was seen in the last minute."""
        is_old = self._stopwatch() - self._away_until_s > AWAY_SHOWN_S
        return None if is_old else self._away

    async def look_up(self, lookup: Lookup, now_s: float) -> Outcome | Unavailable:
        """Return the answer of the store; from memory if it is recent enough."""
        known = self._cached.get(lookup.key)
        number = self._generations.number_of(lookup.session_key)
        if known is not None and known.until_s > self._stopwatch() and known.number == number:
            return known.outcome
        task = self._asking.get((lookup.key, number))
        if task is None:
            if self._away is not None and self._is_held_back:
                return self._away
            task = asyncio.create_task(self._ask(lookup, number, now_s))
            self._asking[lookup.key, number] = task
            task.add_done_callback(partial(self._note_end, (lookup.key, number)))
        # A client that leaves must not take the answer away from the others.
        return await asyncio.shield(task)

    @property
    def _is_held_back(self) -> bool:
        """Whether a store that was away may not be asked by one more query now."""
        is_early = self._stopwatch() < self._away_until_s
        return self._is_pausing and (is_early or len(self._asking) >= MAX_PROBES)

    def _note_end(
        self, asked: tuple[bytes, int], task: asyncio.Task[Outcome | Unavailable]
    ) -> None:
        if self._asking.get(asked) is task:
            del self._asking[asked]

    async def _ask(self, lookup: Lookup, number: int, now_s: float) -> Outcome | Unavailable:
        name, answers = self.reader.source.reader, self._answers
        try:
            async with asyncio.timeout(FETCH_LIMIT_S):
                found = await self.reader.fetch(lookup, now_s)
        except LookupFailed as error:
            return self._note_failed(lookup, number, str(error))
        except TimeoutError:
            why = f"no answer within {FETCH_LIMIT_S:g} s"
        except StoreAway as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001  a fault of a reader must not become one of the user's request
            return self._note_failed(lookup, number, f"the reader failed: {type(error).__name__}")
        else:
            return self._note_answer(lookup, found, number)
        if self._answers == answers:
            return self._note_away(lookup, number, why)
        # Others got an answer meanwhile, so the store is there.
        return self._keep(lookup.key, Unavailable(name, why), number, AWAY_S)

    def _note_failed(self, lookup: Lookup, number: int, why: str) -> Unavailable:
        """Note that this query alone failed: it is not repeated at once, and others are not held back."""
        self._answers += 1
        found = self._note_away(lookup, number, why)
        self._is_pausing = False
        return found

    def _note_away(self, lookup: Lookup, number: int, why: str) -> Unavailable:
        self._away = Unavailable(self.reader.source.reader, why)
        self._away_until_s, self._is_pausing = self._stopwatch() + AWAY_S, True
        return self._keep(lookup.key, self._away, number, AWAY_S)

    def _note_answer(self, lookup: Lookup, found: Outcome | Fetched, number: int) -> Outcome:
        self._away, self._is_pausing = None, False
        self._answers += 1
        fetched = found if isinstance(found, Fetched) else Fetched(found)
        self._cookies.pop(lookup.key, None)
        if fetched.cookies:
            if len(self._cookies) >= MAX_CACHED:
                self._cookies.clear()
            until_s = self._stopwatch() + COOKIES_S
            self._cookies[lookup.key] = _SentCookies(fetched.cookies, until_s, number)
        return self._keep(lookup.key, fetched.outcome, number, self.reader.source.cache_s)

    def _keep(self, key: bytes, outcome: T, number: int, for_s: float) -> T:
        if for_s:
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            self._cached[key] = _Cached(outcome, self._stopwatch() + for_s, number)
        return outcome

    def forget(self, session_key: bytes) -> None:
        """Forget the store's answers, and also those that are on their way, because the session has changed."""
        self._generations.change(session_key)

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
        """Return, once, the cookies that legacy has just sent when it was asked about this session."""
        sent = self._cookies.pop(lookup.key, None)
        if sent is None or sent.until_s <= self._stopwatch():
            return ()
        is_current = sent.number == self._generations.number_of(lookup.session_key)
        return sent.lines if is_current else ()

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
        values = values_of(head, reader.source)
        if reader.source.reader == "flask" and new is None:
            return None  # it is not permanent, so Flask does not renew it either
        if len(set(values)) != 1:
            return None  # legacy alone knows which of them it would renew
        return self._renewals.line_for(name, values[0], self._clock(), new=new)

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
                state.forget(found.session_key)

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
