"""The composition root: the only file that knows everybody. It contains no `if` about traffic.

`create_asgi` is the production entry point; `create_app` returns the team's Flask app with the front
door mounted around it. Nothing here starts a thread or a loop: that happens in `Overgrow.open`,
called by the server's lifespan (or the first request where a server has none), after the fork.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask

from proxy.admin.listener import AdminListener
from proxy.admin.pages import create_admin
from proxy.exchange import Exchange, Server, Sink
from proxy.files import ANSWER_S, within
from proxy.forwarding.forward import Forwarder
from proxy.forwarding.transport import LegacyTransport
from proxy.forwarding.upgrade import Upgrader
from proxy.frontdoor import Direct, FrontDoor, read
from proxy.loading.holder import Live, Unusable, boot, missing
from proxy.loading.parse import AppRule, app_named_in
from proxy.loading.problems import Problem, printable
from proxy.loading.state import state_dir
from proxy.loading.tree import read_at_most
from proxy.loading.watch import Change, Watcher
from proxy.local import LocalApp
from proxy.mounted import Mounted
from proxy.passage import Receive, Scope, Send
from proxy.refusing import Bounded, NoUpgrade, Refusals, refuse_websocket
from proxy.resilience.fallback import Fallback
from proxy.resilience.guarded import Guarded
from proxy.resilience.registry import Breakers, TurnedAway
from proxy.routing.facts import Head, Headers
from proxy.routing.model import Decision, Legacy
from proxy.settings import DEFAULT_APP, Settings, settings_from
from proxy.shadowing import Shadowing
from proxy.spool import Spool
from proxy.team import TeamApp, broken, routes_of_mounts, team_app
from proxy.worker import View, Worker
from proxy.wsgi import WsgiMount

__all__ = [
    "Checked",
    "Overgrow",
    "app_problems",
    "app_rules",
    "checked_start",
    "create_app",
    "create_asgi",
    "log_to_stderr",
    "team_of",
]

logger = logging.getLogger("overgrow")

Entrance = Callable[[Scope, Receive, Send], Awaitable[None]]
ADMIN_THREADS = 2
UNSERVED = (
    "a WSGI server cannot call ASGI apps: the Flask app, not what it mounts, answers the routes %s here. "
    "Run overgrow serve to have them served."
)


def create_asgi(settings: Settings | None = None) -> Overgrow:
    """The front door as an ASGI app: `overgrow serve`, `gunicorn -k asgi 'proxy:create_asgi()'`."""
    settings = settings or settings_from(os.environ)
    log_to_stderr()
    return Overgrow(settings, team_of(settings))


class Printable(logging.Formatter):
    """A record as text that commands no terminal: tracebacks quote what clients sent."""

    def format(self, record: logging.LogRecord) -> str:
        """Write control characters out, but line ends and tabs."""
        return printable(super().format(record))


def log_to_stderr() -> None:
    """Show our own log where nobody has configured logging: an ASGI server does not do it for us."""
    if logger.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(Printable("%(asctime)s overgrow[%(process)d] %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def create_app(settings: Settings | None = None) -> Flask:
    """The team's Flask app with the front door mounted around it, for WSGI servers and tests.

    Raises:
        RuntimeError: if the app cannot be imported; here there is nothing to serve without it.

    """
    settings = settings or settings_from(os.environ)
    team = team_of(settings)
    if team.flask is None:
        raise RuntimeError(_why_nothing_is_served(settings, team))
    overgrow = Overgrow(settings, team, mounted_in=team.flask)
    unserved = routes_of_mounts(team, overgrow.live.matcher.table.routes)
    if unserved:
        logger.warning(UNSERVED, ", ".join(unserved))
    team.flask.wsgi_app = WsgiMount(team.flask.wsgi_app, overgrow)  # type: ignore[method-assign]
    return team.flask


def _why_nothing_is_served(settings: Settings, team: TeamApp) -> str:
    gone = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    problems = app_problems(settings, team) or [missing(settings.config, gone)]
    return "\n".join(map(str, problems))


class Checked(NamedTuple):
    """What a start would serve: a revision, or problems; notes either way."""

    revision: str | None
    problems: Sequence[Problem]
    notes: Sequence[Problem]


def checked_start(settings: Settings, *, from_last_good: bool = False) -> Checked:
    """Load the table strictly, as `overgrow serve` does before it opens a port.

    A table that passes is kept as last-good.yaml, so that workers have one to boot from.
    """
    team = team_of(settings)
    rules = app_rules(team)
    state = state_dir(settings.config, settings.state)
    lacking = app_problems(settings, team)
    try:
        live = boot(
            settings.config, state, env=os.environ, rules=rules, allow_last_good=from_last_good
        )
    except Unusable as error:
        return Checked(None, [*lacking, *error.problems], ())
    wrong = live.reload_error.problems if live.reload_error else ()
    revision = live.matcher.table.revision
    if from_last_good:
        return Checked(revision, (), [*lacking, *wrong, *live.notes])
    return Checked(revision, lacking, [*wrong, *live.notes])


def team_of(settings: Settings) -> TeamApp:
    """The team's app: OVERGROW_APP, else `app:` of the table, else the default."""
    return team_app(_app_name(settings), settings.config.parent)


def _app_name(settings: Settings) -> str:
    return settings.app or _app_in_table(settings.config) or DEFAULT_APP


def _app_in_table(config: Path) -> str | None:
    """The table's `app:`. What stands before the routes is read alone: it is there, and they are long."""
    try:
        data = within(ANSWER_S, config, partial(read_at_most, config))
    except OSError:
        return None
    return app_named_in(data.partition(b"\nroutes:")[0], os.environ) or app_named_in(
        data, os.environ
    )


def app_rules(team: TeamApp) -> list[AppRule] | None:
    """The app's URL rules and mounted prefixes as plain data; None if there is no app to ask."""
    if team.flask is None:
        return None
    rules = team.flask.url_map.iter_rules()
    own = [AppRule(rule.rule, frozenset(rule.methods) if rule.methods else None) for rule in rules]
    return own + [AppRule(prefix, None, asgi=True) for prefix, _ in team.mounts]


def app_problems(settings: Settings, team: TeamApp) -> list[Problem]:
    """The problem of an app that cannot be imported, as one of the table's.

    None of the default app where no table is there that could name another: that is the problem.
    """
    if team.flask is not None or (settings.app is None and not settings.config.exists()):
        return []
    fix = "Mend the import, or name another app in `app:` or OVERGROW_APP."
    return [Problem("app-import", str(settings.config), 1, 1, None, team.why, fix)]


class Overgrow:
    """The ASGI app: requests to the front door or the admin pages, lifespan to open and close."""

    def __init__(
        self, settings: Settings, team: TeamApp, *, mounted_in: Flask | None = None
    ) -> None:
        self._mounted_in = mounted_in
        self._settings = settings
        self._team = team
        self._rules = app_rules(team)
        self._sinks: list[Sink] = []
        self.state = state_dir(settings.config, settings.state)
        self.live: Live = boot(
            settings.config, self.state, env=os.environ, rules=self._rules, allow_last_good=True
        )
        self._forwarder = Forwarder(lambda: self.live.matcher.table, transport_for)
        inner = team.flask.wsgi_app if team.flask else broken(team.why)
        self._spool = Spool([self.state])
        self._local = LocalApp(
            inner,
            threads=settings.threads,
            queue=4 * settings.threads,
            spool=self._spool,
            most_body=lambda: team.flask.config["MAX_CONTENT_LENGTH"] if team.flask else None,
        )
        self._mounted = Mounted(
            team.mounts, NoUpgrade(self._local), memory=lambda: self._local.unsent
        )
        self.breakers = Breakers(lambda: self.live.matcher.table, clock=time.monotonic)
        self.shadowing = Shadowing(self.live, settings, self.state, inner, transport_for)
        self._worker: Worker | None = None
        self._front = self._front_door()
        self._entrances: dict[str, Entrance] = {"public": self._front, "admin": self._admin_door()}

    def _front_door(self) -> FrontDoor:
        guarded = Guarded(self._forwarder, self.breakers, "legacy")
        legacy = Upgrader(guarded, lambda: self.live.matcher.table, self._forwarder.reserve)
        migrated = Guarded(self._mounted, self.breakers, "migrated")
        shadowed = self.shadowing.around
        servers: dict[str, Server] = {
            "legacy": shadowed(Bounded(legacy, self._max_body)),
            "migrated": shadowed(Bounded(Fallback(migrated, legacy), self._max_body)),
            "gone": Refusals(),
            "refused": Refusals(),
        }
        secret = self._settings.secret
        return FrontDoor(
            self.live,
            servers,
            self._sinks,
            clock=time.time,
            stopwatch=time.perf_counter,
            new_id=lambda: secrets.token_hex(16),
            secret=secret.encode() if secret else None,
            expose=self._settings.expose,
            turned_away=TurnedAway(self.breakers),
        )

    def _max_body(self) -> int | None:
        return self.live.matcher.table.legacy.max_body

    def _admin_door(self) -> Direct:
        view = View(self._settings, self.live, self.state, self)
        self._pages = LocalApp(
            create_admin(view).wsgi_app, threads=ADMIN_THREADS, name="admin", spool=self._spool
        )
        listener = AdminListener(self._pages, view, self.living)
        return Direct(listener, stopwatch=time.perf_counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope; a server without a lifespan opens the worker at the first one."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if self._worker is None:
            await self.open(None)
        entrance = refuse_websocket if scope["type"] == "websocket" else self._front
        await entrance(scope, receive, send)

    def entrance(self, listener: str) -> Entrance:
        """What our worker calls for the requests of a listener, once the lifespan has begun."""
        return self._entrances[listener]

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        control = scope.get("state", {}).get("overgrow")
        try:
            await self.open(control)
        except Exception as error:  # a server takes silence for an app that knows no lifespan
            if getattr(control, "boot_error", None) is None:  # else it was said before
                logger.exception("this worker cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def open(self, control: Any) -> None:
        """Take a slot on the board and begin to watch the table; once a process, after the fork."""
        if self._worker is None:
            self._worker = Worker(self, control)
            self._sinks += self._worker.sinks
            await self._mounted.open()
            await self._worker.start()

    async def close(self) -> None:
        """Stop watching, finish local calls, close the connections to legacy, flush the sinks."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        await worker.stop()
        await asyncio.gather(
            self._local.aclose(),
            self._mounted.aclose(),
            self._pages.aclose(),
            self.shadowing.aclose(),
        )
        await self._forwarder.aclose()
        self._spool.close()
        self._sinks.clear()
        await worker.release()

    @property
    def control(self) -> Any:
        """What our gunicorn worker hands to the app; None elsewhere."""
        return self._worker.control if self._worker else None

    @property
    def settings(self) -> Settings:
        """The settings this app was made with."""
        return self._settings

    @property
    def home(self) -> Path:
        """Where this worker's board and metrics are: the state folder, while it can be written."""
        return self._worker.presence.home if self._worker else self.state

    async def living(self) -> Sequence[Mapping[str, Any]]:
        """The living workers as the board tells of them; none before this one has begun."""
        return await self._worker.presence.living() if self._worker else ()

    @property
    def is_under_test(self) -> bool:
        """Under the WSGI mount, whether the app is `testing` when its first request comes."""
        return self._mounted_in is not None and self._mounted_in.testing

    @property
    def local(self) -> LocalApp:
        """The Server of the migrated side."""
        return self._local

    @property
    def app_problem(self) -> str:
        """Why the team's app could not be imported; empty if it could."""
        return self._team.why

    @property
    def app_name(self) -> str:
        """The team's app, as MODULE:FACTORY."""
        return self._team.name

    def telling_of_legacy(self) -> bytes:
        """What legacy's answers say of who made them."""
        return self._forwarder.telling()

    def watcher(self, changed: Callable[[Change], None]) -> Watcher:
        """A watcher of this app's table that calls `changed` after each reload."""
        return Watcher(
            self.live,
            self._settings.config,
            self.state,
            env=os.environ,
            rules=self._rules,
            app_in_use=self._team.name,
            on_change=changed,
        )

    # What the WSGI mount asks (proxy.wsgi.Door).

    def head_of(self, scope: Scope) -> Head:
        """Station 1 for the mount."""
        return read(scope, self.live.matcher.table.trusted_proxies)

    def decide(self, head: Head) -> Decision:
        """Station 2 for the mount."""
        return self._front.decide(head)

    def answer_headers(self, head: Head, decision: Decision, headers: Headers) -> Headers:
        """What the front door adds to an answer that the mount relays itself."""
        return self._front.marked(decision, head, headers)

    def record(self, exchange: Exchange) -> None:
        """Station 5 for the mount."""
        self._front.record(exchange)


def transport_for(legacy: Legacy) -> LegacyTransport:
    """The default transport; httpx's own fits the same seam."""
    return LegacyTransport(
        legacy.url,
        max_connections=legacy.max_connections,
        tls_ca=legacy.tls_ca,
        tls_name=legacy.tls_name,
        max_age_s=legacy.max_age_s,
        leniencies=legacy.leniencies,
    )
