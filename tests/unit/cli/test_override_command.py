import re
import time

import pytest

KEY = {"OVERGROW_SECRET": "key"}


def test_an_override_alone_is_on_standard_output(overgrow):
    done = overgrow("override", "migrated", **KEY)

    assert re.fullmatch(r"v1\.migrated\.\*\.[0-9]+\.[0-9a-f]{64}\n", done.stdout)


def test_how_to_use_an_override_is_on_standard_error(overgrow):
    lines = overgrow("override", "migrated", **KEY).stderr.splitlines()

    assert "X-Overgrow-Override" in lines[0]
    assert "overgrow_override" in lines[1]


def test_an_override_as_json_says_nothing_on_standard_error(overgrow):
    done = overgrow("override", "migrated", "--json", **KEY)

    assert (0, "") == (done.exit_code, done.stderr)


def test_an_override_works_for_explain(overgrow):
    token = overgrow.json("override", "legacy", "--route", "order-detail", **KEY)[1]["token"]

    told = overgrow.json("explain", "/orders/7", "-H", f"X-Overgrow-Override: {token}", **KEY)[1]

    assert ("legacy", "override") == (told["side"], told["reason"])


@pytest.mark.parametrize(
    ("span", "seconds"), [("30m", 1_800), ("8h", 28_800), ("7d", 604_800), ("90s", 90)]
)
def test_it_ends_when_asked(overgrow, span, seconds):
    began = int(time.time())
    token = overgrow.json("override", "legacy", "--for", span, **KEY)[1]["token"]

    assert began <= int(token.split(".")[3]) - seconds <= time.time() + 1


def test_as_json_it_has_token_side_route_and_end(overgrow):
    code, told = overgrow.json("override", "legacy", "--route", "orders", **KEY)

    assert (0, ["token", "side", "route", "expires"]) == (code, list(told))
    assert ("legacy", "orders") == (told["side"], told["route"])


@pytest.mark.parametrize("span", ["8d", "0h", "8", "1y", "99999999999h"])
def test_a_span_that_is_none_is_bad_usage(overgrow, span):
    assert "7d" in overgrow.misused("override", "legacy", "--for", span, **KEY)


def test_without_a_secret_it_says_which_to_set(overgrow):
    assert "OVERGROW_SECRET is not set" in overgrow.fails("override", "legacy")


def test_an_unknown_route_is_told_with_the_nearest_names(overgrow):
    told = overgrow.fails("override", "legacy", "--route", "oders", **KEY)

    assert "Did you mean orders" in told


def test_a_side_that_is_none_is_bad_usage(overgrow):
    assert "'legacy', 'migrated'" in overgrow.misused("override", "gone", **KEY)


def test_a_route_of_a_broken_table_is_told_with_its_problems(overgrow):
    overgrow.table.write_text("version: [")

    assert "[yaml-syntax]" in overgrow.fails("override", "legacy", "--route", "orders", **KEY)
