"""Makes one edit of routes.yaml: the file is read, changed and replaced while all other flips wait.

The file is replaced by a rename in its own folder, so that nobody sees half of it. The line of the history is
on disk before the rename, so that every flip is in the history. If the rename fails, another line says so.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.files import write_draft
from overgrow.table.editing.history import JOURNAL, WAIT_S, HistoryEntry, append, lock_history
from overgrow.table.editing.unrecorded import record_waiting
from overgrow.table.file_lock import LockHeld, acquire_lock
from overgrow.table.reading.problems import EditRefused
from overgrow.table.reading.routes import Draft, parse_drafts
from overgrow.table.reading.table_file import decode_text, read_table_file
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.tree import YamlSyntaxError

BOM = b"\xef\xbb\xbf"
CANNOT_REPLACE = {errno.EBUSY, errno.EXDEV, errno.EROFS, errno.EACCES, errno.EPERM}
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class EditTransaction(NamedTuple):
    """The file as it was read under the locks. All other flips wait."""

    config: Path
    real: Path  # where symlinks lead
    state: Path
    journal: int
    data: bytes
    text: str
    found: os.stat_result
    drafts: Sequence[Draft]


@contextmanager
def locked_for_edit(
    config: Path, state: Path, env: Mapping[str, str], wait_s: float = WAIT_S
) -> Iterator[EditTransaction]:
    """Lock the folder and the history, and read the file. If one of these steps fails, raise EditRefused."""
    try:
        real = config.resolve(strict=True)
        with _folder_locked(real.parent, wait_s), lock_history(state, wait_s) as journal:
            _record_waiting(config, state, journal)
            found = real.stat()
            data = read_table_file(real)
            text = decode_text(data)
            yield EditTransaction(
                config, real, state, journal, data, text, found, parse_drafts(text, env)
            )
    except LockHeld as error:
        what = f"{error.filename} cannot be locked: {error.strerror}"
        fix = "Nothing was changed. Wait for that process or end it; overgrow rollback --all needs no lock."
        raise EditRefused("locked", what, fix) from None
    except OSError as error:
        if error.filename == str(state / JOURNAL):
            raise _unwritable_refusal(state / JOURNAL, error) from None
        what = f"{error.filename or config} cannot be read: {error.strerror}"
        raise EditRefused("file-unreadable", what, "Check the path and its permissions.") from None
    except YamlSyntaxError as broken:
        problem = Problem(broken.code, str(config), *broken.at, None, broken.message, broken.fix)
        fix = "Fix it first, or send everything to legacy with overgrow rollback --all."
        raise EditRefused("file-unreadable", f"{config} cannot be read", fix, [problem]) from None


def _unwritable_refusal(path: Path, error: OSError) -> EditRefused:
    """Return the refusal for a file that cannot be written. On a full disk, its fix names what works without space."""
    fix = "Nothing was changed."
    if error.errno in NO_ROOM:
        fix += (
            " Make room. overgrow rollback --all, everything to legacy, needs an empty file only."
        )
    return EditRefused("file-unwritable", f"{path} cannot be written: {error.strerror}", fix)


def _record_waiting(config: Path, state: Path, journal: int) -> None:
    """Record the waiting kills and resumes, so that they come before the flip in the history."""
    with suppress(OSError):  # if it cannot be written, the flip itself will say so
        record_waiting(config, state, journal)


@contextmanager
def _folder_locked(folder: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock of a folder inside the block: one flip at a time, even with different state folders."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            acquire_lock(descriptor, folder, wait_s)
        except LockHeld:
            raise
        except OSError:  # some network file systems lock no folders; the journal's lock holds
            pass
        yield
    finally:
        os.close(descriptor)


def replace_table(
    transaction: EditTransaction, data: bytes, facts: Mapping[str, Any] | None, by_hand: str
) -> None:
    """Replace the file. If somebody else changed it meanwhile, refuse.

    `facts` is the line of the history; None for an edit that moves no route.
    """
    temporary: Path | None = None
    recorded: HistoryEntry | None = None
    writing = transaction.config
    try:
        if not stat.S_IMODE(transaction.found.st_mode) & 0o222:
            raise PermissionError(errno.EACCES, "the file is read-only")
        keep = partial(_copy_mode_and_owner, transaction.found)
        temporary = write_draft(transaction.real, data, suffix=".flip", prepare=keep)
        _refuse_changed(transaction)
        writing = transaction.state / JOURNAL
        recorded = append(transaction.state, transaction.journal, facts) if facts else None
        writing = transaction.config
        os.replace(temporary, transaction.real)  # noqa: PTH105 - tests stand in for the mounts that refuse it
        temporary = None
        _sync_folder(transaction.real.parent)
    except OSError as error:
        if facts and recorded is not None and temporary is not None:
            _abandon(transaction, facts, recorded)
        if error.errno not in CANNOT_REPLACE or writing != transaction.config:
            raise _unwritable_refusal(writing, error) from None
        what = f"{transaction.config} cannot be replaced here ({error.strerror})"
        raise EditRefused("read-only", what, f"Change it where it is kept: {by_hand}.") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _abandon(
    transaction: EditTransaction, facts: Mapping[str, Any], recorded: HistoryEntry
) -> None:
    """Record that a flip which is in the history already was not made, if the disk has room for another line."""
    gave_up = {"at": facts["at"], "who": facts["who"], "action": "abandoned"}
    with suppress(OSError):
        append(transaction.state, transaction.journal, {**gave_up, "undoes": recorded.key})


def _copy_mode_and_owner(found: os.stat_result, descriptor: int) -> None:
    """Give a new file the mode and the owner of the file that it replaces."""
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (found.st_uid, found.st_gid):
        os.fchown(descriptor, found.st_uid, found.st_gid)


def _refuse_changed(transaction: EditTransaction) -> None:
    """If the file changed after it was read, raise EditRefused.

    An editor can change it, because editors ignore our lock.
    """
    same = _version_of(transaction.real.stat()) == _version_of(transaction.found)
    content = hashlib.sha256(read_table_file(transaction.real)).digest()
    if same and content == hashlib.sha256(transaction.data).digest():
        return
    what = f"somebody else changed {transaction.config} at the same moment"
    raise EditRefused(
        "changed-meanwhile", what, "Nothing was written. Look at the file, then flip again."
    )


def _version_of(found: os.stat_result) -> tuple[int, int, int, int]:
    """Return the facts about a file that change with its content.

    The ctime is left out, because chmod changes it, too.
    """
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _sync_folder(folder: Path) -> None:
    """If the file system can do so, write the rename itself to disk, so that it survives a power cut."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
