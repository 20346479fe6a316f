"""Calls functions on the event loop from a thread of the app."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

LOG = logging.getLogger("overgrow.local")


def call_on_loop(loop: asyncio.AbstractEventLoop, act: Callable[..., Any], *arguments: Any) -> None:
    """Call `act` on the event loop. If the loop is closed, do nothing."""
    try:
        loop.call_soon_threadsafe(act, *arguments)
    except RuntimeError:
        LOG.debug("the event loop closed before a migrated call returned")


def release_waiter(waiter: asyncio.Future[None]) -> None:
    """Wake whoever awaits the future. If the future is done already, do nothing."""
    if not waiter.done():
        waiter.set_result(None)
