"""Ends the requests of the slowest clients when other requests wait for their threads or connections."""

from __future__ import annotations

from collections.abc import Iterable

from overgrow.connection_login import ClientConnection


def end_slowest(clients: Iterable[ClientConnection | None], max_count: int) -> int:
    """End the requests of the slowest clients, at most `max_count`. Return how many requests were ended."""
    found = [(client.rate_if_too_slow, client) for client in clients if client is not None]
    slow = [(rate, client) for rate, client in found if rate is not None]
    slow.sort(key=lambda each: each[0])
    for _, client in slow[:max_count]:
        client.end_slow_request()
    return len(slow[:max_count])
