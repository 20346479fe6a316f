"""What people who watch the admin page cost: processor time of all workers, with viewers and without.

Rule: traffic goes on at a fixed rate all the while, over many routes, so that each snapshot differs from the one before. The
figure is what the workers spend beyond the same traffic without viewers, as a share of one core.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from benchmarks import load
from benchmarks.processes import Running

PAGE = "/"
LIVE = "/page-data/"
EVERY_S = 2.0  # as the page itself asks
PER_S = 20  # requests of traffic
BUSY = 200  # routes that traffic goes to, at most


class Poll(NamedTuple):
    """One answer to a viewer: status and length."""

    status: int
    length: int


def table_text(upstream: int, routes: int) -> str:
    """A table of so many routes, each with a path of its own."""
    head = ["version: 1", "app: benchmarks.peers.shop:create_app"]
    head += [f"legacy: {{url: 'http://127.0.0.1:{upstream}'}}", "routes:"]
    lines = [
        f"  - {{name: page-{at}, path: /pages/{at}/<int:id>, target: legacy}}"
        for at in range(routes)
    ]
    return "\n".join([*head, *lines]) + "\n"


class Repeated:
    """A thread with a connection that does one step again and again until the block ends, each at its time."""

    def __init__(self, port: int, every_s: float) -> None:
        self._connection = http.client.HTTPConnection(load.HOST, port, timeout=30)
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        due_s = time.monotonic()
        try:
            while not self._over.wait(max(0.0, due_s - time.monotonic())):
                self.step()
                due_s = max(due_s + self._every_s, time.monotonic())
        except (OSError, http.client.HTTPException) as failure:
            self.failure = failure

    def step(self) -> None:
        raise NotImplementedError


class Traffic(Repeated):
    """Requests for many routes in turn."""

    def __init__(self, port: int, routes: int) -> None:
        super().__init__(port, 1 / PER_S)
        self._paths = itertools.cycle(f"/pages/{at}/7" for at in range(min(routes, BUSY)))

    def step(self) -> None:
        self._connection.request("GET", next(self._paths))
        self._connection.getresponse().read()


class Viewer(Repeated):
    """A browser with the overview open: the page once, then its JSON every two seconds."""

    def __init__(self, admin: int) -> None:
        super().__init__(admin, EVERY_S)
        self._tag = ""
        self.polls: list[Poll] = []
        self._ask(PAGE)

    def step(self) -> None:
        self.polls.append(self._ask(LIVE))

    def _ask(self, path: str) -> Poll:
        headers = {"If-None-Match": self._tag} if self._tag and path == LIVE else {}
        self._connection.request("GET", path, headers=headers)
        answer = self._connection.getresponse()
        length = len(answer.read())
        if path == LIVE:
            self._tag = answer.getheader("ETag", "")
        if answer.status not in (200, 304):
            raise ConnectionError(f"{path} was answered with {answer.status}")
        return Poll(answer.status, length)


@contextlib.contextmanager
def viewers_of(admin: int, count: int) -> Iterator[Sequence[Viewer]]:
    """So many viewers, who come one after the other within one interval.

    Raises:
        ConnectionError: a viewer was not answered.

    """
    with contextlib.ExitStack() as stack:
        viewers = []
        for _ in range(count):
            viewers.append(stack.enter_context(Viewer(admin)))
            time.sleep(EVERY_S / count)
        yield viewers
    for each in viewers:
        if each.failure is not None:
            raise ConnectionError(f"a viewer was not answered: {each.failure}")


def core_percent(front: Running, admin: int, viewers: int, seconds: float) -> float:
    """The share of one core that all workers take meanwhile, in percent."""
    with viewers_of(admin, viewers):
        before_s, began_s = front.cpu_s(), time.monotonic()
        time.sleep(seconds)
        return 100 * (front.cpu_s() - before_s) / (time.monotonic() - began_s)


def percents(
    front: Running, admin: int, *, routes: int, viewers: int, seconds: float, rounds: int
) -> tuple[list[float], list[float]]:
    """The shares of a core without viewers and with them, in turns, beside the same traffic."""
    found: tuple[list[float], list[float]] = ([], [])
    with Traffic(front.port, routes) as traffic:
        core_percent(front, admin, viewers, EVERY_S)  # what only the first seconds cost
        for _ in range(rounds):
            for shares, count in zip(found, (0, viewers), strict=True):
                shares.append(core_percent(front, admin, count, seconds / rounds))
    if traffic.failure is not None:
        raise ConnectionError(f"the traffic ended: {traffic.failure}")
    return found
