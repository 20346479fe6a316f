"""What a reload compares where no route takes other requests than before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from overgrow.routing import weakening
from overgrow.routing.model import Legacy, Route, RouteTable
from overgrow.routing.weakening import find_weakenings

CLOSED = Route("closed", path="/a/<int:x>", target="migrated", reversible=False)
OPEN = Route("open", path="/b")
RUNNING = RouteTable("000000000001", Legacy("http://l"), (CLOSED, OPEN))


class Compared(Exception):
    """Tables were compared route by route."""


@pytest.fixture
def _no_comparison(monkeypatch):
    def refuse(*_):
        raise Compared

    monkeypatch.setattr(weakening, "_TableComparison", refuse)


@pytest.mark.usefixtures("_no_comparison")
def test_other_targets_and_shares_need_no_comparison():
    routes = (replace(CLOSED, line=9), replace(OPEN, target="migrated", canary=1_000))

    assert [] == find_weakenings(RUNNING, replace(RUNNING, routes=routes))


@pytest.mark.usefixtures("_no_comparison")
@pytest.mark.parametrize(
    "routes",
    [
        pytest.param((replace(CLOSED, reversible=True), OPEN), id="reversible"),
        pytest.param((replace(CLOSED, priority=1), OPEN), id="priority"),
        pytest.param((OPEN, CLOSED), id="order"),
        pytest.param((CLOSED,), id="fewer"),
        pytest.param((CLOSED, replace(OPEN, host="h")), id="host"),
    ],
)
def test_routes_that_take_other_requests_are_compared(routes):
    with pytest.raises(Compared):
        find_weakenings(RUNNING, replace(RUNNING, routes=routes))
