import pytest
from prometheus_client.samples import Sample

from overgrow.observe.as_json import split_json
from overgrow.observe.counted_families import sum_samples
from overgrow.observe.counter_totals import CounterTotals
from overgrow.observe.metrics import BUCKETS_S, Metrics
from overgrow.observe.recent_counts import SAMPLE, recent_requests
from overgrow.observe.split import SideFigures, median, split_by_route, split_of_totals
from overgrow.routing.model import Route
from tests.unit.observe.exchanges import NOW_S, ORDERS, decision, exchange

INF = float("inf")


def requests(route, side, count, status="200"):
    labels = {"route": route, "side": side, "status": status}
    return Sample("overgrow_requests_total", labels, float(count))


def test_routes_stand_in_their_order_and_default_last():
    routes = [Route("zebra"), Route("apple")]

    assert ["zebra", "apple", "default"] == [each.name for each in split_by_route([], routes)]


def test_a_retired_name_with_counts_stands_at_the_end():
    figures = split_by_route([requests("retired", "legacy", 5)], [ORDERS])

    assert [("orders", 0), ("default", 0), ("retired", 5)] == [
        (f.name, f.requests) for f in figures
    ]


def test_statuses_are_added_up():
    figures = split_by_route(
        [requests("orders", "legacy", 5), requests("orders", "legacy", 2, "404")], [ORDERS]
    )

    assert figures[0].legacy.requests == 7


@pytest.mark.parametrize(
    ("legacy", "migrated", "share"),
    [(70, 30, 30.0), (0, 5, 100.0), (5, 0, 0.0), (2, 1, 33.33), (0, 0, None)],
)
def test_the_share_is_migrateds_percentage(legacy, migrated, share):
    counted = [requests("orders", "legacy", legacy), requests("orders", "migrated", migrated)]

    assert share == split_by_route(counted, [ORDERS])[0].share


def test_the_live_share_shows_a_flip_that_the_totals_do_not():
    recent = Sample(SAMPLE, {"route": "orders", "side": "migrated"}, 12.0)

    figures = split_by_route([requests("orders", "legacy", 1_000_000), recent], [ORDERS])[0]

    assert (100.0, 0.0) == (figures.live_share, figures.share)


def test_gone_and_refused_count_as_requests_but_not_in_the_share():
    counted = [requests("orders", side, 10) for side in ("migrated", "gone", "refused")]

    figures = split_by_route(counted, [ORDERS])[0]

    assert (30, 20, 100.0) == (figures.requests, figures.other, figures.share)


def test_all_requests_are_in_exactly_one_row():
    names = ("orders", "default", "retired")
    counted = [requests(name, side, 7) for name in names for side in ("legacy", "migrated", "gone")]

    assert 63 == sum(each.requests for each in split_by_route(counted, [ORDERS]))


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        pytest.param([], None, id="nothing measured"),
        pytest.param([(0.1, 0.0), (INF, 0.0)], None, id="no request"),
        pytest.param([(0.1, 10.0), (INF, 10.0)], 0.05, id="half-way into the first bucket"),
        pytest.param([(0.1, 0.0), (0.2, 4.0), (INF, 4.0)], 0.15, id="half-way into the second"),
        pytest.param([(0.1, 1.0), (0.2, 4.0), (INF, 4.0)], 0.133333, id="a third into the second"),
        pytest.param([(INF, 4.0), (0.2, 4.0), (0.1, 0.0)], 0.15, id="in any order"),
        pytest.param([(0.1, 1.0), (INF, 4.0)], 0.1, id="beyond the last bound: that bound"),
    ],
)
def test_the_median_is_interpolated_in_its_bucket(buckets, expected):
    assert expected == median(buckets)


def test_what_metrics_wrote_is_what_the_split_reads(tmp_path):
    for slot in (0, 1):
        metrics = Metrics(tmp_path, slot)
        for _ in range(3):
            metrics.record(exchange("legacy", duration_s=0.004))
        metrics.record(exchange("migrated", status=503, duration_s=0.2))
        metrics.record(exchange(decision=decision("gone"), status=410))

    figures = split_by_route(sum_samples(tmp_path), [ORDERS])[0]

    assert figures.legacy == SideFigures(6, 0, 0.00375)
    assert figures.migrated == SideFigures(2, 2, 0.175)
    assert (10, 2, 2, 25.0) == (figures.requests, figures.errors, figures.other, figures.share)


def test_the_json_of_a_split_has_every_key():
    route = Route("orders", target="legacy", canary=1_250)

    assert split_json(split_by_route([requests("orders", "migrated", 1)], [route])[0]) == {
        "name": "orders",
        "target": "legacy",
        "canary": 12.5,
        "live_share": None,
        "share": 100.0,
        "requests": 1,
        "errors": 0,
        "other": 0,
        "legacy": {"requests": 0, "errors": 0, "median_s": None},
        "migrated": {"requests": 1, "errors": 0, "median_s": None},
    }


def test_default_is_legacys_and_a_retired_name_nobodys():
    rows = [split_json(each) for each in split_by_route([requests("retired", "legacy", 1)], [])]

    assert [("default", "legacy"), ("retired", None)] == [
        (row["name"], row["target"]) for row in rows
    ]


def test_a_middle_request_at_the_bound_of_its_bucket_lies_at_that_bound():
    assert median([(1.0, 1), (2.0, 1), (4.0, 2), (INF, 2)]) == 1.0


def test_totals_by_place_give_the_split_of_all_samples(tmp_path):
    metrics = Metrics(tmp_path, 0)
    for side, status, route in [
        ("legacy", 200, ORDERS),
        ("legacy", 502, ORDERS),
        ("migrated", 200, ORDERS),
        ("gone", 410, ORDERS),
        ("legacy", 200, None),
    ]:
        metrics.record(exchange(status=status, decision=decision(side, route)))
    live = recent_requests(tmp_path, NOW_S)
    totals = CounterTotals(tmp_path, BUCKETS_S).read_all()
    routes = [Route("unused", path="/unused"), ORDERS]

    found = split_of_totals(totals, live, BUCKETS_S, routes)
    assert found == split_by_route([*sum_samples(tmp_path), *live], routes)
    metrics.close()
