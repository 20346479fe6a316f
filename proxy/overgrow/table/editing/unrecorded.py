"""Kills and resumes that are not in the history yet: who, when and why.

The brake never waits for the history. What a kill says of itself stands in the kill file, a line of JSON
each; what a resume says, and what stood in the kill files that it removed, in `<state>/unrecorded/`.
Whoever next holds the history's lock appends them. Each has an id, by which it is appended once, whoever
dies meanwhile and however often it is tried.
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
    """What the history is to say of a kill or resume."""
    return {
        "id": secrets.token_hex(8),
        "at": at,
        "who": who,
        "action": action,
        **({"why": why} if why else {}),
    }


def note_line(note: Note) -> bytes:
    """A note as the line of a file."""
    return json.dumps(note, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def read_notes(path: Path) -> list[Note]:
    """What a file says; none of one that is not there, cannot be read, or was made by hand."""
    try:
        data = within(LOOK_S, path, partial(read_regular, path, MAX_NOTE_BYTES))
    except OSError:
        return []
    return [note for line in data.splitlines() if (note := _parse_note(line)) is not None]


def _parse_note(line: bytes) -> Note | None:
    """Anybody may write into a kill file: only what a kill or resume says of itself is believed."""
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
    """Keep notes in the state folder, each whole or not at all."""
    folder = state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    for note in notes:
        replace_file(folder / f"{note['id']}.json", note_line(note))


def remove_note(state: Path, note: Note) -> None:
    """Forget a note of what was not done after all."""
    with suppress(OSError):
        (state / FOLDER / f"{note['id']}.json").unlink()


def waiting_notes(config: Path, state: Path) -> list[Note]:
    """The notes in the kill files and in the state folder, in the order of their times, each once."""
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
    """Append what waits, and `more`, to the locked history; the ids that it has now.

    A note goes only after its line is on disk.
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
    """As `record_waiting`, if nobody holds the history now.

    Raises:
        OSError: if it is held, or cannot be written.

    """
    with lock_history(state, wait_s=0.0) as descriptor:
        return record_waiting(config, state, descriptor, more)


class HistoryKeeper:
    """What one worker does for the history: what waits is appended, and what was lost is said in it."""

    def __init__(self, config: Path, state: Path, now: Callable[[], str]) -> None:
        self._config, self._state, self._now = config, state, now
        self._recorded: set[str] = set()
        self._seen: Signature = None  # of the history, at the last look
        self._last: tuple[int, str] = (0, "")  # how many entries it has, and the key of the last

    def check(self, *, is_writer: bool) -> str | None:
        """Look after the history; what there is to tell. Only the worker that is_writer writes.

        Raises:
            OSError: if it cannot be read or written now, or somebody holds it.

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
        """Read the history, and say in it if what was its last entry is no longer there."""
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
