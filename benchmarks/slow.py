"""What slow clients cost others: uploads that trickle and readers that dawdle, on either side.

Rule: others ask at a fixed rate (an open loop), once beside nobody and once beside the slow clients;
the figure is how much later their slowest answers are. The slow ones go on all the while.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import statistics
import threading
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from benchmarks import load
from benchmarks.figures import quantile

SMALL_WINDOW_BYTES = 4096
TRICKLE_BYTES = 20  # from each uploading client, each second
SIP_BYTES = 500  # by each reading one
SENT_BYTES = 70_000  # of each upload at first
UPLOAD_BYTES = 1_000_000
PER_S = 50


class Kind(NamedTuple):
    """What one kind of slow client sends at first, and what others ask meanwhile."""

    request: bytes
    others: str

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
    "readers of migrated": Kind(load.get("/moved/medium"), "/moved/7"),
}


@contextlib.contextmanager
def dawdling(port: int, kind: Kind, count: int) -> Iterator[None]:
    """`count` slow clients that trickle or sip until the block ends."""
    over = threading.Event()
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(slow_client(port)) for _ in range(count)]
        for client in clients:
            client.setblocking(True)
            client.sendall(kind.request)
            client.setblocking(False)
        thread = threading.Thread(target=keep_slow, args=(clients, kind, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def slow_client(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW_BYTES)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    return client


def keep_slow(clients: list[socket.socket], kind: Kind, over: threading.Event) -> None:
    """Move a little of each client's body once a second, a tenth of the clients at a time."""
    for turn in itertools.cycle(range(10)):
        if over.wait(0.1):
            return
        for client in clients[turn::10]:
            with contextlib.suppress(OSError):  # ended, or nothing to read
                if kind.uploads:
                    client.send(b"x" * TRICKLE_BYTES)
                else:
                    client.recv(SIP_BYTES)


def tail_ms(port: int, path: str, seconds: int) -> float:
    """The p99 of an open loop, in milliseconds."""
    taken_s = load.open_loop_s(port, path, per_s=PER_S, seconds=seconds)
    return quantile(taken_s, 0.99) * 1e3


def beside(port: int, count: int, seconds: int, rounds: int) -> Mapping[str, tuple[float, float]]:
    """For each kind: the p99 of others without and with slow clients, medians of the rounds."""
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in KINDS}
    for _ in range(rounds):
        for name, kind in KINDS.items():
            found[name][0].append(tail_ms(port, kind.others, seconds))
            with dawdling(port, kind, count):
                found[name][1].append(tail_ms(port, kind.others, seconds))
    return {
        name: (statistics.median(without), statistics.median(with_them))
        for name, (without, with_them) in found.items()
    }
