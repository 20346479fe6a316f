"""The thread that writes the access log, and the lines that wait for it.

A full pipe never stops the event loop. Up to MAX_WAITING lines wait. Later lines are dropped and counted, and
the log itself reports the gap. The thread starts with the first line and sleeps while no lines wait.

Rule: format and target are chosen once, at the start. A request costs no more than the formatting of its line.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from overgrow.exchange import Exchange
from overgrow.observe.access_log.target import LogTarget

logger = logging.getLogger("overgrow")

MAX_WAITING = 20_000  # lines; some 10 MB
FLUSH_S = 0.05
CLOSE_S = 2.0


class LineFormat(Protocol):
    """One format of the access log. Lines are ASCII, and short enough for one write to a pipe."""

    def format_line(self, exchange: Exchange) -> str:
        """Format one exchange as a line, including the newline."""
        ...

    def gap_line(self, lines: int) -> str:
        """Format the line that reports lost lines; return an empty line if the format has no such line."""
        ...


class AccessLog:
    """A Sink that writes a line for each exchange.

    `on_drop` is called with the number of lines that were just lost; any thread may call it.
    """

    def __init__(
        self,
        target: LogTarget,
        lines: LineFormat,
        on_drop: Callable[[int], None] | None = None,
    ) -> None:
        self._target = target
        self._on_drop = on_drop
        self._lines = lines
        self._format_line = lines.format_line
        self._reset_state()

    def _reset_state(self) -> None:
        self._overflowed = self._unwritten = self._reported = self._reported_drops = 0
        self._reporting_drops = threading.Lock()
        self._is_lost = self._is_torn = False
        self._waiting: deque[str] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def dropped_lines(self) -> int:
        """How many lines were lost because too many lines waited or because writing failed."""
        return self._overflowed + self._unwritten

    # Map 18 (docs/architecture.md#a-request-by-numbers)
    def record(self, exchange: Exchange) -> None:
        """Queue one line; it reaches the stream within FLUSH_S."""
        if len(self._waiting) >= MAX_WAITING:
            self._overflowed += 1
            return
        self._waiting.append(self._format_line(exchange))
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._start()

    def reopen(self) -> None:
        """Open the file again soon, because somebody moved it. A stream stays open."""
        self._target.reopen()
        with self._starting:
            is_running = self._thread is not None
            if is_running:  # else `record` would not start it
                self._wake.set()

    def close(self) -> None:
        """Write the waiting lines and end the thread. If the stream blocks, give up after CLOSE_S.

        The next `record` starts a new thread.
        """
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            self._closing.set()
            self._wake.set()
            thread.join(CLOSE_S)
        atexit.unregister(self.close)

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            self._closing = threading.Event()
            self._thread = threading.Thread(
                target=self._run_writer,
                args=(self._closing,),
                name="overgrow-access-log",
                daemon=True,
            )
            self._thread.start()
        atexit.register(self.close)
        # A forked child has no such thread, and the parent writes the lines that wait.
        begin = weakref.WeakMethod(self._reset_state)
        os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    def _run_writer(self, closing: threading.Event) -> None:
        # The event may be set once more for the gap; left set, it would keep `record` from starting the next thread.
        while not closing.is_set() or self._waiting or self._wake.is_set():
            self._wake.wait()
            closing.wait(FLUSH_S)
            self._wake.clear()
            self._report_gap()
            self._write_waiting()

    def _report_gap(self) -> None:
        lines = self.dropped_lines - self._reported
        self.report_drops()
        if lines and not self._is_lost:
            self._reported += lines
            if gap := self._lines.gap_line(lines):
                self._waiting.append(gap)
            else:
                logger.warning("access-log-gap dropped=%d", lines)

    def report_drops(self) -> None:
        """Report newly lost lines to `on_drop`.

        The writing thread does so too, but the stream may block that thread.
        """
        with self._reporting_drops:
            lines = self.dropped_lines - self._reported_drops
            self._reported_drops += lines
        if lines and self._on_drop:
            self._on_drop(lines)

    def _write_waiting(self) -> None:
        try:
            write, max_length = self._target.begin_writing()
        except OSError as error:
            self._note_loss(sum(1 for _ in take_chunks(self._waiting, 1)), error)
            return
        for chunk in take_chunks(self._waiting, max_length):
            whole = (
                b"\n" + chunk if self._is_torn else chunk
            )  # else it would go on with half a line
            try:
                write(whole)
            except (OSError, ValueError, AttributeError) as error:
                self._is_torn = True
                self._note_loss(chunk.count(b"\n"), error)
            else:
                self._note_recovery()

    def _note_loss(self, lines: int, error: Exception) -> None:
        """Count lines that could not be written, because the reader is gone or the disk is full; log the first loss."""
        self._unwritten += lines
        self.report_drops()
        if not self._is_lost:
            self._is_lost = True
            logger.error("access-log-lost why=%r", getattr(error, "strerror", None) or str(error))

    def _note_recovery(self) -> None:
        self._is_torn = False
        if self._is_lost:
            self._is_lost = False
            self._wake.set()  # for the gap
            logger.info("access-log-found dropped=%d", self.dropped_lines - self._reported)


def take_chunks(waiting: deque[str], max_length: int) -> Iterator[bytes]:
    """Take whole lines from the queue; yield them joined, in pieces of at most `max_length` bytes."""
    taken: list[str] = []
    size = 0
    while waiting:
        line = waiting.popleft()  # ASCII: a character is a byte
        if taken and size + len(line) > max_length:
            yield "".join(taken).encode()
            taken, size = [], 0
        taken.append(line)
        size += len(line)
    if taken:
        yield "".join(taken).encode()
