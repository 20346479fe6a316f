import json
import time

import pytest

from overgrow.table.editing.history import read_history
from tests.unit.cli.found import answer, compared, put, served

SAME = answer({"id": 7})
OTHER = answer({"id": "7"})


@pytest.fixture
def find(overgrow):
    """Put what was found into the store; the table requires 20 clean comparisons of orders."""
    text = overgrow.table.read_text()
    require = "    target: legacy\n    shadow: 10%\n    require: {clean: 20}\n"
    overgrow.table.write_text(text.replace("    target: legacy\n", require, 1))
    return lambda *records: put(overgrow.folder / ".overgrow", *records)


def clean(count, route="orders", **given):
    return [compared(route, SAME, SAME, **given)] * count


def failing(count, **given):
    return [compared("orders", SAME, OTHER, **given)] * count


# --- the command ----------------------------------------------------------------------------------


def test_enough_clean_comparisons_are_ready(overgrow, find):
    find(*clean(20), served("orders"))

    done = overgrow("gate", "orders")

    assert (0, "orders: ready to be flipped to migrated") == (
        done.exit_code,
        done.stdout.splitlines()[0],
    )


def test_of_all_each_route_with_a_shadow_is_asked(overgrow, find):
    find(*clean(20), served("orders"))

    code, told = overgrow.json("gate", "--all")

    assert (0, True, ["orders"]) == (
        code,
        told["ready"],
        [each["route"] for each in told["members"]],
    )


def test_of_all_where_nothing_is_compared_that_is_said(overgrow):
    assert "No route has `shadow:`." in overgrow.fails("gate", "--all")


@pytest.mark.parametrize("words", [[], ["orders", "--all"]], ids=["neither", "both"])
def test_a_gate_is_of_one_route_or_of_all(overgrow, find, words):
    assert "or write --all" in overgrow.misused("gate", *words)


def test_too_few_are_not_and_how_many_are_missing_is_told(overgrow, find):
    find(*clean(12))

    done = overgrow("gate", "orders")

    assert (1, True) == (done.exit_code, "NOT ready" in done.stdout)
    assert "20 are required, 8 more" in done.stdout


def test_the_arithmetic_is_told_in_words_and_numbers(overgrow, find):
    find(*clean(20))

    text = overgrow("gate", "orders").stdout

    assert "0 mismatches in 20 comparisons: with 95% confidence at most 13.9%" in text
    assert "(1 - 0.05^(1/20))" in text


def test_the_gate_as_json_has_exactly_the_keys_that_are_promised(overgrow, find):
    find(*clean(10), *failing(2))
    code, told = overgrow.json("gate", "orders")

    assert [
        "route",
        "to",
        "ready",
        "reasons",
        "arithmetic",
        "notes",
        "required",
        "compared",
        "mismatched",
        "rate_bound",
        "allowed_rate",
        "coverage",
        "newest",
        "missing",
        "not_compared",
        "open_groups",
    ] == list(told)
    assert (1, "migrated", False, 20, 12, 2) == (
        code,
        *(told[key] for key in ("to", "ready", "required", "compared", "mismatched")),
    )
    assert [("high", 2)] == [(one["severity"], one["count"]) for one in told["open_groups"]]


def test_an_accepted_difference_counts_as_clean_at_once(overgrow, find):
    find(*failing(20))
    key = overgrow.json("diff", "top")[1][0]["group"]
    before = overgrow("gate", "orders").exit_code
    overgrow("diff", "accept", key, "--reason", "x")

    assert (1, 0) == (before, overgrow("gate", "orders").exit_code)


def test_old_evidence_is_not_enough(overgrow, find):
    find(*clean(20, at=time.time() - 4 * 86_400))

    assert "The newest comparison is 4 days old" in overgrow("gate", "orders").stdout


def test_kinds_of_requests_that_were_never_compared_are_named(overgrow, find):
    find(*clean(20), *[served("orders"), served("orders", status=404)] * 10)

    assert "Never compared: GET /orders 404 (10 served)" in overgrow("gate", "orders").stdout


def test_without_a_store_it_is_not_ready_and_says_that_there_is_none(overgrow):
    code, told = overgrow.json("gate", "orders")

    assert (1, False, 0) == (code, told["ready"], told["compared"])
    assert "There is no evidence yet" in told["reasons"][0]


def test_what_keeps_the_evidence_from_growing_is_told(overgrow):
    text = overgrow("gate", "orders").stdout

    assert "the route has no `shadow:`" in text
    assert "the route has no `require: {clean: N}`" in text


def test_of_a_migrated_route_it_says_whether_the_way_back_is_proven(overgrow, find):
    find(*clean(299, route="order-detail", side="migrated"))

    done = overgrow("gate", "order-detail")

    assert (0, True) == (done.exit_code, "a flip back is safe" in done.stdout)


def test_comparisons_the_other_way_round_prove_nothing_for_the_flip(overgrow, find):
    find(*clean(20, side="migrated"))

    assert 1 == overgrow("gate", "orders").exit_code


def test_an_unknown_route_is_told_with_the_nearest(overgrow):
    assert "Did you mean orders" in overgrow.fails("gate", "order")


def test_an_invalid_table_is_told_with_its_problems(overgrow):
    overgrow.table.write_text("version: 2\n")

    assert "[version]" in overgrow.fails("gate", "orders")


# --- groups of routes -----------------------------------------------------------------------------

GROUP = """\
version: 1
app: shop:create_app
legacy: {url: http://127.0.0.1:9000}
routes:
  - {name: orders, path: /orders, target: legacy, group: checkout, require: {clean: 20}}
  - {name: order-detail, path: /orders/<int:id>, target: legacy, group: checkout}
"""


@pytest.fixture
def grouped(overgrow):
    overgrow.table.write_text(GROUP)
    return overgrow


def test_the_gate_of_a_group_is_that_of_its_members(grouped):
    put(grouped.folder / ".overgrow", *clean(20))

    code, told = grouped.json("gate", "group:checkout")

    assert (1, "group:checkout", False) == (code, told["route"], told["ready"])
    assert {"orders": True, "order-detail": False} == {
        each["route"]: each["ready"] for each in told["members"]
    }


@pytest.mark.parametrize(
    ("name", "fix"), [("chekcout", "Did you mean group:checkout?"), ("x", "Add group: NAME")]
)
def test_a_group_that_no_route_is_in_has_no_gate(grouped, name, fix):
    told = grouped.fails("gate", f"group:{name}")

    assert (fix in told, "[unknown-group]" in told) == (True, True)


@pytest.mark.parametrize("to", ["10%", "gone", "legacy"])
def test_a_group_is_flipped_in_one_step(grouped, to):
    code, told = grouped.json("flip", "group:checkout", to)

    assert (0, "group:checkout", "legacy", to) == (code, told["route"], told["from"], told["to"])


def test_a_group_flip_is_rolled_back_whole(grouped):
    before = grouped.table.read_text()
    grouped("flip", "group:checkout", "10%")

    told = grouped.json("rollback", "group:checkout")[1]

    assert ("group:checkout", "10%", "legacy") == (told["route"], told["from"], told["to"])
    assert before == grouped.table.read_text()


def test_a_member_alone_is_refused_with_the_command_for_all(grouped):
    told = grouped.fails("flip", "orders", "10%")

    assert "flip group:checkout 10%" in told
    assert "[group-member]" in told


def test_an_unknown_group_is_told_with_the_nearest(grouped):
    told = grouped.fails("flip", "group:checkuot", "10%")

    assert "group:checkout" in told
    assert "[unknown-group]" in told


# --- a flip asks it -------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["migrated", "100%"])
def test_a_closed_gate_refuses_a_flip_with_its_reasons(overgrow, find, to):
    find(*clean(12))
    before = overgrow.table.read_bytes()

    told = overgrow.fails("flip", "orders", to)

    assert "20 are required, 8 more." in told
    assert "--force --reason TEXT. [gate-closed]" in told
    assert before == overgrow.table.read_bytes()


def test_an_open_gate_lets_pass_and_the_history_keeps_what_it_saw(overgrow, find):
    find(*clean(20))

    done = overgrow("flip", "orders", "migrated")

    entry = read_history(overgrow.folder / ".overgrow").entries[0]
    assert (0, 20, 0) == (
        done.exit_code,
        entry.evidence["orders"]["compared"],
        entry.evidence["orders"]["mismatched"],
    )
    assert () == entry.overruled


def test_force_with_a_reason_passes_and_the_history_keeps_the_objections(overgrow, find):
    find(*clean(12))

    done = overgrow("flip", "orders", "migrated", "--force", "--reason", "night, no users")

    entry = read_history(overgrow.folder / ".overgrow").entries[0]
    assert (0, "night, no users") == (done.exit_code, entry.why)
    assert "8 more" in entry.overruled[0]


def test_a_reason_alone_opens_no_gate(overgrow, find):
    find(*clean(12))

    assert "[gate-closed]" in overgrow.fails("flip", "orders", "migrated", "--reason", "because")


def test_force_without_a_reason_is_bad_usage(overgrow, find):
    find(*clean(12))

    assert "--reason" in overgrow.misused("flip", "orders", "migrated", "--force")


def test_an_empty_reason_is_bad_usage(overgrow):
    assert "Say why" in overgrow.misused("flip", "orders", "gone", "--reason", " ")


def test_a_reason_is_kept_where_no_gate_stands(overgrow):
    overgrow("flip", "orders", "gone", "--reason", "unused since May")

    entry = json.loads((overgrow.folder / ".overgrow/flips.jsonl").read_text())
    assert "unused since May" == entry["why"]


def test_without_a_store_a_gate_is_closed_and_can_be_forced(overgrow, find):
    refused = overgrow.fails("flip", "orders", "migrated")
    forced = overgrow("flip", "orders", "migrated", "--force", "--reason", "x")

    assert ("There is no evidence yet" in refused, 0) == (True, forced.exit_code)


@pytest.mark.parametrize("to", ["10%", "gone", "legacy"])
def test_no_gate_stands_before_canaries_and_the_way_back(overgrow, find, to):
    assert 0 == overgrow("flip", "orders", to).exit_code


def test_a_rollback_asks_no_gate(overgrow, find):
    overgrow("flip", "orders", "migrated", "--force", "--reason", "x")
    overgrow("flip", "orders", "legacy")

    assert "migrated" == overgrow.json("rollback")[1]["to"]
