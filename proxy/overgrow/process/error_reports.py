"""Error reports to Sentry: off, or a wrapper around the migrated side and a client that each worker starts.

Rule: without SENTRY_DSN the SDK is not imported, and nothing is wrapped. A worker whose SDK is missing or refuses the
address serves without reports, and logs why.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from typing import Protocol

from flask import got_request_exception

from overgrow.exchange import Server
from overgrow.files.thread import FileThread
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision
from overgrow.settings import SETTINGS, Settings
from overgrow.telemetry.receivers import Receivers

CLOSE_S = 2.0  # for the SDK to send what waits, a little more than it takes
NOT_INSTALLED = "sentry-sdk is not installed: pip install 'overgrow[sentry]'"
NO_ADDRESS = "SENTRY_DSN is not the address of a project: copy it again"


class ErrorReports(Protocol):
    """The functions of error reports that the composition root needs."""

    def wrap(self, server: Server, *, is_copy: bool = False) -> Server:
        """Return the migrated side's Server, with reports around it."""
        ...

    def open(self, receivers: Receivers) -> None:
        """Start to report, once for each worker, after the fork; note if that is impossible."""
        ...

    @property
    def note_call(self) -> Callable[[Head, Decision], None] | None:
        """The function that the WSGI mount calls in the thread of each migrated request; None if nothing is reported."""
        ...

    async def aclose(self) -> None:
        """Send the waiting reports, for a bounded time."""
        ...


class NoReports:
    """Reports nothing. If `why` is not empty, the log says it once."""

    def __init__(self, why: str = "") -> None:
        self._why = why

    def wrap(self, server: Server, *, is_copy: bool = False) -> Server:  # noqa: ARG002 - as the protocol has it
        """Return the same Server."""
        return server

    def open(self, receivers: Receivers) -> None:
        """If somebody wanted reports, note why there are none."""
        if self._why:
            receivers.status_of("sentry").note_failure(self._why)

    @property
    def note_call(self) -> None:
        """Return None: nothing needs to know the request."""
        return

    async def aclose(self) -> None:
        """Do nothing."""


class SentryReports:
    """Errors of the migrated side go to Sentry."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        from overgrow.telemetry.sentry.reporting_server import (  # noqa: PLC0415 - only if it is on
            TransactionSampling,
        )

        self._settings, self._dsn = settings, dsn
        self._sampling = TransactionSampling(settings.sentry_sample_rate)
        self._thread = FileThread("sentry-close")
        self._is_open = False

    def wrap(self, server: Server, *, is_copy: bool = False) -> Server:
        """Return a Server in which each request has a scope of its own."""
        from overgrow.telemetry.sentry.reporting_server import (  # noqa: PLC0415 - only if it is on
            ReportingServer,
        )

        return ReportingServer(server, self._sampling, is_copy=is_copy)

    def open(self, receivers: Receivers) -> None:
        """Start the SDK, and listen to Flask's errors."""
        from overgrow.telemetry.sentry import client  # noqa: PLC0415 - only if it is on

        status, secrets = receivers.status_of("sentry"), _own_secrets(self._settings)
        try:
            is_apps = client.start_sentry(self._dsn, status, secrets)
        except ValueError:  # its text has the address
            status.note_failure(NO_ADDRESS)
            return
        self._is_open = True
        got_request_exception.connect(client.capture_view_error)
        if is_apps:
            self._sampling.share = None

    @property
    def note_call(self) -> Callable[[Head, Decision], None]:
        """Return the function that gives what a thread reports from now on the name and the tags of a request."""
        from overgrow.telemetry.sentry.reported_request import (  # noqa: PLC0415 - only if it is on
            note_call,
        )

        return note_call

    async def aclose(self) -> None:
        """Send the waiting reports, for at most CLOSE_S. If the SDK hangs, do not wait any longer."""
        from overgrow.telemetry.sentry import client  # noqa: PLC0415 - only if it is on

        if self._is_open:
            self._is_open = False
            closing = asyncio.ensure_future(self._thread.call(client.close_sentry))
            await asyncio.wait({closing}, timeout=CLOSE_S)


def build_error_reports(settings: Settings) -> ErrorReports:
    """Return the reports that the settings ask for."""
    if settings.sentry_dsn is None:
        return NoReports()
    if importlib.util.find_spec("sentry_sdk") is None:
        return NoReports(NOT_INSTALLED)
    return SentryReports(settings, settings.sentry_dsn)


def _own_secrets(settings: Settings) -> list[str]:
    """Return the secrets among the settings. No report may contain them."""
    values = (getattr(settings, each.name) for each in SETTINGS if each.is_secret)
    return [each for each in values if each]
