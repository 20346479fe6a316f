"""Lines, bands and labels of the charts."""

import pytest

from overgrow.admin.pages.charts import (
    HEIGHT,
    WIDTH,
    ChartSpan,
    band_path,
    chart_json,
    line_path,
    marks_path,
    nice_top,
)

SPAN = ChartSpan(1000.0, 2000.0)


def test_a_line_goes_from_corner_to_corner():
    path = line_path(SPAN, [(1000.0, 0.0), (2000.0, 10.0)], 10.0)

    assert f"M0 {HEIGHT}L{WIDTH} 0" == path


def test_a_line_breaks_where_nothing_was_counted():
    path = line_path(SPAN, [(1000, 1), (1250, 1), (1500, None), (1750, 1), (2000, 1)], 1.0)

    assert "M0 0L250 0M750 0L1000 0" == path


def test_a_point_alone_is_seen():
    assert "M500 0h5" == line_path(SPAN, [(1250, None), (1500, 1), (1750, None)], 1.0)


def test_a_value_above_the_top_stays_inside():
    assert "M0 0L1000 0" == line_path(SPAN, [(1000, 5), (2000, 7)], 1.0)


def test_a_band_stands_on_the_bottom_and_ends_at_each_gap():
    points = [(1000, 1), (1500, 1), (1750, None), (2000, 0.5)]

    assert "M0 200L0 0L500 0L500 200ZM1000 200L1000 100L1000 200Z" == band_path(SPAN, points, 1.0)


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 1), (0.003, 0.005), (1, 1), (1.1, 2), (3, 5), (7, 10), (1000, 1000)]
)
def test_the_scale_ends_at_a_round_number(highest, top):
    assert top == pytest.approx(nice_top(highest))


def test_a_chart_without_points_is_empty_and_has_labels():
    told = chart_json(SPAN, {"legacy": []}, str)

    assert (True, {"legacy": ""}, {"legacy": "-"}) == (
        told["is_empty"],
        told["paths"],
        told["latest"],
    )
    assert 5 == len(told["x"])


def test_the_latest_value_is_that_of_the_last_point_that_has_one():
    told = chart_json(SPAN, {"legacy": [(1000, 1.0), (1500, 3.0), (2000, None)]}, str)

    assert "3.0" == told["latest"]["legacy"]


@pytest.mark.parametrize(
    ("hours", "labels"),
    [
        (2, ["00:00", "00:30", "01:00", "01:30", "02:00"]),
        (24 * 8, ["01-01", "01-03", "01-05", "01-07", "01-09"]),
    ],
)
def test_times_are_as_exact_as_the_span_needs(hours, labels):
    assert labels == ChartSpan(0, 3600 * hours).labels()


def test_only_marks_inside_the_span_are_drawn():
    assert "M500 0V200" == marks_path(SPAN, [999, 1500, 2000])
