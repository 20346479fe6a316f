"""The timeouts of one request, as values in seconds; None means no limit. Pure.

There is no total timeout: each timeout covers one wait for the upstream, never the client's own pace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """The waits of one request. Make one per route and reuse it.

    `connect_s` limits dialling, including TLS. `pool_s` limits the wait for a free connection; None means the
    same as `connect_s`. `response_s` limits the time from the last byte of the request to the response head.
    `idle_s` limits a pause between two bytes in either direction; `stream_idle_s` replaces it if the response
    is text/event-stream.
    """

    connect_s: float | None = 2.0
    response_s: float | None = 30.0
    idle_s: float | None = 100.0
    stream_idle_s: float | None = 3600.0
    pool_s: float | None = None

    @property
    def queue_s(self) -> float | None:
        """The longest wait for a free connection."""
        return self.connect_s if self.pool_s is None else self.pool_s


DEFAULT_TIMEOUTS = UpstreamTimeouts()


def timeouts_of(extensions: Mapping[str, Any]) -> UpstreamTimeouts:
    """Return the timeouts of a request: from our extension, else from httpx's extension, else the defaults."""
    ours = extensions.get("overgrow")
    if ours is not None:
        return ours  # type: ignore[no-any-return]
    timeout = extensions.get("timeout")
    return DEFAULT_TIMEOUTS if timeout is None else _timeouts_from_httpx(timeout)


def _timeouts_from_httpx(timeout: Mapping[str, float | None]) -> UpstreamTimeouts:
    """Translate httpx's four timeouts: `read` stands for the wait for the response's head and for pauses in its body."""
    read_s = timeout.get("read")
    return UpstreamTimeouts(
        connect_s=timeout.get("connect"),
        response_s=read_s,
        idle_s=read_s,
        stream_idle_s=read_s,
        pool_s=timeout.get("pool"),
    )
