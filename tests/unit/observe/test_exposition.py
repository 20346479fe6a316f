"""The text of /metrics: the format that a client gets, and that its parsers understand it."""

import re

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from overgrow.observe.exemplars import Exemplars
from overgrow.observe.exposition import OPENMETRICS, PROMETHEUS_TEXT, choose_format, exposition
from overgrow.observe.mapped_counters import open_ledger
from overgrow.observe.metrics import Metrics
from tests.unit.observe.exchanges import NOW_S, decision, exchange

TRACE = "ab" * 16
OF_PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
OF_PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
    f"encoding=delimited;q=0.7,{OF_PROMETHEUS_3}"
)
TEXT, OPEN = PROMETHEUS_TEXT.content_type, OPENMETRICS.content_type


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(OF_PROMETHEUS_2, OPEN, id="Prometheus 2"),
        pytest.param(OF_PROMETHEUS_3, OPEN, id="Prometheus 3"),
        pytest.param(PROTOBUF, OPEN, id="Prometheus that would like protobuf"),
        pytest.param("application/openmetrics-text", OPEN, id="no version"),
        pytest.param('Application/OpenMetrics-Text; Version="1.0.0"', OPEN, id="capitals, quotes"),
        pytest.param(
            "application/openmetrics-text;version=0.0.1",
            OPEN.replace("1.0.0", "0.0.1"),
            id="the version before",
        ),
        pytest.param("application/openmetrics-text;version=2.0.0", TEXT, id="a version to come"),
        pytest.param("application/openmetrics-text;q=0", TEXT, id="everything but OpenMetrics"),
        pytest.param(
            "text/plain;q=0.9,application/openmetrics-text;q=0.8", TEXT, id="rather the text"
        ),
        pytest.param(
            "text/plain;q=0.8,application/openmetrics-text;q=0.8", OPEN, id="both alike: the richer"
        ),
        pytest.param("text/html,application/xhtml+xml,*/*;q=0.8", TEXT, id="a browser"),
        pytest.param("*/*", TEXT, id="curl"),
        pytest.param(None, TEXT, id="no header"),
        pytest.param("", TEXT, id="an empty one"),
        pytest.param("application/json", TEXT, id="what we do not write"),
        pytest.param(";;;,,,q=;=,\x00\xff", TEXT, id="nonsense"),
        pytest.param("application/openmetrics-text;q=nan", TEXT, id="a quality that is none"),
        pytest.param("a/b," * 20_000, TEXT, id="a long one"),
    ],
)
def test_the_format_is_the_one_the_client_prefers(accept, expected):
    accepted = parse_accept_header(accept, MIMEAccept)

    assert expected == choose_format(accepted).content_type


def openmetrics(folder, workers=()):
    return exposition(folder, workers, text_format=OPENMETRICS, now=lambda: NOW_S).decode()


def parsed_samples(text, parse=parse_openmetrics):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def count_requests(folder):
    """Requests of two routes and both sides, counted in three slots."""
    for slot in range(3):
        metrics = Metrics(folder, slot)
        for number in range(12):
            side = ("legacy", "migrated")[number % 2]
            route = None if number % 3 else decision().route
            metrics.record(
                exchange(decision=decision(side, route=route), duration_s=number * slot / 7)
            )
        metrics.set("overgrow_connections", 3)
        metrics.count("overgrow_wrong_tokens_total")


def test_both_formats_have_the_same_samples(tmp_path):
    count_requests(tmp_path)

    plain = exposition(tmp_path, [{"slot": 0}], now=lambda: NOW_S).decode()

    assert parsed_samples(plain, parse_text) == parsed_samples(openmetrics(tmp_path, [{"slot": 0}]))


def test_openmetrics_ends_with_its_mark_and_the_text_format_does_not(tmp_path):
    assert openmetrics(tmp_path).endswith("\n# EOF\n")
    assert b"EOF" not in exposition(tmp_path, ())


def with_exemplar(folder, slot, trace, **given):
    finished = exchange(**given)
    Metrics(folder, slot).record(finished)
    exemplars = Exemplars()
    exemplars.note_request(finished, f"00-{trace}-{'cd' * 8}-01".encode())
    exemplars.write(folder, slot)


def exemplars_in(text):
    return {
        (sample.labels["le"], sample.labels["side"]): sample.exemplar
        for family in parse_openmetrics(text)
        for sample in family.samples
        if sample.exemplar
    }


def test_a_bucket_has_the_trace_of_the_newest_request_in_it(tmp_path):
    with_exemplar(tmp_path, 0, "01" * 16, duration_s=0.003, started_at=NOW_S - 2)
    with_exemplar(tmp_path, 1, "02" * 16, duration_s=0.004, started_at=NOW_S - 1)
    with_exemplar(tmp_path, 2, "03" * 16, duration_s=70.0, started_at=NOW_S - 80)

    found = exemplars_in(openmetrics(tmp_path))

    assert {("0.005", "migrated"), ("+Inf", "migrated")} == set(found)
    newest = found["0.005", "migrated"]
    assert ({"trace_id": "02" * 16}, 0.004) == (newest.labels, newest.value)
    assert pytest.approx(NOW_S - 1 + 0.004, abs=0.002) == float(newest.timestamp)


def test_the_text_format_has_no_exemplars(tmp_path):
    with_exemplar(tmp_path, 0, TRACE)

    assert TRACE.encode() not in exposition(tmp_path, ())


def test_an_exemplar_whose_counts_were_lost_is_not_told(tmp_path):
    with_exemplar(tmp_path, 0, TRACE)
    for path in tmp_path.glob("*.db"):
        path.unlink()

    assert TRACE not in openmetrics(tmp_path)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\\n", '"} 1\nup 1', "ä\u2028", "\ud800"])
def test_a_hostile_label_is_one_label_in_both_formats(tmp_path, name):
    Metrics(tmp_path, 0).add("overgrow_shadow_total", name, "matched")
    expected = name.encode("utf-8", "replace").decode()

    for text, parse in (
        (openmetrics(tmp_path), parse_openmetrics),
        (exposition(tmp_path, ()).decode(), parse_text),
    ):
        found = [key for key in parsed_samples(text, parse) if "shadow_total" in key[0]]
        assert [("overgrow_shadow_total", ("route", expected), ("verdict", "matched"))] == found


def test_a_series_that_is_just_being_made_has_all_buckets(tmp_path):
    # A worker makes the numbers of a series one after the other; a scrape may come in between.
    metrics = Metrics(tmp_path, 0)
    for le in ("0.001", "0.0025"):
        metrics._cell("overgrow_request_duration_seconds_bucket", "orders", "legacy", le).add(1)

    told = parsed_samples(openmetrics(tmp_path))

    place = (("route", "orders"), ("side", "legacy"))
    name = "overgrow_request_duration_seconds"
    assert 2 == told[(f"{name}_count", *place)]
    assert 2 == told[(f"{name}_bucket", ("le", "+Inf"), *place)]
    assert 0 == told[(f"{name}_sum", *place)]


def test_a_bucket_of_an_earlier_version_counts_in_the_next_bound(tmp_path):
    ledger = open_ledger(tmp_path / "histogram_0.db")
    name = "overgrow_request_duration_seconds"
    labels = '{"le": "0.3", "route": "orders", "side": "legacy"}'
    ledger.cell(f'["{name}", "{name}_bucket", {labels}, "Its help then."]').add(4)

    told = parsed_samples(openmetrics(tmp_path))

    place = (("route", "orders"), ("side", "legacy"))
    assert 0 == told[(f"{name}_bucket", ("le", "0.25"), *place)]
    assert 4 == told[(f"{name}_bucket", ("le", "0.5"), *place)]


def test_a_label_of_an_earlier_version_is_left_out(tmp_path):
    ledger = open_ledger(tmp_path / "counter_0.db")
    for cause in ("a", "b"):
        labels = f'{{"cause": "{cause}", "code": "gone"}}'
        ledger.cell(f'["overgrow_failures", "overgrow_failures_total", {labels}, "Help."]').add(1)

    assert 'overgrow_failures_total{code="gone"} 2.0\n' in openmetrics(tmp_path)


def test_counters_never_go_back_while_workers_come_and_go(tmp_path):
    told, requests = [], re.compile(r"^overgrow_requests_total\{.*\} (.*)$", re.MULTILINE)
    for slot in (0, 1, 0, 2, 0):
        metrics = Metrics(tmp_path, slot)
        metrics.record(exchange())
        told += map(float, requests.findall(openmetrics(tmp_path, [{"slot": slot}])))
        metrics.close()

    assert [1, 2, 3, 4, 5] == told
