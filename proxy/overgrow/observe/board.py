"""The board: one slot per living worker process, and what each worker last published about itself.

A worker holds its slot by flock on `slot-N.lock`. The kernel releases the lock when the process ends in any
way, so that the board is right even after kill -9: a worker whose lock is free is dead. Lock files are never
deleted, because then two processes could hold one slot.

Rule: claim a slot after the fork, once in each worker. A child that a worker forks shares its parent's lock.
The child therefore drops its copy at once and never publishes. Otherwise a child that outlives its worker would
keep the slot. Programs that a worker executes do not inherit the lock (close-on-exec).
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

from overgrow.files import is_same_file

PATIENCE_S = 0.5  # for the board's lock, which is held for microseconds
POLL_S = 0.005
_WRITABLE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class Slot:
    """A number that no other living process on this board holds."""

    def __init__(self, folder: Path, number: int, lock_fd: int) -> None:
        self.number = number
        self._folder = folder
        self._lock_fd: int | None = lock_fd
        self._publishing = threading.Lock()
        forget = weakref.WeakMethod(self.drop_lock)
        os.register_at_fork(after_in_child=lambda: (method := forget()) and method())

    def __repr__(self) -> str:
        return f"<Slot {self.number}{'' if self.is_held else ', not held'}>"

    @property
    def is_held(self) -> bool:
        """Whether this process holds the slot; False after `release`, and False in a forked child."""
        return self._lock_fd is not None

    def publish(self, state: Mapping[str, Any]) -> None:
        """Replace this worker's state on the board by `state`, with `slot` and `pid` added.

        Raises:
            RuntimeError: if this process does not hold the slot.

        """
        if not self.is_held:
            raise RuntimeError(
                f"Slot {self.number} is not held by process {os.getpid()}: it was released, or claimed before "
                "a fork. Call claim_slot in each worker, after the fork."
            )
        text = json.dumps({"slot": self.number, "pid": os.getpid(), **state})
        with self._publishing:
            draft = self._folder / f"slot-{self.number}.json.new"
            draft.write_text(text, encoding="utf-8")
            draft.replace(_state_file(self._folder, self.number))

    def is_in_place(self) -> bool:
        """Whether the lock file still exists, so that other processes see that the slot is taken."""
        if self._lock_fd is None:
            return False
        try:
            return is_same_file(self._lock_fd, _lock_file(self._folder, self.number))
        except OSError:
            return False

    def is_published(self) -> bool:
        """Whether the board still has this worker's published state."""
        return _state_file(self._folder, self.number).exists()

    def release(self) -> None:
        """Release the slot; a second call does nothing."""
        if self._lock_fd is not None:
            with suppress(OSError):
                _state_file(self._folder, self.number).unlink()
            self.drop_lock()

    def drop_lock(self) -> None:
        """Close the lock's file descriptor, without removing the published state."""
        lock_fd, self._lock_fd = self._lock_fd, None
        if lock_fd is not None:
            os.close(lock_fd)


def claim_slot(folder: Path, prefer: int = 0) -> Slot:
    """Claim the slot `prefer` if it is free, else the lowest free slot. If the board's folder is missing, create it."""
    folder.mkdir(parents=True, exist_ok=True)
    with _lock_board(folder, "claim"):
        for number in chain([prefer], count()):
            lock_fd = os.open(_lock_file(folder, number), _WRITABLE, 0o600)
            if _try_lock(lock_fd):
                _state_file(folder, number).unlink(missing_ok=True)  # left by a worker that died
                return Slot(folder, number, lock_fd)
            os.close(lock_fd)
    raise AssertionError("count() does not end")


def workers(folder: Path) -> list[dict[str, Any]]:
    """Return what the living workers last published, by slot."""
    if not folder.is_dir():
        return []
    with _lock_board(folder, "look"):
        return [state for number in _numbers(folder) if (state := _read_if_alive(folder, number))]


@contextmanager
def _lock_board(folder: Path, purpose: Literal["claim", "look"]) -> Iterator[None]:
    """Hold the board's lock, so that the slots stay as they are while the board is read.

    A reader tests whether a slot is free by taking the slot's lock for a moment. A process that claims a slot at that
    moment would think that the slot is taken, and skip it.
    """
    fd = os.open(folder / "board.lock", _WRITABLE, 0o600)
    try:
        _wait_for(fd, fcntl.LOCK_EX if purpose == "claim" else fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def _wait_for(fd: int, mode: int) -> None:
    """Take the board's lock.

    If another process (a suspended one, for example) holds it for long, continue without the lock. Without this
    lock a slot may be skipped, but two workers never get the same slot.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not _try_lock(fd, mode) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _try_lock(lock_fd: int, mode: int = fcntl.LOCK_EX) -> bool:
    """Try to take a lock. Return whether this process has the lock now."""
    try:
        fcntl.flock(lock_fd, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_if_alive(folder: Path, number: int) -> dict[str, Any] | None:
    """Return the published state of a slot if a living process holds the slot; else None."""
    fd = os.open(_lock_file(folder, number), os.O_RDWR | os.O_CLOEXEC)
    try:
        if _try_lock(fd, fcntl.LOCK_SH):
            return None
        state = json.loads(_state_file(folder, number).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    else:
        return state if isinstance(state, dict) else None
    finally:
        os.close(fd)


def _numbers(folder: Path) -> list[int]:
    names = (path.stem.removeprefix("slot-") for path in folder.glob("slot-*.lock"))
    return sorted(int(name) for name in names if name.isdigit())


def _lock_file(folder: Path, number: int) -> Path:
    return folder / f"slot-{number}.lock"


def _state_file(folder: Path, number: int) -> Path:
    return folder / f"slot-{number}.json"
