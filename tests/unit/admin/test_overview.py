import os

import pytest

from overgrow.admin.alerts import FilesReader, breaker_alerts, is_well, lag_sentences
from overgrow.admin.overview import Totals, read_overview
from overgrow.admin.pages.frame import read_frame
from overgrow.admin.pages.overview import MOST_SHOWN, OverviewBuilder, narrow
from overgrow.admin.route_rows import (
    RouteRow,
    ShadowCounts,
    describe_matched_requests,
    marks_of,
    shadow_counts_of,
    way_back_of,
)
from overgrow.admin.traffic import TICK_S, CounterReader
from overgrow.observe.board import claim_slot
from overgrow.observe.counted_families import sum_samples
from overgrow.observe.metrics import BUCKETS_S, Metrics
from overgrow.observe.recent_counts import WINDOW_S
from overgrow.observe.recent_rates import Gain, RatesFile
from overgrow.routing.model import Legacy, Predicate, Route, RouteTable
from overgrow.table.editing.history import JOURNAL
from overgrow.text import ago_text
from tests.unit.admin.admin_view import View
from tests.unit.observe.exchanges import NOW_S, decision, exchange

SIZE = len(BUCKETS_S)
LEGACY = Legacy("http://127.0.0.1:9000")


def worker(**given):
    return {"slot": 0, "pid": 41, "revision": "aaaaaaaaaaaa", "killed": False, **given}


def view_of(tmp_path, *routes):
    config = tmp_path / "routes.yaml"
    config.write_text("version: 1\n")
    return View(tmp_path, RouteTable("aaaaaaaaaaaa", LEGACY, routes), config=config)


@pytest.mark.parametrize(
    ("told", "revision", "killed", "lagging"),
    [
        pytest.param({}, "aaaaaaaaaaaa", False, (), id="it follows"),
        pytest.param(
            {},
            "bbbbbbbbbbbb",
            False,
            ("worker 0 (pid 41) runs aaaaaaaaaaaa, the file is bbbbbbbbbbbb",),
            id="it has not read the file yet",
        ),
        pytest.param({"reload_error": {}}, None, False, (), id="the file cannot be read"),
        pytest.param(
            {"reload_error": {"at": "", "problems": []}},
            "bbbbbbbbbbbb",
            False,
            (),
            id="it has read the file and refuses it",
        ),
        pytest.param(
            {},
            "aaaaaaaaaaaa",
            True,
            ("worker 0 (pid 41) has not seen the kill file",),
            id="a new kill file",
        ),
        pytest.param(
            {"killed": True},
            "aaaaaaaaaaaa",
            False,
            ("worker 0 (pid 41) still sees the kill file",),
            id="a kill file that is gone",
        ),
    ],
)
def test_a_worker_lags_until_it_does_what_is_on_disk(told, revision, killed, lagging):
    assert lagging == lag_sentences([worker(**told)], revision, killed=killed)


def test_breakers_are_told_once_for_all_workers():
    opened = {"route": "orders", "side": "migrated", "state": "open"}
    by = {"failed": 9, "slow": 1, "answers": 20}
    living = [worker(breakers=[{**opened, "opened_by": by}]), worker(breakers=[opened]), worker()]

    (told,) = breaker_alerts(living)

    assert "Breaker open: orders, migrated, in 2 of 3 workers." == told.what
    assert ("9 failed and 1 slow of 20 responses",) == told.details
    assert "overgrow breaker reset orders" == told.command


@pytest.mark.parametrize(
    ("given", "back"),
    [
        pytest.param({"target": "migrated"}, "orders", id="migrated"),
        pytest.param({"target": "gone"}, "orders", id="gone"),
        pytest.param({"canary": 1}, "orders", id="a canary"),
        pytest.param({"target": "migrated", "group": "shop"}, "group:shop", id="moves together"),
        pytest.param({}, None, id="on legacy already"),
        pytest.param({"target": "migrated", "reversible": False}, None, id="irreversible"),
    ],
)
def test_what_can_be_put_back(given, back):
    assert back == way_back_of(Route("orders", path="/orders", **given))


def test_what_a_route_takes_is_said_as_in_the_table():
    flag = Predicate("header", "X-Beta", value="1")
    route = Route("a", prefix="/a", methods=("GET", "POST"), host="shop.test", predicates=(flag,))

    assert "GET POST /a and below on shop.test if header:X-Beta='1'" == describe_matched_requests(
        route
    )


def test_a_route_is_marked_with_what_else_counts():
    route = Route("a", path="/a", target="migrated", group="g", fallback=True, reversible=False)

    told = list(marks_of(RouteRow("a", route, {}, 0, {}, None)))

    assert [
        "group g",
        "fallback",
        "irreversible: cannot go back",
    ] == told


def test_a_name_that_left_the_table_says_so():
    assert ["no longer in the table"] == list(marks_of(RouteRow("was", None, {}, 0, {}, None)))


def test_comparisons_are_counted_by_route(tmp_path):
    metrics = Metrics(tmp_path, 0)
    for verdict in ("matched", "ignored", "mismatched", "unanswered"):
        metrics.add("overgrow_shadow_total", "orders", verdict)

    assert {"orders": ShadowCounts(3, 1)} == shadow_counts_of(sum_samples(tmp_path))


def test_the_last_request_is_known_long_after_it_came(tmp_path):
    clock = [0.0]
    reader = CounterReader(tmp_path, lambda: clock[0])
    Metrics(tmp_path, 0).record(exchange())
    before = reader.read(NOW_S + 5000).last_s["orders", "migrated"]
    RatesFile().append(
        tmp_path, 0, [Gain("orders", "migrated", 0, (1,) + (0,) * SIZE)], NOW_S + 5001
    )
    clock[0] += TICK_S

    assert abs(before - NOW_S) <= WINDOW_S
    assert NOW_S + 5001 == reader.read(NOW_S + 5002).last_s["orders", "migrated"]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("1970-01-01T00:00:10Z", "just now"),
        ("1970-01-01T00:00:09.500Z", "just now"),
        ("1969-12-31T23:59:30Z", "40 s ago"),
        ("1969-12-31T23:59:10Z", "1 min ago"),
        ("1969-12-31T23:58:10Z", "2 min ago"),
        ("1969-12-30T00:00:10Z", "2 days ago"),
        ("1969-12-30T23:00:00Z", "25 h ago"),
        ("1969-12-29T00:00:00Z", "3 days ago"),
        ("2030-01-01T00:00:00Z", "just now"),
        ("soon", ""),
        (None, ""),
    ],
)
def test_ages_are_said_as_people_say_them(at, text):
    assert text == ago_text(at, 10.0)


def read(view):
    return read_overview(view, CounterReader(view.metrics), NOW_S)


def page_of(view, **query):
    """What the page without JavaScript shows."""
    return narrow(OverviewBuilder(CounterReader(view.metrics))(view, NOW_S, {}), query)


def test_only_so_many_routes_stand_on_one_page(tmp_path):
    routes = [Route(f"r{number}", path=f"/{number}") for number in range(MOST_SHOWN + 5)]

    shown = page_of(view_of(tmp_path, *routes))

    assert MOST_SHOWN == len(shown["rows"])
    assert (
        "The first 200 of 206 routes. Search to find the others." == shown["found"]
    )  # and default


@pytest.mark.parametrize("find", ["ORD", "/orders/<int", "group shop", "canary 10%"])
def test_routes_are_found_by_name_path_group_and_canary(tmp_path, find):
    orders = Route("orders", path="/orders/<int:id>", group="shop", canary=1000)

    shown = page_of(view_of(tmp_path, Route("cart", path="/cart"), orders), find=find)

    assert ["orders"] == [row["name"] for row in shown["rows"]]
    assert "1 of 3 routes" == shown["found"]


def test_the_totals_are_those_of_all_routes(tmp_path):
    view = view_of(tmp_path, Route("orders", path="/orders"))
    metrics = Metrics(view.metrics, 0)
    metrics.record(exchange(status=500))
    metrics.record(exchange("legacy")._replace(decision=decision("legacy", None)))

    assert Totals(1, 0, 1, 1) == read(view).totals


def test_a_kill_file_that_leads_nowhere_counts(tmp_path):
    view = view_of(tmp_path)
    (tmp_path / "kill").symlink_to("gone")

    frame = read_frame(view, FilesReader(view))

    assert frame.killed_since
    assert "Killed" in str(frame.alerts)


def test_of_two_kill_files_the_first_one_counts(tmp_path):
    view = view_of(tmp_path)
    for path, at_s in ((tmp_path / "kill", 2000), (tmp_path / "routes.yaml.kill", 1000)):
        path.touch()
        os.utime(path, (at_s, at_s))

    assert read_frame(view, FilesReader(view)).killed_since == "1970-01-01T00:16:40Z"


def test_a_breaker_that_is_open_anywhere_is_shown_as_open(tmp_path):
    view = view_of(tmp_path, Route("orders", path="/orders"))
    slots = [claim_slot(view.board) for _ in range(3)]
    for slot, state in zip(slots, ("half-open", "open", "half-open"), strict=True):
        breaker = {"route": "orders", "side": "migrated", "state": state, "opened_by": None}
        slot.publish({"breakers": [breaker]})
    shown = read(view)
    for slot in slots:
        slot.release()

    assert [row.breakers for row in shown.rows if row.breakers] == [{"migrated": "open"}]


def test_an_unimportable_app_is_a_problem_and_a_note_is_not(tmp_path):
    view = view_of(tmp_path)
    noted = f"{view.config}:3:1: canary has no effect. [canary-dormant]"
    notes = ["the app cannot be imported: No module named 'shop'", noted]
    slot = claim_slot(view.board)
    slot.publish({"notes": notes})

    alerts, shown = read_frame(view, FilesReader(view)).alerts, read(view)
    slot.release()

    assert "the app cannot be imported: No module named 'shop'" == alerts[-1].what
    assert (noted,) == shown.notes


def test_a_route_has_its_open_groups_not_its_history(tmp_path):
    view = view_of(
        tmp_path, Route("orders", path="/orders", shadow=500), Route("cart", path="/cart")
    )
    view.opened = {"orders": 2}

    shown = read(view)

    assert {"orders": 2, "cart": 0, "default": 0} == {
        row.name: row.open_groups for row in shown.rows
    }


def test_a_store_that_cannot_be_asked_leaves_the_page(tmp_path, monkeypatch):
    def failing(_self):
        raise OSError("the store is away")

    view = view_of(tmp_path, Route("orders", path="/orders"))
    monkeypatch.setattr(type(view), "open_groups", failing)

    assert {0} == {row.open_groups for row in read(view).rows}


def test_a_history_that_cannot_be_read_leaves_the_page_and_is_told(tmp_path):
    view = view_of(tmp_path, Route("orders", path="/orders"))
    os.mkfifo(view.state / JOURNAL)
    shown = read(view)

    assert [row.name for row in shown.rows] == ["orders", "default"]
    assert "The history cannot be read" in str(shown.alerts)
    assert shown.undo is None


def test_counts_that_cannot_be_read_leave_the_page_and_are_told(tmp_path):
    class AwayReader(CounterReader):
        def read(self, _now_s):
            raise TimeoutError(0, "it does not answer", "metrics")

    view = view_of(tmp_path, Route("orders", path="/orders"))

    shown = read_overview(view, AwayReader(view.metrics), NOW_S)
    assert "What was counted cannot be read (metrics: it does not answer)." in str(shown.alerts)
    assert [row.name for row in shown.rows] == ["orders", "default"]


def test_a_name_that_left_the_table_has_a_row_while_it_has_counts(tmp_path):
    view = view_of(tmp_path)
    Metrics(view.metrics, 0).record(exchange())

    assert ["default", "orders"] == [row.name for row in read(view).rows]


def test_counters_are_read_once_for_all_pages_of_a_tick(tmp_path):
    clock = [0.0]
    metrics, reader = Metrics(tmp_path, 0), CounterReader(tmp_path, lambda: clock[0])
    metrics.record(exchange())
    told = [reader.read(NOW_S)]
    metrics.record(exchange())
    told.append(reader.read(NOW_S))
    clock[0] += TICK_S
    told.append(reader.read(NOW_S))

    assert [1, 1, 2] == [sum(each.totals["orders", "migrated"][1:]) for each in told]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, True, id="all is well"),
        pytest.param({"status": "starting"}, False, id="starting"),
        pytest.param({"killed": True}, False, id="killed"),
        pytest.param({"reload_error": {"at": "", "problems": []}}, False, id="refused"),
        pytest.param({"boot_error": {"at": ""}}, False, id="workers do not start"),
        pytest.param({"upstream": {"up": False}}, False, id="legacy does not answer"),
    ],
)
def test_only_a_front_door_without_trouble_is_well(changes, expected):
    plain = {"status": "ready", "killed": False, "reload_error": None, "boot_error": None}

    assert is_well({**plain, "upstream": {"up": True}, **changes}) is expected
