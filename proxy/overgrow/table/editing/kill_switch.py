"""The kill switch: a kill file sends everything to legacy until it is removed.

Rule: a kill never waits for a lock, the history or a hanging file system. If it cannot write the history, the
next process that holds the history writes the entry (unrecorded.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from overgrow.files import ANSWER_S, within
from overgrow.table.editing.history import JOURNAL
from overgrow.table.editing.unrecorded import FOLDER as UNRECORDED
from overgrow.table.editing.unrecorded import (
    Note,
    create_note,
    note_line,
    read_notes,
    record_waiting_now,
    remove_note,
    save_notes,
)
from overgrow.table.live import is_kill_file, kill_files, utc_now
from overgrow.table.reading.problems import EditRefused
from overgrow.table.state_dir import login_name


class KillResult(NamedTuple):
    """The kill file that was created. `refused` lists the places where it could not be created, as `PATH: REASON`.

    `unrecorded` says why the history does not have the kill yet; None if it does.
    """

    path: Path
    refused: tuple[str, ...]
    unrecorded: str | None = None


class ResumeResult(NamedTuple):
    """The kill files that were removed. `unrecorded` says why the history does not have the resume yet."""

    removed: tuple[Path, ...]
    unrecorded: str | None = None


def kill(
    config: Path, state: Path, *, who: str | None = None, now: Callable[[], str] = utc_now
) -> Path:
    """Send everything to legacy: create the kill file, beside the table or in the state folder."""
    return kill_and_report(config, state, who=who, now=now).path


def kill_and_report(
    config: Path,
    state: Path,
    *,
    who: str | None = None,
    now: Callable[[], str] = utc_now,
    why: str | None = None,
) -> KillResult:
    """Like `kill`, but also report the places at which the kill file could not be made.

    This function never waits for a lock or a hanging file system.
    """
    note = create_note("kill", at=now(), who=who or login_name(), why=why)
    reasons: list[str] = []
    for path in kill_files(config, state):
        is_given_up = threading.Event()
        try:
            within(ANSWER_S, path, partial(_make_kill_file, path, note, is_given_up))
        except OSError as error:
            is_given_up.set()
            reasons.append(f"{path}: {error.strerror}")
            continue
        return KillResult(path, tuple(reasons), _record_notes(config, state, [note]))
    what = f"no kill file can be made ({'; '.join(reasons)})"
    raise EditRefused("read-only", what, kill_file_fix(config))


def _make_kill_file(path: Path, note: Note, is_given_up: threading.Event) -> None:
    """Create the file, then write who created it and when.

    On a full disk the file stays empty, but works all the same.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        if not path.is_file():
            return  # a folder or device, say: it counts as a kill file
    else:
        if (
            is_given_up.is_set()
        ):  # a hanging mount came back, and somebody may have resumed meanwhile
            path.unlink()
            return
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "ab") as file:
            file.write(note_line(note))
            file.flush()
            os.fsync(descriptor)


def kill_file_fix(config: Path) -> str:
    """Return the fix for a kill file that could not be made where the front door looks for it."""
    path = kill_files(config.absolute(), config)[0]
    return f"Create it as a user who is allowed to, or where the folder is kept: touch {path}."


def resume(
    config: Path, state: Path, *, who: str | None = None, now: Callable[[], str] = utc_now
) -> tuple[Path, ...]:
    """Remove both kill files; return the paths of the files that existed.

    If one file cannot be removed, the other file is removed first, and then EditRefused is raised.
    """
    return resume_and_report(config, state, who=who, now=now).removed


def resume_and_report(
    config: Path,
    state: Path,
    *,
    who: str | None = None,
    now: Callable[[], str] = utc_now,
    why: str | None = None,
) -> ResumeResult:
    """Like `resume`, but also report whether the history has the resume already.

    This function never waits for a lock.
    """
    note = create_note("resume", at=now(), who=who or login_name(), why=why)
    notes = [one for path in kill_files(config, state) for one in read_notes(path)]
    is_put_aside = False
    removed: list[Path] = []
    kept: list[str] = []
    for path in kill_files(config, state):
        try:
            if not within(ANSWER_S, path, partial(is_kill_file, path)):
                continue  # a read-only file system refuses to remove even a missing file
            # First, so that what the file says is not lost with it.
            is_put_aside = is_put_aside or _save_notes(state, [*notes, note])
            within(ANSWER_S, path, path.unlink)
            removed.append(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            kept.append(f"{path} cannot be removed: {error.strerror}")
    if not removed:
        remove_note(state, note)
    unrecorded = _record_notes(config, state, [*notes, note]) if removed else None
    if kept:
        what = "; ".join([*kept, *(f"{path} was removed" for path in removed)])
        raise EditRefused("read-only", what, "Remove it by hand.")
    return ResumeResult(tuple(removed), unrecorded)


def _save_notes(state: Path, notes: Sequence[Note]) -> bool:
    """Save notes for the history in a folder that can be written without a lock. Always return True.

    On a full disk the notes are lost, but the resume works all the same.
    """
    with suppress(OSError):
        within(ANSWER_S, state / UNRECORDED, partial(save_notes, state, notes))
    return True


def _record_notes(config: Path, state: Path, notes: Sequence[Note]) -> str | None:
    """If no other process holds the history, write notes into it; else return why not. A kill must not wait."""
    try:
        within(ANSWER_S, state / JOURNAL, partial(record_waiting_now, config, state, notes))
    except OSError as error:
        return f"{error.filename or state / JOURNAL}: {error.strerror}"
    return None
