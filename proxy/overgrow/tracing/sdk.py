"""The SDK of OpenTelemetry in one worker: started after the fork, flushed within a bounded time at its end.

The OTEL_* variables of the specification configure it. Rule: no request waits for a collector. Spans wait in a
bounded queue, and a thread sends them. Spans that do not fit, or that a collector refuses, are lost. Each
export is reported, so that the front door can log when the collector begins to fail. The SDK's own log line for
each attempt is switched off.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import entry_points
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.util.re import parse_env_headers

from overgrow.tracing.collector_session import CollectorSession
from overgrow.tracing.request_trace import NEXT_TRACE_ID

_RATIO_SAMPLERS = ("parentbased_traceidratio", "traceidratio")
FLUSH_S = 5.0  # at the end of a worker; the worker ends earlier if its grace time is over
# These log each failed attempt; the receiver's status has one line per change instead.
_NOISY = (
    "opentelemetry.exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
)
# These log what a client sent in its headers of a context, once for each request, and the keys in OTEL_*_HEADERS.
_TALKATIVE = (
    "opentelemetry.baggage",
    "opentelemetry.propagators",
    "opentelemetry.trace.propagation",
    "opentelemetry.trace.span",
    "opentelemetry.util.re",
)
_NOT_TAKEN = "it did not take them"
_PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


class TelemetryError(Exception):
    """The SDK cannot be started. The text has the reason and the fix."""


class ReceiverReport(Protocol):
    """A receiver of the outcome of each attempt to send something to the collector."""

    def note_success(self) -> None:
        """Note that the collector took what it was sent."""
        ...

    def note_failure(self, why: str) -> None:
        """Note a failed attempt. `why` contains no address and no answer of the collector."""
        ...


class ExportWatch:
    """Reports the exports of all signals. The collector counts as working again when all signals succeed."""

    def __init__(self, report: ReceiverReport) -> None:
        self._report = report
        self._failing: set[str] = set()
        self._explained: dict[str, str] = {}  # signal: why its last attempt failed

    def explain_failure(self, signal: str, why: str) -> None:
        """Remember why an attempt failed. If the export fails too, this is its reason."""
        self._explained[signal] = why

    def note(self, signal: str, *, is_sent: bool, why: str = _NOT_TAKEN) -> None:
        """Note the outcome of one export."""
        explained = self._explained.pop(signal, why)
        if not is_sent:
            self._failing.add(signal)
            self._report.note_failure(f"{signal}: {explained}")
            return
        self._failing.discard(signal)
        if not self._failing:
            self._report.note_success()


class WatchedSpanExporter(SpanExporter):
    """An exporter of spans that reports the outcome of each export. It never raises."""

    def __init__(self, exporter: SpanExporter, watch: ExportWatch) -> None:
        self._exporter = exporter
        self._watch = watch

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans. This blocks only the thread of the queue."""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises, spans are lost
            self._watch.note("traces", is_sent=False, why=type(error).__name__)
            return SpanExportResult.FAILURE
        self._watch.note("traces", is_sent=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send the spans that the exporter itself keeps."""
        return self._exporter.force_flush(timeout_millis)


class DrawnIds(RandomIdGenerator):
    """Ids of traces: the one that was drawn before the sampler was asked, else a random one."""

    def generate_trace_id(self) -> int:
        """Return a new id."""
        return NEXT_TRACE_ID.get() or super().generate_trace_id()


class TelemetrySdk:
    """The providers of one process. If the team's app has set its own provider, this provider gets our spans."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._provider: TracerProvider | None = None
        self._others: list[Any] = []  # providers of other signals
        self._flush_foreign: Callable[[], object] | None = (
            None  # of a provider that the team's app set
        )

    @property
    def unsampled_from(self) -> int | None:
        """From which lower half of a trace id on our sampler drops a trace; None if it decides by more than the id."""
        sampler = self._environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
        if self._provider is None or sampler not in _RATIO_SAMPLERS:
            return None
        try:
            rate = float(self._environ.get("OTEL_TRACES_SAMPLER_ARG", ""))
        except ValueError:
            return None  # the SDK has logged it, and samples all
        return TraceIdRatioBased.get_bound_for_rate(rate) if 0 <= rate <= 1 else None

    def start(self, watch: ExportWatch) -> trace.TracerProvider:
        """Return the provider of the process. If there is none, start our own.

        Raises:
            TelemetryError: an exporter is unknown or cannot be made.

        """
        present = trace.get_tracer_provider()
        if not isinstance(present, trace.ProxyTracerProvider):
            self._flush_foreign = getattr(present, "force_flush", None)
            return present
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        provider = TracerProvider(
            resource=build_resource(self._environ),
            id_generator=DrawnIds(),
            shutdown_on_exit=False,
        )
        for name in exporter_names(self._environ, "OTEL_TRACES_EXPORTER", "otlp"):
            exporter = WatchedSpanExporter(self.load_exporter("traces", name, watch), watch)
            provider.add_span_processor(_build_queue(exporter))
        self._provider = provider
        trace.set_tracer_provider(provider)
        return provider

    def load_exporter(self, signal: str, name: str, watch: ExportWatch) -> Any:
        """Return the exporter with a name of the specification, such as `otlp`.

        Raises:
            TelemetryError: it is not installed, or its settings are wrong.

        """
        _check_headers(signal, self._environ)
        known = _otlp_name(signal, self._environ) if name == "otlp" else name
        found = entry_points(group=f"opentelemetry_{signal}_exporter", name=known)
        if not found:
            variable = f"OTEL_{signal.upper()}_EXPORTER"
            raise TelemetryError(
                f"{variable} names {name}, and no package here has the exporter {known}. "
                "Install the package that has it, or write otlp or none."
            )
        try:
            build = next(iter(found)).load()
            if known == _PROTOCOLS["http/protobuf"] and not _has_own_session(self._environ):
                return build(session=CollectorSession(partial(watch.explain_failure, signal)))
            return build()
        except Exception as error:
            raise TelemetryError(f"the exporter {known} cannot be made: {error}") from error

    def add_provider(self, provider: Any) -> None:
        """Add a provider that is shut down at the end, too."""
        self._others.append(provider)

    def stop(self) -> None:
        """Send the waiting data within FLUSH_S. What a collector does not take by then is lost."""
        ends = [each.shutdown for each in (self._provider, *self._others) if each is not None]
        ends += [self._flush_foreign] if self._flush_foreign is not None else []
        threads = [
            threading.Thread(target=end, name="telemetry-flush", daemon=True) for end in ends
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + FLUSH_S  # of all together
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def build_resource(environ: Mapping[str, str]) -> Resource:
    """Return the resource of all spans. If no variable names the service, it is called `overgrow`."""
    named = environ.get("OTEL_SERVICE_NAME") or f"{SERVICE_NAME}=" in environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create({} if named else {SERVICE_NAME: "overgrow"})


def is_disabled(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether OTEL_SDK_DISABLED switches all telemetry off."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def exporter_names(environ: Mapping[str, str], variable: str, default: str) -> list[str]:
    """Return the exporters that a variable lists, without `none`."""
    names = [name.strip() for name in (environ.get(variable) or default).split(",")]
    return [name for name in names if name and name != "none"]


def quiet_loggers() -> None:
    """Keep what clients send, and keys, out of the log, whoever provides the SDK."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _build_queue(exporter: SpanExporter) -> BatchSpanProcessor:
    try:
        return BatchSpanProcessor(exporter)
    except ValueError as error:  # its text names an argument of the SDK, and no variable
        raise TelemetryError(f"a variable OTEL_BSP_* cannot be used: {error}") from error


def _otlp_name(signal: str, environ: Mapping[str, str]) -> str:
    """Return the exporter of the protocol that the variables name; http/protobuf by default."""
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"
    variable = own if environ.get(own) else "OTEL_EXPORTER_OTLP_PROTOCOL"
    protocol = (environ.get(variable) or "http/protobuf").strip()
    if protocol not in _PROTOCOLS:
        raise TelemetryError(f"{variable} is {protocol!r}; it must be http/protobuf or grpc.")
    return _PROTOCOLS[protocol]


def _check_headers(signal: str, environ: Mapping[str, str]) -> None:
    """Raise a TelemetryError if a part of OTEL_*_HEADERS is no `name=value`. The SDK would leave it out.

    The error does not repeat the value, because it usually is a key.
    """
    for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"):
        parts = [each for each in environ.get(variable, "").split(",") if each.strip()]
        if not all(parse_env_headers(each, liberal=True) for each in parts):
            raise TelemetryError(
                f"{variable} is no list of name=value, such as api-key=KEY,tenant=shop. "
                "Write a comma, a semicolon or a quote within a value as %2C, %3B or %22."
            )


def _has_own_session(environ: Mapping[str, str]) -> bool:
    """Return whether a variable names a provider of credentials, which brings a session of its own."""
    return any(name.endswith("_CREDENTIAL_PROVIDER") and environ[name] for name in environ)
