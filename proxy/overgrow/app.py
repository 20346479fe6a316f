"""The composition root: the only file that imports every part. It contains no `if` about traffic.

`create_asgi` is the production entry point; `create_app` returns the team's Flask app with the front door
mounted around it. Nothing here starts a thread or a loop. `Overgrow.open` does that after the fork. The
server's lifespan calls `open`; if the server has no lifespan, the first request calls it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask
from werkzeug import exceptions

from overgrow.admin.app import create_admin
from overgrow.admin.listener import AdminListener
from overgrow.app_loader.loader import (
    TeamApp,
    failing_app,
    import_team_app,
    no_app,
    routes_to_mounts,
)
from overgrow.app_loader.sources import ImportedSources
from overgrow.app_loader.url_rules import rules_of
from overgrow.app_types import Receive, Scope, Send, WsgiApp
from overgrow.asgi.server import AsgiMounts
from overgrow.embedded.mount import WsgiMount
from overgrow.exchange import Exchange, Failure, Server, Sink
from overgrow.files import ANSWER_S, within
from overgrow.forwarding.client.dialling import load_ca_certificates
from overgrow.forwarding.client.transport import LegacyTransport
from overgrow.forwarding.forwarder import Forwarder
from overgrow.forwarding.outcomes import LegacyOutcome
from overgrow.forwarding.probe import probe_legacy
from overgrow.forwarding.tunnel.upgrader import Upgrader
from overgrow.legacy_calls.calls import LegacyCalls, LegacyDoor
from overgrow.path.error_pages import ErrorPages
from overgrow.path.frontdoor import Collaborators, FrontDoor, SingleServerApp, read_head
from overgrow.path.identifying import IdentifyingServer, decide_for_user
from overgrow.path.in_flight import strip_private_headers
from overgrow.path.refusing import BodyLimit, NoUpgrade, RefusingServer, refuse_websocket
from overgrow.process.admin_view import ProcessView
from overgrow.process.error_page_files import read_error_pages
from overgrow.process.error_reports import build_error_reports
from overgrow.process.hints import LegacyTraits
from overgrow.process.identity import UserIdentification
from overgrow.process.runtime import WorkerRuntime
from overgrow.process.tracing import NoTelemetry, Telemetry, build_telemetry, traced_transport
from overgrow.resilience.breaker_server import BreakerServer
from overgrow.resilience.breakers import Breakers, OpenBreakers
from overgrow.resilience.fallback import Fallback
from overgrow.routing.facts import Facts, Head, Headers
from overgrow.routing.model import Decision, Legacy, RouteTable
from overgrow.settings import SettingError, Settings, settings_from
from overgrow.shadow_service.service import Shadowing
from overgrow.slow_clients.spool import FileSpool
from overgrow.table.judging import TableContext, app_to_start, judge_table
from overgrow.table.last_good import LAST_GOOD
from overgrow.table.legacy_only import legacy_only_table
from overgrow.table.live import LiveTable, NoUsableTable, boot, is_killed
from overgrow.table.reading.app_rules import NO_APP, describe_first_missing
from overgrow.table.reading.parse import AppRule, find_app_name
from overgrow.table.reading.settling import STANDS_S
from overgrow.table.reading.table_file import read_table_file
from overgrow.table.state_dir import ensure_state_dir, ensure_state_dir_in_time
from overgrow.table.watcher import TableEvent, Watcher, WatcherEffects
from overgrow.text import printable
from overgrow.wsgi.request_body import WsgiClientDisconnected
from overgrow.wsgi.server import WsgiServer
from overgrow.yaml_file.problem import Problem

__all__ = [
    "Overgrow",
    "StartCheck",
    "app_problems",
    "app_rules",
    "check_start",
    "create_app",
    "create_asgi",
    "import_team",
    "log_table_not_compared",
    "log_to_stderr",
]

logger = logging.getLogger("overgrow")

Entrance = Callable[[Scope, Receive, Send], Awaitable[None]]
ADMIN_THREADS = 2
MAX_WAITS = 4  # at a start, for a file that is being written
UNSERVED = (
    "a WSGI server cannot call ASGI apps: the Flask app, not what it mounts, answers the routes %s here. "
    "Run overgrow serve to have them served."
)


def create_asgi(settings: Settings | None = None) -> Overgrow:
    """Return the front door as an ASGI app: `overgrow serve`, `gunicorn -k asgi 'overgrow:create_asgi()'`."""
    settings = with_state_dir(settings or settings_from(os.environ))
    log_to_stderr()
    return Overgrow(settings, import_team_to_run(settings))


def create_asgi_without_app(settings: Settings, why: str) -> Overgrow:
    """Return the front door without the team's app, because earlier workers ended or hung while they imported it.

    `why` says how.
    """
    log_to_stderr()
    name = settings.app or _app_named_in_table(settings.config) or ""
    why_not = f"{name} is not imported here, for what happened to the last worker that did: {why}"
    return Overgrow(with_state_dir(settings), TeamApp(name, None, why_not))


def with_state_dir(settings: Settings) -> Settings:
    """Return the settings with the state folder that is used.

    It is chosen only once, so that its problems are logged once.
    """
    return replace(settings, state=ensure_state_dir_in_time(settings.config, settings.state))


class PrintableFormatter(logging.Formatter):
    """Formats a log record so that no text in it can control a terminal: tracebacks may quote what clients sent."""

    def format(self, record: logging.LogRecord) -> str:
        """Escape control characters except line ends and tabs."""
        return printable(super().format(record))


def log_to_stderr() -> None:
    """Write our own log to stderr if nobody has configured logging; an ASGI server does not do that."""
    if logger.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s overgrow[%(process)d] %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def create_app(settings: Settings | None = None) -> Flask:
    """Return the team's Flask app with the front door mounted around it, for WSGI servers and tests.

    Raises:
        RuntimeError: if the app cannot be imported, because this process would have nothing to serve.

    """
    settings = with_state_dir(settings or settings_from(os.environ))
    team = import_team_to_run(settings)
    if team.flask is None:
        raise RuntimeError("\n".join(map(str, app_problems(settings, team))))
    overgrow = Overgrow(settings, team, mounted_in=team.flask)
    unserved = routes_to_mounts(team, overgrow.live.matcher.table.routes)
    if unserved:
        logger.warning(UNSERVED, ", ".join(unserved))
    mount = WsgiMount(
        team.flask.wsgi_app,
        overgrow,
        tracer=overgrow.mount_tracer,
        note_call=overgrow.reports.note_call,
    )
    team.flask.wsgi_app = mount  # type: ignore[method-assign]
    return team.flask


class FlaskClientDisconnected(WsgiClientDisconnected, exceptions.ClientDisconnected):
    """The client stopped in the middle of its body.

    Flask turns this exception into a 400 and does not log it as the app's error.
    """

    def __init__(self, text: str) -> None:
        WsgiClientDisconnected.__init__(self, text)
        exceptions.ClientDisconnected.__init__(self, text)


class StartCheck(NamedTuple):
    """The result of check_start. A valid table has `revision`, an invalid one `problems`; both may have `notes`."""

    revision: str | None
    problems: Sequence[Problem]
    notes: Sequence[Problem]
    compared: bool = True  # with the table that took effect last


def log_table_not_compared(state: Path) -> None:
    """Log that the table was not compared with the previous one, because the state folder is new or was lost."""
    logger.info("table-not-compared with=%s", state / LAST_GOOD)


def check_start(settings: Settings, *, from_last_good: bool = False) -> StartCheck:
    """Load the table and report every problem. `overgrow serve` does this before it opens a port.

    A valid table is also written to last-good.yaml, so that workers can boot from it. If the file may be
    half-written, wait for the rest.

    Raises:
        SettingError: if the error pages, or the telemetry, cannot be used.

    """
    read_error_pages(settings.error_pages)
    build_telemetry(settings, os.environ)
    state = ensure_state_dir(settings.config, settings.state)
    checked, waiting = _check_once(settings, state, from_last_good=from_last_good)
    for _ in range(MAX_WAITS):
        if waiting is None or from_last_good:
            return checked
        time.sleep(STANDS_S)
        checked, waiting = _check_once(settings, state, from_last_good=from_last_good)
    return checked if waiting is None else StartCheck(None, [waiting], ())


def _check_once(
    settings: Settings, state: Path, *, from_last_good: bool
) -> tuple[StartCheck, Problem | None]:
    """Check once; return (result, note). If the file may be half-written, the note says so; else it is None."""
    may_differ = from_last_good or is_killed(settings.config, state)
    team = import_team_to_run(settings) if may_differ else import_team(settings)
    lacking = app_problems(settings, team)
    try:
        live = boot_live_table(settings, state, team, allow_last_good=from_last_good)
    except NoUsableTable as error:
        return StartCheck(None, [*lacking, *error.problems], ()), None
    return _start_check_of(live, lacking, from_last_good=from_last_good), live.waiting


def _start_check_of(
    live: LiveTable, lacking: Sequence[Problem], *, from_last_good: bool
) -> StartCheck:
    wrong = live.reload_error.problems if live.reload_error else ()
    revision = live.matcher.table.revision
    if from_last_good:
        return StartCheck(revision, (), [*lacking, *wrong, *live.notes], live.compared)
    return StartCheck(revision, lacking, [*wrong, *live.notes], live.compared)


def boot_live_table(
    settings: Settings, state: Path, team: TeamApp, *, allow_last_good: bool
) -> LiveTable:
    """Find the table with which a process starts, given the imported app and its rules."""
    return boot(
        settings.config,
        state,
        env=os.environ,
        rules=app_rules(team),
        app=team.name if team.flask is not None else None,
        allow_last_good=allow_last_good,
        legacy_only=_legacy_only(settings),
    )


def _legacy_only(settings: Settings) -> bytes | None:
    """Return the text of a table that sends everything to the app of --legacy; None if --legacy is missing."""
    return None if settings.legacy is None else legacy_only_table(settings.legacy)


def import_team(settings: Settings) -> TeamApp:
    """Import the team's app: the one that OVERGROW_APP names, else `app:` of the table.

    If neither names an app, return an empty one.
    """
    return _app_named(settings, settings.app or _app_named_in_table(settings.config))


def _app_named(settings: Settings, name: str | None) -> TeamApp:
    return import_team_app(name, _table_folder(settings)) if name else no_app()


def import_team_to_run(settings: Settings) -> TeamApp:
    """Import the app for the table that a process would start with, which may be last-good.yaml.

    If the app cannot be imported, use the app that ran before; the other workers do the same.
    """
    if settings.app is not None:
        return import_team_app(settings.app, _table_folder(settings))
    state = ensure_state_dir_in_time(settings.config, settings.state)
    team, before = _import_team_for_table(settings, state, None)
    if team.flask is not None and before not in (None, team.name):
        # With the app's rules known, the file may be refused after all.
        again, _ = _import_team_for_table(settings, state, team)
        return again
    if team.flask is None and before not in (None, team.name):
        other = _app_named(settings, before)
        if other.flask is not None:
            runs = other.name or "the front door without an app"
            return other._replace(note=f"{team.why}; {runs} runs on, as it did before")
    return team


def _import_team_for_table(
    settings: Settings, state: Path, known: TeamApp | None
) -> tuple[TeamApp, str | None]:
    """Return (app, name): the app for the table that a process would start with, and the name of the app that ran before.

    `known` is an app that is imported already: its rules decide which table is valid. If `known` is None, the
    table is judged without an app.
    """
    rules = None if known is None else app_rules(known)
    found = app_to_start(settings.config, state, env=os.environ, rules=rules)
    if known is not None and known.name == (found.name or ""):
        return known, found.before
    return _app_named(settings, found.name), found.before


def _table_folder(settings: Settings) -> Path:
    return settings.config.parent


def _app_named_in_table(config: Path) -> str | None:
    try:
        data = within(ANSWER_S, config, partial(read_table_file, config))
        return find_app_name(data, os.environ)
    except OSError:
        return None


def app_rules(team: TeamApp) -> list[AppRule] | None:
    """Return the app's URL rules and mounted prefixes as plain data; None if it could not be imported."""
    if team.flask is None:
        return None
    if not team.name:
        return [NO_APP]
    own = [
        AppRule(*rule[:2], loose=rule.is_loose, open=rule.is_open) for rule in rules_of(team.flask)
    ]
    return own + [AppRule(prefix, None, asgi=True) for prefix, _ in team.mounts]


def app_problems(settings: Settings, team: TeamApp) -> list[Problem]:
    """If the app cannot be imported, return a problem of the table that says why; else return an empty list."""
    if team.flask is not None:
        return []
    fix = "Fix the import, or name another app in `app:` or OVERGROW_APP."
    return [Problem("app-import", str(settings.config), 1, 1, None, team.why, fix)]


def _error_pages(settings: Settings) -> dict[str, str]:
    """Return the team's error pages; an empty set if they cannot be used.

    `overgrow serve` does not start in this case, but a worker that starts later must run all the same.
    """
    try:
        return read_error_pages(settings.error_pages)
    except SettingError as error:
        logger.warning("error-pages-unusable why=%r", str(error))
        return {}


def _telemetry_or_none(settings: Settings, flask: Flask | None) -> Telemetry:
    """Return the telemetry of the settings; none if it cannot be used, as `_error_pages` has it."""
    try:
        return build_telemetry(settings, os.environ, flask)
    except SettingError as error:
        logger.error("telemetry-not-started why=%r", str(error))  # noqa: TRY400  the text says it all
        return NoTelemetry()


def wrap_with_debugger(flask: Flask) -> Any:
    """Wrap the team's app for the developer on this machine: if a view raises, Werkzeug's debugger shows the error."""
    from werkzeug.debug import DebuggedApplication  # noqa: PLC0415  for development alone

    flask.debug = True
    return DebuggedApplication(flask.wsgi_app, evalex=True)


class Overgrow:
    """The ASGI app: requests go to the front door or the admin pages; the lifespan calls `open` and `close`."""

    def __init__(
        self, settings: Settings, team: TeamApp, *, mounted_in: Flask | None = None
    ) -> None:
        self._mounted_in = mounted_in
        self._settings = settings
        self._team = team
        self._rules = app_rules(team)
        self.sources = ImportedSources(settings.config.parent, team.import_began_s)
        self._sinks: list[Sink] = []
        self.reports = build_error_reports(settings)
        self.state = ensure_state_dir_in_time(settings.config, settings.state)
        self.live: LiveTable = boot_live_table(settings, self.state, team, allow_last_good=True)
        if not self.live.compared:
            log_table_not_compared(self.state)
        self._spool = FileSpool([self.state])
        _load_certificates_in_time(self.live.matcher.table)
        self._telemetry = _telemetry_or_none(settings, team.flask)
        transports = traced_transport(self._telemetry, transport_for)
        self._forwarder = Forwarder(
            lambda: self.live.matcher.table, transports, self._spool, self._note_cookie
        )
        self._legacy_door = LegacyDoor(self._forwarder, self._count_legacy_call)
        inner = team.flask.wsgi_app if team.flask else failing_app(team.why)
        served = (
            inner if team.flask is None or not settings.debugger else wrap_with_debugger(team.flask)
        )
        self._local = self._build_local(served)
        self._asgi_mounts = AsgiMounts(
            team.mounts, NoUpgrade(self._local), response_memory=lambda: self._local.unsent_memory
        )
        self.breakers = Breakers(lambda: self.live.matcher.table, clock=time.monotonic)
        self._open_breakers = OpenBreakers(self.breakers)
        self._override_key = settings.secret.encode() if settings.secret else None
        self.shadowing = Shadowing(
            self.live,
            settings,
            self.state,
            inner,
            transports,
            self.reports.wrap,
            wrap_copy=self._telemetry.wrap_copy,
            traces=self._telemetry.copy_traces,
        )
        self.identification = UserIdentification(
            lambda: self.live.matcher.table, self._forwarder, self._count_identity, self.state
        )
        self._worker: WorkerRuntime | None = None
        self._front = self._front_door()
        self._entrances: dict[str, Entrance] = {
            "public": self._front,
            "admin": self._build_admin_app(),
        }

    def _build_local(self, wsgi_app: WsgiApp) -> WsgiServer:
        """Return the Server of the migrated side's Flask app."""
        team, threads = self._team, self._settings.threads
        return WsgiServer(
            wsgi_app,
            threads=threads,
            queue=4 * threads,
            spool=self._spool,
            max_body_bytes=lambda: team.flask.config["MAX_CONTENT_LENGTH"] if team.flask else None,
            disconnect_error=FlaskClientDisconnected,
            legacy_door=self._legacy_door,
        )

    def _front_door(self) -> FrontDoor:
        guarded = BreakerServer(self._forwarder, self.breakers, "legacy")
        forwarder = self._forwarder
        legacy = Upgrader(
            guarded,
            lambda: self.live.matcher.table,
            forwarder.reserve_slot,
            forwarder.note_handshake_outcome,
            self._telemetry.attempt_tracer,
        )
        traced = self._telemetry.wrap_migrated(self.reports.wrap(self._asgi_mounts))
        migrated = BreakerServer(traced, self.breakers, "migrated")
        shadowed = self.shadowing.wrap
        pages = _error_pages(self._settings)
        servers: dict[str, Server] = {
            "legacy": shadowed(BodyLimit(legacy, self._max_body)),
            "migrated": shadowed(BodyLimit(Fallback(migrated, legacy), self._max_body)),
            "gone": RefusingServer(),
            "refused": RefusingServer(),
        }
        servers["undecided"] = IdentifyingServer(dict(servers), self.identification)
        servers = {side: ErrorPages(server, pages) for side, server in servers.items()}
        collaborators = Collaborators(
            servers=servers,
            facts=self._facts,
            clock=time.time,
            stopwatch=time.perf_counter,
            new_id=lambda: secrets.token_hex(16),
            sinks=self._sinks,
            expose=self._settings.expose,
        )
        return self._telemetry.build_front_door(self.live, collaborators)

    def _facts(self) -> Facts:
        """Return the facts besides the request that `decide` uses; called once for each request."""
        return Facts(self.live.killed, self._override_key, time.time(), self._open_breakers)

    def _max_body(self) -> int | None:
        return self.live.matcher.table.legacy.max_body

    def _build_admin_app(self) -> SingleServerApp:
        view = ProcessView(self._settings, self.live, self.state, self)
        self._pages = WsgiServer(
            create_admin(view).wsgi_app, threads=ADMIN_THREADS, name="admin", spool=self._spool
        )
        listener = AdminListener(self._pages, view, self.living_workers)
        return SingleServerApp(listener, stopwatch=time.perf_counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope; the first one opens the worker if the server has no lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if self._worker is None:
            await self.open(None)
        entrance = refuse_websocket if scope["type"] == "websocket" else self._front
        await entrance(scope, receive, send)

    def entrance(self, listener: str) -> Entrance:
        """Return the ASGI app for the requests of one listener.

        The returned app must be called only after the lifespan has begun.
        """
        return self._entrances[listener]

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        control = scope.get("state", {}).get("overgrow")
        try:
            await self.open(control)
        except Exception as error:  # without a message, a server assumes an app without a lifespan
            if getattr(control, "server_boot_error", None) is None:  # else it was logged before
                logger.exception("this worker cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def open(self, control: Any) -> None:
        """Take a slot on the board and start to watch the table; once per process, after the fork."""
        if self._worker is None:
            self._worker = WorkerRuntime(self, control)
            self._sinks += self._worker.sinks
            self.reports.open(self._worker.receivers)
            self._telemetry.start(self._worker.receivers, self._worker.exemplars.record)
            self._sinks += self._telemetry.sinks
            await self._asgi_mounts.open()
            await self._worker.start()

    async def close(self) -> None:
        """Stop watching, finish local calls, close the connections to legacy, flush the sinks."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        await worker.stop()
        await asyncio.gather(
            self._local.aclose(),
            self._asgi_mounts.aclose(),
            self._pages.aclose(),
            self.shadowing.aclose(),
        )
        await self.identification.aclose()
        await self._forwarder.aclose()
        await self.reports.aclose()
        await self._telemetry.stop()
        self._spool.close()
        self._sinks.clear()
        await worker.release()

    @property
    def control(self) -> Any:
        """The control object that our gunicorn worker hands to the app; None elsewhere."""
        return self._worker.control if self._worker else None

    @property
    def settings(self) -> Settings:
        """The settings this app was made with."""
        return self._settings

    @property
    def home(self) -> Path:
        """The folder of this worker's board and metrics: the state folder, while it is writable."""
        return self._worker.presence.home if self._worker else self.state

    def count(self, name: str) -> None:
        """Add one to a counter without labels."""
        if self._worker is not None:
            self._worker.count(name)

    def _count_legacy_call(self, route: str, status: int) -> None:
        """Count a call of legacy by a view."""
        if self._worker is not None:
            self._worker.count_legacy_call(route, status)

    def _note_cookie(self, head: Head, line: bytes) -> None:
        """Note that legacy sets a cookie: perhaps the session of a user whom the front door knows."""
        self.identification.note_cookie(head, line)

    def _count_identity(self, reader: str, outcome: str) -> None:
        """Count an attempt to identify a user."""
        if self._worker is not None:
            self._worker.count_identity(reader, outcome)

    async def living_workers(self) -> Sequence[Mapping[str, Any]]:
        """Return the living workers from the board; none before this worker has started."""
        return await self._worker.presence.living_workers() if self._worker else ()

    @property
    def mount_tracer(self) -> Any:
        """What traces the calls that the WSGI mount makes itself; None without OpenTelemetry."""
        return self._telemetry.mount_tracer

    @property
    def is_under_test(self) -> bool:
        """Whether the team's app runs under the WSGI mount and has `testing` set."""
        return self._mounted_in is not None and self._mounted_in.testing

    @property
    def local(self) -> WsgiServer:
        """The Server of the migrated side."""
        return self._local

    @property
    def app_problem(self) -> str:
        """Why the team's app could not be imported; empty if it was imported."""
        return self._team.why

    @property
    def boot_problem(self) -> str:
        """Why this worker cannot take over traffic from the workers that run already; empty if it can.

        The reason is that the app cannot be imported, or that it lacks a rule for a route of the table in
        effect.
        """
        live = self.live
        lacking = (
            describe_first_missing(live.matcher.table, self._rules) if live.reload_error else ""
        )
        name = self._team.name
        return self._team.why or (
            f"{name} cannot serve the table that runs: {lacking}" if lacking else ""
        )

    @property
    def app_note(self) -> str:
        """Why the app that the table names was replaced by an earlier app; empty if it was not replaced."""
        return self._team.note

    @property
    def app_name(self) -> str:
        """The team's app, as MODULE:FACTORY; empty if the table names none."""
        return self._team.name

    def hints_from_legacy(self) -> LegacyTraits:
        """Return what legacy's responses show: its software, and whether a login came over a shared connection."""
        return LegacyTraits(
            self._forwarder.get_identifying_headers_and_ask_for_newer(),
            self._forwarder.has_seen_shared_login(),
        )

    def take_legacy_outcome(self) -> LegacyOutcome | None:
        """Return what requests to legacy showed since the last call: an answer, else the latest failure, else None."""
        return self._forwarder.take_new_outcome_of_legacy()

    async def probe_legacy(self) -> Failure | None:
        """Return why legacy does not answer a probe; None if legacy answers."""
        return await probe_legacy(self.live.matcher.table.legacy, transport_for)

    def build_watcher(self, changed: Callable[[TableEvent], None]) -> Watcher:
        """Return a watcher of this app's table that calls `changed` after each reload."""
        effects = WatcherEffects(on_change=changed, trust=load_certificates_for)
        return Watcher(self.live, self._table_context(), self.state, effects)

    def judge_proposal(self, data: bytes) -> tuple[Sequence[Problem], str | None]:
        """Return (problems, stale): this worker's problems with a proposed table, and how its app differs from the sources.

        `stale` is None if the sources of the app have not changed since this worker imported them.
        """
        judged = judge_table(data, self._table_context(), self.live.matcher.table)
        return judged.loaded.problems, self.sources.describe_change()

    def _table_context(self) -> TableContext:
        return TableContext(
            self._settings.config,
            os.environ,
            self._rules,
            self._team.name,
            _legacy_only(self._settings),
            self.sources.describe_change,
        )

    def renew_connections(self) -> None:
        """Use new connections to legacy from now on, because its certificates changed."""
        self._forwarder.renew_connections()
        self.shadowing.renew_connections()

    # The WSGI mount calls these (overgrow.embedded.mount.MountedFrontDoor).

    def head_of(self, scope: Scope) -> Head:
        """Read the head of a request, for the front door mounted in a Flask app (the first step of a request)."""
        return read_head(scope, scope["overgrow"], self.live.matcher.table.trusted_proxies)

    def decide(self, head: Head) -> Decision:
        """Decide which side answers, for the front door mounted in a Flask app (the second step of a request)."""
        return self._front.decide(head)

    async def identify(self, head: Head, decision: Decision) -> tuple[Decision, Headers]:
        """Decide an undecided request when its user is known, for the mount; return the session's new cookies too."""
        head = strip_private_headers(head)  # legacy may be asked by it
        decided = await decide_for_user(self.identification, head, decision)
        if decided.identity is None or decided.side != "migrated":
            return decided, ()
        return decided, await self.identification.touch(head)

    def legacy_calls(
        self, head: Head, decision: Decision, loop: asyncio.AbstractEventLoop
    ) -> LegacyCalls:
        """Return the calls of legacy for a request that the mount gives to the app."""
        return LegacyCalls(self._legacy_door, loop, strip_private_headers(head), decision)

    def response_headers(self, head: Head, decision: Decision, headers: Headers) -> Headers:
        """Return the headers of a response that the mount relays itself, and the headers that the front door adds to them."""
        return self._front.add_own_headers(decision, head, headers)

    def record(self, exchange: Exchange) -> None:
        """Record a finished exchange, for the front door mounted in a Flask app (the last step of a request)."""
        self._front.record(exchange)


def _load_certificates_in_time(table: RouteTable) -> None:
    """Read the certificates at the start; what is wrong with them was reported when the table was read."""
    with suppress(OSError):
        path = Path(table.legacy.tls_ca or "/etc/ssl")
        within(ANSWER_S, path, partial(load_certificates_for, table))


def load_certificates_for(table: RouteTable) -> None:
    """Read the certificates for connections to a table's legacy app. This reads files, so call it in a thread beside the loop.

    Raises:
        OSError: if they cannot be used.

    """
    if table.legacy.url.startswith("https:"):
        load_ca_certificates(table.legacy.tls_ca)


def transport_for(
    legacy: Legacy, make: Callable[..., LegacyTransport] = LegacyTransport
) -> LegacyTransport:
    """Return the default transport to legacy; an httpx transport could take its place."""
    return make(
        legacy.url,
        max_connections=legacy.max_connections,
        tls_ca=legacy.tls_ca,
        tls_name=legacy.tls_name,
        max_age_s=legacy.max_age_s,
        leniencies=legacy.leniencies,
    )
