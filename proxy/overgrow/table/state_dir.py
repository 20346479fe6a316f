"""Where Overgrow keeps what it must remember between processes: history, last-good table, secret.

`.overgrow/` beside the table, or the folder asked for. Where that cannot be written, a private
temporary folder that every process of this user and table agrees on, and a warning.

Rule: one front door per folder. Its master holds a lock that the kernel takes back when the process
ends, however it ends; a worker that outlives its master does not keep it (fcntl, not flock).
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
    """Another front door runs with this state folder; the text says what it told of itself."""


@contextmanager
def lock_state_dir(state: Path, who: str, *, look_s: float = LOOK_S) -> Iterator[None]:
    """Hold the folder for one front door; `who` is what the next one will be told of it.

    Where the file system knows no locks or takes no file, a warning instead: a server that serves
    is worth more than the lock. A folder or file that is removed meanwhile is held again once it is there.

    Raises:
        StateInUse: if a living process holds it.

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
    # In a thread that nobody joins: a file system that hangs costs this look alone.
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
        """Lock the file that is there now, or a new one, in the place of one that was removed.

        Raises:
            StateInUse: if a living process holds it.
            OSError: where it cannot be locked.

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
        with suppress(OSError):  # a full disk: then the next one is told less
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{self._who}\n".encode())

    def keep(self, is_over: threading.Event, look_s: float) -> None:
        """Take the lock again whenever its file was removed: a lock on that one keeps nobody out."""
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
        """Give the lock back."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def ensure_state_dir(config: Path, asked: Path | None) -> Path:
    """The state folder, made if it is not there; falls back to a temporary one with a warning."""
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
    """As `state_dir`; where the file system does not answer, the folder wanted, which may heal.

    Not a temporary one: its kill file would be one that nobody makes.
    """
    wanted = asked if asked is not None else config.absolute().parent / ".overgrow"
    try:
        return within(ANSWER_S, wanted, partial(ensure_state_dir, config, asked))
    except Silent as error:
        LOG.error("state folder %s: %s", wanted, error.strerror)  # noqa: TRY400 - its text says it
        return wanted


def recreate_state_dir(folder: Path) -> None:
    """Make a state folder that was removed below a running front door."""
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_gitignore(folder)


def _write_gitignore(folder: Path) -> None:
    """History and secret belong to this machine: git ignores a folder that says so itself."""
    with suppress(OSError), (folder / ".gitignore").open("x") as ignored:
        ignored.write("*\n")


def _is_usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def temporary_state_dir(config: Path) -> Path:
    """A folder of our own in the temporary one; another user's or a linked one is never used."""
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
    """Who acts, for the journal: the login name, or the user id where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
