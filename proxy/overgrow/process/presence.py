"""Holds a worker's slot on the board, publishes the worker's state there, and knows the other living workers.

Rule: after the start every file call runs in a thread, one at a time. While the state folder does not answer, a
worker uses the last known state of the other workers, and its own current state. If somebody removed the board,
it is created again, and the worker takes the same slot if that slot is free.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from overgrow.files import ANSWER_S, within
from overgrow.files.thread import FileThread
from overgrow.observe.board import Slot, claim_slot, workers
from overgrow.table.state_dir import recreate_state_dir, temporary_state_dir

logger = logging.getLogger("overgrow")

LOOK_S = 1.0  # how long /readyz waits for the board
RELEASE_S = 1.0  # how long an end waits for the state folder
UNPUBLISHED = (
    "%s cannot be written: %s; requests are served, but the other workers and the command line do not know "
    "what this worker runs"
)
UNPLACED = (
    "%s cannot be written: %s; this worker serves, and keeps its counts and its place on the board in %s. "
    "Free some space: then it moves back by itself"
)


class Presence:
    """One worker on the board; `state` returns what it runs now."""

    def __init__(self, folder: Path, config: Path, state: Callable[[], dict[str, Any]]) -> None:
        self.slot, self.home = _claim_slot(folder, config)
        self._state_dir = folder
        self._worker_state = state
        self._files = FileThread("board")
        self._board_reader = FileThread("board-look")
        self._pending_look: asyncio.Future[list[dict[str, Any]]] | None = None
        self._living: list[dict[str, Any]] = []
        self._changed_event = asyncio.Event()
        self._published = asyncio.Event()
        self._cannot_publish = False

    @property
    def board(self) -> Path:
        """The folder of the board."""
        return self.home / "board"

    def publish(self) -> None:
        """Ask for this worker's state to be published on the board soon; do not wait for it."""
        self._changed_event.set()

    async def wait_until_published(self) -> None:
        """Wait until this worker has published once. If publishing fails or takes too long, stop waiting."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._published.wait(), LOOK_S)

    async def publish_changes(self) -> None:
        """Publish the state of this worker whenever it changes, until cancelled."""
        while True:
            await self._changed_event.wait()
            self._changed_event.clear()
            await self._publish()
            self._published.set()

    async def _publish(self) -> None:
        try:
            await self._files.call(self._publish_in_slot, self._worker_state())
        except OSError as error:  # a full disk must not end the watching
            if not self._cannot_publish:
                why = error.strerror or error
                logger.error(UNPUBLISHED, self.board, why)  # noqa: TRY400 - its text says it
            self._cannot_publish = True
        else:
            if self._cannot_publish:
                logger.info("%s can be written again", self.board)
            self._cannot_publish = False

    def _publish_in_slot(self, state: Mapping[str, Any]) -> None:
        """Publish in the current slot, which may have changed while this call waited."""
        self.slot.publish(state)

    def _release_slot(self) -> None:
        """Release the current slot."""
        self.slot.release()

    async def living_workers(self) -> Sequence[Mapping[str, Any]]:
        """Return what the living workers last published. Concurrent callers share one read of the board."""
        look = self._pending_look
        if look is None or look.done():
            look = self._pending_look = asyncio.ensure_future(
                self._board_reader.call(workers, self.board)
            )
            look.add_done_callback(_consume_error)
        done, _ = await asyncio.wait({look}, timeout=LOOK_S)
        if done and not look.exception():
            self._living = look.result()
        return self.last_seen_workers

    @property
    def last_seen_workers(self) -> Sequence[Mapping[str, Any]]:
        """The living workers from the last read of the board, but with this worker's current state."""
        number = self.slot.number
        own = {"slot": number, "pid": os.getpid(), **self._worker_state()}
        others = [each for each in self._living if each.get("slot") != number]
        return sorted([*others, own], key=lambda each: each["slot"])

    async def is_spokesman(self) -> bool:
        """Return whether this worker has the lowest slot of all living workers. If so, it logs for all of them."""
        first = (await self.living_workers())[0]
        return bool(first["slot"] == self.slot.number)

    async def repair_board(self) -> bool:
        """If somebody removed the board, create it again. Return whether a slot was claimed again."""
        was_lost = await self._files.call(self._repair_slot)
        if was_lost:
            logger.warning(
                "%s had been removed or could not be used; this worker publishes in it again",
                self.board,
            )
        if was_lost or self._cannot_publish or not await self._files.call(self.slot.is_published):
            self.publish()
        return was_lost

    def _repair_slot(self) -> bool:
        if self.home != self._state_dir:
            return self._return_to_state_dir()
        if self.slot.is_in_place():
            return False
        recreate_state_dir(self.home)
        lost, self.slot = self.slot, claim_slot(self.board, prefer=self.slot.number)
        lost.drop_lock()
        return True

    def _return_to_state_dir(self) -> bool:
        """If the state folder can be used again, move there from the temporary folder. Return whether this was done."""
        if not self._state_dir.is_dir():
            return False
        try:
            slot = _claim_slot_in(self._state_dir)
        except OSError:
            return False
        self.slot.release()
        self.slot, self.home = slot, self._state_dir
        return True

    async def close(self) -> None:
        """Release the slot.

        If the state folder does not respond, leave that to the kernel at the end of the process.
        """
        leaving = asyncio.ensure_future(self._files.call(self._release_slot))
        await asyncio.wait({leaving}, timeout=RELEASE_S)


def _consume_error(look: asyncio.Future[Any]) -> None:
    """Retrieve the error of an abandoned read, so that asyncio does not log the error."""
    if not look.cancelled():
        look.exception()


def _claim_slot(state: Path, config: Path) -> tuple[Slot, Path]:
    """Return (slot, folder): a claimed slot, and the folder that holds its board.

    The folder is the state folder, or a temporary one if the state folder cannot be used, for example on a full disk.

    An error of the state folder is only logged, because the worker can still serve requests.
    """
    take = partial(_claim_slot_in, state)
    try:
        return within(ANSWER_S, state / "board", take, undo=Slot.release), state
    except OSError as error:
        instead, what, why = (
            temporary_state_dir(config),
            error.filename or state,
            error.strerror or error,
        )
        logger.error(UNPLACED, what, why, instead)  # noqa: TRY400 - its text says it
        return claim_slot(instead / "board"), instead


def _claim_slot_in(state: Path) -> Slot:
    (state / "metrics").mkdir(parents=True, exist_ok=True)
    return claim_slot(state / "board")
