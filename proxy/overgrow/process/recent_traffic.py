"""Writes the recent traffic of one worker to files: its last decisions, and the counts of unrouted paths.

A loop takes both from the sink and writes them in a thread, so that no request waits for a file. If there are
few decisions, they are written at the next tick (TICK_S). If there are many, they are written once a second
while somebody reads them, and otherwise only every UNWATCHED_S, which costs a busy worker little. If writing
fails, at most MOST decisions wait in memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from overgrow.exchange import Exchange
from overgrow.files.thread import FileThread
from overgrow.observe.decision_record import RecentDecision, encode_decision
from overgrow.observe.decision_ring import (
    MAX_TEXT_BYTES,
    MOST,
    DecisionRing,
    RingBusy,
    is_watched,
)
from overgrow.observe.recent_exchanges import RecentDecisions, RecentExchanges, RecentUnrouted
from overgrow.observe.unrouted import UnroutedFile, UnroutedRequest
from overgrow.process.presence import Presence

logger = logging.getLogger("overgrow")

TICK_S = 0.5
WATCHED_S = 1.0
UNWATCHED_S = 5.0
FEW = 100  # decisions that are written at once
CLOSE_S = 1.0  # how long an end waits for the state folder
UNWRITTEN = "recent-traffic-lost path=%s why=%s"


class RecentTraffic:
    """Moves the decisions and unrouted paths of one worker from the sink to their files."""

    def __init__(self, presence: Presence, note_trace: Callable[[Exchange, bytes], None]) -> None:
        self.sink = RecentExchanges(note_trace)
        self._presence = presence
        self._files = FileThread("recent-traffic")
        self._ring, self._unrouted = DecisionRing(), UnroutedFile()
        self._waiting: deque[RecentDecision] = deque(maxlen=MOST)
        self._count = 0  # decisions that have no number yet, those no longer waiting included
        self._written_s = 0.0  # of the loop's clock
        self._is_failing = False

    async def write_continually(self) -> None:
        """Write the recorded decisions and paths repeatedly, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self._write()
            except OSError as error:
                self._report_loss(error)
            except Exception:
                logger.exception("recent decisions could not be written; the next attempt follows")
            else:
                self._is_failing = False

    async def _write(self) -> None:
        unrouted = self.sink.take_unrouted()
        if unrouted.counted or unrouted.overflow or self._unrouted.has_unwritten:
            await self._files.call(self._write_unrouted, unrouted)
        if await self._is_time_for_decisions():
            self._written_s = asyncio.get_running_loop().time()
            await self._files.call(self._write_decisions, self.sink.take_decisions())

    async def _is_time_for_decisions(self) -> bool:
        """Whether to write decisions now: they are few, somebody reads them, or the last time was UNWATCHED_S ago."""
        if self.sink.total <= FEW:
            return self.sink.total + self._count > 0
        age_s = asyncio.get_running_loop().time() - self._written_s
        if age_s < WATCHED_S:
            return False
        folder = self._presence.home / "metrics"
        return age_s >= UNWATCHED_S or await self._files.call(is_watched, folder, time.time())

    def _report_loss(self, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            logger.warning(UNWRITTEN, error.filename, error.strerror or error)

    def _write_unrouted(self, recent: RecentUnrouted, *, is_last: bool = False) -> None:
        folder, slot = self._presence.home / "metrics", self._presence.slot.number
        counted = {UnroutedRequest(*key): times for key, times in recent.counted.items()}
        now_s = time.time()
        self._unrouted.add(folder, slot, counted, recent.overflow, now_s)
        if is_last:
            self._unrouted.write(now_s)

    def _write_decisions(self, recent: RecentDecisions) -> None:
        """Write the decisions. If another worker is writing at this moment, leave them for the next time."""
        self._waiting.extend(recent.unpack())
        self._count += recent.total
        if not self._count:
            return
        folder, slot = self._presence.home / "metrics", self._presence.slot.number
        texts = [encode_decision(each, slot, MAX_TEXT_BYTES) for each in self._waiting]
        try:
            self._ring.write(folder, slot, texts, max(0, self._count - len(texts)))
        except RingBusy:
            return
        self._waiting.clear()
        self._count = 0

    async def close(self) -> None:
        """Write what is still in memory. If the state folder does not respond, give up after a short time."""
        last = asyncio.ensure_future(
            self._files.call(self._write_all, self.sink.take_unrouted(), self.sink.take_decisions())
        )
        done, _ = await asyncio.wait({last}, timeout=CLOSE_S)
        for each in done:
            if (error := each.exception()) is not None:
                logger.debug("recent decisions could not be written: %s", error)

    def _write_all(self, unrouted: RecentUnrouted, decisions: RecentDecisions) -> None:
        try:
            self._write_unrouted(unrouted, is_last=True)
        finally:
            self._write_decisions(decisions)
