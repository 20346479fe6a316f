"""Notices changes of routes.yaml and the kill files, and puts a valid new table into effect.

A timer checks the files, and requests do not wait for the checks. When a file has changed, the watcher waits
until two checks in a row find the same signature. Then it reads the file, and uses it if the signature is still
the same after that. Signatures show renames, writes in place and Kubernetes' symlink swaps. If a table was
written in place and lacks its end (settling.py), it waits until its signature has been the same for 3 s. After
a rename there is no such wait.

Rule: every file call runs in a thread beside the loop, one at a time for each file. The table and the two kill
files are checked independently: if one call hangs, traffic and the checks of the other files go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from overgrow.files import ANSWER_S, Signature, Silent, signature_of
from overgrow.files.thread import FileThread
from overgrow.routing.match import Matcher
from overgrow.routing.model import RouteTable
from overgrow.table.flip_notes import without_flip_notes
from overgrow.table.judging import TableContext, judge_table, unreadable_problem
from overgrow.table.last_good import Source, keep_last_good
from overgrow.table.legacy_only import read_table_or
from overgrow.table.live import (
    LiveTable,
    ReloadError,
    is_kill_file,
    kill_files,
    unseen_problem,
    utc_now,
)
from overgrow.table.reading.parse import ParsedTable, revision_of
from overgrow.table.reading.settling import STANDS_S, half_written_note
from overgrow.yaml_file.problem import Problem

LOG = logging.getLogger("overgrow")

INTERVAL_S = 0.25
UNTRUSTED = "%s changed and cannot be used: %s; the certificates read before stay in use"
KEEP_S = 1.0  # how long a new table waits for its copy in the state folder

UNSEEN = (-1, -1, -1, -1, -1)

T = TypeVar("T")
Kind = Literal[
    "table",
    "rejected",
    "recovered",
    "waiting",
    "certificates",
    "unseen",
    "seen",
    "killed",
    "resumed",
]


class _ReadTable(NamedTuple):
    """The result of reading the file.

    `lost` says which part of the running table's end the file lacks; None if it is complete.
    """

    data: bytes | None
    loaded: ParsedTable
    matcher: Matcher | None
    lost: str | None = None


class TableEvent(NamedTuple):
    """An event of the table: its kind, the revision that runs now, and the reason.

    "table": a new table took effect. "rejected": the file is invalid or missing, and the former table runs on.
    "recovered": the file is again the same as the running table. "waiting": somebody may still be writing the
    file. "certificates": the file of legacy.tls_ca changed. "unseen": the table or a kill file cannot be
    checked. "seen": that file can be checked again. "killed": a kill file appeared. "resumed": all kill files
    are gone.
    """

    kind: Kind
    revision: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


def _trust_nothing(_: RouteTable) -> None:
    """Do nothing: read no certificates."""


def _ignore(_: TableEvent) -> None:
    """Do nothing with an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherEffects:
    """The functions by which a Watcher reaches files, clock and listeners. Tests pass fakes."""

    on_change: Callable[[TableEvent], None] = _ignore
    trust: Callable[[RouteTable], None] = _trust_nothing  # reads the certificates a table names
    signature: Callable[[Path], Signature] = signature_of
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], str] = utc_now
    clock: Callable[[], float] = time.monotonic
    patience_s: float = ANSWER_S  # for one call to a file system, before its file counts as unseen


_USUAL_EFFECTS = WatcherEffects()


class Watcher:
    """Keeps one LiveTable up to date with its files. `watch` never returns; cancel it to stop."""

    def __init__(
        self,
        live: LiveTable,
        context: TableContext,
        state: Path,
        effects: WatcherEffects = _USUAL_EFFECTS,
    ) -> None:
        self._live, self._context, self._state, self._effects = live, context, state, effects
        self._config = context.config
        self._certificates: tuple[str | None, Signature] = (None, None)  # whose, at the last check
        self._trusted: tuple[str | None, Signature] = (None, None)  # when they were last read
        self._seen: Signature = UNSEEN  # at the last check
        self._read: Signature = UNSEEN  # when the file was last read
        self._stands_since_s = effects.clock()  # the signature seen last
        self._in_place = False  # whether the last signature came from writing, not from a rename
        self._held: _ReadTable | None = (
            None  # what waits, so that it is not read again at each check
        )
        # Until the first check, the state found at boot.
        self._kill_files = dict.fromkeys(kill_files(context.config, state), live.killed)
        self._threads = {path: FileThread(f"look-{path.name}") for path in self._kill_files}
        self._threads[context.config] = FileThread("look-table")
        self._keeping = FileThread("keep-table")
        self._looked_s = dict.fromkeys(self._threads, effects.clock())  # without certificates

    @property
    def look_age_s(self) -> float:
        """The time since the last check of the table and both kill files; of three checks, the oldest counts."""
        return self._effects.clock() - min(self._looked_s.values())

    async def watch(self) -> None:
        """Check the table, its certificates and each kill file independently until cancelled."""
        async with asyncio.TaskGroup() as looking:
            looking.create_task(self._repeat_check(self._check_table))
            looking.create_task(self._repeat_check(self._check_certificates))
            for path in self._kill_files:
                looking.create_task(self._repeat_check(self._check_kill_file, path))

    async def _repeat_check(self, look: Callable[..., Awaitable[None]], *args: Path) -> None:
        """Repeat a check forever. An exception is logged, and all checks go on."""
        while True:
            try:
                await look(*args)
            except Exception:
                LOG.exception("checking the route table or a kill file failed; it is checked again")
            await self._effects.sleep(INTERVAL_S)

    async def poll(self) -> None:
        """Check kill files and table once."""
        for path in self._kill_files:
            await self._check_kill_file(path)
        await self._check_table()

    async def _check_kill_file(self, path: Path) -> None:
        try:
            self._kill_files[path] = await self._call_beside_loop(path, is_kill_file, path)
        except OSError as error:
            self._set_unseen(path, error)
            return  # the last known state stays
        self._looked_s[path] = self._effects.clock()
        killed = any(self._kill_files.values())
        if killed != self._live.killed:
            self._live.killed = killed
            self._announce("killed" if killed else "resumed")

    async def _check_certificates(self) -> None:
        """Check whether the certificates that the running table names have changed. The table itself stays the same."""
        table = self._live.matcher.table
        name = table.legacy.tls_ca
        if name is None or not table.legacy.url.startswith("https:"):
            return
        path = Path(name)
        self._threads.setdefault(path, FileThread("look-certificates"))
        found = (name, await self._call_beside_loop(path, self._effects.signature, path))
        settled, self._certificates = found == self._certificates, found
        if not settled or found == self._trusted or found[1] is None:
            return
        known, self._trusted = self._trusted[0] == name, found
        if known:  # else they were read with the table
            await self._renew_certificates(path, table)

    async def _renew_certificates(self, path: Path, table: RouteTable) -> None:
        try:
            await self._call_beside_loop(path, partial(self._effects.trust, table))
        except OSError as error:
            LOG.error(UNTRUSTED, path, error.strerror or error)  # noqa: TRY400 - its text says it
        else:
            self._announce("certificates")

    async def _check_table(self) -> None:
        found = await self._call_beside_loop(self._config, self._effects.signature, self._config)
        settled = found == self._seen
        if not settled:
            self._remember_signature(found)
        elif found != self._read:
            await self._reload(found)
        self._looked_s[self._config] = self._effects.clock()

    def _remember_signature(self, found: Signature) -> None:
        """Remember a new signature, and whether writing in place caused it."""
        self._in_place = self._is_in_place(found)
        self._seen, self._stands_since_s, self._held = found, self._effects.clock(), None

    def _is_in_place(self, found: Signature) -> bool:
        """Return whether the file is being written in place, instead of replaced by a rename.

        If the file was missing for a moment, it also counts as written in place, because a rename leaves no
        gap.
        """
        before = self._seen
        if found is None or before is None:
            return True
        if before == UNSEEN:
            return self._live.source in (None, found[:2])
        is_written = (found[2], found[-1]) != (before[2], before[-1])
        return found[:2] == before[:2] and (is_written or self._in_place)

    async def _reload(self, found: Signature) -> None:
        read = self._held
        if read is None:
            read = await self._call_beside_loop(self._config, self._read_table)
        if (
            await self._call_beside_loop(self._config, self._effects.signature, self._config)
            != found
        ):
            return  # it changed while it was read: the next checks will read it
        if (why := self._wait_reason(read)) is not None:
            self._held = read
            self._announce_waiting(why)
            return
        self._read, self._held = found, None
        was_waiting, self._live.waiting = self._live.waiting is not None, None
        data, loaded, matcher, _ = read
        if matcher is None:
            self._reject(loaded, anew=was_waiting)
        elif data is not None:
            source = found and found[:2]
            await self._keep_last_good(data, source)
            self._live.swap(matcher, self._effects.now(), source)
            self._announce("table", notes=loaded.notes)
        elif self._live.reload_error is not None or was_waiting:
            self._live.reload_error = None
            self._announce("recovered", notes=loaded.notes)

    def _wait_reason(self, read: _ReadTable) -> str | None:
        """Return why the file may be half-written; None if it can be used."""
        stood_s = self._effects.clock() - self._stands_since_s
        return read.lost if self._in_place and stood_s < STANDS_S else None

    def _announce_waiting(self, why: str) -> None:
        """Announce that a table waits until nobody has written to it for a while."""
        note = half_written_note(str(self._config), why)
        if note != self._live.waiting:
            self._live.waiting, self._live.reload_error = note, None
            self._announce("waiting", notes=(note,))

    async def _keep_last_good(self, data: bytes, source: Source) -> None:
        """Keep the table as last-good. If the state folder hangs, only this copy is missing."""
        app = self._context.app_in_use
        work = partial(keep_last_good, self._state, data, app=app, source=source)
        kept = asyncio.ensure_future(self._keeping.call(work))
        await asyncio.wait({kept}, timeout=KEEP_S)

    async def _call_beside_loop(self, path: Path, work: Callable[..., T], *args: Path) -> T:
        """Run `work` in a thread and return its result.

        If this takes long, `path` counts as unseen until `work` ends.
        """
        answer = asyncio.ensure_future(self._threads[path].call(work, *args))
        try:
            done, _ = await asyncio.wait({answer}, timeout=self._effects.patience_s)
            if not done:
                self._set_unseen(path, Silent(path, self._effects.patience_s))
            found = await answer
        finally:
            answer.cancel()
        if path in self._live.unseen:
            del self._live.unseen[path]
            self._announce("seen")
        return found

    def _set_unseen(self, path: Path, error: OSError) -> None:
        problem = unseen_problem(path, error, kill_files(self._config, self._state))
        before = self._live.unseen.get(path)
        if before is None or before.problems != (problem,):
            self._live.unseen[path] = ReloadError(self._effects.now(), (problem,))
            self._announce("unseen", (problem,))

    def _read_table(self) -> _ReadTable:
        """Read and parse the file, in a thread. If there is no new table to use, the result has no bytes."""
        running, runs = self._live, self._live.matcher.table
        own = self._context.legacy_only
        stands = own if own is not None and revision_of(own) == runs.revision else None
        try:
            data = read_table_or(stands, self._config)
        except OSError as error:
            return _ReadTable(
                None, ParsedTable(None, (unreadable_problem(self._config, error),), ()), None
            )
        same = revision_of(data) == runs.revision
        if same and running.reload_error is None:
            return _ReadTable(None, ParsedTable(runs, (), ()), running.matcher)
        loaded, matcher, lost = judge_table(data, self._context, runs)
        loaded = without_flip_notes(loaded, self._state)
        if matcher is None or same:
            return _ReadTable(None, loaded, matcher and running.matcher, lost)
        with suppress(OSError):  # they could be read a moment ago
            self._effects.trust(matcher.table)
        return _ReadTable(data, loaded, matcher, lost)

    def _reject(self, loaded: ParsedTable, *, anew: bool) -> None:
        before = self._live.reload_error
        if not anew and before is not None and before.problems == loaded.problems:
            return
        self._live.reload_error = ReloadError(self._effects.now(), loaded.problems)
        self._announce("rejected", loaded.problems, loaded.notes)

    def _announce(
        self,
        kind: Kind,
        problems: tuple[Problem, ...] = (),
        notes: tuple[Problem, ...] = (),
    ) -> None:
        self._effects.on_change(
            TableEvent(kind, self._live.matcher.table.revision, problems, notes)
        )
