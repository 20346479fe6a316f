"""The loop in which one worker judges whether legacy answers: by all evidence once a second, and once in between.

The judgement in between uses only what the worker's own requests have shown.

Rule: a probe runs beside the loop, so that a probe that hangs causes no delay. It is judged when it ends. One
worker probes for all workers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from overgrow.exchange import Failure
from overgrow.forwarding.outcomes import LegacyOutcome
from overgrow.observe.upstream import UpstreamState
from overgrow.process.upstream_watch import UpstreamWatch
from overgrow.routing.model import Legacy
from overgrow.table.live import LiveTable

logger = logging.getLogger("overgrow")

INTERVAL_S = 1.0


class ProbingApp(Protocol):
    """The part of the served app that is needed to judge legacy."""

    live: LiveTable

    def take_legacy_outcome(self) -> LegacyOutcome | None:
        """What requests to legacy showed since the last call."""
        ...

    async def probe_legacy(self) -> Failure | None:
        """Return why legacy does not answer a probe; None if legacy answers."""
        ...


class BoardReader(Protocol):
    """The part of the board that is needed to judge legacy."""

    async def living_workers(self) -> Sequence[Mapping[str, Any]]:
        """Return what the living workers last published."""
        ...


class _Probe(NamedTuple):
    task: asyncio.Task[Failure | None]
    url: str
    began_s: float


class UpstreamJudge:
    """Judges legacy for one worker.

    `publish` publishes the worker's state; `is_prober` says whether it probes for all workers.
    """

    def __init__(
        self,
        app: ProbingApp,
        board: BoardReader,
        publish: Callable[[], None],
        is_prober: Callable[[Sequence[Mapping[str, Any]]], bool],
    ) -> None:
        self._app, self._board = app, board
        self._publish, self._is_prober = publish, is_prober
        self._watch = UpstreamWatch()
        self._probe: _Probe | None = None
        self._was_up = True

    def as_json(self) -> dict[str, Any]:
        """Return the state for the board."""
        return self._watch.as_json()

    async def run(self) -> None:
        """Judge legacy every second until cancelled. Halfway between, judge by the requests of this worker only.

        The reason: an open page asks every two seconds, and must show within three seconds that legacy is down.
        """
        loop = asyncio.get_running_loop()
        try:
            while True:
                began_s = loop.time()
                try:
                    await self.judge()
                except Exception:
                    logger.exception("legacy could not be judged; the next attempt follows")
                await asyncio.sleep(max(0.0, began_s + INTERVAL_S / 2 - loop.time()))
                self._judge_requests()
                await asyncio.sleep(max(0.0, began_s + INTERVAL_S - loop.time()))
        finally:
            if self._probe is not None:
                self._probe.task.cancel()

    async def judge(self) -> None:
        """Judge the newest evidence. If a probe is needed, start one and wait for it, at most INTERVAL_S."""
        watch, legacy = self._watch, self._legacy
        watch.follow_table(legacy, time.time())
        living = await self._board.living_workers()
        watch.adopt(living, time.time())
        watch.judge_outcome(self._app.take_legacy_outcome(), time.time())
        is_prober = self._is_prober(living)
        if is_prober and self._probe is None and watch.needs_probe(legacy, time.time()):
            task = asyncio.ensure_future(self._app.probe_legacy())
            self._probe = _Probe(task, legacy.url, time.time())
        self._publish_change(is_prober=is_prober)
        await self._judge_probe()
        self._publish_change(is_prober=is_prober)

    def _judge_requests(self) -> None:
        """Judge by the requests of this worker. The next call of `judge` logs the result."""
        self._watch.follow_table(self._legacy, time.time())
        self._watch.judge_outcome(self._app.take_legacy_outcome(), time.time())
        if self._watch.needs_publishing():
            self._publish()

    @property
    def _legacy(self) -> Legacy:
        return self._app.live.matcher.table.legacy

    async def _judge_probe(self) -> None:
        """If the running probe ends in time, judge its result.

        Ignore the result if the table names another legacy app by now.
        """
        probe = self._probe
        if probe is None:
            return
        done, _ = await asyncio.wait({probe.task}, timeout=INTERVAL_S)
        if done:
            self._probe = None
            failure = probe.task.result()
            if probe.url == self._legacy.url:
                self._watch.judge_probe(failure, probe.began_s, time.time())

    def _publish_change(self, *, is_prober: bool) -> None:
        """If the state changed, publish it. If legacy went down or came back, the prober also logs this."""
        watch = self._watch
        if watch.needs_publishing():
            self._publish()
        if self._was_up != watch.state.up:
            self._was_up = watch.state.up
            if is_prober:
                _log_upstream(watch.state)


def _log_upstream(state: UpstreamState) -> None:
    if state.up:
        logger.info("legacy-answers-again")
    else:
        logger.error("legacy-does-not-answer error=%s", state.error)
