"""How a thread of the app wakes what waits on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

LOG = logging.getLogger("overgrow.local")


def call_on_loop(loop: asyncio.AbstractEventLoop, act: Callable[..., Any], *arguments: Any) -> None:
    """Have the loop act; a loop that is closed has nobody left to tell."""
    try:
        loop.call_soon_threadsafe(act, *arguments)
    except RuntimeError:
        LOG.debug("the event loop closed before a migrated call returned")


def release_waiter(waiter: asyncio.Future[None]) -> None:
    """End a wait, once."""
    if not waiter.done():
        waiter.set_result(None)
