from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from overgrow.exchange import Failure
from overgrow.tracing.server_duration import ServerDurations
from tests.unit.tracing.conftest import exchange, head
from tests.unit.tracing.http_conventions import METRIC_NAMES


def points_of(tracing, *exchanges):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    durations = ServerDurations(provider, tracing, "1")
    for each in exchanges:
        durations.record(each)
    (metric,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    return metric, metric.data.data_points


def test_the_histogram_has_the_buckets_of_the_conventions(start):
    metric, (point,) = points_of(start(), exchange())

    expected = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert ("http.server.request.duration", "s") == (metric.name, metric.unit)
    assert (expected, 1) == (tuple(point.explicit_bounds), point.bucket_counts[3])


def test_the_histogram_has_the_attributes_of_the_conventions(start):
    _, (point,) = points_of(start(), exchange(502, Failure("legacy-connect", "connect", "legacy")))

    assert {
        "http.request.method": "GET",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "http.route": "/items/<int:id>",
        "http.response.status_code": 502,
        "error.type": "legacy-connect",
    } == dict(point.attributes)
    assert set() == set(point.attributes) - METRIC_NAMES


def test_what_clients_choose_makes_no_new_series(start):
    odd = [exchange(of=head(target=b"/%d" % n, method=f"M{n}"), route=None) for n in range(50)]

    assert 1 == len(points_of(start(), *odd)[1])
