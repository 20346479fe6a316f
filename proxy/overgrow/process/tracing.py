"""OpenTelemetry in one process: wrappers that the composition root puts around its parts if OVERGROW_OTEL is set.

Rule: without the setting OpenTelemetry is not imported, and parts have no wrappers. Threads start in `start`,
after the fork.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Protocol

from flask import Flask

from overgrow.app_loader.url_rules import find_rule
from overgrow.exchange import Exchange, Server, Sink
from overgrow.forwarding.client.transport import LegacyTransport
from overgrow.forwarding.traced_transport import AttemptTracer, TracedTransport
from overgrow.path.frontdoor import Collaborators, FrontDoor, TableSource
from overgrow.path.traced_frontdoor import TracedFrontDoor
from overgrow.routing.facts import Head, path_of
from overgrow.routing.model import Legacy, Side
from overgrow.settings import SettingError, Settings
from overgrow.shadow.mirror import CopyTraces
from overgrow.shadow.redact.query import redact_query
from overgrow.telemetry.receivers import Receivers

logger = logging.getLogger("overgrow")


class Telemetry(Protocol):
    """The interface by which the composition root gets its wrappers.

    One class makes wrappers, another one makes none.
    """

    def build_front_door(self, tables: TableSource, collaborators: Collaborators) -> FrontDoor:
        """Return the front door."""
        ...

    def attempt_tracer(self, legacy: Legacy) -> AttemptTracer | None:
        """Return an object that traces attempts to reach this legacy app."""
        ...

    def wrap_migrated(self, server: Server) -> Server:
        """Return the migrated side."""
        ...

    def wrap_copy(self, server: Server, side: Side) -> Server:
        """Return a side as the mirror asks it."""
        ...

    @property
    def mount_tracer(self) -> Any:
        """An object that traces the calls that the WSGI mount makes itself; None without tracing."""
        ...

    @property
    def sinks(self) -> Sequence[Sink]:
        """What takes each exchange, sampled or not, once it has started."""
        ...

    @property
    def copy_traces(self) -> CopyTraces | None:
        """An object that relates copies to the requests that they copy; None without tracing."""
        ...

    def start(self, receivers: Receivers, note_sampled: Callable[[Exchange], object]) -> None:
        """Start to export, and report each attempt; `note_sampled` takes each exchange that is sampled."""
        ...

    async def stop(self) -> None:
        """Send what waits."""
        ...


class NoTelemetry:
    """No wrapper anywhere."""

    mount_tracer = None
    copy_traces = None
    sinks: Sequence[Sink] = ()

    def build_front_door(self, tables: TableSource, collaborators: Collaborators) -> FrontDoor:
        """Return the plain front door."""
        return FrontDoor(tables, collaborators)

    def attempt_tracer(self, _legacy: Legacy) -> None:
        """Return nothing."""

    def wrap_migrated(self, server: Server) -> Server:
        """Return the server."""
        return server

    def wrap_copy(self, server: Server, _side: Side) -> Server:
        """Return the server."""
        return server

    def start(self, _receivers: Receivers, _note_sampled: Callable[[Exchange], object]) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""


class OpenTelemetry:
    """The wrappers that make spans, and the SDK that exports them."""

    def __init__(self, environ: Mapping[str, str], flask: Flask | None) -> None:
        try:
            from opentelemetry.propagate import get_global_textmap  # noqa: PLC0415  an extra
        except ValueError as error:
            raise SettingError(f"OTEL_PROPAGATORS cannot be used: {error}") from error

        from overgrow.tracing.propagation import Propagation  # noqa: PLC0415  as above
        from overgrow.tracing.request_trace import Tracing  # noqa: PLC0415  as above
        from overgrow.tracing.sdk import TelemetrySdk, quiet_loggers  # noqa: PLC0415  as above

        quiet_loggers()
        self._environ = environ
        rules = UrlRules(flask)
        self._tracing = Tracing(
            Propagation(get_global_textmap()), redact_query, environ, rules.rule_of
        )
        self._sdk = TelemetrySdk(environ)
        self.sinks: Sequence[Sink] = ()

    def build_front_door(self, tables: TableSource, collaborators: Collaborators) -> FrontDoor:
        """Return a front door whose requests are traced."""
        return TracedFrontDoor(tables, collaborators, self._tracing)

    def attempt_tracer(self, legacy: Legacy) -> AttemptTracer:
        """Return an object that traces attempts to reach this legacy app."""
        from overgrow.tracing.request_trace import LegacyTracer  # noqa: PLC0415  as above

        return LegacyTracer(self._tracing, legacy.url)

    def wrap_migrated(self, server: Server) -> Server:
        """Return the migrated side, which runs in the context of the request."""
        from overgrow.tracing.servers import TracedServer  # noqa: PLC0415  as above

        return TracedServer(server)

    def wrap_copy(self, server: Server, side: Side) -> Server:
        """Return a side whose responses to copies have traces of their own."""
        from overgrow.tracing.servers import TracedCopyServer  # noqa: PLC0415  as above

        return TracedCopyServer(server, side, self._tracing)

    @property
    def mount_tracer(self) -> Any:
        """An object that traces the calls that the WSGI mount makes itself."""
        return self._tracing

    @property
    def copy_traces(self) -> CopyTraces:
        """An object that relates copies to the requests that they copy."""
        from overgrow.tracing.servers import CopiedRequests  # noqa: PLC0415  as above

        return CopiedRequests()

    def start(self, receivers: Receivers, note_sampled: Callable[[Exchange], object]) -> None:
        """Start the SDK. If that fails, log the reason once and go on without traces, or without metrics."""
        from overgrow.tracing.attributes import SCHEMA_URL  # noqa: PLC0415  as above
        from overgrow.tracing.sdk import ExportWatch  # noqa: PLC0415  as above
        from overgrow.tracing.server_duration import start_durations  # noqa: PLC0415  as above

        own, tracing = version("overgrow"), self._tracing
        watch = ExportWatch(receivers.status_of("otel"))
        try:
            tracing.tracer = self._sdk.start(watch).get_tracer("overgrow", own, SCHEMA_URL)
            tracing.note_sampled = note_sampled
            tracing.unsampled_from = self._sdk.unsampled_from
            durations = start_durations(self._sdk, watch, self._environ, tracing, own)
        except Exception as error:  # noqa: BLE001  no wrong variable may keep a worker from serving
            logger.error("telemetry-not-started why=%r", _describe_error(error))  # noqa: TRY400  the text says it all
            return
        self.sinks = () if durations is None else (durations,)

    async def stop(self) -> None:
        """Send the waiting data, within a bounded time."""
        await asyncio.to_thread(self._sdk.stop)


def _describe_error(error: Exception) -> str:
    """Return why the SDK cannot start. Some parts of the SDK raise an error without a text."""
    return str(error) or f"a variable OTEL_* cannot be used ({type(error).__name__})"


class UrlRules:
    """Finds the URL rules of the team's Flask app by which it serves requests."""

    def __init__(self, flask: Flask | None) -> None:
        self._flask = flask

    def rule_of(self, head: Head) -> str | None:
        """Return the rule that serves a request; None if the app has none."""
        path = path_of(head.target)
        if self._flask is None or path is None:
            return None
        return find_rule(self._flask, head.method, path)


def build_telemetry(
    settings: Settings, environ: Mapping[str, str], flask: Flask | None = None
) -> Telemetry:
    """Return the telemetry that the settings ask for.

    Raises:
        SettingError: the extra `otel` is not installed, or a variable that it reads first is wrong.

    """
    if not settings.otel or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return NoTelemetry()
    try:
        return OpenTelemetry(environ, flask)
    except ImportError as error:
        raise SettingError(
            f"OVERGROW_OTEL is set, but the package {error.name} is missing. "
            "Install it with pip install 'overgrow[otel]', or remove the variable."
        ) from error
    except SettingError:
        raise
    except ValueError as error:
        raise SettingError(f"a variable of OpenTelemetry cannot be used: {error}") from error


def traced_transport(
    telemetry: Telemetry, plain: Callable[..., LegacyTransport]
) -> Callable[[Legacy], LegacyTransport]:
    """Return what makes transports to legacy, traced if telemetry is on."""

    def transport_for(legacy: Legacy) -> LegacyTransport:
        tracer = telemetry.attempt_tracer(legacy)
        if tracer is None:
            return plain(legacy)
        return plain(legacy, lambda url, **settings: TracedTransport(url, tracer, **settings))

    return transport_for
