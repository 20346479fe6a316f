"""Sends one request to the legacy app. The result is shown after a first table has been written.

Rule: a mistyped address is the most common mistake, so it is reported at once. A missing answer does not stop
the command, because legacy may be down for a moment. The wait is bounded, whatever legacy sends.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from overgrow.cli.admin_client import UnixConnection

LIMIT_S = 3.0
LATE = "no answer in time"


class LegacyAnswer(NamedTuple):
    """The head of the response to GET /. If there was no response, `error` says why."""

    status: int | None = None
    reason: str = ""
    server: str | None = None
    content_type: str | None = None
    location: str | None = None
    error: str | None = None

    def __str__(self) -> str:
        """Return the response in a few words, as in `200 OK, text/html, from nginx`."""
        if self.error is not None:
            return self.error
        kind = (self.content_type or "").partition(";")[0].strip()
        source = f"from {self.server}" if self.server else ""
        target = f"to {self.location}" if self.location else ""
        status = f"{self.status} {self.reason}".rstrip()
        return ", ".join(filter(None, [status, target, kind, source]))

    def as_json(self) -> dict[str, Any]:
        """Return the response as --json prints it."""
        return {"status": self.status, "server": self.server, "error": self.error}


def ask_legacy(url: str, limit_s: float = LIMIT_S) -> LegacyAnswer:
    """Send one GET / to a valid address of legacy, and read the head of the response."""
    connection = _connection_to(url, limit_s)
    is_over = threading.Event()  # set before the connection breaks, as Timer.finished is not
    timer = threading.Timer(limit_s, _break_off, (connection, is_over))
    timer.daemon = True
    timer.start()
    try:
        connection.request("GET", "/", headers={"Accept": "*/*", "Connection": "close"})
        answer = _head_of(connection.getresponse())
        return LegacyAnswer(error=LATE) if is_over.is_set() else answer
    except (OSError, http.client.HTTPException) as error:
        return LegacyAnswer(error=_reason(error, is_over=is_over.is_set()))
    finally:
        timer.cancel()
        connection.close()


def _connection_to(url: str, limit_s: float) -> http.client.HTTPConnection:
    if url.startswith("unix:"):
        return UnixConnection(url.removeprefix("unix:"), limit_s)
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=limit_s)
    return http.client.HTTPConnection(host, parts.port, timeout=limit_s)


def _break_off(connection: http.client.HTTPConnection, is_over: threading.Event) -> None:
    """Close the connection when the time is up.

    The socket's own timeout is not enough, because each byte that legacy sends would start it again.
    """
    is_over.set()
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _head_of(response: http.client.HTTPResponse) -> LegacyAnswer:
    named = response.headers
    return LegacyAnswer(
        response.status,
        response.reason,
        named["Server"],
        named["Content-Type"],
        named["Location"],
    )


def _reason(error: Exception, *, is_over: bool) -> str:
    if is_over or isinstance(error, TimeoutError):
        return LATE
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}); name its CA in legacy.tls_ca"
        )
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS there; write http:// if it should not"
    if isinstance(error, http.client.LineTooLong) or "got more than" in str(error):
        return "the head of its response is too long to be shown"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        return "what answers there does not speak HTTP"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
