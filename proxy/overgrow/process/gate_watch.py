"""Judges the gates of routes with a shadow, once a minute, for the metrics and the webhook.

Rule: one worker judges for all workers, in a thread, one route after another, and publishes the results on the
board. A round takes about SPENT_S of processor time. If this is too little for all routes, the next round
continues.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from overgrow.files.thread import FileThread
from overgrow.routing.model import Route
from overgrow.settings import Settings
from overgrow.shadow.review.gate_report import GateQuestion, GateReport, question_for
from overgrow.shadow_service.gate import ask_gate
from overgrow.table.live import LiveTable

logger = logging.getLogger("overgrow")

INTERVAL_S = 60.0
SPENT_S = 0.6  # 1% of a core
REST = 20  # times as long as a route's gate took: requests share the interpreter with this thread
_FIRST_S = 5.0  # so that the first figures do not take a minute


class ShadowingApp(Protocol):
    """The part of the served app that is needed to judge gates."""

    live: LiveTable
    state: Path

    @property
    def settings(self) -> Settings:
        """The settings of the app."""
        ...


class GateWatch:
    """The gates as one worker has judged them: {route: {value, threshold, is_open, at_s}}."""

    def __init__(
        self,
        read_routes: Callable[[], Sequence[Route]],
        ask_gate: Callable[[GateQuestion], GateReport],
        publish: Callable[[], None],
        is_speaker: Callable[[], Awaitable[bool]],
    ) -> None:
        self._read_routes, self._ask_gate = read_routes, ask_gate
        self._publish, self._is_speaker = publish, is_speaker
        self._thread = FileThread("gates")
        self._next = 0  # of the routes, in their order
        self.gates: dict[str, Mapping[str, Any]] = {}

    async def run(self) -> None:
        """Judge the gates once a minute, until cancelled. While no gate has evidence, judge more often."""
        while True:
            has_evidence = any(gate["newest_s"] for gate in self.gates.values())
            await asyncio.sleep(INTERVAL_S if has_evidence else _FIRST_S)
            try:
                await self.judge()
            except Exception:
                logger.exception("the gates could not be judged; the next attempt follows")

    async def judge(self) -> None:
        """Judge the gates once. If another worker judges for all workers, forget the results of this one instead."""
        routes = self._routes_with_gate() if await self._is_speaker() else []
        judged = await self._thread.call(self._judge_next, routes) if routes else {}
        known = {route.name for route in routes}
        gates = {name: gate for name, gate in (self.gates | judged).items() if name in known}
        if gates != self.gates:
            self.gates = gates
            self._publish()

    def _routes_with_gate(self) -> list[Route]:
        return [each for each in self._read_routes() if each.shadow and each.reversible]

    def _judge_next(self, routes: Sequence[Route]) -> dict[str, Mapping[str, Any]]:
        """Judge the gates of the next routes, for at most about SPENT_S, and return the results."""
        judged: dict[str, Mapping[str, Any]] = {}
        spent_s = 0.0
        for _ in routes:
            route = routes[self._next % len(routes)]
            self._next += 1
            began_s = time.thread_time()
            report = self._ask_gate(question_for(route))
            if report.missing_store is None:
                judged[route.name] = _figures_of(report)
            took_s = time.thread_time() - began_s
            spent_s += took_s
            if spent_s >= SPENT_S:
                break
            time.sleep(took_s * REST)
        return judged


def build_gate_watch(
    app: ShadowingApp, publish: Callable[[], None], is_speaker: Callable[[], Awaitable[bool]]
) -> GateWatch:
    """Return the gate watch of a worker."""

    def read_routes() -> Sequence[Route]:
        return app.live.matcher.table.routes

    def ask(question: GateQuestion) -> GateReport:
        settings = app.settings
        return ask_gate(settings.config, app.state, settings.store_url, read_routes(), question)

    return GateWatch(read_routes, ask, publish, is_speaker)


def _figures_of(report: GateReport) -> dict[str, Any]:
    """Return the gate's figures.

    `value` is the proven share of requests that both sides answer alike, and `threshold` is the required share.
    """
    result = report.result
    return {
        "value": round(1 - result.rate_bound, 6),
        "threshold": round(1 - result.allowed_rate, 6),
        "is_open": report.is_ready,
        "newest_s": report.evidence.newest_at,
        "at_s": round(time.time(), 3),
    }
