"""Flips, rollbacks and the kill file: the effects, one after the other under a lock.

A flip reads the file, edits it in memory, validates the result, and replaces the file by a rename in
its own folder, so that nobody ever sees half of it. The journal's line is on disk before the rename: a
flip without history cannot happen; a rename that fails adds a line that says so.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from proxy.loading.holder import Rules, kill_files, utc_now
from proxy.loading.journal import Change, Entry, append, history, locked, undoable
from proxy.loading.parse import Draft, drafts_of, parse, revision_of
from proxy.loading.problems import Problem, Refused
from proxy.loading.rewrite import (
    changes_for,
    checked,
    edited,
    goal_of,
    lines_to_change,
    same_state,
    share_of,
    state_of,
    written,
)
from proxy.loading.state import login_name
from proxy.loading.tree import Broken, decoded
from proxy.loading.values import nearest

BOM = b"\xef\xbb\xbf"
CANNOT_REPLACE = {errno.EBUSY, errno.EXDEV, errno.EROFS, errno.EACCES, errno.EPERM}


class Flipped(NamedTuple):
    """A flip that was made: where the route stood, where it stands, and the file's revision."""

    route: str
    from_: str
    to: str
    revision: str
    changes: tuple[Change, ...] = ()  # empty: the file said so already, nothing was written


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts and when, and what they may look at: the environment and the app's rules.

    `rules` is called only when a flip sends more clients to migrated than before, so that flips
    towards legacy work while the app cannot be imported; None skips that check.
    """

    env: Mapping[str, str]
    who: str
    rules: Callable[[], Rules] | None = None
    now: Callable[[], str] = utc_now


def flip(  # noqa: PLR0913 - the interface of the command
    config: Path,
    state: Path,
    name: str,
    to: str,
    *,
    env: Mapping[str, str],
    who: str | None = None,
    rules: Callable[[], Rules] | None = None,
    now: Callable[[], str] = utc_now,
) -> Flipped:
    """Make the route say `to`: legacy, migrated, gone or N%. Raises Refused, and then changed nothing."""
    goal = goal_of(to)
    actor = Actor(env, who or login_name(), rules, now)
    with _turn(config, state, env) as turn:
        draft = _named(turn, name)
        _refuse_irreversible(draft, str(goal))
        changes = changes_for(draft, goal)
        if not changes:
            return Flipped(name, state_of(draft), str(goal), revision_of(turn.data))
        return _made(turn, actor, draft, Plan("flip", state_of(draft), str(goal), changes))


def rollback(  # noqa: PLR0913 - the interface of the command
    config: Path,
    state: Path,
    name: str | None = None,
    *,
    env: Mapping[str, str],
    who: str | None = None,
    rules: Callable[[], Rules] | None = None,
    now: Callable[[], str] = utc_now,
) -> Flipped:
    """Undo the last flip (of the route) that is not yet undone; a second call goes one further back."""
    actor = Actor(env, who or login_name(), rules, now)
    with _turn(config, state, env) as turn:
        if name is not None:
            _named(turn, name)
        entry = undoable(history(state).entries, name)
        if entry is None:
            raise _nothing_to_undo(turn, name)
        draft = _as_written(turn, entry)
        _refuse_irreversible(draft, str(entry.from_))
        back = tuple(Change(one.field, one.after, one.before) for one in entry.changes)
        plan = Plan("rollback", state_of(draft), str(entry.from_), back, entry.key)
        return _made(turn, actor, draft, plan)


def kill(
    config: Path, state: Path, *, who: str | None = None, now: Callable[[], str] = utc_now
) -> Path:
    """Send everything to legacy: create the kill file, beside the table or in the state folder."""
    reasons = []
    for path in kill_files(config, state):
        try:
            path.touch()
        except OSError as error:
            reasons.append(f"{path}: {error.strerror}")
            continue
        _record(state, {"at": now(), "who": who or login_name(), "action": "kill"})
        return path
    fix = f"Create {kill_files(config, state)[0]} by hand."
    raise Refused("read-only", f"no kill file can be created ({'; '.join(reasons)})", fix)


def resume(
    config: Path, state: Path, *, who: str | None = None, now: Callable[[], str] = utc_now
) -> tuple[Path, ...]:
    """Remove both kill files; return those that were there."""
    removed = []
    for path in kill_files(config, state):
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            what = f"{path} cannot be removed: {error.strerror}"
            raise Refused("read-only", what, "Remove it by hand.") from None
        removed.append(path)
    if removed:
        _record(state, {"at": now(), "who": who or login_name(), "action": "resume"})
    return tuple(removed)


def _record(state: Path, facts: Mapping[str, Any]) -> None:
    """Write history where it can be written: it must not stand in the way of the kill file."""
    with suppress(OSError), locked(state) as descriptor:
        append(state, descriptor, facts)


# --- one turn: from reading the file to replacing it ----------------------------------------------


class Turn(NamedTuple):
    """The file as it was read while everybody else's flips wait."""

    config: Path
    real: Path  # where symlinks lead
    state: Path
    journal: int
    data: bytes
    text: str
    found: os.stat_result
    drafts: Sequence[Draft]


class Plan(NamedTuple):
    """What to write, and how the journal calls it."""

    action: str
    from_: str
    to: str
    changes: tuple[Change, ...]
    undoes: str | None = None


@contextmanager
def _turn(config: Path, state: Path, env: Mapping[str, str]) -> Iterator[Turn]:
    try:
        real = config.resolve(strict=True)
        with _folder_locked(real.parent), locked(state) as journal:
            found = real.stat()
            data = real.read_bytes()
            text = decoded(data)
            yield Turn(config, real, state, journal, data, text, found, drafts_of(text, env))
    except OSError as error:
        what = f"{error.filename or config}: {error.strerror}"
        raise Refused("file-unreadable", what, "Check the path and its permissions.") from None
    except Broken as broken:
        problem = Problem(broken.code, str(config), *broken.at, None, broken.message, broken.fix)
        fix = "Mend it first. rollback --all works even so."
        raise Refused("file-unreadable", f"{config} cannot be read", fix, [problem]) from None


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    """One flip at a time per folder, whatever state folder each was given."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(
            OSError
        ):  # some network file systems lock no folders; the journal's lock holds
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _named(turn: Turn, name: str) -> Draft:
    for draft in turn.drafts:
        if draft.name == name:
            return draft
    names = [draft.name for draft in turn.drafts if draft.name]
    close = nearest(name, names)
    fix = f"Did you mean {close}?" if close else "overgrow routes lists them."
    raise Refused("unknown-route", f"{turn.config} has no route named {name}", fix)


def _refuse_irreversible(draft: Draft, to: str) -> None:
    if draft.fields.values.get("reversible") is not False or to in ("migrated", "gone"):
        return
    line = draft.fields.nodes["reversible"].line
    what = f"{draft.name} has reversible: false (line {line}): its data has left legacy"
    raise Refused("irreversible", what, "It can be flipped to migrated or gone only.")


def _nothing_to_undo(turn: Turn, name: str | None) -> Refused:
    now = "; ".join(f"{d.name} is {state_of(d)}" for d in turn.drafts if name in (None, d.name))
    what = f"no flip{f' of {name}' if name else ''} is left to undo"
    return Refused("nothing-to-undo", what, f"The file says: {now or 'no routes'}.")


def _as_written(turn: Turn, entry: Entry) -> Draft:
    """The route, if it still says what the flip wrote."""
    draft = next((one for one in turn.drafts if one.name == entry.route), None)
    is_state = draft is not None and same_state(state_of(draft), str(entry.to))
    if draft and is_state and all(written(draft, c.field) == c.after for c in entry.changes):
        return draft
    says = state_of(draft) if draft else "nothing of it"
    if draft and is_state:
        says += ", written otherwise"
    what = f"the flip of {entry.route} by {entry.who} at {entry.at} wrote {entry.to}; the file says {says}"
    raise Refused(
        "not-as-written", what, f"To get {entry.from_} back: flip {entry.route} {entry.from_}."
    )


def _made(turn: Turn, actor: Actor, draft: Draft, plan: Plan) -> Flipped:
    name = str(draft.name)
    after = edited(turn.text, draft, plan.changes, file=str(turn.config))
    after = checked(turn.text, after, name, plan.to, actor.env)
    data = (BOM if turn.data.startswith(BOM) else b"") + after.encode()
    grows = share_of(plan.to) > share_of(plan.from_) if plan.from_ != "nothing valid" else True
    rules = actor.rules() if grows and actor.rules is not None else None
    problems = parse(data, file=str(turn.config), env=actor.env, rules=rules).problems
    if problems:
        what = f"{turn.config} would not be valid with {name} at {plan.to}"
        raise Refused("would-be-invalid", what, "Mend this first; nothing was changed.", problems)
    revision = revision_of(data)
    facts = {
        "at": actor.now(),
        "who": actor.who,
        "action": plan.action,
        "route": name,
        "from": plan.from_,
        "to": plan.to,
        "before": revision_of(turn.data),
        "after": revision,
        "changes": plan.changes,
        **({"undoes": plan.undoes} if plan.undoes else {}),
    }
    by_hand = lines_to_change(turn.text, after)
    _replace(turn, data, facts, by_hand)
    return Flipped(name, plan.from_, plan.to, revision, plan.changes)


def _replace(turn: Turn, data: bytes, facts: Mapping[str, Any], by_hand: str) -> None:
    """Put a whole new file in the old one's place, unless somebody else changed it meanwhile."""
    temporary: Path | None = None
    recorded: Entry | None = None
    try:
        if not stat.S_IMODE(turn.found.st_mode) & 0o222:
            raise PermissionError(errno.EACCES, "the file is read-only")
        temporary = _beside(turn, data)
        _refuse_changed(turn)
        recorded = append(turn.state, turn.journal, facts)
        os.replace(temporary, turn.real)  # noqa: PTH105 - tests stand in for the mounts that refuse it
        temporary = None
        _sync_folder(turn.real.parent)
    except OSError as error:
        if recorded is not None and temporary is not None:
            gave_up = {"at": facts["at"], "who": facts["who"], "action": "abandoned"}
            append(turn.state, turn.journal, {**gave_up, "undoes": recorded.key})
        if error.errno not in CANNOT_REPLACE:
            raise
        what = f"{turn.config} cannot be replaced here ({error.strerror})"
        raise Refused("read-only", what, f"Change it where it is kept: {by_hand}.") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _beside(turn: Turn, data: bytes) -> Path:
    """A file with the new bytes and the old mode and owner, in the same folder, on disk."""
    prefix = f".{turn.real.name}."
    descriptor, name = tempfile.mkstemp(dir=turn.real.parent, prefix=prefix, suffix=".flip")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), stat.S_IMODE(turn.found.st_mode))
            mine = os.fstat(file.fileno())
            if (mine.st_uid, mine.st_gid) != (turn.found.st_uid, turn.found.st_gid):
                os.fchown(file.fileno(), turn.found.st_uid, turn.found.st_gid)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _refuse_changed(turn: Turn) -> None:
    """Compare signature and content with what was read; editors do not know of our lock."""
    found, was = turn.real.stat(), turn.found
    same = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) == (
        was.st_dev,
        was.st_ino,
        was.st_size,
        was.st_mtime_ns,
    )
    content = hashlib.sha256(turn.real.read_bytes()).digest()
    if same and content == hashlib.sha256(turn.data).digest():
        return
    what = f"somebody else changed {turn.config} in this moment"
    raise Refused(
        "changed-meanwhile", what, "Nothing was written. Look at the file, then flip again."
    )


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
