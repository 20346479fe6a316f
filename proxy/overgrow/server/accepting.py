"""Shares new connections among the workers: each accepts a few at a time, so that all have about the same number.

Rule: all workers accept from the same sockets. (With SO_REUSEPORT, each worker would have its own socket, and
connections in the queue of a worker that ends would be lost.) The kernel gives a burst of connections to
whichever worker runs at that moment. Therefore a worker with clearly more connections than the mean lets the
other workers accept first, for a few milliseconds at most. The number of connections of each worker is kept in
shared memory.
"""

from __future__ import annotations

import asyncio
import errno
import mmap
import socket
import time
from collections.abc import Callable, Iterable

from overgrow.server.listener import ListenerState

MAX_WORKERS = 1023
BATCH = 4  # connections are accepted before it is checked whether others should come first
BATCHES = 16  # at most, in one iteration of the loop
LEAD = 2  # a worker may have so many connections more than the mean,
LEAD_SHARE = 0.125  # or this share of the mean, before it lets others accept
FRESH_S = 1.0
PAUSE_S = 0.002
MAX_PAUSES = 3  # in a row: others may be busy, or hang
EXHAUSTED_S = 0.25  # until the next try, when no file descriptors are left
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ConnectionCounts:
    """How many connections each worker has, in memory that all processes of a server share.

    The master gives each worker an index; the worker writes its count there. A count that is older than a
    second is ignored: its worker hangs, and the other workers should not wait for it.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._counts = memoryview(mmap.mmap(-1, 4 * (MAX_WORKERS + 1))).cast("i")
        self._reported_s = memoryview(mmap.mmap(-1, 8 * (MAX_WORKERS + 1))).cast("d")

    def assign_index(self, taken: Iterable[int]) -> int:
        """Return the lowest index outside `taken`. The count at this index stays empty until its worker reports."""
        free = next(index for index in range(1, MAX_WORKERS + 2) if index not in {*taken})
        index = min(free, MAX_WORKERS)
        self.remove_worker(index)
        self._counts[0] = max(self._counts[0], index)
        return index

    def set_count(self, index: int, connections: int) -> None:
        """Write how many connections the worker at an index has."""
        self._counts[index] = connections + 1
        self._reported_s[index] = self._now()

    def remove_worker(self, index: int) -> None:
        """Remove the worker at an index, because it accepts no connections any more."""
        self._counts[index] = 0

    def is_above_mean(self, connections: int) -> bool:
        """Return whether `connections` is clearly above the mean of all workers that accept."""
        if connections <= LEAD:  # most of the time
            return False
        end, fresh_s = self._counts[0] + 1, self._now() - FRESH_S
        at = zip(self._counts[1:end], self._reported_s[1:end], strict=True)
        reported = [count for count, told_s in at if count and told_s >= fresh_s]
        mean = sum(reported) / len(reported) - 1 if reported else connections
        return connections > mean + max(LEAD, LEAD_SHARE * mean)


class Acceptor:
    """Accepts the connections of one listener in one worker, until it is closed."""

    def __init__(
        self,
        sock: socket.socket,
        listener_state: ListenerState,
        connect: Callable[[], asyncio.Protocol],
        report_count_and_check_defer: Callable[[int], bool],
    ) -> None:
        self._sock, self._listener_state, self._connect = sock, listener_state, connect
        # Whether others should come first, at so many connections.
        self._report_count_and_check_defer = report_count_and_check_defer
        self._opening: set[asyncio.Task[object]] = set()
        self._pauses = 0
        self._resumption: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        listener_state.loop.add_reader(sock.fileno(), self._accept_batches)

    @property
    def connection_count(self) -> int:
        """How many connections this worker has on this listener."""
        return len(self._listener_state.connections) + len(self._opening)

    def close(self) -> None:
        """Stop accepting, and close the socket."""
        if self._resumption is not None:
            self._resumption.cancel()
        if self._sock.fileno() >= 0:
            self._listener_state.loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _accept_batches(self) -> None:
        if self._report_count_and_check_defer(self.connection_count) and self._pauses < MAX_PAUSES:
            self._pauses += 1
            self._pause_accepting(PAUSE_S)
            return
        self._pauses = 0
        for _ in range(BATCHES):
            if not self._accept_batch() or self._report_count_and_check_defer(
                self.connection_count
            ):
                return

    def _accept_batch(self) -> bool:
        """Accept a few connections. Return False if no client waits, or if no file descriptor is left."""
        for _ in range(BATCH):
            try:
                sock, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._pause_accepting(EXHAUSTED_S)
                return False
            self._serve_connection(sock)
        return True

    def _serve_connection(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        loop = self._listener_state.loop
        task = loop.create_task(loop.connect_accepted_socket(self._connect, sock))
        self._opening.add(task)
        task.add_done_callback(self._on_opening_done)

    def _on_opening_done(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._listener_state.log.warning("A connection could not be opened: %s", error)

    def _pause_accepting(self, seconds: float) -> None:
        loop = self._listener_state.loop
        loop.remove_reader(self._sock.fileno())
        self._resumption = loop.call_later(seconds, self._resume_accepting)

    def _resume_accepting(self) -> None:
        self._resumption = None
        self._listener_state.loop.add_reader(self._sock.fileno(), self._accept_batches)
