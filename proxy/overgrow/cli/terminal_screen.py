"""Shows a full screen of text in a terminal, and restores the terminal however the command ends.

Rule: while the command uses the whole screen, a signal never ends the process directly. Handlers raise, and
`finally` restores the terminal: its modes, its cursor and what it showed before. After SIGKILL nothing is
restored; the command `reset` does that.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from overgrow.text import printable

_ENTER = "\x1b[?1049h\x1b[?25l"  # the alternate screen, without a cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
UNKNOWN_SIZE = (80, 24)
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class TerminalScreen:
    """A terminal that shows lines, and reports keys."""

    def __init__(self) -> None:
        self._keys = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._modes: list[Any] | None = None
        self._wake_read, self._wake_write = os.pipe()
        for each in (self._wake_read, self._wake_write):
            os.set_blocking(each, False)

    def wake(self) -> None:
        """End the wait for a key; any thread may call this."""
        with suppress(OSError):  # the pipe is full, so the wait ends anyway, or closed
            os.write(self._wake_write, b"w")

    @contextmanager
    def take(self) -> Iterator[TerminalScreen]:
        """Use the whole screen inside the block, and restore it afterwards."""
        with ExitStack() as undo:
            undo.callback(self._close)
            undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(self._wake_write))
            for number in _ENDING:
                undo.callback(signal.signal, number, signal.signal(number, _end))
            undo.callback(signal.signal, signal.SIGWINCH, signal.signal(signal.SIGWINCH, _ignore))
            undo.callback(signal.signal, signal.SIGTSTP, signal.signal(signal.SIGTSTP, self._pause))
            undo.callback(self._leave)
            self._enter()
            yield self

    def _close(self) -> None:
        ours, self._wake_read, self._wake_write = (self._wake_read, self._wake_write), -1, -1
        for each in ours:
            os.close(each)

    def _enter(self) -> None:
        if self._keys is not None:
            self._modes = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)
        _write(_ENTER)

    def _leave(self) -> None:
        with suppress(OSError):  # the terminal is gone
            _write(_LEAVE)
        if self._keys is not None and self._modes is not None:
            with suppress(termios.error):
                termios.tcsetattr(self._keys, termios.TCSAFLUSH, self._modes)

    def _pause(self, number: int, _frame: object) -> None:
        """Restore the terminal while this process is stopped (Ctrl-Z)."""
        self._leave()
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
        signal.signal(number, self._pause)
        self._enter()

    @property
    def size(self) -> tuple[int, int]:
        """The columns and lines of the terminal now."""
        with suppress(OSError):
            width, height = os.get_terminal_size(sys.stdout.fileno())
            if width and height:  # a terminal that does not know its size says 0
                return width, height
        return UNKNOWN_SIZE

    def show(self, lines: Sequence[str]) -> None:
        """Show lines, cut to the size of the terminal and without characters that control it."""
        width, height = self.size
        cut = [cut_to_width(printable(line, ""), width) for line in lines[:height]]
        body = "\r\n".join(f"{line}{_CLEAR_LINE}" for line in cut)
        _write(f"{_HOME}{body}{_CLEAR_BELOW if len(cut) < height else ''}")

    def wait_for_keys(self, seconds: float) -> bytes:
        """Return the pressed keys; an empty result if the time is up, `wake` was called, or the size changed."""
        sources = [self._wake_read] + ([] if self._keys is None else [self._keys])
        ready, _, _ = select.select(sources, [], [], max(0.0, seconds))
        if self._wake_read in ready:
            with suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
        if self._keys not in ready or self._keys is None:
            return b""
        keys = os.read(self._keys, 256)
        if not keys:  # the end of the input: nobody can press a key any more
            self._keys = None
        return keys


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing. The arrival of the signal alone ends the wait for keys."""


def _write(text: str) -> None:
    encoding = sys.stdout.encoding
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def cut_to_width(text: str, width: int) -> str:
    """Return the beginning of a text that fits into some columns.

    An East Asian character takes two, a combining one none.
    """
    if text.isascii():
        return text[:width]
    used = 0
    for at, each in enumerate(text):
        used += _columns_of(each)
        if used > width:
            return text[:at]
    return text


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
