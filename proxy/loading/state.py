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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from proxy.files import ANSWER_S, Silent, within

LOG = logging.getLogger("overgrow")
SERVER_LOCK = "serve.lock"


class StateInUse(Exception):
    """Another front door runs with this state folder; the text says what it told of itself."""


@contextmanager
def held_by_one_server(state: Path, who: str) -> Iterator[None]:
    """Hold the folder for one front door; `who` is what the next one will be told of it.

    Where the file system knows no locks or takes no file, a warning instead: a server that serves
    is worth more than the lock.

    Raises:
        StateInUse: if a living process holds it.

    """
    descriptor = _locked(state / SERVER_LOCK)
    if descriptor is None:
        yield
        return
    try:
        with suppress(OSError):  # a full disk: then the next one is told less
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{who}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """The descriptor that holds the lock; None where none can be had."""
    descriptor = None
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = "" if descriptor is None else os.read(descriptor, 1000).decode("utf-8", "replace")
        if descriptor is not None:
            os.close(descriptor)
            if isinstance(error, BlockingIOError | PermissionError):
                raise StateInUse(holder.strip()) from None
        what = "%s cannot be locked: %s; a second front door on this folder would not be noticed"
        LOG.warning(what, path, error.strerror)
        return None
    return descriptor


def state_dir(config: Path, asked: Path | None) -> Path:
    """The state folder, made if it is not there; falls back to a temporary one with a warning."""
    wanted = asked if asked is not None else config.absolute().parent / ".overgrow"
    if _is_usable(wanted):
        _keep_out_of_git(wanted)
        return wanted
    instead = stand_in(config)
    LOG.warning(
        "state folder %s cannot be written: using %s, whose history does not survive a restart "
        "of the machine. Name a writable folder with --state or OVERGROW_STATE.",
        wanted,
        instead,
    )
    return instead


def state_dir_in_time(config: Path, asked: Path | None) -> Path:
    """As `state_dir`; where the file system does not answer, the folder wanted, which may heal.

    Not a temporary one: its kill file would be one that nobody makes.
    """
    wanted = asked if asked is not None else config.absolute().parent / ".overgrow"
    try:
        return within(ANSWER_S, wanted, partial(state_dir, config, asked))
    except Silent as error:
        LOG.error("state folder %s: %s", wanted, error.strerror)  # noqa: TRY400 - its text says it
        return wanted


def made_again(folder: Path) -> None:
    """Make a state folder that was removed below a running front door."""
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _keep_out_of_git(folder)


def _keep_out_of_git(folder: Path) -> None:
    """History and secret belong to this machine: git ignores a folder that says so itself."""
    with suppress(OSError), (folder / ".gitignore").open("x") as ignored:
        ignored.write("*\n")


def _is_usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def stand_in(config: Path) -> Path:
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
