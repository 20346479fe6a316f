"""A lock has one holder, who can be named; where there are no locks, work goes on without."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import pytest

from overgrow.table import file_lock as holding
from overgrow.table.file_lock import LockHeld, acquire_lock, holder_of

STOPPED = """
import fcntl, os, signal, sys
with open(sys.argv[1]) as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def opened(tmp_path):
    """A file, opened twice: locks are of what was opened, not of a process."""
    path = tmp_path / "file"
    path.touch()
    descriptors = [os.open(path, os.O_RDWR) for _ in range(2)]
    yield path, *descriptors
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_lock_has_one_holder(opened):
    path, first, second = opened
    acquire_lock(first, path, 0.0)

    with pytest.raises(LockHeld):
        acquire_lock(second, path, 0.0)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_used_with_a_warning(opened, monkeypatch, caplog, number):
    def no_locks(*_):
        raise OSError(number, os.strerror(number))

    path, first, _ = opened
    monkeypatch.setattr(holding.fcntl, "flock", no_locks)
    acquire_lock(first, path, 0.0)

    assert f"{path} cannot be locked ({os.strerror(number)})" in caplog.text


def test_a_lock_that_fails_otherwise_is_not_gone_on_without(opened, monkeypatch):
    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    path, first, _ = opened
    monkeypatch.setattr(holding.fcntl, "flock", fails)

    with pytest.raises(OSError, match="Input/output error"):
        acquire_lock(first, path, 0.0)


def test_a_holder_that_is_stopped_is_called_so(opened):
    path, first, _ = opened
    command = [sys.executable, "-c", STOPPED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            until = time.monotonic() + 60
            while not (told := holder_of(first)).endswith(", which is stopped"):
                assert time.monotonic() < until, told
                time.sleep(0.01)
        finally:
            process.kill()

    assert f"pid {process.pid} (" in told
