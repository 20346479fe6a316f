"""The state that the connections of one listener in one worker share, and the limits for clients.

Rule: the state of a listener checks all its connections regularly (the sweep), but only each connection knows
what it waits for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from overgrow.app_types import AsgiApp
from overgrow.exchange import Failure
from overgrow.server.pace import PACE_CHECK_S, SlowClientPolicy
from overgrow.slow_clients.read_scheduler import ReadScheduler

MAX_OVER_LIMIT = (
    16  # refused clients that may linger at once; or a tenth of the limit, if that is more
)


class TrackedConnection(Protocol):
    """A connection, as far as its listener's sweep needs to know it."""

    deadline: float  # loop time
    is_reading_paused: bool

    @property
    def is_closing(self) -> bool:
        """Whether the connection is about to end."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...

    def fileno(self) -> int:
        """Return the file descriptor of the connection's socket."""
        ...

    def abort(self) -> None:
        """Reset the connection."""
        ...

    def enforce_timeout(self, now: float) -> None:
        """Act on a deadline that has passed."""
        ...

    def abort_soon_if_client_left(self) -> None:
        """Reset the connection soon if the client has left while reading is paused."""
        ...

    def measure_pace(self, now: float) -> None:
        """Measure how fast the client sends or reads."""
        ...

    def close_if_idle(self, now: float) -> None:
        """Close the connection if it is idle, because the worker is leaving."""
        ...

    def end_stream_if_quiet(self) -> None:
        """End a tunnel or a quiet event stream, so that the client connects again, to another server."""
        ...


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What a worker allows its clients, in seconds, connections and bytes."""

    head_s: float = 10.0  # for a request's head, from its first byte
    keepalive_s: float = 75.0  # for a connection without a request
    idle_s: float = 100.0  # between two bytes of a body, either way, unless the app says otherwise
    linger_s: float = 2.0  # reading on after a last response, so that a reset does not overtake it,
    linger_max_s: float = 30.0  # and for how long in all, while the client still sends
    cancel_s: float = 3.0  # for an app to notice that its client has left
    slow: SlowClientPolicy = field(
        default_factory=SlowClientPolicy
    )  # who is ended first when others wait for a thread or an upstream
    connections: int = 10_000  # per worker and listener
    line_bytes: int = 8190
    field_bytes: int = 32_768
    fields: int = 100


@dataclass(slots=True, eq=False)
class ListenerState:
    """The state that the connections of one listener in one worker share."""

    listener: str
    app: AsgiApp
    loop: asyncio.AbstractEventLoop
    limits: ClientLimits = ClientLimits()
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("overgrow.serving"))
    state: dict[str, Any] = field(default_factory=dict)
    is_leaving: bool = False  # responses end their connections: the worker leaves, soon or now
    closes_idle: bool = False  # it leaves now: nothing is accepted, and idle connections end
    ends_streams: bool = False  # the server stops and another takes its place: streams end now
    connections: set[TrackedConnection] = field(default_factory=set)
    departed_clients: int = 0  # clients that left in the middle of a request, ever
    # Connections beyond the limit, which got their 503 and are about to end; the oldest first.
    over_limit: dict[TrackedConnection, None] = field(default_factory=dict)
    on_refused: Callable[[Failure], None] | None = None
    _next_pace_check_s: float = 0.0  # when the pace of clients is measured next
    is_own_app: bool = (
        False  # the app is our own: it reads the native scope, not the whole ASGI scope
    )
    read_scheduler: ReadScheduler = field(init=False)  # which of many uploads is read next

    def __post_init__(self) -> None:
        self.read_scheduler = ReadScheduler(self.loop)

    @property
    def is_over_limit(self) -> bool:
        """Whether there are more accepted connections than the limit allows. Refused connections do not count."""
        return len(self.connections) - len(self.over_limit) > self.limits.connections

    def close_oldest_over_limit(self) -> bool:
        """If there are too many refused connections, close the oldest. Return False if there are still far too many.

        The clients of the oldest connections have had time to read the 503; the clients of the newest have not.
        """
        limit = self.limits.connections
        excess = len(self.connections) - limit - max(MAX_OVER_LIMIT, limit // 10)
        if excess > 0:
            lingering = (each for each in self.over_limit if not each.is_closing)
            for connection in [*islice(lingering, excess)]:
                connection.close()
        return excess <= MAX_OVER_LIMIT

    def end_overdue_connections(self, now: float) -> None:
        """End connections that have waited too long. If the worker is leaving, also end idle connections."""
        for connection in [each for each in self.connections if each.deadline < now]:
            connection.enforce_timeout(now)
        for connection in [each for each in self.connections if each.is_reading_paused]:
            connection.abort_soon_if_client_left()
        if now >= self._next_pace_check_s:
            self._next_pace_check_s = now + PACE_CHECK_S
            for connection in self.connections:
                connection.measure_pace(now)
        if self.closes_idle:
            for connection in list(self.connections):
                connection.close_if_idle(now)
        if self.ends_streams:
            for connection in list(self.connections):
                connection.end_stream_if_quiet()
