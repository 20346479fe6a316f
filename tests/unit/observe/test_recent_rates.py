"""The figures of the last minutes: gains of all workers, added up by histogram."""

import pytest

from overgrow.observe.metrics import BUCKETS_S, Metrics
from overgrow.observe.recent_rates import MAX_FILE_S, RatesFile, read_rates
from tests.unit.observe.exchanges import NOW_S, decision, exchange


def written(folder, slot, exchanges, now_s=NOW_S):
    """A worker's metrics with these exchanges, and its line."""
    metrics = Metrics(folder, slot)
    for each in exchanges:
        metrics.record(each)
    RatesFile().append(folder, slot, metrics.take_gains(), now_s)
    return metrics


def rates(folder, now_s=NOW_S):
    return read_rates(folder, BUCKETS_S, now_s)


def test_percentiles_are_of_all_workers_together(tmp_path):
    written(tmp_path, 0, [exchange(duration_s=0.004)] * 98).close()
    written(tmp_path, 1, [exchange(duration_s=4.0)] * 2).close()

    [found] = rates(tmp_path).values()

    assert (100, 60) == (found["last_minute"]["requests"], found["last_minute"]["window_s"])
    assert found["last_minute"]["p95_s"] < 0.005
    assert found["last_minute"]["p99_s"] > 2.5


def test_a_gain_is_counted_once(tmp_path):
    metrics = written(tmp_path, 0, [exchange()] * 3)
    again = metrics.take_gains()
    metrics.close()

    assert [] == again


def test_a_successor_does_not_count_the_totals_of_its_slot(tmp_path):
    written(tmp_path, 0, [exchange()] * 3).close()
    successor = Metrics(tmp_path, 0)
    successor.record(exchange())
    [gain] = successor.take_gains()
    successor.close()

    assert 1 == sum(gain.buckets)


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        pytest.param(59, {"last_minute", "last_five_minutes"}, id="a minute"),
        pytest.param(61, {"last_five_minutes"}, id="five minutes"),
        pytest.param(301, set(), id="older"),
    ],
)
def test_a_window_ends(tmp_path, age_s, expected):
    written(tmp_path, 0, [exchange()]).close()
    found = rates(tmp_path, NOW_S + age_s)

    assert expected == {name for figures in found.values() for name in figures}


def test_errors_have_their_number_and_share(tmp_path):
    written(tmp_path, 0, [exchange(status=500), *[exchange()] * 3]).close()
    [found] = rates(tmp_path).values()

    assert (1, 25.0) == (found["last_minute"]["errors"], found["last_minute"]["error_percent"])


def test_an_incomplete_line_hides_no_other(tmp_path):
    written(tmp_path, 0, [exchange()]).close()
    with (tmp_path / "rates_0.jsonl").open("a") as file:
        file.write("\n[17000")
    written(tmp_path, 0, [exchange()]).close()

    assert [2] == [each["last_minute"]["requests"] for each in rates(tmp_path).values()]


def test_the_files_are_bounded(tmp_path):
    metrics, file = Metrics(tmp_path, 0), RatesFile()
    for at_s in (0, MAX_FILE_S + 1, 2 * MAX_FILE_S + 2):
        metrics.record(exchange())
        file.append(tmp_path, 0, metrics.take_gains(), NOW_S + at_s)
    metrics.close()

    assert [1, 1] == [len(path.read_text().split()) for path in tmp_path.glob("rates_*")]


def test_requests_without_a_route_are_counted_as_default(tmp_path):
    written(tmp_path, 0, [exchange(decision=decision(route=None))]).close()

    assert ["default"] == [route for route, _ in rates(tmp_path)]
