"""Whether the app tried to write while it served a copy of a safe request.

A copy must change nothing. The team's app makes its transaction read-only if the environ says so, and reports here when
the database refuses a write: such a view writes on GET, and its response to a copy proves nothing. The report finds
its copy through the context in which the app runs, which is a copy of that of the task that sends the copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

from overgrow.http import SAFE_METHODS


class WriteAttempts:
    """Whether one was reported while one copy was served."""

    __slots__ = ("was_reported",)

    def __init__(self) -> None:
        self.was_reported = False

    def report(self) -> None:
        """Note an attempt to write; `overgrow.wrote` in the environ of a copy."""
        self.was_reported = True


_CURRENT: ContextVar[WriteAttempts | None] = ContextVar("overgrow_write_attempts", default=None)


def watch_for_writes() -> WriteAttempts:
    """Return the attempts to write that are reported from now on in the current context, the task's own."""
    attempts = WriteAttempts()
    _CURRENT.set(attempts)  # never reset: a task that ends unfinished ends in another context
    return attempts


def mark_shadow_requests(
    wsgi_app: Callable[..., Iterable[bytes]],
) -> Callable[..., Iterable[bytes]]:
    """Return the app with the marks of a copy in each environ; use it only for the pool that serves copies.

    A copy of an unsafe request, which a route has to ask for, may write: only copies of safe ones are read-only.
    """

    def call_with_mark(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["HTTP_X_OVERGROW_SHADOW"] = "1"
        if environ["REQUEST_METHOD"] in SAFE_METHODS:
            environ["overgrow.shadow"] = True
            if (attempts := _CURRENT.get()) is not None:
                environ["overgrow.wrote"] = attempts.report
        return wsgi_app(environ, start_response)

    return call_with_mark
