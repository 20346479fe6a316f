"""The share of a core for comparisons, and that no route takes from another."""

from __future__ import annotations

from overgrow.shadow.budget import FORGET_IDLE_AFTER_S, CpuBudget
from tests.unit.shadow.mirrored import Now


def budget(now, **more):
    return CpuBudget(now, share=0.1, max_s=0.5, loan_s=0.02, **more)


def spend_all(budget, route, work_s=0.05):
    while budget.has_budget_for(route):
        budget.charge(route, work_s)


def rate_of(now, plan, seconds=60, step_s=0.05):
    """The share of copies that each route gets compared; `plan` has how often, and at what cost."""
    found = budget(now)
    asked, done = dict.fromkeys(plan, 0), dict.fromkeys(plan, 0)
    for step in range(int(seconds / step_s)):
        now.forward(step_s)
        for route, (every, cost_s) in plan.items():
            if step % every == 0:
                asked[route] += 1
                if found.has_budget_for(route):
                    found.charge(route, cost_s)
                    done[route] += 1
    return {route: done[route] / asked[route] for route in plan}


def test_a_new_budget_has_something_saved():
    assert budget(Now()).has_budget_for("a")


def test_what_is_spent_is_earned_again():
    now = Now()
    found = budget(now)
    spend_all(found, "a")

    before = found.has_budget_for("a")
    now.forward(1)

    assert (before, found.has_budget_for("a")) == (False, True)


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
    found.charge("hostile", 4.0)

    now.forward(1)

    assert (found.has_budget_for("hostile"), found.has_budget_for("other")) == (False, True)


def test_it_silences_its_own_route_for_a_while_only():
    now = Now()
    found = budget(now)
    found.charge("hostile", 4.0)

    now.forward(6)

    assert found.has_budget_for("hostile")


def test_routes_that_nobody_asks_for_earn_nothing():
    now = Now()
    found = budget(now)
    for n in range(100):
        found.has_budget_for(f"gone{n}")
    now.forward(FORGET_IDLE_AFTER_S + 1)
    found.has_budget_for("a")
    spend_all(found, "a", 0.2)
    now.forward(5)

    assert found.has_budget_for("a")


def test_a_budget_knows_what_a_comparison_of_a_route_costs():
    found = budget(Now())
    found.charge("a", 0.04)
    found.charge("a", 0.05)

    assert (round(found.average_cpu_s("a"), 3), found.average_cpu_s("b")) == (0.041, 0.0)


def test_a_budget_that_is_just_used_up_allows_no_more_work():
    found = CpuBudget(Now(), max_s=0.5, loan_s=0.0)

    found.charge("a", 0.5)

    assert not found.has_budget_for("a")


def test_a_long_pause_saves_up_no_more_than_the_most():
    now = Now()
    found = CpuBudget(now, share=0.1, max_s=0.5, loan_s=0.0)
    assert found.has_budget_for("a")

    now.forward(3_600)
    assert found.has_budget_for("a")
    found.charge("a", 0.5)

    assert not found.has_budget_for("a")


def test_a_budget_earns_its_share_of_the_time():
    now = Now()
    found = CpuBudget(now, share=0.5, max_s=1.0, loan_s=0.0)
    assert found.has_budget_for("a")
    found.charge("a", 2.0)

    now.forward(3.0)

    assert found.has_budget_for("a")
