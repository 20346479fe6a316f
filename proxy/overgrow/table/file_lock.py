"""Takes file locks with a deadline. If the wait fails, the error names the holder.

The kernel knows the holder (/proc/locks), so that a holder need not write its name anywhere, and other programs
are named too. If a file system has no locks, the work goes on without a lock, because a kill must not depend on
locks.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from overgrow.text import rfc3339

LOG = logging.getLogger("overgrow")

POLL_S = 0.02
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class LockHeld(OSError):
    """Another process held the lock during the whole wait. The text names this process."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(errno.EAGAIN, f"it is locked by {holder}", str(path))


def acquire_lock(descriptor: int, path: Path, wait_s: float) -> None:
    """Take the lock of an open file. Closing the descriptor releases the lock.

    Raises:
        OSError: LockHeld, once `wait_s` have passed.

    """
    deadline = time.monotonic() + wait_s
    while not _try_lock(descriptor, path):
        if time.monotonic() >= deadline:
            raise LockHeld(path, holder_of(descriptor))
        time.sleep(POLL_S)


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        LOG.warning("%s cannot be locked (%s): continuing without a lock", path, error.strerror)
    return True


def holder_of(descriptor: int) -> str:
    """Return in words which process holds the lock of an open file. A process on another machine cannot be named."""
    inode = str(os.fstat(descriptor).st_ino)
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = (
                line.split()
            )  # 7: FLOCK ADVISORY WRITE 4711 08:01:131 0 EOF; a waiter has -> second
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode and int(words[4]) > 0:
                return _describe_process(int(words[4]))
    return "a process that this one cannot see"


def _describe_process(pid: int) -> str:
    """Return a process in words: its pid, its name, its start time, and whether it is stopped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"pid {pid}"
    name, _, rest = text.partition("(")[2].rpartition(")")
    state, *fields = rest.split()
    began_s = time.time() - _uptime_s() + int(fields[18]) / os.sysconf("SC_CLK_TCK")
    stopped = ", which is stopped" if state in "Tt" else ""
    return f"pid {pid} ({name}) since {rfc3339(began_s)}{stopped}"


def _uptime_s() -> float:
    return float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
