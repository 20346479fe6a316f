"""OpenTelemetry with hostile headers, and with wrong variables."""

from __future__ import annotations

import logging
import os

import pytest

from overgrow.process.tracing import build_telemetry
from overgrow.settings import SettingError, Settings
from overgrow.telemetry.receivers import Receivers
from overgrow.tracing.sdk import ExportWatch, TelemetryError, TelemetrySdk
from tests.unit.tracing.test_sdk import Report

PARENT = (b"traceparent", b"00-%s-%s-01" % (b"a" * 32, b"b" * 16))
HOSTILE = [
    pytest.param([(b"baggage", b"SECRET")], id="baggage without a value"),
    pytest.param([(b"baggage", b"SECRET" * 2000)], id="long baggage"),
    pytest.param([(b"baggage", b"SECRET=\xe9")], id="baggage beyond ASCII"),
    pytest.param([(b"traceparent", b"SECRET" * 200)], id="long traceparent"),
    pytest.param([PARENT, (b"tracestate", b"SECRET!")], id="tracestate without a value"),
    pytest.param([PARENT, (b"tracestate", b"a=SECRET,a=2")], id="tracestate with a key twice"),
    pytest.param([PARENT, (b"tracestate", b"SECRET" * 2000)], id="long tracestate"),
]


@pytest.fixture
def telemetry():
    return build_telemetry(Settings(otel=True), {})


@pytest.mark.parametrize("headers", HOSTILE)
def test_headers_of_a_context_never_make_a_line_of_the_log(telemetry, caplog, headers):
    with caplog.at_level(logging.DEBUG):
        telemetry.mount_tracer.propagation.read_context(headers)

    assert [] == caplog.records


WRONG = [
    pytest.param("OTEL_EXPORTER_OTLP_HEADERS", "SECRET", id="no name"),
    pytest.param("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b,SECRET", id="no name after a good part"),
    pytest.param("OTEL_EXPORTER_OTLP_HEADERS", 'a="SECRET"', id="quotes"),
]


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_wrong_headers_are_named_without_the_key(telemetry, caplog, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(TelemetryError, match=f"{variable} is no list of name=value") as raised:
        TelemetrySdk(os.environ).load_exporter("traces", "otlp", ExportWatch(Report()))

    assert "SECRET" not in f"{raised.value}{caplog.text}"


@pytest.mark.parametrize("protocol", ["grcp", "http/json"])
def test_a_protocol_that_nobody_speaks_is_refused(protocol):
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol}

    with pytest.raises(TelemetryError, match=f"OTEL_EXPORTER_OTLP_PROTOCOL is '{protocol}'; it"):
        TelemetrySdk(environ).load_exporter("traces", "otlp", ExportWatch(Report()))


def test_a_variable_that_is_wrong_at_import_is_not_taken_for_another(monkeypatch):
    def fail(*_):
        raise ValueError("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be a number")

    monkeypatch.setattr("overgrow.tracing.sdk.TelemetrySdk", fail)

    with pytest.raises(SettingError, match=r"^a variable of OpenTelemetry cannot be used: OTEL_SP"):
        build_telemetry(Settings(otel=True), {})


def test_an_error_without_a_text_keeps_no_worker_from_serving(telemetry, caplog, monkeypatch):
    def fail(*_):
        raise StopIteration

    monkeypatch.setattr("overgrow.tracing.sdk.TelemetrySdk.start", fail)
    telemetry.start(Receivers(lambda _name: None), lambda _exchange: None)

    assert "a variable OTEL_* cannot be used (StopIteration)" in caplog.text
