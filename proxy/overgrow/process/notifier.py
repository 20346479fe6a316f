"""Notifies the webhook of changes. One worker does this for all workers, without delaying other work.

Rule: no other work waits for the receiver. A separate thread sends events, each for at most LIMIT_S. Events
that the receiver has not taken wait in a file. Each attempt is counted; process/receiver_watch.py logs when the
receiver fails.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.files.thread import FileThread
from overgrow.notify.delivery import Delivery, WebhookSender
from overgrow.notify.event import WebhookEvent
from overgrow.notify.outbox import Outbox
from overgrow.observe.metrics import Metrics
from overgrow.process.state_changes import FrontDoorState, find_events
from overgrow.settings import Settings
from overgrow.table.editing.history import read_changed_history
from overgrow.table.live import utc_now
from overgrow.telemetry.receivers import ReceiverStatus

logger = logging.getLogger("overgrow")

INTERVAL_S = 1.0
COUNTER = "overgrow_webhook_total"
MAX_A_STEP = 20  # events sent one after the other, before changes are looked for again
LIMIT_S = 15.0  # of one attempt; the connection is closed then


class _SendingCall(NamedTuple):
    """A call that sends one event.

    After LIMIT_S its connection is closed, but the call may still run until it notices.
    """

    event: WebhookEvent
    call: asyncio.Future[Delivery]


def build_sender(settings: Settings) -> WebhookSender | None:
    """Return the sender to the webhook that the settings name; None if they name none."""
    if settings.webhook_url is None:
        return None
    agent = f"overgrow/{version('overgrow')}"
    return WebhookSender(settings.webhook_url, settings.webhook_secret, socket.gethostname(), agent)


class WebhookNotifier:
    """The notifications of one worker. `is_speaker` says whether this worker sends for all workers in `living`."""

    def __init__(  # noqa: PLR0913, PLR0917 - what one worker lends it
        self,
        state: Path,
        sender: WebhookSender,
        read_board: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]],
        is_speaker: Callable[[Sequence[Mapping[str, Any]]], bool],
        metrics: Metrics,
        receiver: ReceiverStatus,
    ) -> None:
        self._state, self._sender = state, sender
        self._read_board, self._is_speaker, self._metrics = read_board, is_speaker, metrics
        self._outbox: Outbox | None = None  # while this worker speaks
        self._files, self._network = FileThread("webhook-file"), FileThread("webhook")
        self._attempt: _SendingCall | None = None
        self._receiver = receiver
        self._began_s = 0.0

    async def run(self, began_s: float) -> None:
        """Every second, find changes and send events, until cancelled.

        `began_s` is the unix time at which the front door started.
        """
        self._began_s = began_s
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.step()
            except OSError as error:
                logger.debug("the webhook's file cannot be read or written: %s", error)
            except Exception:
                logger.exception("a change could not be told to the webhook; the next look follows")

    async def step(self) -> None:
        """Find changes once. If an event is due, try to send it."""
        living = await self._read_board()
        if not self._is_speaker(living):
            self._outbox = None  # whoever speaks now reads the file
            return
        outbox = await self._collect_events(living)
        for _ in range(MAX_A_STEP):
            event = outbox.due(time.time())
            if event is None or not await self._try_to_send(outbox, event):
                return

    async def _collect_events(self, living: Sequence[Mapping[str, Any]]) -> Outbox:
        """Add an event to the outbox for each change, and write the outbox to its file. Return the outbox."""
        if self._outbox is None:
            self._outbox = await self._files.call(Outbox.read, self._state)
        outbox = self._outbox
        history = await self._files.call(read_changed_history, self._state)
        state = FrontDoorState(living, history.entries, utc_now(), self._began_s)
        events, known = find_events(outbox.known, state)
        dropped = outbox.add(events, time.time())
        for _ in range(dropped):
            self._metrics.add(COUNTER, "dropped")
        if events or dropped or known != outbox.known:
            outbox.known = known
            await self._files.call(outbox.write, self._state)
        return outbox

    async def _try_to_send(self, outbox: Outbox, event: WebhookEvent) -> bool:
        """Send an event; return whether the receiver took an event.

        If an earlier call still sends another event, wait for that call instead, and return its result.
        """
        if self._attempt is None:
            call = self._network.call(self._sender.send, event, time.time())
            self._attempt = _SendingCall(event, asyncio.ensure_future(call))
        attempt = self._attempt
        done, _ = await asyncio.wait({attempt.call}, timeout=LIMIT_S)
        if done:
            self._attempt = None
            delivery = attempt.call.result()
        else:  # the next attempt begins when this one has ended
            self._sender.close()
            delivery = Delivery("retry", "no answer in time")
        await self._note_delivery(outbox, attempt.event, delivery)
        return delivery.outcome == "sent"

    async def _note_delivery(self, outbox: Outbox, event: WebhookEvent, found: Delivery) -> None:
        self._metrics.add(COUNTER, found.outcome)
        if found.outcome == "retry":
            outbox.postpone(time.time(), found.wait_s)
        else:
            outbox.remove(event)
            await self._files.call(outbox.write, self._state)
        if found.outcome == "sent":
            self._receiver.note_success()
        else:
            self._receiver.note_failure(found.why)
