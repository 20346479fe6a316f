"""The charts of the overview and of a route, from counts of the history."""

from overgrow.admin.pages.charts import ChartSpan
from overgrow.admin.pages.history_charts import known_range, progress_json, route_json
from overgrow.admin.pages.kept_answers import KeptAnswers
from overgrow.admin.progress import Progress, RoutesMoved
from overgrow.admin.request_history import SIZE, SidesHistory
from overgrow.table.editing.history import HistoryEntry

SPAN = ChartSpan(0, 40)


def counts(requests, errors=0):
    return (errors, requests, *[0] * (SIZE - 2))


def history(problem=None, **sides):
    return SidesHistory(0, 40, 10, sides, True, problem)


def progress_of(requests, unrouted=None, routes=(), flips=()):
    return progress_json(Progress(requests, unrouted or history(), routes, flips), SPAN)


def test_the_share_of_requests_breaks_where_there_were_none():
    told = progress_of(history(legacy={0: counts(3), 30: counts(1)}, migrated={0: counts(1)}))

    assert "M0 150h5M750 200h5" == told["chart"]["paths"]["requests"]
    assert "0%" == told["chart"]["latest"]["requests"]


def test_the_default_route_counts_as_a_route_that_has_not_moved():
    told = progress_of(history(), routes=(RoutesMoved(0, 1, 3), RoutesMoved(40, 1, 3)))

    assert "25%" == told["chart"]["latest"]["routes"]


def test_the_share_of_routes_is_a_stair():
    moved = (RoutesMoved(0, 0, 1), RoutesMoved(20, 1, 1), RoutesMoved(40, 1, 1))
    told = progress_of(history(), routes=moved)

    assert "M0 200L500 200L500 100L1000 100L1000 100" == told["chart"]["paths"]["routes"]


def test_unrouted_requests_are_a_band():
    told = progress_of(history(legacy={0: counts(4)}), history(legacy={0: counts(2)}))

    assert told["chart"]["band"].startswith("M0 200L0 100")


def test_flips_are_marks():
    entry = HistoryEntry(
        "k", "p", "1970-01-01T00:00:20Z", "ada", "flip", "a", "legacy", "10%", None, None
    )
    told = progress_of(history(), flips=(entry,))

    assert ("M500 0V200", "1 flip") == (told["chart"]["marks"], told["flips"])


def test_a_store_that_does_not_answer_is_told_and_the_chart_is_empty():
    told = progress_of(history(problem="The store is away."))

    assert ("The store is away.", True) == (told["problem"], told["chart"]["is_empty"])


def test_the_rate_of_a_step_that_is_filling_is_not_drawn():
    told = route_json(history(legacy={0: counts(10), 40: counts(1)}), ChartSpan(0, 45))

    assert "0/s" == told["rate"]["latest"]["legacy"]  # that of the step before


def test_a_step_without_requests_has_no_errors_and_no_latency():
    told = route_json(history(legacy={0: counts(10, 5)}), SPAN)

    assert "M0 0h5" == told["errors"]["paths"]["legacy"]
    assert "50%" == told["errors"]["latest"]["legacy"]


def test_an_unknown_range_is_the_usual_one():
    assert ["2h", "7d"] == [known_range("<b>"), known_range("7d")]


def test_an_answer_is_made_once_until_it_is_too_old():
    clock, made = [0.0], []
    kept = KeptAnswers(lambda: clock[0])

    def ask():
        return kept.get("a", 10, lambda: made.append(1) or len(made))

    told = [ask(), ask()]
    clock[0] = 10.0

    assert [1, 1, 2] == [*told, ask()]
