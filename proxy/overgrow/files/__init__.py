"""File calls that are safe on any kind of file, and on file systems that may not answer.

Rule: only regular files are read. Opening a file never waits: opening a FIFO could wait for a writer. A call
that may hang runs in a thread that nobody joins. If the file system hangs, the call occupies that thread, and
no second thread is started for the same path. A file that others read is replaced as a whole, by a rename.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ANSWER_S = 3.0  # how long a file system may take for one call before it counts as not answering

# device, inode, mtime and ctime in ns, size; None: no file
Signature = tuple[int, int, int, int, int] | None
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegular(OSError):
    """The file is a FIFO, a socket or a device: reading it could wait for ever."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(errno.EINVAL, f"it is {kind}, not a regular file", str(path))


class Silent(OSError):
    """The file system of the path does not answer."""

    def __init__(self, path: Path, limit_s: float) -> None:
        what = f"the file system has not answered for {limit_s:g} s"
        super().__init__(errno.ETIMEDOUT, what, str(path))


def signature_of(path: Path) -> Signature:
    """Return a value that differs after each change of the file; symlinks are followed.

    It includes ctime, because `cp -p` may keep mtime and size.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - tests stand in for it
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a regular file, at most `max_bytes` of them.

    Raises:
        OSError: NotRegular for any other kind of file, IsADirectoryError for a folder.

    """
    _require_regular(path, path.stat())  # before opening, which has effects on some devices
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    with os.fdopen(os.open(path, flags), "rb") as file:
        _require_regular(path, os.fstat(file.fileno()))
        return file.read(max_bytes)


def is_same_file(descriptor: int, path: Path) -> bool:
    """Return whether the path still leads to the open file.

    If it leads elsewhere, a lock on the open file has no effect.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def write_draft(
    target: Path,
    data: bytes,
    *,
    mode: int = 0o600,
    suffix: str = "",
    prepare: Callable[[int], object] | None = None,
) -> Path:
    """Write a new file beside `target` and wait until it is on disk. The caller then renames or links it to `target`.

    The file has `mode` without the bits of the umask. `prepare` gets the descriptor of the file, to set a mode
    or an owner. If writing fails, the new file is removed.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}{suffix}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if prepare is not None:
                prepare(file.fileno())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    return draft


def replace_file(
    target: Path,
    data: bytes,
    *,
    mode: int = 0o600,
    prepare: Callable[[int], object] | None = None,
) -> None:
    """Replace `target` by a whole new file: readers see the old content or the new content, never a mixture."""
    draft = write_draft(target, data, mode=mode, prepare=prepare)
    try:
        draft.replace(target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _require_regular(path: Path, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    for is_kind, kind in _KINDS:
        if is_kind(found.st_mode):
            raise NotRegular(path, kind)
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


_hanging: dict[
    str, threading.Thread
] = {}  # of this process: paths whose last call has not returned
_hanging_lock = threading.Lock()


def _undo_nothing(_: object) -> None:
    """Do nothing with the result of a call that returned too late."""


def within(
    limit_s: float,
    path: Path,
    work: Callable[[], T],
    *,
    undo: Callable[[T], object] = _undo_nothing,
) -> T:
    """Run `work` in a thread and return its result; wait at most `limit_s`.

    While a call for the same path hangs, no other call is started for it. If `work` returns after the time limit, its
    result goes to `undo`, which can release a lock that `work` took, for instance.

    Raises:
        OSError: Silent if the file system does not answer in time; otherwise whatever `work` raises.

    """
    key, answer = str(path), Future[T]()
    with _hanging_lock:
        if key in _hanging:
            raise Silent(path, limit_s)
    thread = threading.Thread(target=_answer, args=(key, answer, work, undo), name=key, daemon=True)
    thread.start()
    try:
        return answer.result(limit_s)
    except TimeoutError:
        with _hanging_lock:
            if not answer.done():
                _hanging[key] = thread
                raise Silent(path, limit_s) from None
        return answer.result()  # it returned just now, or `work` itself raised TimeoutError


def _answer(
    key: str, answer: Future[T], work: Callable[[], T], undo: Callable[[T], object]
) -> None:
    try:
        found = work()
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it
        answer.set_exception(error)
    else:
        answer.set_result(found)
        with _hanging_lock:
            is_late = _hanging.get(key) is threading.current_thread()
        if is_late:
            undo(found)
    with _hanging_lock:
        if _hanging.get(key) is threading.current_thread():
            del _hanging[key]
