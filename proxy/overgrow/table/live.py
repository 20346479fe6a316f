"""The running table of a process: a single assignment replaces it, so that readers need no lock.

`boot` finds the table of a starting process: routes.yaml, or else (if allowed) the last table that took
effect, so that a worker starts even if the file is broken. Times come in as `now`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from overgrow.files import ANSWER_S, within
from overgrow.routing.match import Matcher
from overgrow.table.editing.history import JOURNAL
from overgrow.table.judging import (
    Rules,
    TableContext,
    choose_table,
    compile_last_good,
    read_last_good_in_time,
)
from overgrow.table.last_good import LAST_GOOD, Source, keep_last_good
from overgrow.table.legacy_only import legacy_only_for_boot
from overgrow.text import rfc3339
from overgrow.yaml_file.problem import Problem


def utc_now() -> str:
    """Return the time as RFC 3339 in UTC, to the millisecond."""
    return rfc3339(time.time(), "milliseconds")


@dataclass(frozen=True, slots=True)
class ReloadError:
    """Why the file's table is not running, and since when."""

    at: str
    problems: tuple[Problem, ...]

    def as_json(self) -> dict[str, object]:
        """Return the error as /readyz shows it."""
        return {"at": self.at, "problems": [problem.as_json() for problem in self.problems]}


class NoUsableTable(Exception):
    """There is no table to start with. `problems` say why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class LiveTable:
    """The table that runs in this process. Only a Watcher changes this object; all other code only reads it."""

    __slots__ = (
        "compared",
        "killed",
        "matcher",
        "notes",
        "reload_error",
        "since",
        "source",
        "unseen",
        "waiting",
    )

    def __init__(  # noqa: PLR0913 - what runs, and what is known of it
        self,
        matcher: Matcher,
        since: str,
        *,
        killed: bool = False,
        reload_error: ReloadError | None = None,
        notes: Sequence[Problem] = (),
        source: Source = None,
    ) -> None:
        self.matcher, self.since = matcher, since
        self.killed, self.reload_error = killed, reload_error
        self.notes = tuple(notes)  # on the file as it was found at boot
        self.source = source
        self.compared = True  # at boot, with the table that took effect last, if there ever was one
        self.waiting: Problem | None = None  # the note on a file that may be half-written
        self.unseen: dict[Path, ReloadError] = {}  # files that cannot be checked, and since when

    @property
    def trouble(self) -> ReloadError | None:
        """Why the running table may differ from the files: routes.yaml is refused, or a file cannot be checked.

        Else None.
        """
        errors = [error for error in (self.reload_error, *self.unseen.values()) if error]
        if len(errors) < 2:
            return errors[0] if errors else None
        problems = tuple(problem for error in errors for problem in error.problems)
        return ReloadError(min(error.at for error in errors), problems)

    def swap(self, matcher: Matcher, since: str | None = None, source: Source = None) -> None:
        """Replace the running table. Requests in flight keep the table with which they started."""
        self.since = since or utc_now()
        self.matcher, self.source = matcher, source
        self.reload_error = self.waiting = None

    def __repr__(self) -> str:
        state = "killed" if self.killed else "running"
        return f"<LiveTable {self.matcher.table!r}, {state} since {self.since}>"


def kill_files(config: Path, state: Path) -> tuple[Path, Path]:
    """Return the two files whose existence sends everything to legacy."""
    return Path(f"{config}.kill"), state / "kill"


def is_kill_file(path: Path) -> bool:
    """Return whether there is a kill file at this path. A dangling link counts as one.

    Raises:
        OSError: if the path cannot be checked.

    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_killed(config: Path, state: Path) -> bool:
    """Return whether a kill file exists. If a path cannot be checked in time, it counts as not existing."""
    return any(_kill_file_exists(path) for path in kill_files(config, state))


def _kill_file_exists(path: Path) -> bool:
    try:
        return within(ANSWER_S, path, partial(is_kill_file, path))
    except OSError:
        return False


def unseen_problem(path: Path, error: OSError, kills: Sequence[Path]) -> Problem:
    """Return the problem of a table or kill file that cannot be checked, so that its changes stay unnoticed."""
    why = error.strerror or str(error)
    if path not in kills:
        what = f"the file cannot be checked, so changes to it are not noticed: {why}"
        fix = "Fix the file system it is on. The running table stays in use, and kill files still work."
    else:
        other = next(each for each in kills if each != path)
        what = f"this kill file cannot be checked, so its creation or removal is not noticed: {why}"
        fix = f"Fix the file system it is on. Until then the other kill file works: touch {other}."
    return Problem("file-unseen", str(path), 1, 1, None, what, fix)


def boot(  # noqa: PLR0913 - where to look, what is known, and what is allowed
    config: Path,
    state: Path,
    *,
    env: Mapping[str, str],
    rules: Rules,
    app: str | None = None,
    allow_last_good: bool = True,
    legacy_only: bytes | None = None,
    now: Callable[[], str] = utc_now,
) -> LiveTable:
    """Find the table to start with. `app` is the app that will run, if it could be imported.

    If the file is invalid, last-good.yaml runs, and `reload_error` says why. If there is no last-good table,
    NoUsableTable is raised. `serve` itself forbids the last-good table (`allow_last_good` False). It is used
    all the same while a kill file exists, because a restart must be possible in an emergency.

    If the file may be half-written, the last-good table runs, and `waiting` says so. `legacy_only` takes the
    place of a missing file. With `allow_last_good`, it does so only while no other table has taken effect.
    """
    killed = is_killed(config, state)
    if allow_last_good:
        legacy_only = legacy_only_for_boot(legacy_only, read_last_good_in_time(state))
    context = TableContext(config, env, rules, legacy_only=legacy_only)
    found = choose_table(context, state)
    notes = found.loaded.notes
    if found.matcher is not None:
        work = partial(keep_last_good, state, found.data, app=app, source=found.source)
        with suppress(OSError):  # if the state folder hangs, only the copy is missing
            within(ANSWER_S, state / LAST_GOOD, work)
        live = LiveTable(found.matcher, now(), killed=killed, notes=notes, source=found.source)
        live.compared = found.compared or (
            found.kept is None and _is_first_table(found.matcher, state)
        )
        return live
    table = None
    if found.kept is not None and (allow_last_good or killed or found.waiting):
        table = compile_last_good(found.kept, context)
    if table is None:
        raise NoUsableTable(found.loaded.problems or tuple(filter(None, [found.waiting])))
    error = ReloadError(now(), found.loaded.problems) if found.waiting is None else None
    source = found.kept.source if found.kept is not None else None
    live = LiveTable(table, now(), killed=killed, reload_error=error, notes=notes, source=source)
    live.waiting = found.waiting
    return live


def _is_first_table(matcher: Matcher, state: Path) -> bool:
    """Return whether this is the first table on this state folder, and has no irreversible route."""
    is_used = any((state / name).exists() for name in (JOURNAL, "metrics"))
    return not is_used and all(route.reversible for route in matcher.table.routes)
