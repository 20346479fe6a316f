"""Telemetry by OpenTelemetry in a running front door: collectors that fail, the end of a worker, several workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from overgrow.process.tracing import NoTelemetry, build_telemetry
from overgrow.settings import SettingError, Settings
from tests.otlp import SERVER, running_collector, settings_for
from tests.ports import free_port
from tests.story.front import PATIENCE_S, eventually, overgrow, running_front
from tests.wire.front.ends import Legacy

TABLE = """\
version: 1
app: tests.wire.front.traced_app:create_app
legacy:
  url: ${LEGACY_URL}
routes:
  - {name: moved, path: "/moved/<int:id>", methods: [GET], target: migrated}
"""


@pytest.fixture
def collector():
    with running_collector() as collector:
        yield collector


@pytest.fixture
def run(tmp_path):
    """Run a front door that exports to a port."""

    def run(port, workers=1, **more):
        environment = settings_for(port, **more)
        return running_front(
            TABLE, tmp_path, free_port(), data=tmp_path / "d", workers=workers, **environment
        )

    return run


def log_of(front):
    return (front.config.parent / "serve.log").read_text()


def failures(front):
    lines = front.get("/metrics", admin=True)[2].decode().splitlines()
    name = 'overgrow_telemetry_failures_total{receiver="otel"} '
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)


@pytest.mark.parametrize("mode", ["hang", "garbage", "refuse"])
def test_a_collector_that_misbehaves_costs_no_request(collector, run, mode):
    collector.mode = mode
    with run(collector.port, OTEL_EXPORTER_OTLP_TIMEOUT="1") as front:
        for number in range(60):
            assert 200 == front.get(f"/moved/{number}")[0]
        eventually(lambda: "otel-fails why='traces: " in log_of(front))
        assert failures(front) > 0
        collector.mode = "take"
        collector.released.set()
        eventually(lambda: front.get("/moved/1") and "otel-works-again" in log_of(front))
        log = log_of(front)

    assert 1 == log.count("otel-fails")
    assert "opentelemetry" not in log.lower()


def test_a_collector_that_is_away_costs_no_request(run):
    with run(free_port(), OTEL_EXPORTER_OTLP_TIMEOUT="1") as front:
        for number in range(60):
            assert 200 == front.get(f"/moved/{number}")[0]
        eventually(lambda: failures(front) >= 2)
        eventually(lambda: "otel-fails" in log_of(front))

    assert 1 == log_of(front).count("otel-fails")


def test_a_worker_sends_what_waits_when_it_ends(collector, run):
    with run(collector.port, OTEL_BSP_SCHEDULE_DELAY="600000") as front:
        front.get("/moved/7")
        assert [] == collector.spans

    assert {"GET /moved/<int:id>", "look up"} == {span.name for span in collector.spans}


def test_a_hanging_collector_does_not_keep_a_worker_from_ending(collector, run):
    collector.mode = "hang"
    with run(collector.port) as front:
        front.get("/moved/7")
        eventually(lambda: collector.asked)

    assert "worker-left" in log_of(front)


def test_each_worker_exports_its_own_spans(collector, run):
    with run(collector.port, workers=2) as front:
        for pid in front.workers.values():
            os.kill(pid, signal.SIGTERM)  # its replacement starts an SDK of its own
        eventually(lambda: len(set(front.workers.values())) == 2)
        for number in range(20):
            front.get(f"/moved/{number}")
        wanted = {f"/moved/{number}" for number in range(20)}
        eventually(lambda: wanted <= {span["url.path"] for span in collector.spans})

    assert 20 == len([span for span in collector.spans if span.kind == SERVER])


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """One request, and everything that is told of it: (its span, its line, the exemplars, the collector)."""
    folder = tmp_path_factory.mktemp("told")
    log = folder / "access.log"
    more = {
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "OVERGROW_ACCESS_LOG": "json",
        "OVERGROW_ACCESS_LOG_FILE": str(log),
    }
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    with (
        running_collector() as collector,
        running_front(
            TABLE, folder, free_port(), data=folder / "d", **settings_for(collector.port, **more)
        ) as front,
    ):
        front.get("/moved/7", headers={"x-request-id": "r1"})
        span = collector.wait_for(lambda span: span.kind == SERVER)
        line = json.loads(eventually(lambda: log.exists() and log.read_text()).splitlines()[0])
        wanted = f'trace_id="{span.trace_id}"'.encode()
        exemplars = eventually(
            lambda: wanted in front.get("/metrics", headers=accept, admin=True)[2]
        )
        eventually(lambda: collector.metrics)
        yield span, line, exemplars, collector


def test_metrics_are_sent_when_a_variable_asks_for_them(told):
    collector = told[-1]

    assert {"http.server.request.duration"} == {metric.name for metric in collector.metrics}
    assert "overgrow" == collector.resources[0]["service.name"]


def test_the_access_log_has_the_ids_of_the_span(told):
    span, line, *_ = told

    assert (span.trace_id, span.span_id, "r1") == (
        line["trace.id"],
        line["span.id"],
        line["http.request.id"],
    )


def test_a_sampled_request_becomes_an_exemplar(told):
    assert told[2]


def test_without_the_setting_no_part_that_makes_spans_is_imported():
    code = (
        "import sys, overgrow.app; "
        "sys.exit(any(name.startswith('overgrow.tracing') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=PATIENCE_S)

    assert 0 == done.returncode


def test_the_switch_of_the_sdk_switches_everything_off():
    settings = Settings(otel=True)

    assert isinstance(build_telemetry(settings, {"OTEL_SDK_DISABLED": "True"}), NoTelemetry)
    assert isinstance(build_telemetry(Settings(), {}), NoTelemetry)


def test_a_missing_extra_is_told_with_its_fix(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.propagate", None)

    with pytest.raises(SettingError, match=r"pip install 'overgrow\[otel\]'"):
        build_telemetry(Settings(otel=True), {})


def test_serve_refuses_a_propagator_that_it_does_not_know(tmp_path):
    (tmp_path / "routes.yaml").write_text("version: 1\nlegacy:\n  url: http://127.0.0.1:9\n")
    environment = {**os.environ, "OVERGROW_OTEL": "1", "OTEL_PROPAGATORS": "carrier-pigeon"}
    done = overgrow("serve", environment=environment, cwd=Path(tmp_path))

    assert 2 == done.returncode
    assert "OTEL_PROPAGATORS cannot be used: Propagator carrier-pigeon not found" in done.stderr


def test_an_unknown_exporter_is_told_once_and_requests_are_served(run):
    with run(free_port(), OTEL_TRACES_EXPORTER="pigeon") as front:
        assert 200 == front.get("/moved/7")[0]

    assert 1 == log_of(front).count("telemetry-not-started why='OTEL_TRACES_EXPORTER names pigeon")


def test_without_the_setting_the_trace_context_passes_byte_for_byte(tmp_path):
    legacy = Legacy()
    odd = [("traceparent", "00-ABC odd"), ("tracestate", "a=1"), ("baggage", "k=v;p")]
    with running_front(TABLE, tmp_path, legacy.port, data=tmp_path / "d") as front:
        seen = []
        ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        thread = threading.Thread(target=lambda: seen.append(legacy.answers(ok)))
        thread.start()
        front.get("/x", headers=dict(odd))
        thread.join(PATIENCE_S)
    legacy.close()

    assert odd == [pair for pair in seen[0].headers if pair in odd]
