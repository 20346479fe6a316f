"""What a rule would hide is told before it is written, over every route that the rule reaches."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.unit.cli.found import answer, compared, put

ORDER = {"id": 7, "total": 1900, "placed_at": "2026-11-20T09:14:00Z"}
LATE = {**ORDER, "placed_at": "2026-11-20T09:14:02Z"}
MORE = {**ORDER, "total": 1905}
LESS = {**ORDER, "total": None}
LONE = {"id": 7, "placed_at": "2026-11-20T09:14:00Z"}
SHARED = "    target: legacy\n    shadow: {percent: 5%, compare: common}\n"


def found(candidate, route="orders", count=1):
    return [compared(route, answer(ORDER), answer(candidate))] * count


@pytest.fixture
def find(overgrow):
    """Put what was found into the store."""
    return lambda *records: put(overgrow.folder / ".overgrow", *records)


def group_of(overgrow, route="orders", at=0):
    return overgrow.json("diff", "top", "--route", route, "--all")[1][at]["group"]


def preview(overgrow, *words, key=None):
    code, told = overgrow.json("diff", "accept", key or group_of(overgrow), "--preview", *words)
    assert code == 0, told
    return told


def entries(overgrow):
    file = overgrow.folder / ".overgrow/flips.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_preview_writes_nothing(overgrow, find):
    find(*found(LATE))

    preview(overgrow)

    assert (False, []) == ((overgrow.folder / "compare").exists(), entries(overgrow))


def test_a_preview_has_the_group_itself_and_how_grave_it_is(overgrow, find):
    find(*found({**LATE, "total": "x"}, count=3))

    told = preview(overgrow, "--path", "$.placed_at")

    (own,) = told["covers"]
    assert (True, False, 3, "medium") == tuple(
        own[name] for name in ("own", "closes", "count", "severity")
    )
    assert ("medium", ["$.total"], False) == (
        told["highest_severity"],
        told["stays_open"],
        told["bounded"],
    )


def test_a_preview_says_what_else_the_rule_hides_by_route(overgrow, find):
    find(*found(LATE), *found({**LATE, "id": "7"}), *found(LATE, "cart"))

    mine = preview(overgrow, key=group_of(overgrow, at=1))
    everywhere = preview(overgrow, "--everywhere", key=group_of(overgrow, at=1))

    assert {"orders"} == {each["route"] for each in mine["covers"]}
    assert {"orders", "cart"} == {each["route"] for each in everywhere["covers"]}
    assert [True, False] == sorted((each["own"] for each in mine["covers"]), reverse=True)
    assert (["orders"], None) == (mine["routes"], everywhere["routes"])


def test_a_preview_looks_at_all_routes_that_share_the_file(overgrow, find):
    overgrow.table.write_text(overgrow.table.read_text().replace("    target: legacy\n", SHARED))
    find(*found(LATE), *found(LATE, "cart"))

    told = preview(overgrow)
    done = overgrow.json("diff", "accept", group_of(overgrow), "--reason", "x")[1]

    assert ["cart", "orders"] == told["routes"] == sorted(each["route"] for each in told["covers"])
    assert ["cart"] == [each["route"] for each in done["hides"]]


def test_what_a_route_covers_itself_is_not_hidden_by_a_rule_for_all(overgrow, find):
    find(*found(LATE), *found(LATE, "cart"))
    overgrow.json("diff", "accept", group_of(overgrow, "cart"), "--reason", "x")

    told = preview(overgrow, "--everywhere")

    assert ["orders"] == [each["route"] for each in told["covers"]]


def test_a_rule_for_all_hides_nothing_where_a_broken_file_may_forbid_it(overgrow, find):
    find(*found(LATE), *found(LATE, "cart"))
    (overgrow.folder / "compare").mkdir()
    (overgrow.folder / "compare/cart.yaml").write_text("version: 2\n")

    told = preview(overgrow, "--everywhere")

    assert ["orders"] == [each["route"] for each in told["covers"]]


def test_a_rule_that_opens_a_group_again_says_so(overgrow, find):
    find(*found(MORE))
    overgrow.json("diff", "accept", group_of(overgrow), "--everywhere", "--reason", "x")
    find(*found({**LATE, "total": 9000}))
    far = overgrow.json("diff", "top")[1][0]["group"]

    told = preview(overgrow, "--path", "$.total", "--how", "timestamp_within 5s", key=far)

    assert (1, []) == (told["counts"]["opens"], told["covers"])


def test_rules_of_high_severity_are_warned_of(overgrow, find):
    find(*found(LESS))

    text = overgrow("diff", "accept", group_of(overgrow), "--preview").stdout

    assert "It hides differences of high severity: they break clients." in text
    assert "would be added; nothing was written" in text


def test_a_rule_that_exists_is_told_before_it_is_accepted(overgrow, find):
    find(*found(MORE))
    words = ("diff", "accept", group_of(overgrow), "--how", "tolerance 1")
    overgrow.json(*words, "--reason", "x")

    code, told = overgrow.json(*words, "--preview")

    assert (1, "rule-exists") == (code, told["error"]["code"])


def test_the_digest_changes_with_rules_file_and_hidden_differences(overgrow, find):
    find(*found(LATE))
    key = group_of(overgrow)
    first = preview(overgrow, key=key)["digest"]
    wider = preview(overgrow, "--how", "same_shape", key=key)["digest"]
    find(*found(LATE, count=5))
    again = preview(overgrow, key=key)["digest"]
    find(*found({**LATE, "id": "7"}))
    more = preview(overgrow, key=key)["digest"]

    assert (True, 3) == (first == again, len({first, wider, more}))


def test_an_accepted_rule_is_in_the_history_with_author_group_and_reason(overgrow, find):
    find(*found(LATE))
    key = group_of(overgrow)

    overgrow.json("diff", "accept", key, "--reason", "two clocks", LOGNAME="ada")

    (entry,) = entries(overgrow)
    assert ("accept", "ada", "orders", key, "two clocks") == tuple(
        entry[name] for name in ("action", "who", "route", "from", "why")
    )
    assert "orders.yaml: $.placed_at timestamp_within 2s" == entry["to"]
    assert "accept orders" in overgrow("history").stdout


def test_rollback_does_not_undo_an_accept(overgrow, find):
    find(*found(LATE))
    overgrow.json("diff", "accept", group_of(overgrow), "--reason", "x")

    assert "[nothing-to-undo]" in overgrow.fails("rollback")


def test_two_people_who_accept_at_once_both_have_their_rule(overgrow, find):
    find(*found(LATE), *found(MORE))
    keys = [each["group"] for each in overgrow.json("diff", "top")[1]]

    with ThreadPoolExecutor(2) as both:
        done = both.map(lambda key: accept_in_a_process(overgrow, key), keys)

    assert [0, 0] == list(done)
    rules = yaml.safe_load((overgrow.folder / "compare/orders.yaml").read_text())["rules"]
    assert {"$.placed_at", "$.total"} == {rule["path"] for rule in rules}


def accept_in_a_process(overgrow, key):
    words = ("-m", "overgrow", "diff", "accept", key, "--reason", "x")
    return subprocess.run([sys.executable, *words], cwd=overgrow.folder, check=False).returncode


def test_a_preview_needs_no_reason_but_an_accept_does(overgrow, find):
    find(*found(LATE))
    key = group_of(overgrow)

    assert 0 == overgrow("diff", "accept", key, "--preview").exit_code
    assert "--reason" in overgrow.misused("diff", "accept", key)
