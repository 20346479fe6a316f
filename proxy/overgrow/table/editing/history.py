"""flips.jsonl: the history of flips, kills, resumes and accepted rules, an append-only file.

Each line contains the SHA-256 of the previous line, so that a changed or removed line is noticed. If a process
is killed while it writes, the last line is torn. A torn line is skipped and reported, and the next line
contains the hash of the torn line, too. A flip holds the lock from reading the table to writing it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.files import Signature, is_same_file, read_regular, signature_of
from overgrow.table.file_lock import acquire_lock
from overgrow.table.state_dir import recreate_state_dir

JOURNAL = "flips.jsonl"
WAIT_S = 5.0  # for another process that holds the history
FIRST = "0" * 64
_last_read: dict[Path, tuple[Signature, History]] = {}


class FieldChange(NamedTuple):
    """One scalar before and after a flip. `before` is None if the field did not exist."""

    field: str
    before: str | None
    after: str | None
    route: str | None = None  # None in lines of the first version: the entry's own


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of the history. `key` is its hash, by which later lines refer to it."""

    key: str
    prev: str
    at: str
    who: str
    action: str  # flip, rollback, abandoned, kill, resume, restarted, accept
    route: str | None  # or group:NAME
    from_: str | None
    to: str | None
    before: str | None  # revision of the file
    after: str | None
    changes: tuple[FieldChange, ...] = ()
    undoes: str | None = None
    why: str | None = None  # the reason given, which overrules a closed gate
    evidence: Mapping[str, Any] | None = None  # what the gate saw, by route
    overruled: tuple[str, ...] = ()  # the gate's objections to a flip that was made all the same
    id: str | None = None  # of a kill or resume, which may be written down before it is recorded


class History(NamedTuple):
    """The entries of the history, in order, and the places where the history is damaged.

    `torn` holds the numbers of unreadable lines. `broken` has a sentence for each place at which the chain of hashes
    breaks, and for each torn line, in the order of the file.
    """

    entries: tuple[HistoryEntry, ...]
    torn: tuple[int, ...]
    broken: tuple[str, ...]


@contextmanager
def lock_history(state: Path, wait_s: float = WAIT_S) -> Iterator[int]:
    """Hold the history's lock inside the block, and yield its descriptor.

    On this machine there is one holder at a time.

    Raises:
        OSError: LockHeld, if another process holds it for longer than `wait_s`.

    """
    descriptor = _open_and_lock(state, time.monotonic() + wait_s)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_and_lock(state: Path, until_s: float) -> int:
    """Open and lock the history. If it is missing (the state folder may have been removed), create it."""
    path = state / JOURNAL
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        recreate_state_dir(state)
        descriptor = os.open(path, flags, 0o600)
        try:
            acquire_lock(descriptor, path, max(0.0, until_s - time.monotonic()))
            if is_same_file(descriptor, path):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(
            descriptor
        )  # it was removed or replaced while this process waited: lock the new one


def append(state: Path, descriptor: int, facts: Mapping[str, Any]) -> HistoryEntry:
    """Add a line to the locked history, wait until the line is on disk, and return the line as an entry.

    Raises OSError if the line cannot be written, for instance on a full disk. A part of the line that was
    written is removed.
    """
    _require_in_place(state, descriptor)
    lines, torn = _read_lines(state), bool(_read_torn_tail(state))
    prev = _hash_line(lines[-1]) if lines else FIRST
    line = json.dumps({"prev": prev, **facts}, ensure_ascii=False).encode()
    size = os.fstat(descriptor).st_size
    try:
        _write_all(descriptor, b"\n" * torn + line + b"\n")
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
    _require_in_place(state, descriptor)
    return _parse_entry(line)


def _require_in_place(state: Path, descriptor: int) -> None:
    """If the locked file was removed or replaced, raise OSError: nobody would read a line in the former file."""
    if not is_same_file(descriptor, state / JOURNAL):
        what = "it was removed or replaced while it was locked"
        raise OSError(errno.ESTALE, what, str(state / JOURNAL))


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _hash_line(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _parse_entry(line: bytes) -> HistoryEntry:
    """Parse a line. If it is invalid, raise ValueError, KeyError, TypeError or RecursionError."""
    facts = json.loads(line.decode("utf-8"))
    if not all(isinstance(facts[key], str) for key in ("prev", "at", "who", "action")):
        raise TypeError("a text is none")
    return HistoryEntry(
        key=_hash_line(line),
        prev=facts["prev"],
        at=facts["at"],
        who=facts["who"],
        action=facts["action"],
        route=facts.get("route"),
        from_=facts.get("from"),
        to=facts.get("to"),
        before=facts.get("before"),
        after=facts.get("after"),
        changes=tuple(FieldChange(*change) for change in facts.get("changes", ())),
        undoes=facts.get("undoes"),
        why=facts.get("why"),
        evidence=facts.get("evidence"),
        overruled=tuple(facts.get("overruled", ())),
        id=facts.get("id"),
    )


def read_history(state: Path) -> History:
    """Return everything recorded so far. If the file is missing, the history is empty."""
    entries: list[HistoryEntry] = []
    torn: list[int] = []
    broken: list[str] = []
    prev = FIRST
    for number, line in enumerate(_read_lines(state), 1):
        try:
            entry = _parse_entry(line)
        except (ValueError, KeyError, TypeError, RecursionError):
            if _is_torn(line):
                torn.append(number)
                broken.append(f"line {number} is incomplete: the process writing it was stopped")
            else:
                broken.append(
                    f"line {number} is not a line of this history: something else wrote it"
                )
        else:
            entries.append(entry)
            if entry.prev != prev:
                broken.append(f"line {number} does not follow line {number - 1}: one was changed")
        prev = _hash_line(line)
    return History(tuple(entries), tuple(torn), tuple(broken))


def read_changed_history(state: Path) -> History:
    """Return the same as `read_history`, but read the file only if its signature has changed since the last call.

    It is for readers that ask every few seconds. A new entry changes the file's size and times, and so its
    signature.
    """
    signature = signature_of(state / JOURNAL)
    known = _last_read.get(state)
    if known is not None and signature is not None and known[0] == signature:
        return known[1]
    found = read_history(state)
    _last_read.clear()  # one front door has one state folder
    _last_read[state] = (signature, found)
    return found


def _is_torn(line: bytes) -> bool:
    """Return whether a line is the beginning of an entry, as a killed writer leaves it."""
    begin = b'{"prev": "'
    text = line.decode("utf-8", "ignore")  # it may end within a character
    is_text = len(line) - len(text.encode()) < 4 and "\0" not in text
    return is_text and (line.startswith(begin) or begin.startswith(line))


def _read_lines(state: Path) -> list[bytes]:
    """Return the lines without line ends. A torn last line is included."""
    *whole, tail = _read_journal(state).split(b"\n")
    return [*whole, tail] if tail else whole


def _read_torn_tail(state: Path) -> bytes:
    return _read_journal(state).rpartition(b"\n")[2]


def _read_journal(state: Path) -> bytes:
    try:
        return read_regular(state / JOURNAL, -1)
    except FileNotFoundError:
        return b""


def find_undoable(entries: Sequence[HistoryEntry], route: str | None) -> HistoryEntry | None:
    """Return the latest flip of a route or group (None: of all routes) that was neither undone nor abandoned."""
    over = {entry.undoes for entry in entries}
    for entry in reversed(entries):
        if entry.action == "flip" and entry.key not in over and route in (None, entry.route):
            return entry
    return None
