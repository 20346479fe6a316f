"""The worker process: gunicorn's worker with our own connections, a public and an admin listener, and a drain.

Rule: a connection belongs to the listener whose socket accepted it, whatever a header says. After TERM to the
master, readiness says draining while both listeners still accept (`drain_delay_s`). Then nothing new is
accepted, idle connections are closed, and open requests get `grace_s`. If a service manager keeps the public
socket open, streams end at once, and workers go on accepting while older requests finish. A worker that leaves
while the server goes on (TERM to the worker, HUP, `retire`) is replaced before it has ended. A worker that
cannot start tells the master why in shared memory (server/boots.py). From gunicorn we use the parser, the
arbiter (server/master.py) and the worker, but not its protocol classes; tests in tests/unit/server list the
names of gunicorn that we rely on. Each event of a worker is one log line: an event, then key=value.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TextIO

from gunicorn.arbiter import Arbiter
from gunicorn.asgi.lifespan import LifespanManager, LifespanStartupFailed
from gunicorn.workers.gasgi import ASGIWorker

from overgrow.app_types import AsgiApp
from overgrow.exchange import Failure
from overgrow.server.accepting import Acceptor, ConnectionCounts
from overgrow.server.activation import address_text
from overgrow.server.boots import BootNotice, SharedText, describe_error, is_same_reason
from overgrow.server.connection import HttpConnection
from overgrow.server.forks import close_in_forks
from overgrow.server.gc_schedule import GcSchedule, freeze_startup_heap
from overgrow.server.listener import ListenerState, TrackedConnection
from overgrow.server.plan import HELD_SIGNALS, LISTENERS, ServerPlan

logger = logging.getLogger("overgrow")

TICK_S = 0.25  # how late a limit may be noticed
OVERLAP_S = 2.0  # a retiring worker keeps accepting while its replacement starts
SHUTDOWN_S = 3.0  # for the app's lifespan shutdown, beside what is left of the grace time
THREAD_EXIT_S = 1.0  # for idle threads to notice that the loop has closed
LEAVING, READY, PARTIAL = 0, 1, 2  # the bytes in which a worker tells its master its state


class ServerApp(Protocol):
    """The gunicorn application of the whole server, as its workers see it."""

    plan: ServerPlan
    started_s: float  # unix time
    access_log: TextIO | None
    load_without_app: Callable[[str], AsgiApp] | None
    boot_notice: BootNotice
    connection_counts: ConnectionCounts
    next_count_index: int  # of the next worker, in the counts
    wants_whole: bool  # the next worker is to have the team's app, or none at all
    without_app: str  # why the next worker is to serve without importing that app

    @property
    def is_stopping(self) -> bool:
        """Whether the whole server was told to stop."""
        ...

    def load(self) -> AsgiApp:
        """Create the ASGI application."""
        ...


class WorkerControl:
    """The control object that a worker gives to its app: `scope["state"]["overgrow"]` of the lifespan.

    `number` is unique among the workers of one master.
    """

    def __init__(self, worker: FrontWorker) -> None:
        self._worker = worker
        self.number: int = worker.age

    @property
    def master_pid(self) -> int:
        """The pid of the master, which starts and replaces workers. Signals for the server go there."""
        return int(self._worker.ppid)

    @property
    def started_s(self) -> float:
        """When the server started, as unix time."""
        return self._worker.app.started_s

    @property
    def is_draining(self) -> bool:
        """Whether this worker is leaving, for any reason."""
        return self._worker.is_leaving or self.is_server_stopping

    @property
    def is_server_stopping(self) -> bool:
        """Whether the whole server was told to stop. Readiness should report this."""
        return bool(self._worker.app.is_stopping)

    @property
    def has_waiting_clients(self) -> bool:
        """Whether the server stops and new clients wait in its passed socket for the next start."""
        return self.is_server_stopping and self._worker.app.plan.is_activated

    def retire(self, reason: str) -> None:
        """Replace this worker: a new worker starts, and this one finishes its open requests and exits."""
        self._worker.retire(reason)

    @property
    def access_log(self) -> TextIO | None:
        """The stream of the access log if it is separate from the output of the app; None for standard output."""
        return self._worker.app.access_log

    def on_reopen_logs(self, callback: Callable[[], None]) -> None:
        """From now on, call `callback()` when this worker is told to open its log files again (USR1)."""
        self._worker.reopen_logs = callback

    @property
    def server_boot_error(self) -> dict[str, Any] | None:
        """Why new workers of this server fail to start: {"at", "reason", "failures"}; None if they start."""
        return self._worker.app.boot_notice.read()[0]

    @property
    def server_boot_failures(self) -> int:
        """How many workers have failed to start since the server started."""
        return self._worker.app.boot_notice.read()[1]

    @property
    def connections(self) -> int:
        """How many client connections are open now, on both listeners."""
        return sum(len(state.connections) for state in self._worker.listener_states)

    @property
    def max_connections(self) -> int:
        """How many client connections this worker accepts on the public listener."""
        return self._worker.app.plan.limits.connections

    @property
    def addresses(self) -> dict[str, str]:
        """Where the listeners listen, by name: `127.0.0.1:8000`, `unix:/path`."""
        socks = (each.sock for each in self._worker.sockets)
        return {name: address_text(sock) for name, sock in zip(LISTENERS, socks, strict=True)}

    def on_refused(self, callback: Callable[[Failure], None] | None) -> None:
        """From now on, call `callback(failure)` for each request or connection that never reaches the app."""
        for state in self._worker.listener_states:
            state.on_refused = callback


class AppUnavailable(Exception):
    """The team's app cannot be imported here or lacks needed rules, but other workers have the whole app."""


class FrontWorker(ASGIWorker):  # type: ignore[misc]
    """One worker process: an event loop, two listeners, their connections."""

    # gunicorn's, untyped
    age: int
    alive: bool
    pid: int
    app: ServerApp
    sockets: Sequence[Any]
    state: dict[str, Any]
    loop: asyncio.AbstractEventLoop

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Bytes that the worker sets and its master reads: "I am leaving, replace me"; "I accept";
        # "I serve, but the team's app cannot be imported".
        self._flags = mmap.mmap(-1, 3)
        self._failure = SharedText()
        self.count_index: int = self.app.next_count_index
        self.without_app: str = self.app.without_app  # why it is not to load the team's app
        self._flags[PARTIAL] = bool(self.without_app)
        self.started_s = time.monotonic()
        self.ready_s: float | None = None  # when the master first saw that it accepts
        self.was_told_to_leave = False
        self._leave_cause = "told"
        self._overlap_s = 0.0
        self._leave_by = 0.0  # in the loop's time
        self._wake_event: asyncio.Event | None = None
        self._gc_schedule = GcSchedule()
        self.listener_states: list[ListenerState] = []
        self.reopen_logs: Callable[[], None] | None = None

    @property
    def is_leaving(self) -> bool:
        """Whether this worker is leaving. The worker writes this value, and the master reads it too."""
        return bool(self._flags[LEAVING])

    @property
    def is_ready(self) -> bool:
        """Whether this worker has ever accepted connections. The master reads this value too."""
        return bool(self._flags[READY])

    @property
    def lacks_app(self) -> bool:
        """Whether this worker serves without the team's app. The master reads this value too."""
        return bool(self._flags[PARTIAL])

    @property
    def failure(self) -> str:
        """Why this worker did not start, or what it lacks; empty if unknown. The master reads this value too."""
        return self._failure.read()

    def retire(self, reason: str) -> None:
        """Leave after OVERLAP_S. The replacement starts in the meantime."""
        if self.alive:
            logger.warning("worker-retires why=%r", reason)
            self._leave_cause = "retires"
            self._overlap_s = OVERLAP_S
            self._mark_leaving()

    def init_process(self) -> None:
        """Start and serve. If the start fails, tell the master why and end this process."""
        try:
            super().init_process()
        except BaseException as error:
            if self.is_ready or self.is_leaving:
                raise
            raise self._report_boot_failure(error) from error

    def load_wsgi(self) -> None:
        """Load the application, which may lack the team's app or rules that the table needs.

        An incomplete worker may serve only if no other worker is complete.

        Raises:
            AppUnavailable: other workers have the team's app.

        """
        close_in_forks(self._socket_descriptors)  # the app may fork as soon as it is imported
        super().load_wsgi()
        problem = str(getattr(self.asgi, "boot_problem", ""))
        if problem and self.app.wants_whole:
            raise AppUnavailable(problem)
        if problem:
            self._failure.write(problem)
            self._flags[PARTIAL] = 1

    def _socket_descriptors(self) -> Iterator[int]:
        """Yield the file descriptors of the listeners and of the clients' connections."""
        for listener in self.sockets:
            yield listener.fileno()
        for state in self.listener_states:
            for connection in state.connections:
                yield connection.fileno()

    def _report_boot_failure(self, error: BaseException) -> SystemExit:
        """Tell the master why this worker fails to start. Log the reason if the log does not have it already."""
        if isinstance(error, SystemExit) and self.failure:
            return error
        is_told = isinstance(error, AppUnavailable | LifespanStartupFailed)  # by its text alone
        self._failure.write(str(error) if is_told else describe_error(error))
        known, _ = self.app.boot_notice.read()
        if known is None or not is_same_reason(known["reason"], self.failure):
            trace = None if is_told else error
            self.log.error("This worker cannot start: %s", self.failure, exc_info=trace)
        return SystemExit(Arbiter.WORKER_BOOT_ERROR)

    def init_signals(self) -> None:
        """Handle the signals that have come since the fork, and the signals that come while the app loads.

        gunicorn's own handlers work only once the event loop runs.
        """
        super().init_signals()
        signal.signal(signal.SIGTERM, lambda *_: self.handle_exit_signal())
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda *_: self.handle_quit_signal())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)

    def _handle_signals_in_loop(self) -> None:
        """Handle signals as events of the event loop from now on."""
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)

    def handle_usr1_signal(self) -> None:
        """Open log files again, because somebody moved them."""
        super().handle_usr1_signal()
        if self.reopen_logs is not None:
            self.reopen_logs()

    def handle_winch_signal(self) -> None:
        """React at once to the stop of the whole server: the master announces the stop by this signal."""
        self._apply_server_stop()

    def _apply_server_stop(self) -> None:
        """When the whole server stops, let each response close its connection, so that nobody reuses it."""
        if self.app.is_stopping:
            for state in self.listener_states:
                state.is_leaving = True

    def handle_exit_signal(self) -> None:
        """Leave gracefully: the handler of TERM."""
        self._mark_leaving()

    def handle_quit_signal(self) -> None:
        """Leave at once, breaking open requests: the handler of INT and QUIT."""
        super().handle_quit_signal()
        self._mark_leaving()

    def _mark_leaving(self) -> None:
        self._flags[LEAVING] = 1
        self.alive = False
        self._wake()

    def _wake(self) -> None:
        """End the wait between two rounds of upkeep early."""
        if self._wake_event is not None:
            self._wake_event.set()

    async def _serve(self) -> None:
        """Start, accept connections until told to leave, then drain. This method replaces gunicorn's own loop."""
        self._handle_signals_in_loop()
        if not self.alive:
            return
        self._wake_event = asyncio.Event()
        try:
            await self._start_accepting()
        except Exception as error:  # gunicorn would take it for the end of a worker that served
            raise self._report_boot_failure(error) from error
        while self.alive and self.ppid == os.getppid():
            await self._run_upkeep_and_wait(TICK_S)
        began, open_then = self.loop.time(), len(self._open_connections())
        logger.info("worker-leaves why=%s connections=%d", self._leave_reason(), open_then)
        broken = await self._drain_and_count_resets()
        await self._stop_app()
        logger.info("worker-left after=%.1fs broken=%d", self.loop.time() - began, broken)
        self._ignore_reopening()

    def _ignore_reopening(self) -> None:
        """Ignore USR1 from now on. A closed loop would restore its default action, which ends the process."""
        self.loop.remove_signal_handler(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    async def _start_accepting(self) -> None:
        """Start the application, then accept on both listeners."""
        self.listener_states = [self._create_listener_state(listener) for listener in LISTENERS]
        self._apply_server_stop()
        self.state["overgrow"] = WorkerControl(self)
        await self._start_app()
        for listener, state in zip(self.sockets, self.listener_states, strict=True):
            self.servers.append(self._create_acceptor(listener.sock, state))
        self._flags[READY] = 1
        self._wake_master()

    def _wake_master(self) -> None:
        """Make the master check its workers now instead of up to 1 s later.

        The signal is CHLD. The master expects it at any time, because it also gets CHLD when a worker ends.
        """
        if self.ppid == os.getppid():
            os.kill(self.ppid, signal.SIGCHLD)

    def _leave_reason(self) -> str:
        """Return the reason why this worker leaves, in one word: `told` if a signal ordered it."""
        if self.app.is_stopping:
            return "server-stops"
        return self._leave_cause if self.ppid == os.getppid() else "master-gone"

    def _create_listener_state(self, listener: str) -> ListenerState:
        entrance = getattr(self.asgi, "entrance", None)
        app = self.asgi if entrance is None else entrance(listener)
        limits, is_own_app = self.app.plan.limits, entrance is not None
        return ListenerState(
            listener, app, self.loop, limits, self.log, self.state, is_own_app=is_own_app
        )

    def _create_acceptor(self, sock: socket.socket, state: ListenerState) -> Acceptor:
        return Acceptor(
            sock, state, partial(HttpConnection, state), self._report_count_and_check_defer
        )

    def _report_count_and_check_defer(self, connections: int) -> bool:
        """Report the number of connections. Return whether other workers should accept first."""
        counts = self.app.connection_counts
        counts.set_count(self.count_index, connections)
        return counts.is_above_mean(connections)

    async def _run_upkeep_and_wait(self, seconds: float) -> None:
        """Tell the master that this worker is alive, enforce the limits, then wait."""
        assert self._wake_event is not None  # noqa: S101 - set before the first tick
        self.notify()
        self._apply_server_stop()
        if self.servers and not self.is_leaving:
            self.app.connection_counts.set_count(self.count_index, self.servers[0].connection_count)
        now = self.loop.time()
        for state in self.listener_states:
            state.end_overdue_connections(now)
        self._gc_schedule.collect_if_due(
            sum(state.departed_clients for state in self.listener_states)
        )
        try:
            await asyncio.wait_for(self._wake_event.wait(), seconds)
        except TimeoutError:
            return
        self._wake_event.clear()

    async def _drain_and_count_resets(self) -> int:
        """Stop accepting, let open requests finish in the grace time, and reset the rest.

        Return the number of resets.
        """
        for state in self.listener_states:
            state.is_leaving = True
        await self._run_upkeep_until(lambda: False, self._overlap_s)
        leave_by = self.loop.time() + self.app.plan.grace_s
        self._leave_by = leave_by + SHUTDOWN_S
        if self.app.is_stopping and self.app.plan.is_activated:
            await self._serve_on_while_older_requests_finish()
        self.app.connection_counts.remove_worker(self.count_index)
        for server in self.servers:
            server.close()
        for state in self.listener_states:
            state.closes_idle = True
        await self._run_upkeep_until(self._has_drained, leave_by - self.loop.time())
        left = self._open_connections()
        if left and not self._quick_shutdown:
            self.log.warning("Broke %d connections still open after the grace time", len(left))
        for connection in left:
            connection.abort()
        return len(left)

    async def _serve_on_while_older_requests_finish(self) -> None:
        """Go on accepting until the connections that are open now have ended, but at most for half of the grace time.

        The next server can start only when this one has ended, and new clients wait until then. Therefore the
        last phase, in which nothing is accepted, begins when only young requests are left. Streams are ended,
        because they have no end of their own.
        """
        for state in self.listener_states:
            state.closes_idle = state.ends_streams = True
        before = {*self._open_connections()}
        until_s = self.app.plan.grace_s / 2
        await self._run_upkeep_until(lambda: before.isdisjoint(self._open_connections()), until_s)

    def _has_drained(self) -> bool:
        return not self._open_connections()

    def _open_connections(self) -> list[TrackedConnection]:
        return [connection for state in self.listener_states for connection in state.connections]

    async def _run_upkeep_until(self, is_done: Callable[[], bool], seconds: float) -> None:
        until = self.loop.time() + seconds
        while self.loop.time() < until and not is_done() and not self._quick_shutdown:
            await self._run_upkeep_and_wait(min(0.05, TICK_S))

    async def _start_app(self) -> None:
        self.lifespan = LifespanManager(self.asgi, self.log, self.state)
        try:
            await self.lifespan.startup()
        except LifespanStartupFailed as error:
            raise LifespanStartupFailed(f"The application did not start: {error}") from error
        except RuntimeError:  # the app knows no lifespan, which is its right
            self.lifespan = None

    async def _stop_app(self) -> None:
        if self.lifespan is None or self._quick_shutdown:
            return
        shutdown = self.loop.create_task(self.lifespan.shutdown())
        shutdown.add_done_callback(lambda _: self._wake())
        await self._run_upkeep_until(shutdown.done, self._leave_by - self.loop.time())
        if not shutdown.done():
            self.log.warning("The application took too long to shut down")

    def run(self) -> None:
        """Serve, then exit, even if a thread of the app never returns."""
        freeze_startup_heap()
        super().run()
        if not (
            self.is_ready or self.is_leaving
        ):  # gunicorn logged why, and goes on as if it had served
            raise RuntimeError("the event loop ended before this worker served")
        until = time.monotonic() + THREAD_EXIT_S
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join(max(0.0, until - time.monotonic()))
        left = [thread for thread in threading.enumerate() if not thread.daemon]
        if len(left) > 1:
            self.log.warning(
                "Worker %s leaves %d threads that did not return", self.pid, len(left) - 1
            )
            os._exit(0)
