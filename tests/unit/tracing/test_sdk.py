from __future__ import annotations

import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from overgrow.tracing import sdk as sdk_module
from overgrow.tracing.request_trace import NEXT_TRACE_ID
from overgrow.tracing.sdk import (
    DrawnIds,
    ExportWatch,
    TelemetryError,
    TelemetrySdk,
    WatchedSpanExporter,
    build_resource,
)


class Report:
    """Hears of each export."""

    def __init__(self):
        self.heard = []

    def note_success(self):
        self.heard.append("sent")

    def note_failure(self, why):
        self.heard.append(why)


class Exporter(SpanExporter):
    """Ends each export as it is told."""

    def __init__(self, *ends):
        self._ends = iter(ends)

    def export(self, _spans):
        end = next(self._ends)
        if isinstance(end, Exception):
            raise end
        return end


def test_each_export_is_reported_without_the_text_of_an_error():
    report = Report()
    ends = (SpanExportResult.SUCCESS, SpanExportResult.FAILURE, OSError("http://user:key@host"))
    exporter = WatchedSpanExporter(Exporter(*ends), ExportWatch(report))
    results = [exporter.export([]) for _ in range(3)]

    assert [SpanExportResult.SUCCESS, SpanExportResult.FAILURE, SpanExportResult.FAILURE] == results
    assert ["sent", "traces: it did not take them", "traces: OSError"] == report.heard


def test_the_collector_works_again_when_no_signal_fails():
    report = Report()
    watch = ExportWatch(report)
    for signal, is_sent in [("traces", False), ("metrics", True), ("traces", True)]:
        watch.note(signal, is_sent=is_sent)

    assert ["traces: it did not take them", "sent"] == report.heard


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        pytest.param({}, "overgrow", id="default"),
        pytest.param({"OTEL_SERVICE_NAME": "shop"}, "shop", id="by its variable"),
        pytest.param({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop"}, "shop", id="by attributes"),
    ],
)
def test_the_service_has_the_name_of_the_variables(monkeypatch, environ, name):
    for key, value in environ.items():
        monkeypatch.setenv(key, value)

    assert name == build_resource(environ).attributes["service.name"]


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        pytest.param({}, "pigeon", id="an exporter"),
        pytest.param({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "otlp_proto_grpc", id="a protocol"),
    ],
)
def test_an_exporter_that_is_not_installed_is_told_by_name(environ, missing):
    name = "otlp" if environ else missing

    with pytest.raises(TelemetryError, match=f"has the exporter {missing}. Install"):
        TelemetrySdk(environ).load_exporter("traces", name, ExportWatch(Report()))


RATIOS = [
    pytest.param({}, None, id="always on"),
    pytest.param({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, None, id="no ratio"),
    pytest.param({"OTEL_TRACES_SAMPLER": "traceidratio"}, None, id="without a ratio"),
    pytest.param({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"}, None, id="no number"),
    pytest.param({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, None, id="no share"),
    pytest.param({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, 0, id="nothing"),
    pytest.param({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, 1 << 63, id="half"),
]  # fmt: skip


@pytest.mark.parametrize(("environ", "bound"), RATIOS)
def test_the_bound_is_known_for_samplers_by_ratio_alone(environ, bound):
    sdk = TelemetrySdk(environ)
    sdk._provider = TracerProvider(shutdown_on_exit=False)

    assert bound == sdk.unsampled_from


def test_the_bound_is_not_known_of_a_provider_that_is_not_ours():
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}

    assert TelemetrySdk(environ).unsampled_from is None


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0])
def test_the_bound_decides_as_the_sampler_of_the_sdk(ratio):
    bound, sampler = TraceIdRatioBased.get_bound_for_rate(ratio), TraceIdRatioBased(ratio)
    ids = [RandomIdGenerator().generate_trace_id() for _ in range(300)]

    decided = [sampler.should_sample(None, each, "").decision.is_sampled() for each in ids]
    assert decided == [each & ((1 << 64) - 1) < bound for each in ids]


def test_a_trace_gets_the_id_that_was_drawn_for_it():
    token = NEXT_TRACE_ID.set(7)
    drawn = DrawnIds().generate_trace_id()
    NEXT_TRACE_ID.reset(token)

    assert (7, True) == (drawn, DrawnIds().generate_trace_id() != 7)


def test_the_provider_of_the_app_gets_our_spans_and_is_flushed(monkeypatch):
    flushed = threading.Event()

    class Own(TracerProvider):
        def force_flush(self, _timeout_millis=30_000):
            flushed.set()
            return True

    own = Own(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: own)
    sdk = TelemetrySdk({})

    assert own is sdk.start(ExportWatch(Report()))
    sdk.stop()
    assert flushed.is_set()


def test_the_end_waits_for_no_collector(monkeypatch):
    monkeypatch.setattr(sdk_module, "FLUSH_S", 0.05)
    held, asked = threading.Event(), threading.Event()

    class Held:
        def shutdown(self):
            asked.set()
            held.wait(60)

    sdk = TelemetrySdk({})
    sdk.add_provider(Held())
    sdk.stop()

    assert asked.is_set()
    held.set()


def test_all_signals_together_have_one_time_to_send_what_waits(monkeypatch):
    waits = []

    class Waiting(threading.Thread):
        def join(self, timeout=None):
            waits.append(timeout)
            super().join()  # the providers end at once; only what was asked for counts

    class Provider:
        def shutdown(self):
            pass

    class Clock:
        times = iter((100.0, 101.0, 107.0))  # the first signal used it all up

        @classmethod
        def monotonic(cls):
            return next(cls.times)

    monkeypatch.setattr(sdk_module, "time", Clock)
    monkeypatch.setattr(sdk_module.threading, "Thread", Waiting)
    sdk = TelemetrySdk({})
    sdk.add_provider(Provider())
    sdk.add_provider(Provider())
    sdk.stop()

    assert [4.0, 0.0] == waits
