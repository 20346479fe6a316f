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
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from overgrow.tracing.request_trace import NEXT_TRACE_ID

_RATIO_SAMPLERS = ("parentbased_traceidratio", "traceidratio")
FLUSH_S = 5.0  # at the end of a worker; the worker ends earlier if its grace time is over
# These log each failed attempt; the receiver's status has one line per change instead.
_NOISY = (
    "opentelemetry.exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
)


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

    def note(self, signal: str, *, is_sent: bool, why: str = "it did not take them") -> None:
        """Note the outcome of one export."""
        if not is_sent:
            self._failing.add(signal)
            self._report.note_failure(f"{signal}: {why}")
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
            exporter = WatchedSpanExporter(self.load_exporter("traces", name), watch)
            provider.add_span_processor(BatchSpanProcessor(exporter))
        self._provider = provider
        trace.set_tracer_provider(provider)
        return provider

    def load_exporter(self, signal: str, name: str) -> Any:
        """Return the exporter with a name of the specification, such as `otlp`.

        Raises:
            TelemetryError: it is not installed, or it refuses its settings.

        """
        known = _otlp_name(signal, self._environ) if name == "otlp" else name
        found = entry_points(group=f"opentelemetry_{signal}_exporter", name=known)
        if not found:
            variable = f"OTEL_{signal.upper()}_EXPORTER"
            raise TelemetryError(
                f"{variable} names {name}, and no package here has the exporter {known}. "
                "Install the package that has it, or write otlp or none."
            )
        try:
            return next(iter(found)).load()()
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
        for thread in threads:
            thread.join(FLUSH_S)


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


def _otlp_name(signal: str, environ: Mapping[str, str]) -> str:
    """Return the exporter of the protocol that the variables name; http/protobuf by default."""
    protocol = (
        environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
        or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    return "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
