"""The objects of one serving process: its slot on the board, its sinks, its watcher.

`Overgrow.open` creates it after the fork, inside the event loop. It knows the app that it serves only through
the protocol HostApp.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from overgrow.app_loader.sources import ImportedSources
from overgrow.exchange import Sink
from overgrow.files import ANSWER_S, within
from overgrow.files.thread import FileThread
from overgrow.observe.counter_identity import identify_counters
from overgrow.observe.exemplars import Exemplars
from overgrow.observe.metrics import Metrics
from overgrow.observe.recent_rates import RatesFile
from overgrow.process.access_log import access_log_sinks, build_access_log, user_key_of
from overgrow.process.gate_watch import build_gate_watch
from overgrow.process.hints import LegacyHints, LegacyTraits
from overgrow.process.identity import UserIdentification
from overgrow.process.identity_watch import IDENTITY_FIELD, IdentityWatch, describe_problem
from overgrow.process.notifier import WebhookNotifier, build_sender
from overgrow.process.presence import Presence
from overgrow.process.receiver_watch import FAILING_FIELD, LOGGED_FIELD, ReceiverWatch
from overgrow.process.recent_traffic import RecentTraffic
from overgrow.process.request_history import RequestHistory
from overgrow.process.source_watch import POLL_S as SOURCES_POLL_S
from overgrow.process.source_watch import SourceWatch, run_reload
from overgrow.process.upstream_judge import ProbingApp, UpstreamJudge
from overgrow.resilience.breakers import Breakers
from overgrow.resilience.reset_files import ResetWatcher
from overgrow.settings import Settings
from overgrow.shadow_service.service import Shadowing
from overgrow.table.editing.unrecorded import HistoryKeeper
from overgrow.table.last_good import keep_last_good
from overgrow.table.live import LiveTable, ReloadError, utc_now
from overgrow.table.proposals import POLL_S, ProposalAnswerer
from overgrow.table.reading.parse import revision_of
from overgrow.table.reading.table_file import read_table_file
from overgrow.table.state_dir import temporary_state_dir
from overgrow.table.watcher import TableEvent, Watcher
from overgrow.telemetry.receivers import Receivers
from overgrow.text import rfc3339
from overgrow.wsgi.server import WsgiServer
from overgrow.yaml_file.problem import Problem

logger = logging.getLogger("overgrow")

STUCK_LIMIT_S = 60.0
CHANGES = {
    "table": "{config}: revision {revision} runs",
    "rejected": "{config} has problems and is not used; revision {revision} still runs",
    "recovered": "{config} is again the table that runs: revision {revision}",
    "waiting": "{config} may be half-written; revision {revision} still runs",
    "certificates": "the certificates of legacy.tls_ca changed; new connections use them; revision {revision} runs",
    "unseen": "a file cannot be checked; revision {revision} still runs",
    "seen": "the file can be checked again; revision {revision} runs",
    "killed": "a kill file exists: everything goes to legacy until it is removed; then revision {revision} decides",
    "resumed": "the kill file is gone: revision {revision} decides again",
}
HEARTBEAT_S = 1.0
RECEIVER_FAILURES = "overgrow_telemetry_failures_total"
# How long a thread that computes may keep the others from running. With Python's default of 5 ms the
# loop waits 5 ms in every iteration while a view computes; a request takes several iterations.
SWITCH_S = 0.001


class HostApp(ProbingApp, Protocol):
    """The part of the served app, which is the front door, that a worker needs."""

    live: LiveTable
    state: Path
    breakers: Breakers
    shadowing: Shadowing
    identification: UserIdentification

    @property
    def settings(self) -> Settings:
        """The settings of the app."""
        ...

    @property
    def is_under_test(self) -> bool:
        """Whether the app runs under a test, so that no access log is written."""
        ...

    @property
    def home(self) -> Path:
        """The folder of board and metrics: the state folder, or a temporary one if the disk is full."""
        ...

    @property
    def local(self) -> WsgiServer:
        """The Server of the migrated side."""
        ...

    @property
    def control(self) -> Any:
        """The control object of our gunicorn worker (server.worker.WorkerControl); None under other servers."""
        ...

    @property
    def app_problem(self) -> str:
        """Why the team's app could not be imported; empty if it was imported."""
        ...

    @property
    def app_note(self) -> str:
        """A note that this app replaces another app that could not be imported; empty if it replaces none."""
        ...

    @property
    def app_name(self) -> str:
        """The team's app, as MODULE:FACTORY."""
        ...

    def hints_from_legacy(self) -> LegacyTraits:
        """What legacy's responses show."""
        ...

    def count(self, name: str) -> None:
        """Add one to a counter of the worker."""
        ...

    def renew_connections(self) -> None:
        """Use new connections to legacy from now on."""
        ...

    def judge_proposal(self, data: bytes) -> tuple[Sequence[Problem], str | None]:
        """Return (problems of a proposed table in this worker, how the sources on disk differ from the imported)."""
        ...

    @property
    def sources(self) -> ImportedSources:
        """The source files from which the team's app was imported."""
        ...

    def build_watcher(self, changed: Callable[[TableEvent], None]) -> Watcher:
        """Return a watcher of the app's table."""
        ...


class WorkerRuntime:
    """The objects of one serving process: a slot on the board, sinks, and a watcher."""

    def __init__(self, app: HostApp, control: Any) -> None:
        self.control = control
        self._app = app
        self.presence = Presence(app.state, app.settings.config, self._worker_state)
        self._metrics = _open_metrics(self.presence, app.settings.config)
        self._watcher: Watcher | None = None
        self._log = build_access_log(
            app.settings,
            getattr(control, "access_log", None) or sys.stdout,
            lambda lines: self._metrics.count("overgrow_log_lines_dropped_total", lines),
            user_key=user_key_of(app.settings, app.state),
        )
        self.receivers = Receivers(lambda name: self._metrics.add(RECEIVER_FAILURES, name))
        self._receiver_watch, self._published_receivers = ReceiverWatch(), dict[str, str]()
        self._files = FileThread("state")
        self._history = HistoryKeeper(app.settings.config, app.state, utc_now)
        self._resets: ResetWatcher | None = None
        self._published_breakers: list[dict[str, Any]] = []
        self._published_boot_status = self._boot_status()
        self._published_leaving = False
        self._stale: str | None = None
        self._notes: list[str] = []
        self._hints = LegacyHints(app.settings.config)
        self._request_history = RequestHistory(app, self.presence)
        self._upstream = UpstreamJudge(app, self.presence, self.publish, self._is_first_of)
        self._identity_watch, self._published_identity = IdentityWatch(), dict[str, str]()
        self._rates = RatesFile()
        self._gates = build_gate_watch(app, self.publish, self._is_first_to_stay)
        self._changes: asyncio.Queue[TableEvent] = asyncio.Queue()
        self._indexing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        logs = () if app.is_under_test else access_log_sinks(app.settings, self._log)
        self.exemplars = Exemplars()
        self._recent = RecentTraffic(self.presence, self.exemplars.note_request)
        recorder = app.shadowing.recorder
        self.sinks: tuple[Sink, ...] = (self._metrics, *logs, recorder, self._recent.sink)

    async def start(self) -> None:
        """Publish this worker and start its loops: the watcher, the heartbeat, the log of changes."""
        await self._app.shadowing.open(self._metrics)
        await self._log_boot_problems()
        self._tasks = [asyncio.create_task(self.presence.publish_changes())]
        self.publish()
        await self.presence.wait_until_published()
        revision = self._app.live.matcher.table.revision
        logger.info("worker-ready slot=%d revision=%s", self.presence.slot.number, revision)
        if self.control is not None:  # else the process is not ours
            sys.setswitchinterval(SWITCH_S)
            self.control.on_refused(self._metrics.count_failure)
            self.control.on_reopen_logs(self._log.reopen)
        loops = (
            self._watch_table(),
            self._log_changes(),
            self._heartbeat(),
            self._maintain_state(),
            self._answer_proposals(),
            self._watch_identity(),
            self._recent.write_continually(),
        )
        self._tasks += map(asyncio.create_task, loops)
        if self._app.settings.reload and self.control is not None:
            self._tasks.append(asyncio.create_task(self._reload_on_change()))
        if self.control is not None:  # else nobody asks
            self._tasks.append(asyncio.create_task(self._upstream.run()))
            self._tasks.append(asyncio.create_task(self._request_history.run()))
            self._tasks.append(asyncio.create_task(self._gates.run()))
            if sender := build_sender(self._app.settings):
                board, speaks = self.presence.living_workers, self._is_first_of
                webhook = self.receivers.status_of("webhook")
                notifier = WebhookNotifier(
                    self._app.state, sender, board, speaks, self._metrics, webhook
                )
                self._tasks.append(asyncio.create_task(notifier.run(self.control.started_s)))

    async def _log_boot_problems(self) -> None:
        """At boot, log if the table in force is not that of routes.yaml, and if the team's app is missing."""
        live = self._app.live
        if live.reload_error is not None:
            board = await self.presence.living_workers()
            live.reload_error = _with_first_seen(live.reload_error, board)
            change = TableEvent("rejected", live.matcher.table.revision, live.reload_error.problems)
            await self._log_change(change)
        if self._app.app_problem:
            logger.error("%s; migrated routes answer 500 here", self._app.app_problem)
        if self._app.app_note:
            logger.error("%s", self._app.app_note)
        if live.waiting is not None:
            await self._log_change(
                TableEvent("waiting", live.matcher.table.revision, notes=(live.waiting,))
            )

    async def _watch_table(self) -> None:
        """Watch the table. If the watcher fails, start it again."""
        self._keep_notes(self._app.live.notes)
        watcher = self._watcher = self._app.build_watcher(self._apply_change)
        self._note_last_look(watcher)  # so that a worker that hangs from now on is noticed
        while True:
            try:
                await watcher.watch()
            except Exception:
                logger.exception("the watcher of the route table failed; it starts again")
                await asyncio.sleep(HEARTBEAT_S)

    def _note_last_look(self, watcher: Watcher) -> None:
        """Set the gauge that says when the watcher last looked at all its files."""
        looked_s = time.time() - watcher.look_age_s
        self._metrics.set("overgrow_watcher_last_look_timestamp_seconds", looked_s)

    def _apply_change(self, change: TableEvent) -> None:
        """Apply a change of the table, and report it in log, board and metrics."""
        if change.kind == "rejected":
            self._metrics.count("overgrow_reload_failures_total")
        if change.kind == "certificates":
            self._app.renew_connections()
        if change.kind == "killed":
            self._app.shadowing.mirror.cancel_copies_on_kill()
        self.publish()
        self._changes.put_nowait(change)

    async def _log_changes(self) -> None:
        """Log changes in order, in a task separate from the watcher, because reading the board takes time."""
        while True:
            change = await self._changes.get()
            speaks = await self._log_change(change)
            if change.kind in {"table", "recovered"}:
                self._keep_notes(change.notes)
            if speaks:
                self._indexing = asyncio.create_task(self._app.shadowing.index_history())

    async def _answer_proposals(self) -> None:
        """Answer each proposed table: whether this worker would accept it."""
        desk = ProposalAnswerer(self._app.state, self._app.judge_proposal)
        files = FileThread("proposals")
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await files.call(desk.check, self.presence.slot.number)
            except Exception:
                logger.exception("a proposed table could not be judged; the next one is")

    async def _reload_on_change(self) -> None:
        """During development: start `overgrow reload` when somebody has saved a source file."""
        app, files = self._app, FileThread("sources")
        config = app.settings.config
        watch = SourceWatch(config.parent, app.sources.began_s)
        while True:
            await asyncio.sleep(SOURCES_POLL_S)
            try:
                named = app.live.matcher.table.app or app.app_name
                change = await files.call(watch.find_change, named)
                if change is not None and await self._is_first_to_stay():
                    await files.call(run_reload, config, app.state, change)
            except Exception:
                logger.exception("the source files could not be looked at; the next look comes")

    async def _is_first_to_stay(self) -> bool:
        """Whether this worker has the lowest slot of all workers that stay.

        If so, it starts the reload for all workers.
        """
        return self._is_first_of(await self.presence.living_workers())

    def _is_first_of(self, living: Sequence[Mapping[str, Any]]) -> bool:
        staying = [each["slot"] for each in living if not each.get("leaving")]
        return staying[:1] == [self.presence.slot.number]

    def _keep_notes(self, notes: Sequence[Problem]) -> None:
        """Store the notes of the current table, for the board."""
        self._notes = [str(note) for note in notes]
        self.publish()

    async def _log_change(self, change: TableEvent) -> bool:
        """If this worker has the lowest slot, log a change for all workers. Return whether it did."""
        if not await self.presence.is_spokesman():
            return False
        level = logging.ERROR if change.kind in {"rejected", "unseen"} else logging.INFO
        config = self._app.settings.config
        logger.log(level, CHANGES[change.kind].format(config=config, revision=change.revision))
        for line in [*change.problems, *(n for n in change.notes if str(n) not in self._notes)]:
            logger.log(level, "%s", line)
        return True

    def publish(self) -> None:
        """Publish on the board which table this worker runs and what is wrong with the file."""
        self.presence.publish()

    def _worker_state(self) -> dict[str, Any]:
        live, app = self._app.live, self._app
        return {
            "revision": live.matcher.table.revision,
            "since": live.since,
            "app": app.app_name,
            "imported": _rfc3339(app.sources.imported_s),
            "leaving": self._is_leaving,
            "killed": live.killed,
            "reload_error": trouble.as_json() if (trouble := live.trouble) else None,
            "boot_error": self._published_boot_status[0],
            "boot_failures": self._published_boot_status[1],
            "limits": self._limits(),
            "breakers": self._published_breakers,
            "upstream": self._upstream.as_json(),
            "gates": self._gates.gates,
            FAILING_FIELD: self._published_receivers,
            LOGGED_FIELD: sorted(self._receiver_watch.logged),
            IDENTITY_FIELD: self._published_identity,
            "history_problem": self._request_history.problem,
            "notes": [
                *self._waiting_notes(),
                *self._notes,
                *self._hint_notes(),
                *map(describe_problem, sorted(self._published_identity.items())),
            ],
        }

    def _limits(self) -> dict[str, int]:
        """Return how much this worker can hold: connections of clients, threads for the app, calls that wait for one."""
        threads = self._app.settings.threads
        connections = getattr(self.control, "max_connections", 0)
        return {"connections": connections, "threads": threads, "waiting": 4 * threads}

    @property
    def _is_leaving(self) -> bool:
        return bool(getattr(self.control, "is_draining", False))

    def _check_leaving(self) -> None:
        """When this worker begins to leave, publish once on the board that it accepts no new clients."""
        if self._is_leaving != self._published_leaving:
            self._published_leaving = self._is_leaving
            self.publish()

    def _hint_notes(self) -> list[str]:
        return [str(note) for note in self._hints.notes]

    def _waiting_notes(self) -> list[str]:
        """Return why this worker does not follow routes.yaml now: a missing app, or a half-written table."""
        stale = f"{self._stale}: overgrow reload" if self._stale else ""
        found = (self._app.app_problem, self._app.app_note, stale, self._app.live.waiting)
        return [str(each) for each in found if each]

    def _boot_status(self) -> tuple[Mapping[str, Any] | None, int]:
        """Return (why new workers fail to start, how many have failed so far), as the master reports it."""
        if self.control is None:
            return None, 0
        return self.control.server_boot_error, self.control.server_boot_failures

    def _check_boots(self) -> None:
        """Publish the boot status when it changes."""
        published = self._boot_status()
        if published != self._published_boot_status:
            self._published_boot_status = published
            self.publish()

    async def _maintain_state(self) -> None:
        """Every second: restore files that somebody removed from the state folder, and apply requested resets."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                for route in await self._files.call(self._read_reset_requests):
                    self._app.breakers.reset(route)
                await self._repair_state_dir()
            except OSError as error:
                logger.debug("the state folder cannot be checked: %s", error)
            except Exception:
                logger.exception("a check of the state folder failed; the next one follows")

    async def _repair_state_dir(self) -> None:
        if await self.presence.repair_board():
            await self._files.call(self._restore_last_good)
        await self._files.call(self._repair_metrics)
        await self._files.call(self._append_gains)
        await self._files.call(self._write_exemplars)
        await self._check_sources()
        speaks = await self.presence.is_spokesman()
        published = await self._files.call(self._history.check, is_writer=speaks)
        if published is not None:
            logger.warning("%s", published)

    async def _check_sources(self) -> None:
        """Check whether the app's sources were edited after the import, and publish the result."""
        stale = await self._files.call(self._app.sources.describe_change)
        if stale != self._stale:
            self._stale = stale
            self.publish()

    def _append_gains(self) -> None:
        """Append the gains of the counters to the rates file."""
        folder, slot = self.presence.home / "metrics", self.presence.slot.number
        self._rates.append(folder, slot, self._metrics.take_gains(), time.time())

    def _write_exemplars(self) -> None:
        self.exemplars.write(self.presence.home / "metrics", self.presence.slot.number)

    def _repair_metrics(self) -> None:
        self._metrics.repair_files(self.presence.home / "metrics", self.presence.slot.number)

    def _restore_last_good(self) -> None:
        """If the state folder was removed and routes.yaml holds the table in force, write last-good again."""
        config = self._app.settings.config
        data = within(ANSWER_S, config, partial(read_table_file, config))
        if revision_of(data) == self._app.live.matcher.table.revision:
            app = None if self._app.app_problem else self._app.app_name
            keep_last_good(self._app.state, data, app=app, source=self._app.live.source)

    def _read_reset_requests(self) -> list[str]:
        if self._resets is None:
            self._resets = ResetWatcher(self._app.state)
        return self._resets.new_requests()

    async def _check_legacy_hints(self) -> None:
        """Update the notes on what legacy's responses suggest and the table does not mention."""
        new = self._hints.update(self._app.live.matcher.table.legacy, self._app.hints_from_legacy)
        if new is None:
            return
        self.publish()
        if new and await self.presence.is_spokesman():
            for note in new:
                logger.info("%s", note)

    def _check_breakers(self) -> None:
        """Publish the open and half-open breakers when they change."""
        published = self._app.breakers.snapshot()
        if published != self._published_breakers:
            self._published_breakers = published
            self.publish()

    async def _watch_identity(self) -> None:
        """Every second, follow the secrets, and report which readers cannot identify users."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await self._check_identity()
            except Exception:
                logger.exception(
                    "the readers of identity could not be checked; the next check follows"
                )

    async def _check_identity(self) -> None:
        """Publish which readers cannot identify users; log each change if this worker speaks."""
        identification = self._app.identification
        await identification.rebuild_on_change()
        published = identification.problems()
        if published != self._published_identity:
            self._published_identity = published
            self.publish()
        if identification.is_wanted or self._identity_watch.knows_problems:
            living = await self.presence.living_workers()
            self._identity_watch.follow(living, is_speaker=self._is_first_of(living))

    async def _check_receivers(self) -> None:
        """Publish which receivers of telemetry fail; log each change if this worker speaks."""
        if not self.receivers.are_configured:
            return
        published = self.receivers.problems()
        if published != self._published_receivers:
            self._published_receivers = published
            self.publish()
        living = await self.presence.living_workers()
        if self._receiver_watch.follow(living, is_speaker=self._is_first_of(living)):
            self.publish()

    async def _heartbeat(self) -> None:
        """Every second: publish breakers, set gauges, and replace a worker whose threads are stuck."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await self._update_gauges()
            except Exception:
                logger.exception("a heartbeat failed; the next one follows")

    async def _update_gauges(self) -> None:
        """Set the gauges. If most threads are stuck, ask for a replacement of this worker."""
        if self._watcher is not None:
            self._note_last_look(self._watcher)
        self._check_breakers()
        self._check_boots()
        self._check_leaving()
        await self._check_legacy_hints()
        await self._check_receivers()
        await self._app.shadowing.do_housekeeping()
        self._log.report_drops()
        local = self._app.local
        self._metrics.set("overgrow_local_threads_stuck", local.stuck_threads)
        self._metrics.set("overgrow_local_threads_busy", local.active_calls)
        self._metrics.set("overgrow_local_calls_waiting", local.waiting_calls)
        if self.control is not None:
            self._metrics.set("overgrow_connections", self.control.connections)
        since = local.mostly_stuck_since
        if since is not None and time.monotonic() - since > STUCK_LIMIT_S and self.control:
            self.control.retire("more than half of the local threads are stuck")

    def count(self, name: str) -> None:
        """Add one to a counter without labels."""
        self._metrics.count(name)

    def count_legacy_call(self, route: str, status: int) -> None:
        """Count a call of legacy by a view."""
        self._metrics.add("overgrow_legacy_calls_total", route, str(status))

    def count_identity(self, reader: str, outcome: str) -> None:
        """Count an attempt to identify a user."""
        self._metrics.add("overgrow_identity_total", reader, outcome)

    async def stop(self) -> None:
        """Cancel the loops, and wait for their end."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def release(self) -> None:
        """Flush the sinks and release the slot."""
        self._log.close()
        self._metrics.close()
        await self._recent.close()
        await self.presence.close()
        if self.control is not None:
            is_awaited = getattr(self.control, "has_waiting_clients", False)
            await self._request_history.finish(has_waiting_clients=is_awaited)


def _open_metrics(presence: Presence, config: Path) -> Metrics:
    """Return the counters of the slot. If the state folder does not answer, use a temporary folder."""
    folder, slot = presence.home / "metrics", presence.slot.number
    try:
        return within(ANSWER_S, folder, partial(_open_counters, folder, slot))
    except OSError:
        return Metrics(temporary_state_dir(config) / "metrics", slot)


def _open_counters(folder: Path, slot: int) -> Metrics:
    identify_counters(folder)
    return Metrics(folder, slot)


def _with_first_seen(error: ReloadError, board: Sequence[Mapping[str, Any]]) -> ReloadError:
    """Return the error with the earliest time at which this or another living worker saw the same problems."""
    problems = [problem.as_json() for problem in error.problems]
    published = [worker.get("reload_error") for worker in board]
    known = [one["at"] for one in published if one and one["problems"] == problems]
    return replace(error, at=min([error.at, *known]))


def _rfc3339(at_s: float) -> str:
    return rfc3339(at_s, "milliseconds")
