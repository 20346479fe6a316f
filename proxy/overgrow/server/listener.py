"""What the connections of one listener of one worker share, and what a worker allows its clients.

Rule: it knows its connections by name only; what each of them waits for is their own business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from overgrow.exchange import Failure
from overgrow.server.asgi_types import AsgiApp
from overgrow.server.pace import LOOK_S, Slowness
from overgrow.slow_clients.intake import Intake

TURNED_AWAY = 16  # clients beyond the limit that linger at once, or a tenth of the limit


class Swept(Protocol):
    """A connection as its listener sees it: what may wait too long, or for nothing."""

    deadline: float  # loop time
    is_reading_paused: bool

    @property
    def is_closing(self) -> bool:
        """Whether it is about to end."""
        ...

    def close(self) -> None:
        """End it."""
        ...

    def fileno(self) -> int:
        """The number of its socket."""
        ...

    def abort(self) -> None:
        """Reset it."""
        ...

    def expire(self, now: float) -> None:
        """End what it waited for too long."""
        ...

    def look_for_its_end(self) -> None:
        """Look whether its client has left, while nothing is read."""
        ...

    def look_at_pace(self, now: float) -> None:
        """Measure how fast its client moves."""
        ...

    def leave(self, now: float) -> None:
        """End it if it waits for nothing: the worker leaves."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker allows its clients, in seconds, connections and bytes."""

    head_s: float = 10.0  # for a request's head, from its first byte
    keepalive_s: float = 75.0  # for a connection without a request
    idle_s: float = 100.0  # between two bytes of a body, either way, unless the app says otherwise
    linger_s: float = 2.0  # reading on after a last answer, so that a reset does not overtake it,
    linger_most_s: float = 30.0  # and for how long in all, while the client still sends
    cancel_s: float = 3.0  # for an app to notice that its client has left
    slow: Slowness = field(
        default_factory=Slowness
    )  # who is ended first when others wait for a thread or an upstream
    connections: int = 10_000  # per worker and listener
    line_bytes: int = 8190
    field_bytes: int = 32_768
    fields: int = 100


@dataclass(slots=True, eq=False)
class House:
    """What the connections of one listener of one worker share."""

    listener: str
    app: AsgiApp
    loop: asyncio.AbstractEventLoop
    limits: Limits = Limits()
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("overgrow.serving"))
    state: dict[str, Any] = field(default_factory=dict)
    is_leaving: bool = False  # answers end their connections: the worker leaves, soon or now
    ends_idle: bool = False  # it leaves now: nothing is accepted, and idle connections end
    connections: set[Swept] = field(default_factory=set)
    left: int = 0  # clients that left in the middle of a request, ever
    # Of these, those beyond the limit, which have their 503 and are about to end; the oldest first.
    turned_away: dict[Swept, None] = field(default_factory=dict)
    on_refused: Callable[[Failure], None] | None = None
    _look_at_s: float = 0.0  # when the pace of clients is measured next
    is_own: bool = False  # the app is our own, which asks the turn rather than the scope
    intake: Intake = field(init=False)  # whose turn it is to be read, of many uploads

    def __post_init__(self) -> None:
        self.intake = Intake(self.loop)

    @property
    def is_full(self) -> bool:
        """Whether there are more connections than the limit, not counting those turned away."""
        return len(self.connections) - len(self.turned_away) > self.limits.connections

    def make_room(self) -> bool:
        """Let those go that were turned away longest, where too many linger; False if that is not enough.

        The latest has not read its answer yet; the oldest has had time to.
        """
        most = self.limits.connections
        excess = len(self.connections) - most - max(TURNED_AWAY, most // 10)
        if excess > 0:
            lingering = (each for each in self.turned_away if not each.is_closing)
            for connection in [*islice(lingering, excess)]:
                connection.close()
        return excess <= TURNED_AWAY

    def sweep(self, now: float) -> None:
        """End what waited too long; while leaving, also what waits for nothing."""
        for connection in [each for each in self.connections if each.deadline < now]:
            connection.expire(now)
        for connection in [each for each in self.connections if each.is_reading_paused]:
            connection.look_for_its_end()
        if now >= self._look_at_s:
            self._look_at_s = now + LOOK_S
            for connection in self.connections:
                connection.look_at_pace(now)
        if self.ends_idle:
            for connection in list(self.connections):
                connection.leave(now)
