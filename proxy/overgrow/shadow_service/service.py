"""The shadowing of one process: the mirror with its own upstream connections and threads, and its store.

A helper of the composition root. Copies have their own connections and threads, so that users and copies do not
wait for each other. The store is opened when the table first needs evidence, so that other workers need not
import it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from overgrow.evidence import Flip
from overgrow.exchange import Server
from overgrow.files.thread import FileThread
from overgrow.forwarding.forwarder import Forwarder, TransportFor
from overgrow.legacy_calls.calls import LegacyDoor
from overgrow.observe.metrics import Metrics
from overgrow.routing.model import Legacy, Route, Side
from overgrow.settings import Settings
from overgrow.shadow.mirror import CopyLimits, CopyTraces, Mirror
from overgrow.shadow.rules.cache import RulesCache
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.sessions import SessionCookieNames
from overgrow.shadow.shadowing_server import ShadowingServer
from overgrow.shadow.write_attempts import mark_shadow_requests
from overgrow.shadow_service.recorder import EvidenceRecorder
from overgrow.table.editing.history import read_history
from overgrow.table.live import LiveTable
from overgrow.wsgi.server import WsgiServer

if TYPE_CHECKING:
    from overgrow.store.writer import Writer

logger = logging.getLogger("overgrow")

THREADS = 4
OPEN_S = 5.0  # for opening a store at the start
CLOSE_S = 6.0  # for a store to take what waits: a little more than its writer needs
LIMITS = CopyLimits()


class ErrorReporting(Protocol):
    """Puts error reports around the Server of the migrated side."""

    def __call__(self, server: Server, *, is_copy: bool = False) -> Server:
        """Return the Server with reports around it."""
        ...


class Shadowing:
    """The mirror of one app, its two sides and its evidence. Before `open`, nothing is started."""

    def __init__(  # noqa: PLR0913, PLR0917 - what the composition root lends it
        self,
        live: LiveTable,
        settings: Settings,
        state: Path,
        wsgi_app: Callable[..., Iterable[bytes]],
        transport_for: TransportFor,
        report_errors: ErrorReporting,
        *,
        wrap_copy: Callable[[Server, Side], Server] = lambda server, _side: server,
        traces: CopyTraces | None = None,
    ) -> None:
        self._live = live
        self._settings = settings
        self._state = state
        self._files = FileThread("shadowing")
        self._opening: asyncio.Future[Writer | None] | None = None

        def transport_with_few_connections(legacy: Legacy) -> Any:
            return transport_for(replace(legacy, max_connections=LIMITS.at_once))

        self._legacy = Forwarder(lambda: live.matcher.table, transport_with_few_connections)
        self._migrated = WsgiServer(
            mark_shadow_requests(wsgi_app),
            threads=THREADS,
            queue=LIMITS.at_once,
            name="shadow",
            legacy_door=LegacyDoor(self._legacy, lambda _route, _status: None, is_copy=True),
        )
        sessions = SessionCookieNames()
        self.recorder = EvidenceRecorder(sessions)
        reported = report_errors(self._migrated, is_copy=True)
        servers: dict[Any, Server] = {
            "legacy": wrap_copy(self._legacy, "legacy"),
            "migrated": wrap_copy(reported, "migrated"),
        }
        environment = ProcessEnvironment(live, settings.config.parent / "compare")
        self.mirror = Mirror(servers, self.recorder, environment, LIMITS, sessions, traces=traces)

    def wrap(self, server: Server) -> ShadowingServer:
        """Return one side's Server with shadowing around it."""
        return ShadowingServer(server, self.mirror)

    def renew_connections(self) -> None:
        """Use new connections to legacy from now on, because the file of its certificates has changed."""
        self._legacy.renew_connections()

    async def open(self, metrics: Metrics) -> None:
        """Start to count evidence. If the table needs evidence, open the store."""
        self.recorder.metrics = metrics
        await self.do_housekeeping(OPEN_S)

    async def do_housekeeping(self, patience_s: float = 0.5) -> None:
        """If the table now needs evidence, open the store; store new noise. The caller calls this once a second."""
        recorder = self.recorder
        if recorder.metrics is not None:
            recorder.metrics.set("overgrow_shadow_waiting", self.mirror.waiting_copies)
        if recorder.writer is None and not recorder.is_without_store and self._needs_store():
            await self._open_store(patience_s)
        recorder.store_noise()

    async def _open_store(self, patience_s: float) -> None:
        """Open the store in a thread.

        If that takes longer than `patience_s`, return: a later call picks up the result.
        """
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._files.call(self._new_writer))
        done, _ = await asyncio.wait({self._opening}, timeout=patience_s)
        if done:
            self.recorder.writer, self._opening = self._opening.result(), None
            self.recorder.is_without_store = self.recorder.writer is None

    def _needs_store(self) -> bool:
        return any(route.shadow or route.fallback for route in self._live.matcher.table.routes)

    def _new_writer(self) -> Writer | None:
        """Return a writer to the store. If the store cannot be opened, log the reason and return None.

        An error here costs evidence, but never ends a worker.
        """
        try:
            from overgrow.store.engine import store_url  # noqa: PLC0415  SQLAlchemy is slow
            from overgrow.store.writer import Writer  # noqa: PLC0415  as above

            return Writer(store_url(self._state, self._settings.store_url), self._state / "store")
        except Exception as error:  # noqa: BLE001  see above
            logger.error("no evidence is kept: %s", error)  # noqa: TRY400  the text says it all
            return None

    async def index_history(self) -> None:
        """If there is a store, rebuild its index of flips.jsonl, so that the index agrees with that file."""
        if self.recorder.writer is None:
            return
        try:
            count = await self._files.call(self._index_flips)
        except Exception as error:  # noqa: BLE001  an index that lags costs a look-up, nothing else
            logger.warning("the history is not indexed: %s", error)
        else:
            logger.debug("%d lines of history are indexed", count)

    def _index_flips(self) -> int:
        from overgrow.store.admin_writes import index_flips  # noqa: PLC0415  SQLAlchemy is slow
        from overgrow.store.engine import open_engine, store_url  # noqa: PLC0415  as above

        names = [each.name for each in fields(Flip) if each.name != "number"]
        flips = [
            Flip(number, **{name: getattr(entry, name) for name in names})
            for number, entry in enumerate(read_history(self._state).entries, 1)
        ]
        engine = open_engine(store_url(self._state, self._settings.store_url))
        try:
            return index_flips(engine, flips)
        finally:
            engine.dispose()

    async def aclose(self) -> None:
        """Cancel the copies, close their connections and threads, and store the rest of the evidence."""
        await self.mirror.aclose()
        await self._migrated.aclose(grace_s=1.0)
        await self._legacy.aclose()
        self.recorder.store_noise()
        writer, self.recorder.writer = self.recorder.writer, None
        if writer is not None:
            await asyncio.wait(
                {asyncio.ensure_future(self._files.call(writer.close))}, timeout=CLOSE_S
            )
        self.recorder.metrics = None


class ProcessEnvironment:
    """The clocks, chance, kill file and rules of this process (overgrow.shadow.mirror.MirrorEnvironment)."""

    def __init__(self, live: LiveTable, folder: Path) -> None:
        self._live = live
        self._rulebook = RulesCache(folder, today=today, stopwatch=time.monotonic)
        self.clock = time.time
        self.stopwatch = time.monotonic
        self.cpu_s = time.thread_time
        self.chance = random.random

    def is_killed(self) -> bool:
        """Whether a kill file exists."""
        return self._live.killed

    def rules_of(self, route: Route) -> Awaitable[Rules]:
        """Return the rules that apply to a route's responses today."""
        return self._rulebook.rules_of(route)


def today() -> date:
    """Return the current day in UTC, which decides when rules expire."""
    return datetime.now(UTC).date()
