import re
import sqlite3
import time
from datetime import datetime

import pytest

from overgrow.evidence import FallbackRecord
from overgrow.observe.metrics import Metrics
from tests.unit.cli.found import answer, compared, put, served

SAME, OTHER = answer({"id": 7}), answer({"id": "7"})


@pytest.fixture
def shadowed(overgrow):
    text = overgrow.table.read_text()
    shadow = "    target: legacy\n    shadow: 12.5%\n"
    overgrow.table.write_text(text.replace("    target: legacy\n", shadow, 1))
    return overgrow


@pytest.fixture
def find(shadowed):
    return lambda *records: put(shadowed.folder / ".overgrow", *records)


def test_status_counts_what_was_compared_and_what_came_of_it(shadowed, find):
    find(
        *[compared("orders", SAME, SAME)] * 5,
        *[compared("orders", SAME, OTHER)] * 2,
        *[served("orders")] * 9,
    )

    (told,) = shadowed.json("shadow", "status")[1]["routes"]

    newest = told.pop("newest")
    assert {
        "route": "orders",
        "answered_by": "legacy",
        "shadow": 12.5,
        "served": 9,
        "compared": 7,
        "matched": 5,
        "ignored": 0,
        "mismatched": 2,
        "open_groups": 1,
    } == told
    assert abs(time.time() - datetime.fromisoformat(newest).timestamp()) < 60


def test_status_shows_each_direction_on_a_line_of_its_own(shadowed, find):
    find(compared("orders", SAME, SAME), compared("orders", SAME, SAME, side="migrated"))

    lines = shadowed("shadow", "status").stdout.splitlines()[1:]

    assert [("orders", "legacy"), ("orders", "migrated")] == [
        tuple(line.split()[:2]) for line in lines
    ]


def test_status_without_a_store_shows_routes_and_why_they_are_empty(shadowed):
    done = shadowed("shadow", "status")

    assert (0, ["orders", "legacy", "12.5%", "0", "0", "0", "0", "0", "-"]) == (
        done.exit_code,
        done.stdout.splitlines()[1].split(),
    )
    assert "There is no evidence yet" in done.stderr


def test_status_without_any_shadow_says_so(overgrow):
    assert "No route has `shadow:`" in overgrow("shadow", "status").stdout


def test_a_route_that_left_the_table_keeps_its_line(shadowed, find):
    find(compared("former", SAME, SAME))

    names = [each["route"] for each in shadowed.json("shadow", "status")[1]["routes"]]

    assert ["orders", "former"] == names


def test_accepted_groups_are_open_no_more(shadowed, find):
    find(compared("orders", SAME, OTHER))
    key = shadowed.json("diff", "top")[1][0]["group"]
    shadowed("diff", "accept", key, "--reason", "x")

    assert 0 == shadowed.json("shadow", "status")[1]["routes"][0]["open_groups"]


def test_what_a_rule_of_today_covers_differs_no_more(shadowed, find):
    find(*[compared("orders", SAME, OTHER)] * 2, compared("orders", SAME, SAME))
    key = shadowed.json("diff", "top")[1][0]["group"]
    shadowed("diff", "accept", key, "--reason", "x")

    (told,) = shadowed.json("shadow", "status")[1]["routes"]

    assert (3, 1, 2, 0) == (told["compared"], told["matched"], told["ignored"], told["mismatched"])


def test_what_was_dropped_is_told_by_reason_the_most_frequent_first(shadowed, find):
    find(compared("orders", SAME, SAME))
    metrics = Metrics(shadowed.folder / ".overgrow/metrics", 0)
    for reason in ("budget", "queue-full", "queue-full"):
        metrics.add("overgrow_shadow_dropped_total", reason)
    metrics.close()

    told = shadowed.json("shadow", "status")[1]

    assert {"queue-full": 2, "budget": 1} == told["dropped"]
    text = shadowed("shadow", "status").stdout
    assert "drawn but not compared: 2 queue-full, 1 budget" in text


def test_status_fits_eighty_columns(shadowed, find):
    find(*[compared("orders", SAME, SAME, at=time.time() - 3_000)] * 3)

    lines = shadowed("shadow", "status", COLUMNS="80").stdout.splitlines()

    assert max(map(len, lines)) <= 80


def test_status_tells_what_fell_back_and_after_what(shadowed, find):
    at = time.time() - 200
    find(
        compared("orders", SAME, SAME),
        FallbackRecord("cart", at, "GET", "500", "200", 0.25),
        *[FallbackRecord("orders", at, "GET", "500", "200", 0.25)] * 2,
        FallbackRecord("orders", at, "HEAD", "migrated-timeout", "200", 5.5),
    )

    orders, cart = shadowed.json("shadow", "status")[1]["fallbacks"]

    assert orders.pop("last").startswith("20")
    assert {
        "route": "orders",
        "count": 3,
        "by_migrated": {"500": 2, "migrated-timeout": 1},
        "slowest_s": 5.5,
    } == orders
    assert ("cart", 1) == (cart["route"], cart["count"])
    assert (
        "orders fell back to legacy: 3 times, last 3 min ago (500 2, migrated-timeout 1; slowest 5.5 s)"
    ) in shadowed("shadow", "status").stdout


def test_status_tells_whose_evidence_was_begun_anew_last(shadowed, find, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    find(compared("orders", SAME, OTHER))
    for reason in ("first", "second"):
        shadowed("shadow", "restart", "orders", "--reason", reason)

    (told,) = shadowed.json("shadow", "status")[1]["restarts"]

    assert ("orders", "ada", "second") == (told["route"], told["who"], told["reason"])
    assert re.search(
        r"^evidence of orders reset: (just now|\d+ s ago) by ada: second$",
        shadowed("shadow", "status").stdout,
        re.MULTILINE,
    )


# --- restart --------------------------------------------------------------------------------------


def test_restart_forgets_one_route_and_no_other(shadowed, find):
    find(compared("orders", SAME, OTHER), compared("cart", SAME, OTHER))

    code, told = shadowed.json("shadow", "restart", "orders", "--reason", "mended")

    assert (0, {"route": "orders", "reason": "mended"}) == (code, told)
    assert ["cart"] == [each["route"] for each in shadowed.json("diff", "top")[1]]


@pytest.mark.parametrize("words", [[], ["--reason", " "]])
def test_restart_wants_a_reason(shadowed, find, words):
    find(compared("orders", SAME, OTHER))

    shadowed.misused("shadow", "restart", "orders", *words)


def test_restart_of_evidence_that_cannot_be_written_is_told(shadowed, find):
    find(compared("orders", SAME, OTHER))
    with sqlite3.connect(shadowed.folder / ".overgrow/store.sqlite3") as database:
        database.execute("DROP TABLE overgrow_restart")
    database.close()

    told = shadowed.fails("shadow", "restart", "orders", "--reason", "x")

    assert ("cannot be written" in told, "[no-evidence]" in told) == (True, True)
    assert 1 == len(shadowed.json("diff", "top")[1])


def test_restart_of_a_route_that_is_none_tells_the_nearest(shadowed, find):
    find(compared("orders", SAME, OTHER))

    assert "Did you mean orders" in shadowed.fails("shadow", "restart", "order", "--reason", "x")


def test_restart_of_all_forgets_every_route(shadowed, find):
    find(compared("orders", SAME, OTHER), compared("cart", SAME, OTHER))

    code, told = shadowed.json("shadow", "restart", "--all", "--reason", "a new release")

    assert (0, {"routes": ["orders", "cart"], "reason": "a new release"}) == (code, told)
    assert [] == shadowed.json("diff", "top")[1]


@pytest.mark.parametrize("words", [[], ["orders", "--all"]], ids=["neither", "both"])
def test_restart_is_of_one_route_or_of_all(shadowed, find, words):
    find(compared("orders", SAME, OTHER))

    told = shadowed.misused("shadow", "restart", *words, "--reason", "x")

    assert "Name a ROUTE, or write --all" in told
