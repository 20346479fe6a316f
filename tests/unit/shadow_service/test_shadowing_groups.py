"""Open groups by route, counted for the page under the rules of today."""

from __future__ import annotations

import pytest

from overgrow.routing.model import Route
from overgrow.shadow_service.groups import REFRESH_EVERY_S, OpenGroupCounts
from tests.unit.cli.found import answer, compared, put

ORDERS = Route("orders", path="/orders", shadow=500)
CART = Route("cart", path="/cart")
RULE = "version: 1\nrules:\n  - {path: $.total, how: ignore, author: ada, reason: x, expires: 2100-01-01}\n"


class Seconds:
    def __init__(self):
        self.now_s = 7.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
def groups(tmp_path, seconds):
    (tmp_path / "compare").mkdir()
    return OpenGroupCounts(tmp_path / "compare", tmp_path, None, stopwatch=seconds)


@pytest.fixture
def found(tmp_path):
    """Two causes on a route, and one on a route without a shadow."""
    one = answer({"total": 1, "id": 1})
    put(
        tmp_path,
        *[compared("orders", one, answer({"total": "1", "id": 1}))] * 3,
        compared("orders", one, answer({"total": 1, "id": "1"})),
        compared("cart", one, answer({"total": 1, "id": "1"})),
    )


@pytest.mark.usefixtures("found")
def test_groups_that_no_rule_covers_are_counted(groups):
    assert {"orders": 2} == groups.counts([ORDERS, CART])


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("name", ["orders", "_all"])
def test_a_rule_of_today_closes_a_group(groups, tmp_path, name):
    (tmp_path / f"compare/{name}.yaml").write_text(RULE)

    assert {"orders": 1} == groups.counts([ORDERS])


@pytest.mark.usefixtures("found")
def test_the_store_is_asked_once_in_a_while(groups, tmp_path, seconds):
    before = groups.counts([ORDERS])
    (tmp_path / "compare/orders.yaml").write_text(RULE)
    soon = groups.counts([ORDERS])
    seconds.now_s += REFRESH_EVERY_S

    assert (before, before, {"orders": 1}) == (before, soon, groups.counts([ORDERS]))


def test_without_a_store_nothing_is_open(groups):
    assert {} == groups.counts([ORDERS])
