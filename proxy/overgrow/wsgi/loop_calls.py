"""Calls from a thread of the app into the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

LOG = logging.getLogger("overgrow.local")


def call_on_loop(loop: asyncio.AbstractEventLoop, act: Callable[..., Any], *arguments: Any) -> None:
    """Call `act` on the event loop; do nothing if the loop is closed."""
    try:
        loop.call_soon_threadsafe(act, *arguments)
    except RuntimeError:
        LOG.debug("the event loop closed before a migrated call returned")


def release_waiter(waiter: asyncio.Future[None]) -> None:
    """Wake whoever awaits the future, unless it is done already."""
    if not waiter.done():
        waiter.set_result(None)
