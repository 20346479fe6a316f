"""What holds a backfill up: the machine's load, a query, a file, an HTTP address. Any one of them is enough.

Each throttle is asked at most once in POLL_S, and says why it holds, so that the progress line can show it. A throttle
that cannot be asked holds, too: whoever set it wants to be asked first.
"""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError

from overgrow.data.database import Connection, execute, first_line

POLL_S = 0.5
HTTP_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Throttles:
    """The throttles that somebody set; None for those that nobody set."""

    max_load: float | None = None
    query: str | None = None
    file: Path | None = None
    http: str | None = None

    def checks(self) -> list[Callable[[Connection], str | None]]:
        """Return a check for each throttle that is set."""
        found: list[Callable[[Connection], str | None]] = []
        if self.max_load is not None:
            most = self.max_load
            found.append(lambda _: _load_reason(most))
        if self.file is not None:
            file = self.file
            found.append(lambda _: f"{file} exists" if file.exists() else None)
        if self.query is not None:
            query = self.query
            found.append(lambda connection: _query_reason(connection, query))
        if self.http is not None:
            url = self.http
            found.append(lambda _: _http_reason(url))
        return found


class ThrottleGate:
    """Asks the throttles, at most once in POLL_S."""

    def __init__(
        self,
        checks: Sequence[Callable[[Connection], str | None]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks, self._now = checks, now
        self._asked_s = float("-inf")
        self._reason: str | None = None

    def __call__(self, connection: Connection) -> str | None:
        """Return why to wait; None if nothing holds the backfill up."""
        if self._now() - self._asked_s >= POLL_S:
            self._asked_s = self._now()
            reasons = (check(connection) for check in self._checks)
            self._reason = next((reason for reason in reasons if reason), None)
        return self._reason


def _load_reason(most: float) -> str | None:
    load = os.getloadavg()[0]
    return f"the load is {load:.1f}, above {most:g}" if load > most else None


def _query_reason(connection: Connection, query: str) -> str | None:
    point = connection.begin_nested()
    try:
        value = execute(connection, query).scalar()
    except DBAPIError as error:
        return f"the throttle query failed: {first_line(error)}"
    finally:
        point.rollback()
    return f"the throttle query gave {value}" if value else None


def _http_reason(url: str) -> str | None:
    """Return why to wait, from the status of a HEAD request; only 200 lets the backfill go on."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    client = kind(parts.netloc, timeout=HTTP_TIMEOUT_S)
    try:
        client.request("HEAD", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}")
        status = client.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{parts.netloc} does not answer ({type(error).__name__})"
    finally:
        client.close()
    return None if status == http.client.OK else f"{parts.netloc} answered {status}"
