"""The share of a core for comparisons, and that no route takes from another."""

from __future__ import annotations

from overgrow.shadow.budget import IDLE_S, Budget
from tests.unit.shadow.mirrored import Now


def budget(now, **more):
    return Budget(now, share=0.1, most_s=0.5, loan_s=0.02, **more)


def spend_all(budget, route, work_s=0.05):
    while budget.is_left(route):
        budget.spend(route, work_s)


def rate_of(now, plan, seconds=60, step_s=0.05):
    """The share of copies that each route gets compared; `plan` has how often, and at what cost."""
    found = budget(now)
    asked, done = dict.fromkeys(plan, 0), dict.fromkeys(plan, 0)
    for step in range(int(seconds / step_s)):
        now.forward(step_s)
        for route, (every, cost_s) in plan.items():
            if step % every == 0:
                asked[route] += 1
                if found.is_left(route):
                    found.spend(route, cost_s)
                    done[route] += 1
    return {route: done[route] / asked[route] for route in plan}


def test_a_new_budget_has_something_saved():
    assert budget(Now()).is_left("a")


def test_what_is_spent_is_earned_again():
    now = Now()
    found = budget(now)
    spend_all(found, "a")

    before = found.is_left("a")
    now.forward(1)

    assert (before, found.is_left("a")) == (False, True)


def test_a_route_alone_may_use_the_whole_share():
    now = Now()

    assert rate_of(now, {"a": (1, 0.0049)}) == {"a": 1.0}


def test_a_heavy_route_takes_nothing_from_light_ones():
    plan = {"heavy": (1, 0.04)} | {f"light{n}": (20, 0.001) for n in range(10)}

    rates = rate_of(Now(), plan)

    assert rates["heavy"] < 0.5
    assert min(rates[f"light{n}"] for n in range(10)) > 0.95


def test_one_comparison_without_end_silences_its_own_route_alone():
    now = Now()
    found = budget(now)
    found.spend("hostile", 4.0)

    now.forward(1)

    assert (found.is_left("hostile"), found.is_left("other")) == (False, True)


def test_it_silences_its_own_route_for_a_while_only():
    now = Now()
    found = budget(now)
    found.spend("hostile", 4.0)

    now.forward(6)

    assert found.is_left("hostile")


def test_routes_that_nobody_asks_for_earn_nothing():
    now = Now()
    found = budget(now)
    for n in range(100):
        found.is_left(f"gone{n}")
    now.forward(IDLE_S + 1)
    found.is_left("a")
    spend_all(found, "a", 0.2)
    now.forward(5)

    assert found.is_left("a")


def test_a_budget_knows_what_a_comparison_of_a_route_costs():
    found = budget(Now())
    found.spend("a", 0.04)
    found.spend("a", 0.05)

    assert (round(found.cost_s("a"), 3), found.cost_s("b")) == (0.041, 0.0)


def test_a_budget_that_is_just_used_up_allows_no_more_work():
    found = Budget(Now(), most_s=0.5, loan_s=0.0)

    found.spend("a", 0.5)

    assert not found.is_left("a")


def test_a_long_pause_saves_up_no_more_than_the_most():
    now = Now()
    found = Budget(now, share=0.1, most_s=0.5, loan_s=0.0)
    assert found.is_left("a")

    now.forward(3_600)
    assert found.is_left("a")
    found.spend("a", 0.5)

    assert not found.is_left("a")


def test_a_budget_earns_its_share_of_the_time():
    now = Now()
    found = Budget(now, share=0.5, most_s=1.0, loan_s=0.0)
    assert found.is_left("a")
    found.spend("a", 2.0)

    now.forward(3.0)

    assert found.is_left("a")
