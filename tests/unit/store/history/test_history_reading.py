"""The history of a route in steps: gains are added up over front doors, rows and sides."""

from __future__ import annotations

import pytest

from overgrow.store.history.reading import MOST_POINTS, Period, plan_period, read_history
from overgrow.store.history.rows import DAY_S, HOUR_S
from overgrow.store.history.writer import HistoryWriter
from overgrow.store.reader import open_reader
from tests.unit.store.history.test_history_writer import NOON_S, Counters

NOON = int(NOON_S)


@pytest.fixture
def write(url):
    def through(counters, seconds, *, door="door", is_last=False):
        writer = HistoryWriter(url, door, is_new=True)
        for second in seconds:
            counters.count(orders=1)
            writer.record(counters, NOON_S + second, second)
        writer.record(counters, NOON_S + max(seconds), max(seconds) + 1, is_last=is_last)
        writer.disconnect()

    return through


@pytest.fixture
def requests(url):
    """{second of the day: requests} of a route on legacy."""

    def read(route, step_s, since=0, until=DAY_S):
        with open_reader(url) as reader:
            found = read_history(reader, route, Period(NOON + since, NOON + until, step_s), 19)
        return {at - NOON: counts[1] for at, counts in found.sides.get("legacy", {}).items()}

    return read


@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize(
    ("step_s", "expected"),
    [
        pytest.param(10, {0: 2, 10: 1, 60: 1, 3600: 1, 3660: 1}, id="rows of 10 seconds"),
        pytest.param(30, {0: 3, 60: 1, 3600: 1, 3660: 1}, id="several rows of 10 seconds"),
        pytest.param(60, {0: 3, 60: 1, 3600: 1, 3660: 1}, id="minutes"),
        pytest.param(300, {0: 4, 3600: 2}, id="several minutes"),
        pytest.param(3600, {0: 4, 3600: 2}, id="hours"),
        pytest.param(7200, {0: 6}, id="several hours"),
    ],
)
def test_every_request_is_in_one_step(write, requests, step_s, expected, is_last):
    write(Counters(), (0, 5, 15, 61, 3600, 3661), is_last=is_last)

    assert expected == requests("orders", step_s) == requests("", step_s)


def test_several_front_doors_are_added_up(write, requests):
    write(Counters(), (0, 61), door="one")
    write(Counters(), (3, 4, 125), door="two")

    assert {0: 3, 60: 1, 120: 1} == requests("orders", 60)


def test_only_the_period_is_read(write, requests):
    write(Counters(), (0, 61, 125))

    assert {60: 1} == requests("orders", 60, since=60, until=120)


def test_a_route_that_never_had_requests_is_not_known(write, url):
    write(Counters(), (0,))
    with open_reader(url) as reader:
        found = [read_history(reader, route, Period(0, 10, 10), 19) for route in ("orders", "x")]

    assert [True, False] == [each.is_known for each in found]


@pytest.mark.parametrize(
    ("age_s", "length_s", "step_s", "expected"),
    [
        pytest.param(HOUR_S, HOUR_S, None, 30, id="an hour"),
        pytest.param(DAY_S, DAY_S, None, 600, id="a day"),
        pytest.param(7 * DAY_S, 7 * DAY_S, None, HOUR_S, id="a week"),
        pytest.param(730 * DAY_S, 730 * DAY_S, None, 4 * DAY_S, id="two years"),
        pytest.param(HOUR_S, HOUR_S, 10, 10, id="as asked"),
        pytest.param(HOUR_S, HOUR_S, 1, 10, id="finer than any row"),
        pytest.param(HOUR_S, HOUR_S, 25, 30, id="no multiple of a row"),
        pytest.param(DAY_S, HOUR_S, 10, 60, id="finer than yesterday's rows"),
        pytest.param(30 * DAY_S, HOUR_S, 60, HOUR_S, id="finer than last month's rows"),
        pytest.param(7 * DAY_S, 7 * DAY_S, 60, 600, id="too many points"),
    ],
)
def test_a_step_is_what_the_rows_allow(age_s, length_s, step_s, expected):
    period = plan_period(NOON - age_s, NOON - age_s + length_s, step_s, NOON)

    assert expected == period.step_s


@pytest.mark.parametrize("step_s", [None, 1, 7, 60, DAY_S])
@pytest.mark.parametrize("since_s", [-62_135_596_800.0, 0.0, NOON_S])
def test_no_period_has_more_points_than_allowed(since_s, step_s):
    period = plan_period(since_s, 253_402_300_799.9, step_s, NOON_S)

    assert (period.until - period.since) / period.step_s <= MOST_POINTS + 1
    assert period.since <= since_s < 253_402_300_799.9 <= period.until
