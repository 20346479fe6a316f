"""Who the users of this worker's requests are: readers for the table in force, and what they say about themselves.

The readers are built from `identity:` when the first request needs them, and again when the table or a secret changes.
Only here are secrets read: a command has none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from overgrow.exchange import BodyBroken, Inbound, Server
from overgrow.files import ANSWER_S, within
from overgrow.files.thread import FileThread
from overgrow.identity.ask import MAX_ANSWER_BYTES, UserAnswer, build_ask_reader
from overgrow.identity.generations import Generations
from overgrow.identity.opening import fingerprint_of_places, open_reader
from overgrow.identity.reader import Builders, IdentityReader
from overgrow.identity.renewal import CookieRenewals
from overgrow.identity.resolver import Resolver
from overgrow.routing.facts import Head, Headers
from overgrow.routing.identity import IdentitySource, Subject, Unavailable
from overgrow.routing.model import Decision, Legacy, RouteTable

logger = logging.getLogger("overgrow")

NUMBERS = "identity.numbers"  # in the state folder: which sessions have changed


class UserIdentification:
    """Identifies the users of one worker's requests, and follows table and secrets."""

    def __init__(
        self,
        table_of: Callable[[], RouteTable],
        legacy: Server,
        count: Callable[[str, str], None],
        state: Path,
    ) -> None:
        self._table_of = table_of
        self._numbers_file = state / NUMBERS
        self._generations: Generations | None = None
        self._build_ask_reader = build_ask_reader(partial(ask_legacy, legacy, table_of))
        self._count = count
        self._files = FileThread("identity")
        self._built_for: tuple[IdentitySource, ...] | None = None
        self._fingerprint = b""
        self._renewals = CookieRenewals()
        self._resolver: Resolver | None = None
        self._building = asyncio.Lock()
        self._asked: Resolver | None = None  # which was asked for nobody

    async def resolve(self, head: Head) -> Subject:
        """Return the user of a request; None if nobody is signed in; Unavailable if that cannot be known now."""
        return await (await self._current()).resolve(head)

    async def touch(self, head: Head) -> Headers:
        """Renew the session of a request whose user is at work on migrated; return the cookies to send with it."""
        return await self._resolver.touch(head) if self._resolver is not None else ()

    def note_cookie(self, head: Head, line: bytes) -> None:
        """Forget what is known about the session of a request whose response sets its cookie.

        `line` is the value of Set-Cookie.
        """
        if self._resolver is not None and not _is_own_question.get():
            self._resolver.note_cookie(head, line)

    async def _current(self) -> Resolver:
        sources = self._table_of().identity
        if self._resolver is not None and self._built_for is sources:
            return self._resolver
        async with self._building:
            resolver = self._resolver
            if resolver is None or self._built_for != sources:
                resolver = await self._build(sources)
            self._built_for = sources
            return resolver

    async def _build(self, sources: tuple[IdentitySource, ...]) -> Resolver:
        former = self._resolver
        readers, self._fingerprint = await self._files.call(self._open_readers, sources)
        resolver = self._resolver = Resolver(
            readers,
            self._renewals,
            clock=time.time,
            stopwatch=time.monotonic,
            observe=self._count,
            generations=self._generations,
        )
        self._built_for = sources
        if former is not None:
            await former.aclose()
        return resolver

    def _open_readers(
        self, sources: Sequence[IdentitySource]
    ) -> tuple[list[IdentityReader | Unavailable], bytes]:
        from overgrow.identity.readers import BUILDERS  # noqa: PLC0415 - SQLAlchemy is large

        if self._generations is None:
            self._generations = _open_generations(self._numbers_file)
        builders: Builders = {**BUILDERS, "ask": self._build_ask_reader}
        readers = [open_reader(source, builders, os.environ) for source in sources]
        return readers, fingerprint_of_places(sources, os.environ)

    async def rebuild_on_change(self) -> None:
        """Build the readers again if the table or a secret has changed since; called once a second."""
        sources = self._table_of().identity
        if not sources and self._resolver is None:
            return
        if self._resolver is None or self._built_for != sources:
            await self._current()
        await self._rebuild_if_secret_changed(sources)
        resolver = self._resolver
        if resolver is not None and (resolver is not self._asked or resolver.is_legacy_silent):
            self._asked = resolver
            await resolver.ask_for_nobody(_head_of_nobody(self._table_of().legacy))

    async def _rebuild_if_secret_changed(self, sources: tuple[IdentitySource, ...]) -> None:
        found = await self._files.call(fingerprint_of_places, sources, os.environ)
        if found != self._fingerprint:
            async with self._building:
                await self._build(sources)

    @property
    def is_wanted(self) -> bool:
        """Whether the table in force identifies users."""
        return bool(self._table_of().identity)

    def problems(self) -> dict[str, str]:
        """Return {reader: what is wrong with it}; empty if users can be identified."""
        if self._resolver is None:
            return {}
        away = {each.reader: f"it cannot be asked: {each.why}" for each in self._resolver.problems}
        unread = {
            reader: f"{why}: its secret may be wrong"
            for reader, why in self._resolver.unread.items()
        }
        return unread | away

    async def aclose(self) -> None:
        """Close the stores."""
        if self._resolver is not None:
            await self._resolver.aclose()


def _open_generations(path: Path) -> Generations:
    """Return the numbers that all workers share; this worker's own if the state folder cannot be written."""
    try:
        return within(ANSWER_S, path, lambda: Generations(path))
    except OSError as error:
        logger.warning(
            "%s cannot be used, so that a logout is noticed by one worker: %s", path, error
        )
        return Generations()


def _head_of_nobody(legacy: Legacy) -> Head:
    """Return the head of a request without a user, as the front door sends it by itself."""
    host = urlsplit(legacy.url).netloc or "localhost"
    headers = [(b"host", host.encode()), (b"user-agent", b"overgrow-identity")]
    return Head("GET", b"/", headers, "", "", "http", host)


# The cookies that legacy sets in its answer to a question of ours say nothing about a change of the session.
_is_own_question: ContextVar[bool] = ContextVar("is_own_question", default=False)


async def ask_legacy(legacy: Server, table_of: Callable[[], RouteTable], head: Head) -> UserAnswer:
    """Send a request of the front door's own to legacy, and return the answer; status 0 if there is none."""
    decision = Decision(None, "legacy", "default", table_of().revision)
    _is_own_question.set(True)  # in the task of this question alone
    reply = await legacy.serve(Inbound(head), decision)
    try:
        if reply.failure is not None:
            return UserAnswer(0, why=reply.failure.code)
        kind = next((value for name, value in reply.headers if name == b"content-type"), b"")
        cookies = tuple(value for name, value in reply.headers if name == b"set-cookie")
        body = await _read_body(reply.body)
        return UserAnswer(reply.status, kind.decode("latin-1"), body, cookies=cookies)
    except BodyBroken as broken:
        return UserAnswer(0, why=broken.failure.code)
    finally:
        await reply.close()


async def _read_body(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    whole = bytearray()
    async for chunk in body:
        whole += chunk
        if len(whole) > MAX_ANSWER_BYTES:
            break
    return bytes(whole)
