"""Measures how fast a client sends or reads while the worker waits for the client.

This module only measures. Other modules end the requests of the slowest clients first when other requests wait.
Rule: a client is slow if its socket moved less than a given rate over a whole period. During this period the
worker must always have had bytes for the client, or must always have asked for more.
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
    """The limit for slow clients: less than `rate` bytes a second over `period_s`."""

    rate: int = 1024
    period_s: float = 10.0


class Pace:
    """How many bytes one client has moved since the worker began to wait for the client.

    `rate` is the client's rate in the last whole period.
    """

    __slots__ = ("_bytes_then", "_since_s", "rate")

    def __init__(self, now_s: float, moved_bytes: int) -> None:
        self._since_s = now_s
        self._bytes_then = moved_bytes
        self.rate: float | None = None

    def update_rate(self, now_s: float, moved_bytes: int, period_s: float) -> None:
        """Note how many bytes have moved until now."""
        elapsed_s = now_s - self._since_s
        if elapsed_s >= period_s:
            self.rate = (moved_bytes - self._bytes_then) / elapsed_s
            self._since_s, self._bytes_then = now_s, moved_bytes


def unacknowledged_bytes(descriptor: int) -> int:
    """Return how many bytes of a socket the peer has not acknowledged yet; 0 if the system does not provide the number.

    Without this number, a client that reads slowly would seem to read nothing: the kernel reports room only
    when a third of a buffer of megabytes is free.
    """
    with contextlib.suppress(OSError, ValueError):  # closed meanwhile: a descriptor of -1
        unsent = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0")
        return int(struct.unpack("i", unsent)[0])
    return 0
