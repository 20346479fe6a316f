"""The plan of the server, and the names of signals and listeners that master and workers share."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from overgrow.server.listener import ClientLimits

LISTENERS = ("public", "admin")  # in the order of gunicorn's `bind`
# Held back while a worker has no handlers of its own: those that tell it to leave, and that to open logs again,
# which would end it.
HELD_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1)


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """Where the server listens, how many workers it runs, and how it stops."""

    bind: str
    admin: str
    workers: int = 1
    grace_s: float = 25.0
    drain_delay_s: float = 0.0
    limits: ClientLimits = field(default_factory=ClientLimits)
    log_level: str = "warning"
    boot_s: float = 30.0  # for a worker to load the app and accept
    admin_for_all: bool = False  # other users of this machine may reach admin's unix socket
    # Descriptors of listening sockets that a service manager passed, for LISTENERS; None: we open it.
    passed: tuple[int | None, int | None] = (None, None)

    @property
    def is_activated(self) -> bool:
        """Whether a service manager keeps the public socket open, so that clients can wait while no front door runs."""
        return self.passed[0] is not None
