"""Writes what one worker recently decided: the ring of its last decisions, and the counts of unrouted paths.

A loop takes both from the sink WRITE_S apart and writes them in a thread, so no request waits for a file. What cannot be
written now waits in memory, at most MOST decisions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress

from overgrow.exchange import Exchange
from overgrow.files.thread import FileThread
from overgrow.observe.decision_record import encode_exchange
from overgrow.observe.decision_ring import MAX_TEXT_BYTES, MOST, DecisionRing, RingBusy
from overgrow.observe.recent_exchanges import Recent, RecentExchanges
from overgrow.observe.unrouted import UnroutedFile, UnroutedRequest
from overgrow.process.presence import Presence

logger = logging.getLogger("overgrow")

WRITE_S = 0.5
CLOSE_S = 1.0  # how long an end waits for the state folder
UNWRITTEN = "recent-traffic-lost path=%s why=%s"


class RecentTraffic:
    """The decisions and unrouted paths of one worker, from the sink to their files."""

    def __init__(self, presence: Presence) -> None:
        self.sink = RecentExchanges()
        self._presence = presence
        self._files = FileThread("recent-traffic")
        self._ring, self._unrouted = DecisionRing(), UnroutedFile()
        self._waiting: deque[Exchange] = deque(maxlen=MOST)
        self._count = 0  # decisions that have no number yet, those no longer waiting included
        self._is_failing = False

    async def write_continually(self) -> None:
        """Write twice a second, under high load once, until cancelled."""
        is_busy = False
        while True:
            await asyncio.sleep(2 * WRITE_S if is_busy else WRITE_S)
            recent = self.sink.take()
            is_busy = recent.total >= MOST
            await self._write(recent)

    async def _write(self, recent: Recent) -> None:
        try:
            await self._files.call(self._write_files, recent)
        except OSError as error:
            if not self._is_failing:
                self._is_failing = True
                logger.warning(UNWRITTEN, error.filename, error.strerror or error)
        except Exception:
            logger.exception("recent decisions could not be written; the next attempt follows")
        else:
            self._is_failing = False

    def _write_files(self, recent: Recent, *, is_last: bool = False) -> None:
        folder, slot = self._presence.home / "metrics", self._presence.slot.number
        self._waiting.extend(recent.exchanges)
        self._count += recent.total
        now_s = time.time()
        counted = {UnroutedRequest(*key): times for key, times in recent.unrouted.items()}
        try:
            self._unrouted.add(folder, slot, counted, recent.unread, now_s)
            if is_last:
                self._unrouted.write(now_s)
        finally:
            with suppress(RingBusy):  # the decisions wait for the next time
                self._write_decisions()

    def _write_decisions(self) -> None:
        if not self._count:
            return
        folder, slot = self._presence.home / "metrics", self._presence.slot.number
        waiting = list(self._waiting)
        texts = [encode_exchange(each, slot, MAX_TEXT_BYTES) for each in waiting]
        self._ring.write(folder, slot, texts, max(0, self._count - len(texts)))
        self._waiting.clear()
        self._count = 0

    async def close(self) -> None:
        """Write what is left; wait only for a short time if the state folder does not respond."""
        last = asyncio.ensure_future(
            self._files.call(self._write_files, self.sink.take(), is_last=True)
        )
        done, _ = await asyncio.wait({last}, timeout=CLOSE_S)
        for each in done:
            if (error := each.exception()) is not None:
                logger.debug("recent decisions could not be written: %s", error)
