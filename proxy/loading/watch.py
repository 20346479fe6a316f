"""Notice that routes.yaml or a kill file changed, and let a valid new table take effect.

A timer stats; no request waits for it. A changed file is read once two polls agree on its signature
and the signature still holds after reading, so a half-written file is not taken for a whole one. A
signature sees renames, writes in place and Kubernetes' symlink swaps. Parsing happens in a thread.
Clock, stat and sleep come in by argument.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from proxy.loading.holder import (
    Live,
    ReloadError,
    Rules,
    compiled_from,
    is_killed,
    keep,
    missing,
    utc_now,
)
from proxy.loading.parse import Loaded, revision_of
from proxy.loading.problems import Problem
from proxy.loading.tree import read_at_most
from proxy.routing.match import Matcher

INTERVAL_S = 0.25

Signature = tuple[int, int, int, int] | None  # device, inode, mtime in ns, size; None: no file


class Change(NamedTuple):
    """Something that happened to the table: what, the revision that runs now, and why.

    "table": a new one took effect; "rejected": the file is invalid or gone, the old one runs on;
    "recovered": the file says again what runs; "killed" and "resumed": the kill file.
    """

    kind: Literal["table", "rejected", "recovered", "killed", "resumed"]
    revision: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


def signature_of(path: Path) -> Signature:
    """What changes when the file does; follows symlinks."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - a third of the cost of Path.stat, four times a second
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size


def _ignore(_: Change) -> None:
    """Tell nobody."""


class Watcher:
    """Keeps one Live up to date with its file. `run` never returns; cancel it to stop."""

    def __init__(  # noqa: PLR0913 - a composition point: every effect is an argument
        self,
        live: Live,
        config: Path,
        state: Path,
        *,
        env: Mapping[str, str],
        rules: Rules,
        app_in_use: str | None = None,
        on_change: Callable[[Change], None] = _ignore,
        signature: Callable[[Path], Signature] = signature_of,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], str] = utc_now,
    ) -> None:
        self._live, self._config, self._state = live, config, state
        self._env, self._rules, self._app_in_use = env, rules, app_in_use
        self._on_change, self._signature, self._sleep, self._now = on_change, signature, sleep, now
        self._seen: Signature = (-1, -1, -1, -1)  # at the last poll
        self._read: Signature = (-1, -1, -1, -1)  # when the file was last read

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self.poll()
            await self._sleep(INTERVAL_S)

    async def poll(self) -> None:
        """Look once at kill files and table."""
        self._look_for_kill_file()
        found = self._signature(self._config)
        settled, self._seen = found == self._seen, found
        if settled and found != self._read:
            await self._reload(found)

    def _look_for_kill_file(self) -> None:
        killed = is_killed(self._config, self._state)
        if killed != self._live.killed:
            self._live.killed = killed
            self._tell("killed" if killed else "resumed")

    async def _reload(self, found: Signature) -> None:
        data, loaded, matcher = await asyncio.to_thread(self._load)
        if self._signature(self._config) != found:
            return  # it changed while it was read: the next polls will see it settle
        self._read = found
        if matcher is None:
            self._reject(loaded)
        elif data is not None:
            await asyncio.to_thread(keep, self._state, data)
            self._live.swap(matcher, self._now())
            self._tell("table", notes=loaded.notes)
        elif self._live.reload_error is not None:
            self._live.reload_error = None
            self._tell("recovered", notes=loaded.notes)

    def _load(self) -> tuple[bytes | None, Loaded, Matcher | None]:
        """Read and parse, in a thread. No bytes: the file says what runs already."""
        running = self._live
        try:
            data = read_at_most(self._config)
        except OSError as error:
            return None, Loaded(None, (missing(self._config, error),), ()), None
        same = revision_of(data) == running.matcher.table.revision
        if same and running.reload_error is None:
            return None, Loaded(running.matcher.table, (), ()), running.matcher
        loaded, matcher = compiled_from(
            data, self._config, self._env, self._rules, app_in_use=self._app_in_use
        )
        if matcher is None or same:
            return None, loaded, matcher and running.matcher
        return data, loaded, matcher

    def _reject(self, loaded: Loaded) -> None:
        before = self._live.reload_error
        if before is not None and before.problems == loaded.problems:
            return
        self._live.reload_error = ReloadError(self._now(), loaded.problems)
        self._tell("rejected", loaded.problems, loaded.notes)

    def _tell(
        self,
        kind: Literal["table", "rejected", "recovered", "killed", "resumed"],
        problems: tuple[Problem, ...] = (),
        notes: tuple[Problem, ...] = (),
    ) -> None:
        self._on_change(Change(kind, self._live.matcher.table.revision, problems, notes))
