"""The target of the access log: a stream such as standard output, or a file that can be reopened.

Rule: a write to a pipe holds whole lines and at most PIPE_BUF bytes. POSIX keeps such a write in one piece, so the
lines of workers that share one pipe do not get mixed. A file is opened for appending; the kernel keeps each write in
one piece.

A file is opened again when somebody asks (USR1). It is also opened again when it was rotated or removed, so
that its path leads to another file or to no file. No line is lost: the former file stays open until the new one
is open.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from overgrow.files import is_same_file

logger = logging.getLogger("overgrow")

PIPE_BUF = 4096  # select.PIPE_BUF on Linux; POSIX promises 512
FILE_CHUNK = 1 << 16
CHECK_S = 1.0  # between two checks whether the path still names the open file
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
# Not blocking: opening a named pipe would wait until somebody reads it.
_OPEN = _FLAGS | os.O_NONBLOCK | os.O_NOCTTY
FILE_MODE = 0o640  # paths and addresses are not for all users of the machine

Write = Callable[[bytes], object]


class LogTarget(Protocol):
    """A target for lines. Only the writing thread calls `begin_writing`."""

    def begin_writing(self) -> tuple[Write, int]:
        """Return (write, max bytes): a function that writes bytes, and the most that one call may write.

        Raises:
            OSError: if nothing can be written.

        """
        ...

    def reopen(self) -> None:
        """Open the file again before the next write; this may be called in any thread."""
        ...


class StreamTarget:
    """A file object that somebody else opened, such as standard output."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def begin_writing(self) -> tuple[Write, int]:
        """Return (write, max bytes)."""
        stream = self._stream
        try:
            return _writer_for(stream.fileno())
        except (AttributeError, OSError, ValueError):  # a StringIO, or a test's capture
            return lambda chunk: stream.write(chunk.decode()), FILE_CHUNK

    def reopen(self) -> None:
        """Do nothing, because the stream belongs to whoever opened it."""


class FileTarget:
    """A file that is opened for appending when the first line is written."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._fd: int | None = None
        self._checked_s = float("-inf")
        self._must_reopen = threading.Event()
        self._is_stuck = False  # the path cannot be opened, and this was logged

    def reopen(self) -> None:
        """Open the file again before the next write."""
        self._must_reopen.set()

    def begin_writing(self) -> tuple[Write, int]:
        """Return (write, max bytes) for the file at the path. If that file cannot be opened, use the former file.

        Raises:
            OSError: if no file is open and the file cannot be opened.

        """
        if self._is_check_due():
            try:
                self._open_again()
            except OSError as error:
                if self._fd is None:
                    raise
                self._log_stuck(error)
        assert self._fd is not None  # noqa: S101 - else the error was raised
        return _writer_for(self._fd)

    def _is_check_due(self) -> bool:
        """Whether to open the file: somebody asked for that, or the path leads to another file or to no file."""
        if self._fd is None or self._must_reopen.is_set():
            self._must_reopen.clear()
            return True
        now_s = self._clock()
        if now_s - self._checked_s < CHECK_S:
            return False
        self._checked_s = now_s
        with suppress(OSError):
            return not is_same_file(self._fd, self._path)
        return True

    def _open_again(self) -> None:
        fd, former = open_log_file(self._path), self._fd
        self._fd, self._checked_s = fd, self._clock()
        if former is not None:
            os.close(former)
        if self._is_stuck:
            self._is_stuck = False
            logger.info("access-log-reopened file=%s", self._path)

    def _log_stuck(self, error: OSError) -> None:
        """Log once that the path cannot be opened, and that lines therefore still go to the former file."""
        if not self._is_stuck:
            self._is_stuck = True
            why = error.strerror or str(error)
            logger.error("access-log-not-reopened file=%s why=%r", self._path, why)


def open_log_file(path: Path) -> int:
    """Open a file for appending, create it if it is missing, and return its descriptor.

    Raises:
        OSError: if it cannot be opened; ENXIO for a named pipe that nobody reads.

    """
    return os.open(path, _OPEN, FILE_MODE)


def _writer_for(fd: int) -> tuple[Write, int]:
    max_length = PIPE_BUF if stat.S_ISFIFO(os.fstat(fd).st_mode) else FILE_CHUNK
    return lambda chunk: _write_all(fd, chunk), max_length


def _write_all(fd: int, chunk: bytes) -> None:
    while chunk:
        try:
            chunk = chunk[os.write(fd, chunk) :]
        except BlockingIOError:  # a named pipe, or a shared stream that somebody made non-blocking
            select.select([], [fd], [], 1.0)
