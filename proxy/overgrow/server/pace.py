"""How fast a client moved while it was waited for: what says who is ended first when others wait.

Rule: it measures and ends nobody. A client is slow if its socket gave, or took, less than a rate over
a whole period in which the worker had bytes for it, or asked for more, all the time.
"""

from __future__ import annotations

import contextlib
import fcntl
import struct
import termios
from dataclasses import dataclass

PACE_CHECK_S = 1.0  # how often each client that is waited for is looked at


@dataclass(frozen=True, slots=True)
class SlowClientPolicy:
    """Below `rate` bytes a second over `period_s` a client is slow."""

    rate: int = 1024
    period_s: float = 10.0


class Pace:
    """One client's moves since it is waited for; `rate` is that of the last whole period."""

    __slots__ = ("_bytes_then", "_since_s", "rate")

    def __init__(self, now_s: float, moved_bytes: int) -> None:
        self._since_s = now_s
        self._bytes_then = moved_bytes
        self.rate: float | None = None

    def measure(self, now_s: float, moved_bytes: int, period_s: float) -> None:
        """Take note of what has moved until now."""
        elapsed_s = now_s - self._since_s
        if elapsed_s >= period_s:
            self.rate = (moved_bytes - self._bytes_then) / elapsed_s
            self._since_s, self._bytes_then = now_s, moved_bytes


def kernel_unsent_bytes(descriptor: int) -> int:
    """What of a socket's bytes its peer has not acknowledged; 0 where the system does not tell.

    Without it a client that reads slowly looks as if it read nothing: the kernel reports room only
    when a third of a buffer of megabytes is free.
    """
    with contextlib.suppress(OSError, ValueError):  # closed meanwhile: a descriptor of -1
        unsent = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0")
        return int(struct.unpack("i", unsent)[0])
    return 0
