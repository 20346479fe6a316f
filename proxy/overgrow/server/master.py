"""The master process: gunicorn's arbiter, with rules of our own for replacing and stopping workers.

Rule: a worker that leaves by itself is replaced before it has ended, and at HUP no old worker leaves before a
new one serves. Once a worker has served, a failed boot does not end the server: the living workers go on
serving, and the next boot is tried after a growing wait. Suppose that no worker serves, and the import of the
team's app kills or hangs every new process. Then one worker serves without the app, because requests for legacy
must be served. Each event of the server and each start of a worker is one log line: an event, then key=value.
If boots fail repeatedly for the same reason, only the first failure is logged.
"""

from __future__ import annotations

import gc
import logging
import mmap
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, TextIO

from gunicorn import sock as gunicorn_sockets
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from overgrow.app_types import AsgiApp
from overgrow.server.accepting import ConnectionCounts
from overgrow.server.activation import notify_service_manager, open_listeners
from overgrow.server.boots import YOUNG_S, BootFailures, BootNotice, describe_process_exit
from overgrow.server.gc_schedule import freeze_before_fork
from overgrow.server.plan import HELD_SIGNALS, ServerPlan
from overgrow.server.worker import FrontWorker
from overgrow.text import rfc3339

logger = logging.getLogger("overgrow")

INTERRUPT_S = 1  # whole seconds, gunicorn's unit: INT ends everything within 2 s
QUICK_S = 2.0  # for workers that leave, once INT or QUIT comes too
INTERRUPTS = frozenset({signal.SIGINT, signal.SIGQUIT})
IGNORED_WHILE_DRAINING = {  # while draining
    signal.SIGHUP: "HUP",
    signal.SIGTTIN: "TTIN",
    signal.SIGTTOU: "TTOU",
}

MARGIN_S = 5  # by which the master waits longer than its workers


class FrontArbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master, with rules of our own for replacing and stopping workers."""

    app: FrontServer
    WORKERS: dict[int, FrontWorker]

    def __init__(self, app: FrontServer) -> None:
        self._began_s = time.monotonic()
        self._was_ready = False
        self._notify_environ: dict[str, str] = {}
        self._has_notified = False  # the service manager, that a worker serves
        self._has_served = False  # a worker was ready once
        self._serving = 0  # ready workers, when last looked at
        self._stale_age = 0  # workers up to this age have code from before the last HUP
        self._boot_failures = BootFailures()
        self._app_crash_reason = (
            ""  # how the last worker ended that loaded the app and could not say why
        )
        super().__init__(app)

    def start(self) -> None:
        """Take the sockets that were passed, and open sockets for the other listeners.

        gunicorn would tell the service manager at this point that it is ready. This message is suppressed,
        because no worker serves yet.
        """
        if any(number is not None for number in self.app.plan.passed):
            self.LISTENERS = open_listeners(self.cfg, self.log, self.app.plan.passed)
        self._notify_environ = {"NOTIFY_SOCKET": os.environ.pop("NOTIFY_SOCKET", "")}
        super().start()

    def _notify(self, state: str) -> None:
        notify_service_manager(state, self._notify_environ)

    # Which workers there should be.

    def manage_workers(self) -> None:
        """Start and end workers, so that the wanted number serves with the current code.

        A worker that is leaving does not count, so that its replacement starts before it has ended.
        """
        now_s = time.monotonic()
        self._record_ready_workers(now_s)
        for worker in self._choose_workers_to_end():
            worker.was_told_to_leave = True
            self.kill_worker(worker.pid, signal.SIGTERM)
        for _ in range(self._count_workers_to_start(now_s)):
            self.spawn_worker()
        self._log_once_if_all_accept()

    def _staying_workers(self) -> list[FrontWorker]:
        return [
            each
            for each in self.WORKERS.values()
            if not (each.is_leaving or each.was_told_to_leave)
        ]

    def _is_up_to_date(self, worker: FrontWorker) -> bool:
        """Whether the worker runs the current code and has the team's app. If so, it need not be replaced."""
        return worker.age > self._stale_age and not worker.lacks_app

    def _choose_workers_to_end(self) -> list[FrontWorker]:
        """The workers to end: outdated workers whose replacements are ready, and the oldest if there are too many."""
        staying = self._staying_workers()
        current = [each for each in staying if self._is_up_to_date(each)]
        others = [each for each in staying if not self._is_up_to_date(each)]
        needed = max(0, self.num_workers - sum(each.is_ready for each in current))
        others.sort(key=lambda each: (each.is_ready, not each.lacks_app, each.age), reverse=True)
        current.sort(key=lambda each: (each.is_ready, each.age))
        return others[needed:] + current[: max(0, len(current) - self.num_workers)]

    def _count_workers_to_start(self, now_s: float) -> int:
        """How many workers to start now. While it is unknown whether boots succeed, only one at a time."""
        gone_early = sum(
            each.is_leaving and not (each.is_ready or each.was_told_to_leave)
            for each in self.WORKERS.values()
        )
        if gone_early > self.num_workers:  # an app that TERMs itself and hangs starts no more
            return 0
        if self._must_next_worker_serve_legacy_alone():
            return int(now_s >= self._boot_failures.retry_s)
        staying = self._staying_workers()
        current = [each for each in staying if self._is_up_to_date(each)]
        missing: int = max(0, self.num_workers - len(current))
        is_known = len(staying) == len(current) or any(each.is_ready for each in current)
        if is_known and not self._boot_failures.failures:
            return missing
        is_booting = any(not each.is_ready for each in staying)
        return min(missing, now_s >= self._boot_failures.retry_s and not is_booting)

    def _must_next_worker_serve_legacy_alone(self) -> bool:
        """Whether the next worker must serve only legacy: no worker serves, and loading the app kills each new worker."""
        can = (
            self.app.load_without_app is not None
            and self._has_served
            and bool(self._app_crash_reason)
        )
        return can and not any(
            each.is_ready or each.without_app for each in self._staying_workers()
        )

    # How their boots went.

    def _record_ready_workers(self, now_s: float) -> None:
        for worker in self.WORKERS.values():
            if not worker.is_ready:
                continue
            if worker.ready_s is None:
                worker.ready_s = now_s
                self._has_served = True
                if not worker.without_app:
                    self._app_crash_reason = ""
                if worker.lacks_app and not worker.without_app:
                    self._record_failed_boot(worker.failure, worker.started_s)
            if not worker.lacks_app:
                self._record_boot_success(worker, now_s)
        current = [
            each for each in self._staying_workers() if each.is_ready and self._is_up_to_date(each)
        ]
        if (
            len(current) >= self.num_workers
            and self._boot_failures.record_all_present_and_detect_recovery()
        ):  # TTOU: none is missing now
            self.app.boot_notice.write(self._boot_failures)
        serving = sum(each.is_ready for each in self.WORKERS.values())
        if self._serving and not serving:  # nothing is better than to try again
            self._boot_failures.retry_s = min(self._boot_failures.retry_s, now_s)
        self._serving = serving

    def _record_boot_success(self, worker: FrontWorker, now_s: float) -> None:
        failures, since_s = self._boot_failures.failures, worker.ready_s or now_s
        if self._boot_failures.record_success_and_detect_recovery(
            started_s=worker.started_s, ready_s=since_s, now_s=now_s
        ):
            logger.info("boots-again after=%d", failures)
            self.app.boot_notice.write(self._boot_failures)

    def _record_failed_boot(self, reason: str, started_s: float) -> None:
        now_s = time.monotonic()
        if self._boot_failures.record_failure_and_decide_to_log(
            reason, started_s=started_s, now_s=now_s, at=utc_now()
        ):
            logger.error("boot-failed serving=%d why=%r", len(self._staying_workers()), reason)
        self.app.boot_notice.write(self._boot_failures)

    def _handle_death_of_serving_worker(self, worker: FrontWorker, ending: str) -> None:
        """Log that a worker has died after it served.

        If it died soon after it was ready, count the death for a crash loop.
        """
        logger.error("worker-died pid=%d how=%r", worker.pid, ending)
        now_s = time.monotonic()
        if now_s - (worker.ready_s or now_s) >= YOUNG_S:
            return
        reason = f"workers die within {YOUNG_S:g} s of being ready: {ending}"
        if self._boot_failures.record_early_death_and_detect_new_loop(
            reason, started_s=worker.started_s, now_s=now_s, at=utc_now()
        ):
            logger.error("boot-failed serving=%d why=%r", len(self._staying_workers()), reason)
        self.app.boot_notice.write(self._boot_failures)

    def _log_once_if_all_accept(self) -> None:
        """Log once that all workers accept. As soon as the first one accepts, tell the service manager."""
        ready = sum(worker.is_ready for worker in self.WORKERS.values())
        if ready and not self._has_notified:
            self._has_notified = True
            self._notify("READY=1\nSTATUS=serving")
        if not self._was_ready and ready >= self.num_workers:
            self._was_ready = True
            took_s = time.monotonic() - self._began_s
            logger.info("ready workers=%d after=%.1fs", ready, took_s)

    def reap_workers(self) -> None:
        """Handle each worker that ended. gunicorn's own method would halt if a worker failed to boot.

        Raises:
            HaltServer: a worker ended by itself before any worker has served.

        """
        while (ended := reap_child()) is not None:
            pid, status = ended
            worker = self.WORKERS.pop(pid, None)
            if worker is None:  # as process 1 we inherit what others left
                continue
            worker.tmp.close()
            self.app.connection_counts.remove_worker(worker.count_index)
            self.cfg.child_exit(self, worker)
            self._handle_worker_end(worker, status)

    def _handle_worker_end(self, worker: FrontWorker, status: int) -> None:
        ending = describe_process_exit(status)
        has_hung = (
            worker.aborted and not worker.is_ready
        )  # though it may have heard that it is to leave
        is_leaving = worker.is_leaving and not has_hung
        if self.app.is_stopping or is_leaving or worker.was_told_to_leave:
            if os.WIFSIGNALED(status) and not self.app.is_stopping:
                logger.error("worker-died pid=%d how=%r", worker.pid, ending)
            return
        if worker.is_ready:
            self._has_served = True
            self._handle_death_of_serving_worker(worker, ending)
            return
        why = worker.failure or f"the process ended while it started: {ending}"
        if worker.aborted:
            why = f"it was not ready after {self.app.plan.boot_s:g} s"
        if not self._has_served and os.WIFEXITED(status):
            raise HaltServer(why, self.WORKER_BOOT_ERROR)
        self._record_failed_boot(why, worker.started_s)
        if not worker.without_app:
            self._app_crash_reason = "" if worker.failure else why
            # It need not wait: what ended this one is not asked of it.
            if self._must_next_worker_serve_legacy_alone():
                self._boot_failures.retry_s = time.monotonic()

    def murder_workers(self) -> None:
        """Kill workers that hang, during their start (when they handle no signal) or later."""
        overdue_s = time.monotonic() - self.app.plan.boot_s
        for pid, worker in list(self.WORKERS.items()):
            if not worker.is_ready and worker.started_s < overdue_s:
                worker.aborted = True
                self.kill_worker(pid, signal.SIGKILL)
        super().murder_workers()

    def spawn_worker(self) -> int:
        """Start a worker. Log the start unless boots fail. If no process can be created, return 0.

        A new process has the master's signal handlers until it sets its own. The master's handlers would
        swallow a signal, so that stop signals are blocked until the process has its own handlers.

        Raises:
            HaltServer: no process can be created, and no worker has served yet.

        """
        staying = self._staying_workers()
        serve_whole = any(each.is_ready and not each.lacks_app for each in staying)
        self.app.next_count_index = self.app.connection_counts.assign_index(
            each.count_index for each in self.WORKERS.values()
        )
        self.app.without_app = (
            self._app_crash_reason if self._must_next_worker_serve_legacy_alone() else ""
        )
        is_enough = serve_whole or len(staying) >= self.num_workers
        self.app.wants_whole = is_enough and not self.app.without_app
        started_s, master = time.monotonic(), os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)
        try:
            pid: int = super().spawn_worker()
        except (OSError, MemoryError) as error:
            if os.getpid() != master:
                raise SystemExit(1) from error
            self._handle_fork_failure(error, started_s)
            return 0
        except (Exception, KeyboardInterrupt) as error:
            if os.getpid() != master:  # else it would go on as a second master
                logger.exception("a worker ends by what its application raised")
                raise SystemExit(1) from error
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)
        logger.log(
            logging.DEBUG if self._boot_failures.failures else logging.INFO,
            "worker-started pid=%d",
            pid,
        )
        return pid

    def _handle_fork_failure(self, error: BaseException, started_s: float) -> None:
        why = f"no process can be made: {getattr(error, 'strerror', None) or 'out of memory'}"
        if not self._has_served:
            raise HaltServer(why, self.WORKER_BOOT_ERROR) from error
        self._record_failed_boot(why, started_s)

    # Signals.

    def handle_hup(self) -> None:
        """Reload: start workers with the current code. For each new worker that serves, drain an old worker."""
        self.num_workers = self.cfg.workers
        logger.info("reloading workers=%d", self.num_workers)
        self.log.reopen_files()
        self._stale_age = self.worker_age
        self._boot_failures.retry_s = 0.0

    def handle_usr2(self) -> None:
        """Ignore USR2, because a second master could have neither the addresses nor the state folder."""
        logger.warning("ignored signal=USR2 fix='send HUP to reload the code'")

    def handle_term(self) -> None:
        """Announce the stop while still accepting; then stop."""
        plan = self.app.plan
        logger.info("draining delay=%gs grace=%gs", plan.drain_delay_s, plan.grace_s)
        self._notify("STOPPING=1\nSTATUS=draining")
        self.app.announce_stop()
        self.kill_workers(signal.SIGWINCH)  # a worker looks whether it is announced; nothing dies
        if self._manage_workers_until_interrupt(plan.drain_delay_s):
            self.handle_int()
        super().handle_term()

    def _manage_workers_until_interrupt(self, seconds: float) -> bool:
        """Wait, and replace workers that die in the meantime. Return True as soon as INT or QUIT comes."""
        step_s = 0.1
        for _ in range(round(seconds / step_s)):
            signals = self.wait_for_signals(timeout=step_s)
            self.reap_workers()
            self.manage_workers()
            if not INTERRUPTS.isdisjoint(signals):
                return True
            for name in (
                IGNORED_WHILE_DRAINING[each] for each in signals if each in IGNORED_WHILE_DRAINING
            ):
                logger.warning("ignored signal=%s fix='the server stops: start it again'", name)
            if signal.SIGUSR1 in signals:
                self.handle_usr1()
        return False

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Exit with 0 or 1, because users of `overgrow` do not know gunicorn's own exit codes."""
        try:
            super().halt(reason=reason, exit_status=min(exit_status, 1))
        finally:
            logger.info("stopped exit=%d", min(exit_status, 1))
            # The interpreter's last collections would look at every object, while clients wait for the next start.
            gc.freeze()

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
        """Close the listeners and end the workers. If `graceful` is False, end them within 2 s."""
        self.app.announce_stop()
        if not graceful:
            logger.info("interrupted within=2s")
            self.cfg.set("graceful_timeout", INTERRUPT_S)
        self._close_passed_sockets()
        gunicorn_sockets.close_sockets(self.LISTENERS)
        self.LISTENERS = []
        self._end_workers(graceful=graceful)
        super().stop(graceful)

    def _end_workers(self, *, graceful: bool) -> None:
        """Tell the workers to end. Kill each worker that has not ended in time. INT and QUIT shorten this time.

        gunicorn does the same, but checks only every 0.1 s whether workers have ended, and sleeps once more
        after the last one. Under a service manager, clients would wait during that time.
        """
        self.kill_workers(signal.SIGTERM if graceful else signal.SIGQUIT)
        until_s = time.monotonic() + self.cfg.graceful_timeout
        while self.WORKERS and time.monotonic() < until_s:
            signals = self.wait_for_signals(timeout=0.1)  # CHLD ends it at once
            if graceful and not INTERRUPTS.isdisjoint(signals):
                graceful, until_s = False, min(until_s, time.monotonic() + QUICK_S)
                self.kill_workers(signal.SIGQUIT)
            self.reap_workers()
        self.kill_workers(signal.SIGKILL)

    def _close_passed_sockets(self) -> None:
        """Close our descriptors of passed sockets first, because gunicorn would remove the file of a unix socket."""
        if not self.LISTENERS:
            return
        own = []
        for listener, passed in zip(self.LISTENERS, self.app.plan.passed, strict=True):
            if passed is None:
                own.append(listener)
            else:
                listener.close()
        self.LISTENERS = own


def reap_child() -> tuple[int, int] | None:
    """Return the pid and status of a child that ended; None if no child has ended."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def utc_now() -> str:
    """The time as RFC 3339 in UTC, to the second."""
    return rfc3339(time.time())


class FrontServer(BaseApplication):  # type: ignore[misc]
    """gunicorn, embedded: `FrontServer(plan, load).run()` makes this process its master.

    `load` is called in each worker after its fork and returns the ASGI application. `on_ready` is called in the
    master once the listeners are bound, with their addresses as text. If no worker serves and the import of the
    team's app ends each process, `load_without_app` is called instead of `load`. It gets the reason as text,
    and returns an application that serves legacy without importing the team's app.
    """

    def __init__(
        self,
        plan: ServerPlan,
        load: Callable[[], AsgiApp],
        on_ready: Callable[[list[str]], None] | None = None,
        *,
        access_log: TextIO | None = None,
        load_without_app: Callable[[str], AsgiApp] | None = None,
    ) -> None:
        self.plan = plan
        self.started_s = time.time()
        self.access_log = access_log
        self._load = load
        self.load_without_app = load_without_app
        self._on_ready = on_ready
        self._stopping = mmap.mmap(-1, 1)  # the master writes, workers read
        self.boot_notice = BootNotice()  # as above
        self.connection_counts = ConnectionCounts()  # each worker writes its own part
        self.next_count_index = 1
        self.wants_whole = False  # the next worker is to have the team's app, or none at all
        self.without_app = ""  # why the next worker is to serve without importing that app
        super().__init__()

    @property
    def is_stopping(self) -> bool:
        """Whether the whole server was told to stop; true in master and workers."""
        return bool(self._stopping[0])

    def announce_stop(self) -> None:
        """Tell every worker that the whole server stops."""
        self._stopping[0] = 1

    def load_config(self) -> None:
        """Set gunicorn's settings; tests in tests/unit/server check that gunicorn knows their names."""
        for name, value in gunicorn_settings(self.plan).items():
            self.cfg.set(name, value)
        self.cfg.set("when_ready", self._on_master_ready)

    def load(self) -> AsgiApp:
        """Create the application, in a worker."""
        if self.without_app and self.load_without_app is not None:
            return self.load_without_app(self.without_app)
        return self._load()

    def _on_master_ready(self, arbiter: Arbiter) -> None:
        ours = [passed is None for passed in self.plan.passed]
        for_all = (ours[0], ours[1] and self.plan.admin_for_all)
        allow_all_users_to_connect([*compress(arbiter.LISTENERS, for_all)])
        if self._on_ready is not None:
            self._on_ready([str(listener) for listener in arbiter.LISTENERS])

    def run(self) -> None:
        """Run until the server is told to stop, then raise SystemExit, as gunicorn does."""
        freeze_before_fork()
        FrontArbiter(self).run()


def allow_all_users_to_connect(listeners: Sequence[Any]) -> None:
    """Let all users of this machine connect to those listeners that are unix sockets."""
    for listener in listeners:
        if listener.sock.family == socket.AF_UNIX:
            Path(listener.cfg_addr).chmod(0o666)


def gunicorn_settings(plan: ServerPlan) -> dict[str, Any]:
    """Return gunicorn's settings for a plan. The limits of our own connections are not gunicorn settings."""
    total_s = plan.drain_delay_s + plan.grace_s
    return {
        "bind": [plan.bind, plan.admin],
        "umask": 0o177,  # a unix socket is its owner's until it is opened for all
        "workers": plan.workers,
        "worker_class": FrontWorker,
        "graceful_timeout": int(total_s) + MARGIN_S,
        "timeout": 30,  # a worker whose event loop blocks for so long is killed
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108
        "loglevel": plan.log_level,
        "accesslog": None,  # the front door writes its own
        "control_socket_disable": True,  # it would be shared by all gunicorns of one HOME
        "proc_name": "overgrow",
    }
