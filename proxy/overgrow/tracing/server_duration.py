"""The metric `http.server.request.duration`, if OTEL_METRICS_EXPORTER asks for it.

Rule: its attributes have few values each, whatever clients send; its buckets are those of the conventions.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)

from overgrow.exchange import Exchange
from overgrow.tracing.attributes import SCHEMA_URL, metric_attributes, template_of
from overgrow.tracing.request_trace import CURRENT, Tracing
from overgrow.tracing.sdk import ExportWatch, TelemetrySdk, build_resource, exporter_names

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class WatchedMetricExporter(MetricExporter):
    """An exporter of metrics that reports the outcome of each export. It never raises."""

    def __init__(self, exporter: MetricExporter, watch: ExportWatch) -> None:
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,  # noqa: SLF001 - as the SDK's own wrappers
            preferred_aggregation=exporter._preferred_aggregation,  # noqa: SLF001
        )
        self._exporter = exporter
        self._watch = watch

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object
    ) -> MetricExportResult:
        """Send metrics. This blocks only the thread of the reader."""
        try:
            result = self._exporter.export(metrics_data, timeout_millis=timeout_millis, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises, the next export follows
            self._watch.note("metrics", is_sent=False, why=type(error).__name__)
            return MetricExportResult.FAILURE
        self._watch.note("metrics", is_sent=result is MetricExportResult.SUCCESS)
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Send the metrics that the exporter itself keeps."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """End the exporter."""
        self._exporter.shutdown(timeout_millis=timeout_millis, **kwargs)


class ServerDurations:
    """A Sink: The histogram of one process."""

    def __init__(self, provider: MeterProvider, tracing: Tracing, version: str) -> None:
        self._tracing = tracing
        meter = provider.get_meter("overgrow", version, SCHEMA_URL)
        self._histogram = meter.create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=BUCKETS_S,
        )

    def record(self, exchange: Exchange) -> None:
        """Count one exchange; if it is sampled, it may become an exemplar of its bucket."""
        trace = CURRENT.get()
        context = None if trace is None else trace.context
        template = template_of(exchange, self._tracing.rule_of)
        attributes = metric_attributes(exchange, self._tracing.known_methods, template)
        self._histogram.record(exchange.duration_s, attributes, context)


def start_durations(
    sdk: TelemetrySdk,
    watch: ExportWatch,
    environ: Mapping[str, str],
    tracing: Tracing,
    version: str,
) -> ServerDurations | None:
    """Start to export the metric. None if no variable asks for the metric."""
    names = exporter_names(environ, "OTEL_METRICS_EXPORTER", "none")
    if not names:
        return None
    readers = [
        PeriodicExportingMetricReader(
            WatchedMetricExporter(sdk.load_exporter("metrics", name, watch), watch)
        )
        for name in names
    ]
    provider = MeterProvider(readers, build_resource(environ), shutdown_on_exit=False)
    sdk.add_provider(provider)
    return ServerDurations(provider, tracing, version)
