"""Maps each exception of httpx to a Failure. The table covers everything that can go wrong with a request to legacy.

A row of the table has type, code, stage and party. The first row whose type fits is used.
"""

from __future__ import annotations

import httpx

from overgrow.exchange import ClientGone, Failure, Party, Stage
from overgrow.forwarding.client.transport import ResponseCut

RETRY_AFTER_S = 1

# Subclasses come before their base classes.
_ROWS: tuple[tuple[type[Exception], str, Stage, Party], ...] = (
    (ClientGone, "client-gone", "send", "client"),
    (httpx.PoolTimeout, "legacy-busy", "queue", "front"),
    (httpx.ConnectTimeout, "legacy-timeout", "connect", "legacy"),
    (httpx.ConnectError, "legacy-connect", "connect", "legacy"),
    (httpx.WriteTimeout, "legacy-timeout", "send", "legacy"),
    (httpx.ReadTimeout, "legacy-timeout", "head", "legacy"),
    (httpx.WriteError, "legacy-closed", "send", "legacy"),
    (httpx.ReadError, "legacy-closed", "head", "legacy"),
    (httpx.CloseError, "legacy-closed", "head", "legacy"),
    (ResponseCut, "legacy-closed", "head", "legacy"),
    (httpx.RemoteProtocolError, "legacy-protocol", "head", "legacy"),
    (httpx.LocalProtocolError, "bad-request", "send", "client"),
    (httpx.UnsupportedProtocol, "legacy-connect", "connect", "front"),
)
FOREIGN: tuple[type[Exception], ...] = (*(row[0] for row in _ROWS), OSError)


def failure_of(error: Exception, *, stage: Stage | None = None) -> Failure:
    """Return the Failure for an exception that a transport raised.

    The stage of the Failure is `stage` if the caller passes one. Otherwise it is the stage that our transport
    noted on the exception, or else the stage in the table's row.
    """
    stage = stage or getattr(error, "stage", None)
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" in str(error):
        # httpcore says this of a connection that closed before any response.
        return Failure("legacy-closed", stage or "head", "legacy", str(error))
    for kind, code, usual, party in _ROWS:
        if isinstance(error, kind):
            retry = RETRY_AFTER_S if code == "legacy-busy" else None
            return Failure(code, stage or usual, party, _describe_error(error), retry)
    return Failure("legacy-connect", stage or "connect", "legacy", _describe_error(error))


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
