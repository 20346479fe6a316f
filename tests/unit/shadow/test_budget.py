"""The budget of comparisons: a share of the time that passes, saved up to a bound."""

from __future__ import annotations

from proxy.shadow.budget import Budget


class Clock:
    now_s = 1_000.7

    def __call__(self):
        return self.now_s


def test_a_budget_that_is_just_used_up_allows_no_more_work():
    budget = Budget(Clock(), most_s=0.5)

    budget.spend(0.5)

    assert not budget.is_left


def test_a_long_pause_saves_up_no_more_than_the_most():
    clock = Clock()
    budget = Budget(clock, share=0.1, most_s=0.5)
    assert budget.is_left

    clock.now_s += 3_600
    assert budget.is_left
    budget.spend(0.5)

    assert not budget.is_left


def test_a_budget_earns_its_share_of_the_time():
    clock = Clock()
    budget = Budget(clock, share=0.5, most_s=1.0)
    assert budget.is_left
    budget.spend(2.0)

    clock.now_s += 3.0

    assert budget.is_left
