"""How workers share what arrives: each accepts a few connections at a time, and never far more than the others.

Rule: all workers accept from the same sockets (one socket each, SO_REUSEPORT, would lose what waits in the
queue of a worker that ends). Without more the kernel gives a burst to whoever runs just then, so a
worker that has clearly more connections than the mean waits for the others, a few milliseconds at most.
How many each has stands in a page of memory that they share.
"""

from __future__ import annotations

import asyncio
import errno
import mmap
import socket
import time
from collections.abc import Callable, Iterable

from overgrow.server.listener import House

MOST_PLACES = 1023
BATCH = 4  # connections at once, as often as nobody else should come first:
BATCHES = 16  # in one turn of the loop, which may be a long one
LEAD = 2  # by so many above the mean a worker may go on,
LEAD_SHARE = 0.125  # or by so much of the mean
FRESH_S = 1.0
PAUSE_S = 0.002
MOST_PAUSES = 3  # in a row: others may be busy, or hang
EXHAUSTED_S = 0.25  # until another try, where there are no open files
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Crowd:
    """How many connections each worker has; the master gives places, workers write theirs, all read.

    What is older than a second does not count: that worker hangs, and nobody should wait for it.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._counts = memoryview(mmap.mmap(-1, 4 * (MOST_PLACES + 1))).cast("i")
        self._told_s = memoryview(mmap.mmap(-1, 8 * (MOST_PLACES + 1))).cast("d")

    def place(self, taken: Iterable[int]) -> int:
        """The lowest place that nobody has; nothing is told there until its worker accepts."""
        free = next(place for place in range(1, MOST_PLACES + 2) if place not in {*taken})
        place = min(free, MOST_PLACES)
        self.leave(place)
        self._counts[0] = max(self._counts[0], place)
        return place

    def tell(self, place: int, connections: int) -> None:
        """Write how many connections the worker of a place has."""
        self._counts[place] = connections + 1
        self._told_s[place] = self._now()

    def leave(self, place: int) -> None:
        """Forget a worker that does not accept any more."""
        self._counts[place] = 0

    def is_ahead(self, connections: int) -> bool:
        """Whether so many are clearly more than the mean of all workers that accept."""
        if connections <= LEAD:  # most of the time
            return False
        end, fresh_s = self._counts[0] + 1, self._now() - FRESH_S
        at = zip(self._counts[1:end], self._told_s[1:end], strict=True)
        told = [count for count, told_s in at if count and told_s >= fresh_s]
        mean = sum(told) / len(told) - 1 if told else connections
        return connections > mean + max(LEAD, LEAD_SHARE * mean)


class Acceptor:
    """Accepts on one listener for one worker, as long as it is open."""

    def __init__(
        self,
        sock: socket.socket,
        house: House,
        connect: Callable[[], asyncio.Protocol],
        may_wait: Callable[[int], bool],
    ) -> None:
        self._sock, self._house, self._connect = sock, house, connect
        self._may_wait = may_wait  # whether others should come first, at so many connections
        self._opening: set[asyncio.Task[object]] = set()
        self._pauses = 0
        self._resumption: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        house.loop.add_reader(sock.fileno(), self._accept)

    @property
    def connections(self) -> int:
        """How many this worker has by this listener."""
        return len(self._house.connections) + len(self._opening)

    def close(self) -> None:
        """Accept no more, and let go of the socket."""
        if self._resumption is not None:
            self._resumption.cancel()
        if self._sock.fileno() >= 0:
            self._house.loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _accept(self) -> None:
        if self._may_wait(self.connections) and self._pauses < MOST_PAUSES:
            self._pauses += 1
            self._pause(PAUSE_S)
            return
        self._pauses = 0
        for _ in range(BATCHES):
            if not self._accept_batch() or self._may_wait(self.connections):
                return

    def _accept_batch(self) -> bool:
        """Accept a few; False where nobody knocks any more, or nobody can be let in."""
        for _ in range(BATCH):
            try:
                sock, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._pause(EXHAUSTED_S)
                return False
            self._open(sock)
        return True

    def _open(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        loop = self._house.loop
        task = loop.create_task(loop.connect_accepted_socket(self._connect, sock))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._house.log.warning("A connection could not be opened: %s", error)

    def _pause(self, seconds: float) -> None:
        loop = self._house.loop
        loop.remove_reader(self._sock.fileno())
        self._resumption = loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._resumption = None
        self._house.loop.add_reader(self._sock.fileno(), self._accept)
