"""The master: gunicorn's arbiter, which replaces workers that leave and stops in our order.

Rule: a worker that leaves alone is replaced before it has gone. What happens to the whole server, and
each start of a worker, is one line of log: an event, then key=value.
"""

from __future__ import annotations

import logging
import signal
import time
from typing import TYPE_CHECKING

from gunicorn.arbiter import Arbiter

if TYPE_CHECKING:
    from proxy.serving import FrontServer

logger = logging.getLogger("overgrow")

LEAVE = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)  # what tells a worker to leave
INTERRUPT_S = 1  # whole seconds, gunicorn's unit: INT ends everything within 2 s


class FrontArbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master, which also replaces workers that leave and stops in our order."""

    app: FrontServer

    def __init__(self, app: FrontServer) -> None:
        self._began_s = time.monotonic()
        self._was_ready = False
        super().__init__(app)

    def manage_workers(self) -> None:
        """Count a leaving worker as gone already: its replacement need not wait for it."""
        leaving = sum(worker.is_leaving for worker in self.WORKERS.values())
        self._num_workers += leaving
        try:
            super().manage_workers()
        finally:
            self._num_workers -= leaving
        self._tell_when_ready()

    def _tell_when_ready(self) -> None:
        """Once: when all workers of the start accept."""
        ready = sum(worker.is_ready for worker in self.WORKERS.values())
        if not self._was_ready and ready >= self.num_workers:
            self._was_ready = True
            took_s = time.monotonic() - self._began_s
            logger.info("ready workers=%d after=%.1fs", ready, took_s)

    def spawn_worker(self) -> int:
        """Start a worker, and say so.

        Until it has handlers of its own it has its master's, which would swallow what it is told: so
        that waits until then.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, LEAVE)
        try:
            pid: int = super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, LEAVE)
        logger.info("worker-started pid=%d", pid)
        return pid

    def handle_hup(self) -> None:
        """Reload: new workers with the code as it is now, the old ones drain."""
        logger.info("reloading workers=%d", self.num_workers)
        super().handle_hup()

    def handle_usr2(self) -> None:
        """Refuse: a second master could have neither the addresses nor the state folder."""
        logger.warning("ignored signal=USR2 fix='send HUP to reload the code'")

    def handle_term(self) -> None:
        """Say draining while still accepting; then stop."""
        plan = self.app.plan
        logger.info("draining delay=%gs grace=%gs", plan.drain_delay_s, plan.grace_s)
        self.app.announce_stop()
        if self._interrupted_within(plan.drain_delay_s):
            self.handle_int()
        super().handle_term()

    def _interrupted_within(self, seconds: float) -> bool:
        """Wait so long, reaping; True at once when INT or QUIT comes."""
        step_s = 0.1
        for _ in range(round(seconds / step_s)):
            signals = self.wait_for_signals(timeout=step_s)
            self.reap_workers()
            if signal.SIGINT in signals or signal.SIGQUIT in signals:
                return True
        return False

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Leave with 0 or 1; gunicorn's own codes mean nothing to whoever runs `overgrow`."""
        try:
            super().halt(reason=reason, exit_status=min(exit_status, 1))
        finally:
            logger.info("stopped exit=%d", min(exit_status, 1))

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
        """Close the listeners and end the workers; not gracefully means within 2 s."""
        self.app.announce_stop()
        if not graceful:
            logger.info("interrupted within=2s")
            self.cfg.set("graceful_timeout", INTERRUPT_S)
        super().stop(graceful)
