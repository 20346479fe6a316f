"""Which table runs: one assignment swaps it, readers only read attributes.

`boot` finds a table for a process that starts: routes.yaml, else (where allowed) the last table
that took effect, so that a worker never fails for a file somebody broke. Times come in as `now`.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from proxy.files import ANSWER_S, NotRegular, within
from proxy.loading.certificates import with_usable_certificates
from proxy.loading.collector import at_rest, set_aside
from proxy.loading.parse import AppRule, Loaded, parse
from proxy.loading.problems import Problem
from proxy.loading.tree import read_at_most
from proxy.routing.match import Matcher

LAST_GOOD = "last-good.yaml"
Rules = Sequence[AppRule] | None
Source = tuple[int, int] | None  # device and inode of the file a table was read from; None: unknown


def utc_now() -> str:
    """The time as RFC 3339 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class ReloadError:
    """Why the file is not what runs, and since when."""

    at: str
    problems: tuple[Problem, ...]

    def as_json(self) -> dict[str, object]:
        """The error as /readyz shows it."""
        return {"at": self.at, "problems": [problem.as_json() for problem in self.problems]}


class Unusable(Exception):
    """There is no table to start with; `problems` say why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class Live:
    """What runs in this process now. Only a Watcher changes it; everybody else reads attributes."""

    __slots__ = (
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
        self.waiting: Problem | None = None  # the note on a file that may be half-written
        self.unseen: dict[Path, ReloadError] = {}  # what cannot be looked at, and since when

    @property
    def trouble(self) -> ReloadError | None:
        """Why what runs may not be what the files say: the table is refused, or a file is unseen."""
        told = [error for error in (self.reload_error, *self.unseen.values()) if error]
        if len(told) < 2:
            return told[0] if told else None
        problems = tuple(problem for error in told for problem in error.problems)
        return ReloadError(min(error.at for error in told), problems)

    def swap(self, matcher: Matcher, since: str | None = None, source: Source = None) -> None:
        """Let another table take effect; requests in flight keep the one they started with."""
        self.since = since or utc_now()
        self.matcher, self.source = matcher, source
        self.reload_error = self.waiting = None

    def __repr__(self) -> str:
        state = "killed" if self.killed else "running"
        return f"<Live {self.matcher.table!r}, {state} since {self.since}>"


def kill_files(config: Path, state: Path) -> tuple[Path, Path]:
    """The two files whose presence sends everything to legacy."""
    return Path(f"{config}.kill"), state / "kill"


def is_kill_file(path: Path) -> bool:
    """Whether there is one; a dangling link counts.

    Raises:
        OSError: if that cannot be told.

    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_killed(config: Path, state: Path) -> bool:
    """Whether a kill file exists; one that cannot be looked at in time counts as none."""
    return any(_is_there(path) for path in kill_files(config, state))


def _is_there(path: Path) -> bool:
    try:
        return within(ANSWER_S, path, partial(is_kill_file, path))
    except OSError:
        return False


def unseen(path: Path, error: OSError, kills: Sequence[Path]) -> Problem:
    """The problem of a table or kill file that cannot be looked at: changes of it are not noticed."""
    why = error.strerror or str(error)
    if path not in kills:
        what = f"the file cannot be looked at, so a change of it is not seen: {why}"
        fix = "Mend the file system it lies on; what runs now runs on, and kill files work all the same."
    else:
        other = next(each for each in kills if each != path)
        what = f"this kill file cannot be looked at, so nobody sees it come or go: {why}"
        fix = f"Mend the file system it lies on. Until then the other one works: touch {other}."
    return Problem("file-unseen", str(path), 1, 1, None, what, fix)


def source_of(config: Path) -> Source:
    """Device and inode of a file, which a rename changes and writing in place does not."""
    try:
        found = within(ANSWER_S, config, config.stat)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def missing(config: Path, error: OSError) -> Problem:
    """The problem of a file that cannot be read."""
    what = f"the file cannot be read: {error.strerror or error}"
    return Problem("file-missing", str(config), 1, 1, None, what, _fix_of(config, error))


def _fix_of(config: Path, error: OSError) -> str:
    if isinstance(error, NotRegular):
        return "Name a regular file with --config, or put one there."
    if error.errno == errno.ETIMEDOUT:
        return "Mend the file system it lies on."
    if error.errno == errno.EISDIR:
        return f"Name the file in it: --config {config / 'routes.yaml'}."
    if error.errno == errno.EACCES:
        return "Give this user the right to read it."
    return "Create it, for example with overgrow init, or name another with --config."


def boot(  # noqa: PLR0913 - where to look, what is known, and what is allowed
    config: Path,
    state: Path,
    *,
    env: Mapping[str, str],
    rules: Rules,
    allow_last_good: bool = True,
    now: Callable[[], str] = utc_now,
) -> Live:
    """Find the table to start with.

    Strict (`allow_last_good` False, for `serve` itself): an invalid file raises Unusable, unless a
    kill file exists, as an emergency must survive a restart. Else last-good.yaml runs and
    `reload_error` says why; Unusable only if there is no last-good table either.
    """
    killed = is_killed(config, state)
    source = source_of(config)
    data, loaded, matcher = _loaded_from(config, env, rules)
    if matcher is not None:
        with suppress(OSError):  # a state folder that hangs costs the copy, not the boot
            within(ANSWER_S, state / LAST_GOOD, partial(keep, state, data))
        return Live(matcher, now(), killed=killed, notes=loaded.notes, source=source)
    table = last_good(config, state, env=env, rules=rules) if allow_last_good or killed else None
    if table is None:
        raise Unusable(loaded.problems)
    error = ReloadError(now(), loaded.problems)
    return Live(table, error.at, killed=killed, reload_error=error, notes=loaded.notes)


def _loaded_from(
    config: Path, env: Mapping[str, str], rules: Rules
) -> tuple[bytes, Loaded, Matcher | None]:
    try:
        data = within(ANSWER_S, config, partial(read_at_most, config))
    except OSError as error:
        return b"", Loaded(None, (missing(config, error),), ()), None
    return data, *compiled_from(data, config, env, rules)


def compiled_from(  # noqa: PLR0913 - what is known, and what is allowed
    data: bytes,
    config: Path,
    env: Mapping[str, str],
    rules: Rules,
    *,
    app_in_use: str | None = None,
    must_reach_legacy: bool = True,
) -> tuple[Loaded, Matcher | None]:
    """What the bytes mean, and the table ready to be asked; fit for a thread beside a busy loop.

    With `must_reach_legacy` there is no table where the certificates it names cannot be used.
    """
    with at_rest():
        loaded = parse(data, file=str(config), env=env, rules=rules, app_in_use=app_in_use)
        if must_reach_legacy:
            loaded = with_usable_certificates(loaded, data, str(config))
        if loaded.table is None:
            return loaded, None
        matcher = Matcher(loaded.table, loaded.paths)
        set_aside(len(loaded.table.routes))
        return loaded, matcher


def last_good(config: Path, state: Path, *, env: Mapping[str, str], rules: Rules) -> Matcher | None:
    """The last table that took effect, though the app lost rules or certificates went; None without one."""
    path = state / LAST_GOOD
    try:
        data = within(ANSWER_S, path, partial(read_at_most, path))
    except OSError:
        return None
    for known in (rules, None):
        matcher = compiled_from(data, config, env, known, must_reach_legacy=False)[1]
        if matcher is not None:
            return matcher
    return None


def _says(path: Path, data: bytes) -> bool:
    try:
        return read_at_most(path) == data
    except (FileNotFoundError, NotRegular):
        return False


def keep(state: Path, data: bytes) -> None:
    """Make the bytes of a table that takes effect last-good.yaml, atomically.

    A state folder that cannot be written costs the copy, not the table.
    """
    target = state / LAST_GOOD
    try:
        if _says(target, data):
            return
        descriptor, name = tempfile.mkstemp(dir=state, prefix=f".{LAST_GOOD}.")
    except OSError:
        return
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
