"""What slow clients cost others: uploads that trickle and readers that dawdle, on either side.

Rule: others ask at a fixed rate (an open loop), once beside nobody and once beside the slow clients,
from the moment when these come; the figure is how much later their slowest answers are. The slow ones go on
all the while, and each must be served: one that is refused makes nobody slow.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from benchmarks import load
from benchmarks.figures import quantile

SMALL_WINDOW_BYTES = 4096
TRICKLE_BYTES = 20  # from each uploading client, each second
SIP_BYTES = 500  # by each reading one
SENT_BYTES = 70_000  # of each upload at first
UPLOAD_BYTES = 1_000_000
PER_S = 50
EVERY_S = 0.1  # the clients move, a tenth of them at a time
PATIENCE_S = 20.0  # for the first byte of each answer
CALLS_AT_ONCE = 64  # places in the queue for threads, of which the others need some
MOST_BYTES_EACH = 256 * 1024  # of the worker's memory, for each of them
LATE = "nothing"


class Kind(NamedTuple):
    """What one kind of slow client sends at first, and what others ask meanwhile.

    `at_once` of them at most wait for the first byte of their answer; None: all of them.
    """

    request: bytes
    others: str
    at_once: int | None = None

    @property
    def uploads(self) -> bool:
        return self.request.startswith(b"POST")


def post(path: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n"
    return head.encode() + b"x" * SENT_BYTES


KINDS = {
    "uploads to legacy": Kind(post("/files/sent"), "/items/7"),
    "readers of legacy": Kind(load.get("/files/medium"), "/items/7"),
    "uploads to migrated": Kind(post("/moved/sent"), "/moved/7"),
    "readers of migrated": Kind(load.get("/moved/medium"), "/moved/7", CALLS_AT_ONCE),
}


class SlowClient:
    """One connection that asks and then hardly moves; `said` is how its answer begins."""

    def __init__(self, port: int, kind: Kind) -> None:
        self._uploads = kind.uploads
        self.said = b""
        self.has_ended = False
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW_BYTES)
        self.socket.settimeout(30)
        self.socket.connect((load.HOST, port))
        self.socket.sendall(kind.request)
        self.socket.setblocking(False)

    @property
    def is_waiting(self) -> bool:
        """Whether no byte of an answer has come."""
        return not self.said and not self.has_ended

    def move(self) -> None:
        """Send a little, or take a little; an upload looks first whether it was answered."""
        try:
            self._take(self.socket.recv(SIP_BYTES))
        except BlockingIOError:
            pass
        except OSError:
            self.has_ended = True
        if self._uploads and self.is_waiting:
            with contextlib.suppress(OSError):  # full, or at an end: the next look says so
                self.socket.send(b"x" * TRICKLE_BYTES)

    def _take(self, data: bytes) -> None:
        self.said = self.said or data[:12]
        self.has_ended = self.has_ended or not data

    @property
    def fault(self) -> str:
        """What it got that it should not have; empty where all is well."""
        if self._uploads:
            return self.said.decode("latin-1") or ("an end" if self.has_ended else "")
        if self.said[9:12] != b"200":
            return self.said.decode("latin-1") or LATE
        return "an end" if self.has_ended else ""


class Crowd:
    """Slow clients of one kind; those beyond `at_once` come as the ones before are answered."""

    def __init__(self, port: int, kind: Kind, count: int) -> None:
        self._port, self._kind, self._count = port, kind, count
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_slow)
        self.clients: list[SlowClient] = []

    def __enter__(self) -> Self:
        self._let_in()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for client in self.clients:
            client.socket.close()

    @property
    def is_complete(self) -> bool:
        """Whether all have come, and been answered where they read."""
        are_here = len(self.clients) == self._count
        return are_here and (self._kind.uploads or not self._waiting())

    def _waiting(self) -> int:
        return sum(client.is_waiting for client in self.clients)

    def _let_in(self) -> None:
        room = self._count - len(self.clients)
        if self._kind.at_once is not None:
            room = min(room, self._kind.at_once - self._waiting())
        self.clients += [SlowClient(self._port, self._kind) for _ in range(room)]

    def _keep_slow(self) -> None:
        """Move a little of each client's body once a second; look for first bytes more often."""
        for turn in itertools.cycle(range(10)):
            if self._over.wait(EVERY_S):
                return
            reads = not self._kind.uploads
            for at, client in enumerate(self.clients):
                if at % 10 == turn or (reads and client.is_waiting):
                    client.move()
            with contextlib.suppress(OSError):  # the front door may have ended: the check says so
                self._let_in()

    def check(self) -> None:
        """Say which of them were not served.

        Raises:
            ConnectionError: some were refused, ended or left waiting.

        """
        until = time.monotonic() + PATIENCE_S
        while not self.is_complete and time.monotonic() < until:
            time.sleep(EVERY_S)
        faults = [client.fault for client in self.clients if client.fault]
        missing = self._count - len(self.clients)
        if faults or missing:
            told = ", ".join(f"{faults.count(each)} got {each}" for each in sorted({*faults}))
            raise ConnectionError(f"of {self._count} slow clients {missing} did not come; {told}")


@contextlib.contextmanager
def dawdling(port: int, kind: Kind, count: int) -> Iterator[Crowd]:
    """`count` slow clients that trickle or sip until the block ends."""
    with Crowd(port, kind, count) as crowd:
        yield crowd


def tail_ms(port: int, path: str, seconds: int) -> float:
    """The p99 of an open loop, in milliseconds."""
    taken_s = load.open_loop_s(port, path, per_s=PER_S, seconds=seconds)
    return quantile(taken_s, 0.99) * 1e3


def beside(port: int, count: int, seconds: int, rounds: int) -> Mapping[str, tuple[float, float]]:
    """For each kind: the p99 of others without and with slow clients, medians of the rounds.

    Raises:
        ConnectionError: others, or slow clients, were not served.

    """
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in KINDS}
    for _ in range(rounds):
        for name, kind in KINDS.items():
            found[name][0].append(tail_ms(port, kind.others, seconds))
            with dawdling(port, kind, count) as crowd:
                found[name][1].append(tail_ms(port, kind.others, seconds))
                crowd.check()
    return {
        name: (statistics.median(without), statistics.median(with_them))
        for name, (without, with_them) in found.items()
    }


def streams_beside(port: int, upstream: int, count: int, streams: int, seconds: int) -> int:
    """How many event streams still hear legacy after they were quiet beside slow clients of each kind in turn.

    Raises:
        ConnectionError: a stream ended by itself.

    """
    with load.idle_streams(port, load.SSE, streams) as opened:
        for kind in KINDS.values():
            with dawdling(port, kind, count):
                time.sleep(seconds / len(KINDS))
        load.latencies_s(upstream, "/tell", 1)
        return load.hearing(opened, b"data: 2")
