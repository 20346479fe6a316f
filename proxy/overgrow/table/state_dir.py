"""The state folder, which keeps what processes must remember: history, last-good table, secret.

It is `.overgrow/` beside the table, or the folder that the user names. If this folder cannot be written, a
private temporary folder takes its place, and a warning is logged. All processes of this user and table use the
same temporary folder.

Rule: one front door per folder. Its master holds a lock, which the kernel releases when the process ends in any
way. If a worker outlives its master, it does not keep the lock, because the lock is made by fcntl and not by
flock.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import logging
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from overgrow.files import ANSWER_S, Silent, is_same_file, within

LOG = logging.getLogger("overgrow")
SERVER_LOCK = "serve.lock"
LOOK_S = 1.0  # between two looks whether the lock's file is still there
SHARED = (
    "state folder %s was removed, and another front door has it now (%s): the two mix their workers, "
    "counts and last-good tables. Stop one, or give it a folder of its own with --state DIR."
)


class StateInUse(Exception):
    """Another front door uses this state folder. The text is what that front door wrote about itself."""


@contextmanager
def lock_state_dir(state: Path, who: str, *, look_s: float = LOOK_S) -> Iterator[None]:
    """Hold the folder for one front door. `who` describes this front door to other ones that try to hold the folder.

    If the file system has no locks, or the file cannot be created, a warning is logged and the front door runs
    without the lock. If the folder or the lock file is removed, the lock is taken again as soon as the folder
    exists again.

    Raises:
        StateInUse: if a living process holds the folder.

    """
    lock = _ServerLock(state / SERVER_LOCK, who)
    try:
        lock.take()
    except OSError as error:
        what = "%s cannot be locked: %s; a second front door on this folder would not be noticed"
        LOG.warning(what, lock.path, error.strerror)
        yield
        return
    is_over = threading.Event()
    # In a thread that nobody joins: a file system that hangs stops this check only.
    look = threading.Thread(target=lock.keep, args=(is_over, look_s), name="lock", daemon=True)
    look.start()
    try:
        yield
    finally:
        is_over.set()
        lock.release()


class _ServerLock:
    """The lock of one front door on its state folder."""

    def __init__(self, path: Path, who: str) -> None:
        self.path, self._who = path, who
        self._descriptor: int | None = None

    def take(self) -> None:
        """Lock the file at the path. If the file was removed, create it.

        Raises:
            StateInUse: if a living process holds the lock.
            OSError: if it cannot be locked.

        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 1000).decode("utf-8", "replace")
            os.close(descriptor)
            if isinstance(error, BlockingIOError | PermissionError):
                raise StateInUse(holder.strip()) from None
            raise
        self.release()
        self._descriptor = descriptor
        with suppress(OSError):  # a full disk: then the next front door learns less
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{self._who}\n".encode())

    def keep(self, is_over: threading.Event, look_s: float) -> None:
        """Take the lock again whenever its file was removed, because a lock on a removed file has no effect."""
        other = ""
        while not is_over.wait(look_s):
            try:
                if self._descriptor is None or is_same_file(self._descriptor, self.path):
                    continue
                self.take()
            except StateInUse as error:
                if str(error) != other:
                    other = str(error)
                    LOG.error(SHARED, self.path.parent, other)  # noqa: TRY400 - its text says it
            except OSError:
                continue  # the folder is not there yet

    def release(self) -> None:
        """Release the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def ensure_state_dir(config: Path, asked: Path | None) -> Path:
    """Return the state folder; create it if it is missing.

    If it cannot be used, log a warning and return a temporary folder.
    """
    wanted = asked if asked is not None else config.absolute().parent / ".overgrow"
    if _is_usable(wanted):
        _write_gitignore(wanted)
        return wanted
    instead = temporary_state_dir(config)
    LOG.warning(
        "state folder %s cannot be written: using %s, whose history does not survive a restart "
        "of the machine. Name a writable folder with --state or OVERGROW_STATE.",
        wanted,
        instead,
    )
    return instead


def ensure_state_dir_in_time(config: Path, asked: Path | None) -> Path:
    """Like `ensure_state_dir`, but if the file system does not respond, return the wanted folder.

    A temporary folder would be wrong then, because people would not create a kill file in it.
    """
    wanted = asked if asked is not None else config.absolute().parent / ".overgrow"
    try:
        return within(ANSWER_S, wanted, partial(ensure_state_dir, config, asked))
    except Silent as error:
        LOG.error("state folder %s: %s", wanted, error.strerror)  # noqa: TRY400 - its text says it
        return wanted


def recreate_state_dir(folder: Path) -> None:
    """Create the state folder again after it was removed while the front door runs."""
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_gitignore(folder)


def _write_gitignore(folder: Path) -> None:
    """Have git ignore the folder: history and secret belong to this machine."""
    with suppress(OSError), (folder / ".gitignore").open("x") as ignored:
        ignored.write("*\n")


def _is_usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def temporary_state_dir(config: Path) -> Path:
    """Return a private folder below the temporary one. It must belong to this user and must not be a link."""
    key = hashlib.sha256(str(config.absolute()).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"overgrow-{os.getuid()}-{key}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="overgrow-"))
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if ours and stat.S_IMODE(found.st_mode) == 0o700:
        return folder
    return Path(tempfile.mkdtemp(prefix="overgrow-"))


def login_name() -> str:
    """Return the name of the user for the history: the login name, or the user id if there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
