"""Judges a text of routes.yaml: whether it is valid by itself, and whether it may replace the running table.

Watching workers, booting workers, `serve` before its start and `overgrow check` all call these functions, so
that all of them judge alike. If there is no running table, last-good.yaml takes its place.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from overgrow.files import ANSWER_S, NotRegular, within
from overgrow.routing.match import Matcher
from overgrow.routing.model import RouteTable
from overgrow.table.flip_notes import without_flip_notes
from overgrow.table.last_good import LAST_GOOD, LastGood, Source, read_last_good
from overgrow.table.legacy_only import read_table_or
from overgrow.table.reading.app_rules import blame_stale_app
from overgrow.table.reading.certificates import reject_unusable_certificates
from overgrow.table.reading.gc_pause import freeze_table, gc_paused
from overgrow.table.reading.parse import AppRule, ParsedTable, find_app_name, parse
from overgrow.table.reading.settling import STANDS_S, half_written_note, lost_end
from overgrow.table.reading.table_file import read_table_file
from overgrow.table.reading.weakened import reject_weakened
from overgrow.yaml_file.problem import Problem

Rules = Sequence[AppRule] | None


@dataclass(frozen=True, slots=True)
class TableContext:
    """The context in which a text of routes.yaml is read: the file's path, the environment, and the team's app.

    If `rules` is None, the check against the app is skipped. `app_in_use` is the name of the running app.
    """

    config: Path
    env: Mapping[str, str]
    rules: Rules = None
    app_in_use: str | None = None
    legacy_only: bytes | None = None  # stands for a file that was never there
    find_stale: Callable[[], str | None] | None = None  # whether the app is older than its sources


def unreadable_problem(config: Path, error: OSError) -> Problem:
    """Return the problem of a file that cannot be read."""
    what = f"the file cannot be read: {error.strerror or error}"
    return Problem("file-missing", str(config), 1, 1, None, what, _unreadable_fix(config, error))


def _unreadable_fix(config: Path, error: OSError) -> str:
    if isinstance(error, NotRegular):
        return "Name a regular file with --config, or put one there."
    if error.errno == errno.ETIMEDOUT:
        return "Fix the file system it is on."
    if error.errno == errno.EISDIR:
        return f"Name the file in it: --config {config / 'routes.yaml'}."
    if error.errno in (errno.EACCES, errno.EPERM):
        return "Give this user the right to read it."
    if error.errno == errno.ELOOP:
        return "Point the symbolic link at the file, or name the file with --config."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "Create it, for example with overgrow init, or name another with --config."
    return "Fix the file system it is on, or name another file with --config."


def compile_table(
    data: bytes, context: TableContext, *, must_reach_legacy: bool = True
) -> tuple[ParsedTable, Matcher | None]:
    """Parse the bytes and build the matcher; suitable for a thread beside a busy event loop.

    With `must_reach_legacy`, a table is refused if its certificates cannot be used.
    """
    with gc_paused():
        file = str(context.config)
        loaded = parse(
            data,
            file=file,
            env=context.env,
            rules=context.rules,
            app_in_use=context.app_in_use,
        )
        if must_reach_legacy:
            loaded = reject_unusable_certificates(loaded, data, file)
        if loaded.table is None:
            return loaded, None
        matcher = Matcher(loaded.table, loaded.paths)
        freeze_table(len(loaded.table.routes))
        return loaded, matcher


class JudgedTable(NamedTuple):
    """The result of judging a text of routes.yaml, compared with the running table.

    If the text may be half-written, `lost` says which part of the end of the running table is missing in the
    text.
    """

    loaded: ParsedTable
    matcher: Matcher | None
    lost: str | None = None


def judge_table(data: bytes, context: TableContext, running: RouteTable | None) -> JudgedTable:
    """Judge a text by itself and against the running table, whose irreversible routes must not lose requests."""
    loaded, matcher = compile_table(data, context)
    if loaded.problems and context.find_stale is not None:
        loaded = loaded._replace(problems=blame_stale_app(loaded.problems, context.find_stale()))
    if matcher is None or running is None:
        return JudgedTable(loaded, matcher)
    with gc_paused():
        loaded = reject_weakened(loaded, str(context.config), running)
    return JudgedTable(loaded, matcher if loaded.table else None, lost_end(matcher.table, running))


class StartTable(NamedTuple):
    """The result of `choose_table`: the file's table, or the reason why that table cannot run.

    If the file is refused or may be half-written, `matcher` is None. In the second case `waiting` is the note
    about that. `compared` says whether the file was compared with the last table that took effect.
    """

    data: bytes
    loaded: ParsedTable
    matcher: Matcher | None
    kept: LastGood | None
    source: Source
    waiting: Problem | None = None
    compared: bool = True


def choose_table(context: TableContext, state: Path) -> StartTable:
    """Read the file and judge it as the running workers do, compared with the last table that took effect."""
    config = context.config
    kept = read_last_good_in_time(state)
    source, age_s = _source_and_age(config)
    try:
        data = within(ANSWER_S, config, partial(read_table_or, context.legacy_only, config))
    except OSError as error:
        return StartTable(
            b"", ParsedTable(None, (unreadable_problem(config, error),), ()), None, kept, source
        )
    is_new = kept is not None and kept.data != data
    running = parse_last_good(kept, config, context.env) if kept is not None and is_new else None
    loaded, matcher, lost = judge_table(data, context, running)
    loaded = without_flip_notes(loaded, state)
    compared = kept is not None and (not is_new or running is not None)
    choice = StartTable(data, loaded, matcher, kept, source, compared=compared)
    if kept is None or lost is None or age_s >= STANDS_S or kept.source not in (None, source):
        return choice
    return choice._replace(matcher=None, waiting=half_written_note(str(config), lost))


def find_half_written(config: Path, state: Path, env: Mapping[str, str]) -> Problem | None:
    """If workers would not use routes.yaml yet because it may be half-written, return the note about that.

    Else None.
    """
    source, age_s = _source_and_age(config)
    kept = read_last_good_in_time(state)
    if age_s >= STANDS_S or kept is None or kept.source not in (None, source):
        return None
    return choose_table(TableContext(config, env), state).waiting


def read_last_good_in_time(state: Path) -> LastGood | None:
    """Return the last table that took effect. Return None if there is none, or if the file system does not answer."""
    try:
        return within(ANSWER_S, state / LAST_GOOD, partial(read_last_good, state))
    except OSError:
        return None


def parse_last_good(kept: LastGood, config: Path, env: Mapping[str, str]) -> RouteTable | None:
    """Return the last-good table for a comparison; None if it is invalid in this environment."""
    return parse(kept.data, file=str(config), env=env, rules=None).table


def _source_and_age(config: Path) -> tuple[Source, float]:
    """Return (source, age): the file's device and inode, and the seconds since its last change.

    A rename changes the source.
    """
    try:
        found = within(ANSWER_S, config, config.stat)
    except OSError:
        return None, STANDS_S
    age_s = time.time() - max(found.st_mtime, found.st_ctime)
    return (found.st_dev, found.st_ino), age_s


def load_last_good(
    config: Path, state: Path, *, env: Mapping[str, str], rules: Rules
) -> Matcher | None:
    """Return the matcher of the last table that took effect; None if there is none."""
    kept = read_last_good_in_time(state)
    return None if kept is None else compile_last_good(kept, TableContext(config, env, rules))


def compile_last_good(kept: LastGood, context: TableContext) -> Matcher | None:
    """Return the matcher of the last-good table; None if its text is invalid.

    The table is used even if the app has lost rules in the meantime, or if certificates are missing.
    """
    for known in (context, TableContext(context.config, context.env)):
        matcher = compile_table(kept.data, known, must_reach_legacy=False)[1]
        if matcher is not None:
            return matcher
    return None


class AppToStart(NamedTuple):
    """The name of the app to import (None if none is named), and the app that ran before, as a replacement."""

    name: str | None
    before: str | None


def app_to_start(config: Path, state: Path, *, env: Mapping[str, str], rules: Rules) -> AppToStart:
    """Return the app to import for the table that a process would start with.

    It is the app that the table names. For the last-good table, it is the app that ran with that table.

    Usually routes.yaml and the last-good table name the same app. Then neither table has to be judged.
    """
    kept = read_last_good_in_time(state)
    try:
        data = within(ANSWER_S, config, partial(read_table_file, config))
    except OSError:
        data = b""
    own = find_app_name(data, env)
    if kept is None or kept.data == data:
        return AppToStart(own, None if kept is None else kept.app)
    theirs = kept.app or find_app_name(kept.data, env)
    if own == theirs or choose_table(TableContext(config, env, rules), state).matcher is not None:
        return AppToStart(own, theirs)
    return AppToStart(theirs, None)
