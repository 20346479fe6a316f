"""Records the history of requests. One worker does this for all workers, once a second, in a separate thread.

The worker with the lowest slot records. It reads the counts from mapped files, which outlive the workers.
Requests therefore never wait for the store. If the recording worker is killed, the next one continues at the
same place.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from overgrow.files.thread import FileThread
from overgrow.observe.board import workers
from overgrow.observe.counter_identity import (
    CounterIdentity,
    confirm_identity,
    has_identity,
    identify_counters,
    keep_identity,
)
from overgrow.observe.counter_totals import CounterTotals
from overgrow.observe.metrics import BUCKETS_S
from overgrow.process.presence import Presence
from overgrow.settings import Settings
from overgrow.table.live import LiveTable

if TYPE_CHECKING:
    from overgrow.store.history.writer import HistoryWriter

logger = logging.getLogger("overgrow")

RECORD_S = 1.0
LOOK_S = 1.0  # how long the end of a worker waits for the board
FINISH_S = 6.0  # how long the end of a worker waits for the store, if its grace time allows it


class RecordedApp(Protocol):
    """The part of the served app that the history needs."""

    live: LiveTable
    state: Path

    @property
    def settings(self) -> Settings:
        """The settings of the app."""
        ...


class RequestHistory:
    """Records the requests that the workers of one state folder count, in one worker."""

    def __init__(self, app: RecordedApp, presence: Presence) -> None:
        self._app, self._presence = app, presence
        self._folder = app.state / "metrics"
        self._files = FileThread("history")
        self._totals: CounterTotals | None = None
        self._writer: HistoryWriter | None = None
        self._unusable: str | None = None  # for example without a driver for the database
        self._published_problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the history is not stored. It is None if it is stored, or if another worker records."""
        return self._unusable or (self._writer.problem if self._writer is not None else None)

    async def run(self) -> None:
        """Record every second, until cancelled."""
        while True:
            await asyncio.sleep(RECORD_S)
            try:
                await self._record_or_rest()
                if self.problem != self._published_problem:
                    self._published_problem = self.problem
                    self._presence.publish()
            except OSError as error:
                logger.debug("the history cannot be recorded: %s", error)
            except Exception:
                logger.exception("the history was not recorded; the next attempt follows")

    async def _record_or_rest(self) -> None:
        if await self._is_recorder():
            await self._files.call(self._record, self._app.live.matcher.table.history_max)
        elif self._writer is not None:
            await self._files.call(self._close)

    async def _is_recorder(self) -> bool:
        """Whether this worker records for all.

        While the state folder cannot be used, no worker records, and the counters keep the counts.
        """
        is_at_home = self._presence.home == self._app.state
        return is_at_home and await self._presence.is_spokesman()

    async def finish(self, *, has_waiting_clients: bool = False) -> None:
        """If this worker was the recording one, or is the last one, store the last counts when it leaves the board.

        If clients wait for the next start of the front door, do not store: storing may take long, and the next
        start stores the counts.
        """
        if has_waiting_clients:
            return
        look = asyncio.ensure_future(self._files.call(workers, self._presence.board))
        done, _ = await asyncio.wait({look}, timeout=LOOK_S)
        if not done or look.exception() is not None:  # the state folder does not answer
            return
        is_last = not look.result()
        if self._writer is not None or is_last:
            await self._finish_in_time(is_last=is_last)

    async def _finish_in_time(self, *, is_last: bool) -> None:
        ending = asyncio.ensure_future(self._files.call(self._finish, is_last))
        done, _ = await asyncio.wait({ending}, timeout=FINISH_S)
        if not done:
            logger.info("the end of the history is stored at the next start: the store is slow")
        elif ending.exception() is not None:
            logger.error("the end of the history was not stored", exc_info=ending.exception())

    def _finish(self, is_last: bool) -> None:  # noqa: FBT001 - FileThread passes positions
        try:
            self._record(None, is_last=is_last)
            if self.problem is not None:
                logger.info("the end of the history is stored at the next start: %s", self.problem)
        except OSError as error:
            logger.info("the end of the history is stored at the next start: %s", error)
        finally:
            self._close()

    def _record(self, max_bytes: int | None, *, is_last: bool = False) -> None:
        if self._unusable is not None or not self._folder.is_dir():
            return  # a folder that somebody removed is not made here, but with all that belongs in it
        writer = self._writer or self._open()
        if writer is None or self._totals is None:
            return
        was_new = writer.is_new
        clock_s = time.monotonic()
        writer.record(self._totals, time.time(), clock_s, is_last=is_last)
        if was_new and not writer.is_new:
            confirm_identity(self._folder, writer.door)
        elif not has_identity(self._folder):  # somebody removed the folder
            keep_identity(self._folder, CounterIdentity(writer.door, writer.is_new))
        if max_bytes is not None:
            writer.prune(time.time(), clock_s, max_bytes)

    def _open(self) -> HistoryWriter | None:
        """Return the writer. If it cannot be opened, log the reason and return None."""
        try:
            from overgrow.store.engine import store_url  # noqa: PLC0415  SQLAlchemy is slow
            from overgrow.store.history.writer import HistoryWriter  # noqa: PLC0415  as above

            url = store_url(self._app.state, self._app.settings.store_url)
        except Exception as error:  # noqa: BLE001  without a history the worker serves all the same
            logger.error("no history is kept: %s", error)  # noqa: TRY400  the text says it all
            self._unusable = str(error)
            return None
        name, is_new = identify_counters(self._folder)
        self._totals = CounterTotals(self._folder, BUCKETS_S)
        self._writer = HistoryWriter(url, name, is_new=is_new)
        return self._writer

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.disconnect()
        if self._totals is not None:
            self._totals.close()
        self._writer = self._totals = None
