"""Sessions in files of a folder, as PHP keeps them: `sess_ID`, locked while PHP works on it.

The id becomes part of a path. Therefore it is checked here again, although the caller has checked it.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from overgrow.identity.reader import LookupFailed, StoreAway

LOCK_WAIT_S = 2.0
_ID = re.compile(r"[A-Za-z0-9,-]{1,256}", re.ASCII)
_SAVE_PATH = re.compile(r"(?:(?P<depth>[0-9]);)?(?:[0-7]+;)?(?P<folder>/.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SessionFile:
    """The content of a file, and the time of its last use."""

    data: bytes
    used_at_s: float


class FolderStore:
    """One folder. `where` is written as PHP's `session.save_path`: `/path`, or `2;/path` with two levels of folders."""

    def __init__(self, where: str) -> None:
        parts = _SAVE_PATH.fullmatch(where)
        if parts is None:
            raise StoreAway("the store is not the path of a folder")
        self._folder = Path(parts["folder"])
        self._depth = int(parts["depth"] or 0)

    def read(self, session_id: str, max_bytes: int) -> SessionFile | None:
        """The file of a session, read under a shared lock; None when there is none.

        Raises:
            StoreAway: the folder is not there.
            LookupFailed: the file cannot be read, or legacy holds its lock for longer than LOCK_WAIT_S.

        """
        path = self._path(session_id)
        if path is None:
            return None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(path, flags), "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    return None
                _lock_shared(file.fileno())
                found = os.fstat(file.fileno())
                is_deleted = (
                    found.st_nlink == 0
                )  # the user logged out while this waited for the lock
                return None if is_deleted else SessionFile(file.read(max_bytes), found.st_mtime)
        except FileNotFoundError:
            self._require_folder()
            return None
        except OSError as error:
            raise LookupFailed(f"a session file cannot be read ({type(error).__name__})") from None

    def renew(self, session_id: str) -> None:
        """Set the time of the last use, as PHP does when a request ends. If the file is gone, do nothing."""
        path = self._path(session_id)
        if path is None:
            return
        with suppress(FileNotFoundError):
            try:
                os.utime(
                    path, follow_symlinks=False
                )  # to now: for that, the right to write is enough
            except PermissionError:
                raise StoreAway("a session file cannot be renewed (PermissionError)") from None

    def close(self) -> None:
        """Nothing is held open."""

    def _path(self, session_id: str) -> Path | None:
        if not _ID.fullmatch(session_id) or len(session_id) <= self._depth:
            return None
        return self._folder.joinpath(*session_id[: self._depth], f"sess_{session_id}")

    def _require_folder(self) -> None:
        if not self._folder.is_dir():
            raise StoreAway("the folder of the sessions is not there")


def _lock_shared(descriptor: int) -> None:
    """Wait for the shared lock. PHP holds the file's own lock while it answers a request of this session."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LookupFailed("legacy holds the lock of a session file") from None
            time.sleep(0.01)
        else:
            return
