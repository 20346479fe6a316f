"""A breaker's life on a clock of the test's own: it opens, rests, probes, recovers."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import pytest

from overgrow.resilience.breaker import (
    EVENTS,
    LEGACY_POLICY,
    MIGRATED_POLICY,
    STATES,
    TRANSITIONS,
    Breaker,
    BreakerCounts,
    BreakerOutcome,
    Event,
    Policy,
    State,
    policies_as_markdown,
    transitions_as_markdown,
)

POLICY = Policy(window_s=10, min_answers=10, open_s=5, recovery_s=10, min_answers_recovering=4)


class Clock:
    """Seconds that begin at no round number, so that no bound is met by luck."""

    def __init__(self, now_s=1_000.3):
        self.now_s = now_s

    def forward(self, seconds):
        self.now_s += seconds
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def answer(breaker, clock, judgement, count=1, took_s=0.0):
    """Let that many requests through that are answered so."""
    for _ in range(count):
        began_s = clock.now_s
        breaker.record(BreakerOutcome(judgement, began_s), clock.forward(took_s))


def opened(clock, policy=POLICY, **given):
    breaker = Breaker(policy, **given)
    answer(breaker, clock, "failed", policy.min_answers)
    assert breaker.state == "open"
    return breaker


def half_open(clock, policy=POLICY, **given):
    breaker = opened(clock, policy, **given)
    assert breaker.allows(clock.forward(policy.open_s))
    assert breaker.state == "half-open"
    return breaker


def recovering(clock, policy=POLICY, **given):
    breaker = half_open(clock, policy, **given)
    answer(breaker, clock, "good")
    assert breaker.state == "recovering"
    return breaker


def let_through(breaker, clock, count):
    return sum(breaker.allows(clock.now_s) for _ in range(count))


def test_the_table_speaks_of_every_state_and_event_and_of_no_other():
    assert {state for state, _ in TRANSITIONS} == set(STATES) == set(get_args(State))
    assert {event for _, event in TRANSITIONS} == set(EVENTS) == set(get_args(Event))


def test_every_state_can_be_left_and_reset():
    for state in STATES:
        assert any(after != state for (before, _), after in TRANSITIONS.items() if before == state)
        assert TRANSITIONS[state, "reset"] == "closed"


def test_the_documents_show_every_transition():
    rows = transitions_as_markdown().splitlines()[2:]

    assert len(rows) == sum(event != "reset" for _, event in TRANSITIONS) + 1


def test_the_documents_show_every_number_of_both_sides():
    rows = policies_as_markdown().splitlines()[2:]

    assert [row.split("`")[1] for row in rows] == [each.name for each in fields(Policy)]
    assert "| `failing_share` | 0.5 | 0.9 |" in rows


@pytest.mark.parametrize("judgement", ["failed", "slow"])
def test_it_opens_when_half_of_the_answers_are_bad(clock, judgement):
    breaker = Breaker(POLICY)
    answer(breaker, clock, "good", 5)
    answer(breaker, clock, judgement, 4)
    before = breaker.state
    answer(breaker, clock, judgement)

    assert (before, breaker.state) == ("closed", "open")
    assert not breaker.allows(clock.now_s)


def test_failed_and_slow_answers_together_make_a_side_slow(clock):
    told = []
    breaker = Breaker(POLICY, lambda *change: told.append(change))
    answer(breaker, clock, "good", 5)
    answer(breaker, clock, "failed", 2)
    answer(breaker, clock, "slow", 3)

    assert told == [("closed", "slow", "open")]


def test_few_answers_open_nothing(clock):
    breaker = Breaker(POLICY)
    answer(breaker, clock, "failed", POLICY.min_answers - 1)

    assert breaker.state == "closed"


def test_answers_that_have_left_the_window_do_not_count(clock):
    breaker = Breaker(POLICY)
    answer(breaker, clock, "failed", POLICY.min_answers - 1)
    clock.forward(POLICY.window_s)
    answer(breaker, clock, "failed")

    assert breaker.state == "closed"
    assert breaker.counts(clock.now_s) == BreakerCounts(1, 1, 0)


def test_the_window_slides_by_cells_and_does_not_jump(clock):
    breaker = Breaker(POLICY)
    for _ in range(15):
        answer(breaker, clock, "good")
        clock.forward(1)

    assert breaker.counts(clock.now_s).answers == 9
    assert breaker.counts(clock.forward(20)).answers == 0


def test_an_open_one_refuses_until_it_has_rested(clock):
    breaker = opened(clock)

    assert not breaker.allows(clock.forward(POLICY.open_s - 0.01))
    assert breaker.allows(clock.forward(0.02))
    assert breaker.state == "half-open"


def test_retry_after_counts_down_to_the_first_probe(clock):
    breaker = opened(clock)

    waits = [breaker.retry_after_s(clock.now_s), breaker.retry_after_s(clock.forward(2.5))]
    clock.forward(9)
    assert [*waits, breaker.retry_after_s(clock.now_s)] == [5, 3, 1]
    assert Breaker(POLICY).retry_after_s(clock.now_s) == 1


def test_one_probe_at_a_time_is_let_through(clock):
    breaker = half_open(clock)

    assert let_through(breaker, clock, 5) == 0


def test_a_probe_that_never_comes_back_is_given_up(clock):
    breaker = half_open(clock)

    assert not breaker.allows(clock.forward(POLICY.open_s - 0.1))
    assert breaker.allows(clock.forward(0.2))


@pytest.mark.parametrize("judgement", ["failed", "slow"])
def test_a_bad_probe_opens_it_again_at_once(clock, judgement):
    breaker = half_open(clock)
    answer(breaker, clock, judgement, took_s=0.5)

    assert breaker.state == "open"
    assert breaker.retry_after_s(clock.now_s) == 5


def test_an_answer_from_before_the_rest_is_no_probe(clock):
    breaker = Breaker(POLICY)
    long_ago_s = clock.now_s
    clock.forward(1)
    answer(breaker, clock, "failed", POLICY.min_answers)
    breaker.allows(clock.forward(POLICY.open_s))
    breaker.record(BreakerOutcome("good", long_ago_s), clock.forward(0.1))
    after_good = breaker.state
    breaker.record(BreakerOutcome("failed", long_ago_s), clock.forward(0.1))

    assert (after_good, breaker.state) == ("half-open", "half-open")


def test_an_answer_that_comes_while_it_is_open_changes_nothing(clock):
    breaker = opened(clock)
    answer(breaker, clock, "good", 3)

    assert breaker.state == "open"
    assert breaker.counts(clock.now_s) == BreakerCounts(0, 0, 0)


def test_recovery_lets_through_a_share_that_grows_in_a_straight_line(clock):
    breaker = recovering(clock)
    admitted = []
    for _ in range(10):
        admitted.append(let_through(breaker, clock, 100))
        clock.forward(POLICY.recovery_s / 10)

    assert admitted == pytest.approx([0, 10, 20, 30, 40, 50, 60, 70, 80, 90], abs=1)


def test_recovery_spreads_its_share_evenly(clock):
    breaker = recovering(clock)
    clock.forward(POLICY.recovery_s / 4)

    pattern = [breaker.allows(clock.now_s) for _ in range(16)]
    assert pattern.count(True) == 4
    assert [at for at, yes in enumerate(pattern) if yes] == [3, 7, 11, 15]


def test_two_recoveries_are_alike_to_the_request(clock):
    other = Clock()
    one, two = recovering(clock), recovering(other)
    steps = [0.01 * (at % 7) for at in range(500)]

    assert [one.allows(clock.forward(s)) for s in steps] == [
        two.allows(other.forward(s)) for s in steps
    ]


def test_the_end_of_the_recovery_closes_it(clock):
    breaker = recovering(clock)

    assert breaker.allows(clock.forward(POLICY.recovery_s))
    assert breaker.state == "closed"


def test_a_good_answer_late_in_the_recovery_closes_it_too(clock):
    breaker = recovering(clock)
    answer(breaker, clock, "good", took_s=POLICY.recovery_s)

    assert breaker.state == "closed"


def test_a_bad_spell_during_recovery_opens_it_again(clock):
    breaker = recovering(clock)
    clock.forward(3)
    answer(breaker, clock, "good", 2)
    answer(breaker, clock, "failed")
    before = breaker.state
    answer(breaker, clock, "failed")

    assert (before, breaker.state) == ("recovering", "open")


@pytest.mark.parametrize("made", [opened, half_open, recovering])
def test_a_reset_closes_it_whatever_it_has_seen(clock, made):
    breaker = made(clock)
    breaker.reset(clock.now_s)

    assert breaker.state == "closed"
    assert let_through(breaker, clock, 50) == 50
    assert breaker.opened_by is None


def test_a_full_life_is_told_step_by_step(clock):
    told = []
    breaker = recovering(clock, on_change=lambda *change: told.append(" ".join(change)))
    breaker.allows(clock.forward(POLICY.recovery_s))

    assert told == [
        "closed failing open",
        "open cooled half-open",
        "half-open answered recovering",
        "recovering recovered closed",
    ]


def test_shares_tell_how_much_is_let_through(clock):
    assert Breaker(POLICY).share(clock.now_s) == 1
    assert opened(clock).share(clock.now_s) == 0
    assert half_open(clock).share(clock.now_s) == 0
    assert recovering(clock).share(clock.forward(2.5)) == pytest.approx(0.25)


def test_repr_tells_the_state_and_what_made_it():
    clock = Clock(100.0)
    breaker = Breaker(POLICY)
    answer(breaker, clock, "good", 2)
    answer(breaker, clock, "failed")
    closed = repr(breaker)
    answer(breaker, clock, "failed", 7)

    assert closed == "<Breaker closed: 1 failed and 0 slow of 3>"
    assert repr(breaker) == "<Breaker open since 100 s: 8 failed and 0 slow of 10>"
    assert repr(Breaker(POLICY)) == "<Breaker closed: 0 failed and 0 slow of 0>"


def test_what_opened_it_is_remembered_until_it_closes(clock):
    breaker = recovering(clock)
    while_recovering = breaker.opened_by
    breaker.allows(clock.forward(POLICY.recovery_s))

    assert while_recovering == BreakerCounts(10, 10, 0)
    assert breaker.opened_by is None


def test_legacy_is_given_up_later_than_migrated():
    assert LEGACY_POLICY.failing_share > MIGRATED_POLICY.failing_share
    assert LEGACY_POLICY.slow_share > MIGRATED_POLICY.slow_share
    assert LEGACY_POLICY.slow_part > MIGRATED_POLICY.slow_part


def test_a_side_that_fails_every_tenth_time_is_left_in_peace(clock):
    breaker = Breaker()
    for at in range(5_000):
        answer(breaker, clock, "failed" if at % 10 < 1 else "good")
        clock.forward(0.05)

    assert breaker.state == "closed"


def test_exactly_the_failing_share_opens_a_breaker_as_failing(clock):
    events = []
    breaker = Breaker(POLICY, on_change=lambda _before, event, _after: events.append(event))

    answer(breaker, clock, "good", POLICY.min_answers // 2)
    answer(breaker, clock, "failed", POLICY.min_answers // 2)

    assert events == ["failing"]


def unreached(clock, last="unreachable"):
    """A breaker in its rest, opened by a side to which no connection could be made."""
    breaker = Breaker(POLICY)
    answer(breaker, clock, "unreachable", POLICY.min_answers - 1)
    answer(breaker, clock, last)
    assert breaker.state == "open"
    assert breaker.allows(clock.forward(POLICY.open_s))
    return breaker


def test_a_side_that_was_unreachable_is_back_at_its_first_good_answer(clock):
    breaker = unreached(clock)
    answer(breaker, clock, "good")

    assert ("closed", 50) == (breaker.state, let_through(breaker, clock, 50))


def test_a_side_that_answered_badly_recovers_step_by_step(clock):
    breaker = unreached(clock, last="failed")
    answer(breaker, clock, "good")

    assert breaker.state == "recovering"


def test_a_probe_that_fails_otherwise_takes_the_quick_way_back(clock):
    breaker = unreached(clock)
    answer(breaker, clock, "failed")
    assert breaker.allows(clock.forward(POLICY.open_s))
    answer(breaker, clock, "good")

    assert breaker.state == "recovering"


def test_connections_that_fail_count_as_failures(clock):
    breaker = unreached(clock)

    assert breaker.opened_by == BreakerCounts(10, 10, 0)
