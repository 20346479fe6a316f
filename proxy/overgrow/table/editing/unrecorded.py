"""Keeps notes of kills and resumes that the history does not have yet: who, when and why.

A kill never waits for the history. Its note is a line of JSON in the kill file. The note of a resume, and the
notes from the removed kill files, are in `<state>/unrecorded/`. The next process that holds the history's lock
appends all these notes. Each note has an id, so that it is appended only once, even if a process dies in
between.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from overgrow.files import Signature, read_regular, replace_file, signature_of, within
from overgrow.table.editing.history import JOURNAL, append, lock_history, read_history
from overgrow.table.live import kill_files

FOLDER = "unrecorded"
ACTIONS = ("kill", "resume")
LOOK_S = 1.0  # how long a file system may take to show a kill file's lines
MAX_NOTE_BYTES = 64 * 1024
MAX_NOTE_TEXT = 2000
_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)

Note = Mapping[str, Any]


def create_note(action: str, *, at: str, who: str, why: str | None = None) -> Note:
    """Return a note with what the history will record about a kill or resume."""
    return {
        "id": secrets.token_hex(8),
        "at": at,
        "who": who,
        "action": action,
        **({"why": why} if why else {}),
    }


def note_line(note: Note) -> bytes:
    """Return a note as a line of a file."""
    return json.dumps(note, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def read_notes(path: Path) -> list[Note]:
    """Return the notes in a file; an empty list if the file is missing, unreadable or made by hand."""
    try:
        data = within(LOOK_S, path, partial(read_regular, path, MAX_NOTE_BYTES))
    except OSError:
        return []
    return [note for line in data.splitlines() if (note := _parse_note(line)) is not None]


def _parse_note(line: bytes) -> Note | None:
    """Return the note in a line.

    Return None if the line is something else, because anybody may write any text into a kill file.
    """
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("action") not in ACTIONS:
        return None
    fields = {key: found[key] for key in ("id", "at", "who", "action", "why") if key in found}
    texts = {key: text for key, text in fields.items() if isinstance(text, str)}
    is_whole = {"id", "at", "who"} <= texts.keys() and len(texts) == len(fields)
    if not is_whole or max(map(len, texts.values())) > MAX_NOTE_TEXT:
        return None
    return texts if _ID.fullmatch(texts["id"]) else None


def save_notes(state: Path, notes: Iterable[Note]) -> None:
    """Save notes in the state folder. Each note is saved completely or not at all."""
    folder = state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    for note in notes:
        replace_file(folder / f"{note['id']}.json", note_line(note))


def remove_note(state: Path, note: Note) -> None:
    """Remove the saved note of a kill or resume that did not take place."""
    with suppress(OSError):
        (state / FOLDER / f"{note['id']}.json").unlink()


def waiting_notes(config: Path, state: Path) -> list[Note]:
    """Return the notes in the kill files and in the state folder, each once, ordered by time."""
    places = (*kill_files(config, state), *_saved_note_paths(state))
    found = {note["id"]: note for path in places for note in read_notes(path)}
    return sorted(found.values(), key=lambda note: (note["at"], note["action"]))


def _saved_note_paths(state: Path) -> Iterator[Path]:
    with suppress(OSError):
        for name in sorted(os.listdir(state / FOLDER)):  # noqa: PTH208 - one that is not there is empty
            if name.endswith(".json"):
                yield state / FOLDER / name


def record_waiting(
    config: Path, state: Path, descriptor: int, more: Sequence[Note] = ()
) -> set[str]:
    """Append the waiting notes and the notes in `more` to the locked history. Return the ids of all notes.

    A note is removed only after its line is on disk.
    """
    notes = {note["id"]: note for note in (*waiting_notes(config, state), *more)}
    if not notes:
        return set()
    known = {entry.id for entry in read_history(state).entries}
    for note in sorted(notes.values(), key=lambda note: (note["at"], note["action"])):
        if note["id"] not in known:
            append(state, descriptor, note)
        remove_note(state, note)
    return set(notes)


def record_waiting_now(config: Path, state: Path, more: Sequence[Note] = ()) -> set[str]:
    """Like `record_waiting`, but without waiting for the lock of the history.

    Raises:
        OSError: if another process holds the history, or if the history cannot be written.

    """
    with lock_history(state, wait_s=0.0) as descriptor:
        return record_waiting(config, state, descriptor, more)


class HistoryKeeper:
    """The work of one worker on the history: it appends waiting notes, and records a loss of entries."""

    def __init__(self, config: Path, state: Path, now: Callable[[], str]) -> None:
        self._config, self._state, self._now = config, state, now
        self._recorded: set[str] = set()
        self._seen: Signature = None  # of the history, at the last check
        self._last: tuple[int, str] = (0, "")  # how many entries it has, and the key of the last

    def check(self, *, is_writer: bool) -> str | None:
        """Append waiting notes, record a loss of entries, and return what to log.

        Only the worker with `is_writer` writes.

        Raises:
            OSError: if the history cannot be read or written now, or another process holds it.

        """
        report = None
        found = signature_of(self._state / JOURNAL)
        if found != self._seen or (found is None and self._last[0]):
            report = self._check_for_loss(is_writer=is_writer)
        notes = waiting_notes(self._config, self._state) if is_writer else ()
        if any(note["id"] not in self._recorded for note in notes):
            self._recorded |= record_waiting_now(self._config, self._state)
        return report

    def _check_for_loss(self, *, is_writer: bool) -> str | None:
        """Read the history. If the last entry of the previous check is missing, record that entries were lost."""
        entries = read_history(self._state).entries
        count, key = self._last
        is_lost = bool(count) and all(entry.key != key for entry in entries)
        if is_lost and is_writer:
            why = f"{JOURNAL} was removed or cut: {count} entries are lost, the last of them {key[:12]}"
            facts = {"at": self._now(), "who": "overgrow", "action": "restarted", "why": why}
            with lock_history(self._state, wait_s=0.0) as descriptor:
                append(self._state, descriptor, facts)
            self._recorded.clear()
            entries = read_history(self._state).entries
        self._last = (len(entries), entries[-1].key) if entries else (0, "")
        self._seen = signature_of(self._state / JOURNAL)
        return why if is_lost and is_writer else None
