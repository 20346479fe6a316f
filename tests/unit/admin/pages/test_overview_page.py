"""The rows and the sums of the overview, as the open page gets them and as its HTML shows them."""

import pytest

from overgrow.admin.pages.figures import error_text, percent_of, rate_text, split_bar
from overgrow.admin.pages.overview import (
    OverviewBuilder,
    error_difference,
    found_text,
    is_match,
    per_second,
    row_json,
    sort_rows,
    summary_json,
)
from overgrow.admin.route_rows import RouteRow, RowSources, last_flips, rows_of
from overgrow.admin.traffic import MINUTE, MINUTES, Traffic
from overgrow.observe.metrics import BUCKETS_S
from overgrow.observe.rates_reader import RateCounts
from overgrow.routing.model import Route
from overgrow.table.editing.history import FieldChange, HistoryEntry


def counts(requests, errors=0, p95_s=0.01):
    """Counts whose requests all took about as long as the bound of a bucket."""
    buckets = [0] * (len(BUCKETS_S) + 1)
    buckets[BUCKETS_S.index(p95_s)] = requests
    return RateCounts(requests, errors, tuple(buckets))


def recent(**sides):
    return {
        (side, window): counted for side, counted in sides.items() for window in (MINUTE, MINUTES)
    }


def row(name="orders", legacy=None, migrated=None, **route):
    sides = {"legacy": legacy, "migrated": migrated}
    found = recent(**{side: counted for side, counted in sides.items() if counted})
    return RouteRow(name, Route(name, path=f"/{name}", **route), {}, 0, found, None)


def entry(action="flip", route="orders", changes=(), at="2026-11-30T08:00:00Z"):
    return HistoryEntry(
        "k", "p", at, "ada", action, route, "legacy", "10%", None, None, changes=changes
    )


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        pytest.param(1, 8, "12.5% of 8", id="a share stands with its number"),
        pytest.param(0, 1234, "0% of 1,234", id="none"),
        pytest.param(8, 8, "100% of 8", id="all"),
        pytest.param(999_999, 1_000_000, ">99.99% of 1,000,000", id="nearly all is not all"),
        pytest.param(1, 1_000_000, "<0.01% of 1,000,000", id="nearly none is not none"),
    ],
)
def test_a_share_is_said_with_what_it_is_a_share_of(part, whole, text):
    assert text == percent_of(part, whole)


def test_no_errors_are_none_and_not_a_percentage():
    assert ("0 of 812", "0.369% of 812") == (error_text(0, 812), error_text(3, 812))


def test_rates_have_three_digits():
    assert ["1,230/s", "12.3/s", "0.05/s"] == [rate_text(each) for each in (1230.4, 12.34, 0.05)]


def test_there_is_no_bar_without_requests():
    assert {} == split_bar(0, 0)


def test_a_row_without_traffic_has_no_figures():
    told = row_json(row())

    assert {"name", "href", "takes", "target", "sort"} == set(told)
    assert {} == told["sort"]


def test_a_row_compares_both_sides():
    told = row_json(row(legacy=counts(300, 3), migrated=counts(100, 2, 0.5)))

    assert ("1% of 300", "2% of 100", "+1 points") == (
        told["legacy_errors"],
        told["migrated_errors"],
        told["error_difference"],
    )
    assert ("9.75 ms", "488 ms", "25% of 400", 25.0) == (
        told["legacy_p95"],
        told["migrated_p95"],
        told["share"],
        told["share_width"],
    )


def test_errors_are_not_compared_with_a_side_that_had_no_requests():
    assert error_difference(row(legacy=counts(300))) is None


def test_migrated_that_fails_less_is_no_trouble():
    told = row_json(row(legacy=counts(100, 2), migrated=counts(100, 1)))

    assert "-1 points" == told["error_difference"]
    assert "difference_tone" not in told


def test_rows_are_sorted_by_a_figure_and_those_without_one_come_last():
    rows = [row_json(each) for each in (row("a"), row("b", counts(1)), row("c", counts(9)))]

    assert ["c", "b", "a"] == [each["name"] for each in sort_rows(rows, "rate")]


@pytest.mark.parametrize("sort", ["", "nonsense", "__class__"])
def test_without_a_known_order_rows_stay_in_matching_order(sort):
    rows = [row_json(row("b")), row_json(row("a"))]

    assert rows == sort_rows(rows, sort)


def test_the_latest_flips_come_first_when_sorted_by_them():
    rows = [{"name": "a"}, {"name": "b", "flipped_at": "2026"}, {"name": "c", "flipped_at": "2027"}]

    assert ["c", "b", "a"] == [each["name"] for each in sort_rows(rows, "flipped")]


def test_a_search_looks_in_no_figure():
    told = row_json(row(legacy=counts(812)))

    assert not is_match(told, "812")


def test_more_routes_than_are_shown_are_said():
    assert ["21 routes", "3 of 21 routes"] == [found_text(21, 21), found_text(3, 21)]
    assert "The first 200 of 1,000 routes. Search to find the others." == found_text(1000, 1000)


def test_the_sums_count_the_default_route_as_a_route():
    rows = [
        row("a", migrated=counts(20), target="migrated"),
        RouteRow("default", None, {}, 0, recent(legacy=counts(80, 4)), None),
    ]
    told = summary_json(rows)

    assert ("20% of 100", "80% of 100", "1 of 2 routes") == (
        told["requests"],
        told["unrouted"],
        told["routes"],
    )
    assert ("5% of 80", "0 of 20") == (told["legacy_errors"], told["migrated_errors"])


def test_a_front_door_without_traffic_has_no_shares():
    told = summary_json([row()])

    assert "no requests" == told["requests"] == told["unrouted"] == told["legacy_errors"]


def test_a_flip_of_a_group_is_the_last_flip_of_each_route():
    changes = (
        FieldChange("target", "legacy", "migrated", "a"),
        FieldChange("target", "x", "y", "b"),
    )
    flips = last_flips([entry(route="group:shop", changes=changes), entry("kill", None)])

    assert {"a", "b"} == set(flips)


def test_the_latest_of_two_flips_counts():
    flips = last_flips([entry(at="1"), entry("rollback", at="2")])

    assert "2" == flips["orders"].at


def test_the_row_of_a_route_has_its_own_rates():
    traffic = Traffic(
        {MINUTE: {("orders", "legacy"): counts(3), ("x", "legacy"): counts(9)}},
        {},
        {("orders", "legacy"): 5.0},
    )

    told, _ = rows_of(RowSources([Route("orders", path="/orders")], traffic, (), {}, ()))

    assert {("legacy", MINUTE): counts(3)} == told.recent
    assert {"legacy": 5.0} == told.last_s


def test_only_rows_that_changed_are_made_anew():
    builder = OverviewBuilder(None)
    before = builder._rows_json([row("a", counts(1)), row("b", counts(1))])
    after = builder._rows_json([row("a", counts(1)), row("b", counts(2))])

    assert [True, False] == [one is other for one, other in zip(before, after, strict=True)]
    assert "2 " in after[1]["legacy_errors"] + " "


def test_rates_of_a_young_front_door_are_those_of_its_age():
    row = RouteRow("orders", None, {}, 0, recent(legacy=counts(80, 4)), None, windows_s={MINUTE: 8})

    assert per_second(row) == 10
    assert summary_json([row])["rate"] == "10/s"
