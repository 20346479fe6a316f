"""Gains by window: each counts once, whatever becomes of the store or of the clock."""

import pytest

from overgrow.store.history import pending as module
from overgrow.store.history.pending import HOLD_S, GainsByWindow

NOW_S = 1_700_000_000.0
ORDERS, USERS = ("orders", "legacy"), ("users", "legacy")


def gains_of(gains):
    windows, marks = gains.begin_attempt()
    return {at: dict(found) for at, found in windows.items()}, dict(marks)


def test_a_gain_counts_from_the_mark():
    gains = GainsByWindow({ORDERS: (1, 10)})
    gains.add_totals({ORDERS: (1, 12), USERS: (0, 3)}, NOW_S)

    expected = {ORDERS: (0, 2), USERS: (0, 3)}
    assert ({NOW_S: expected}, {ORDERS: (1, 12), USERS: (0, 3)}) == gains_of(gains)


def test_gains_stand_in_the_window_of_their_time():
    gains = GainsByWindow({})
    for at_s, total in ((3, 1), (9.9, 2), (10, 5)):
        gains.add_totals({ORDERS: (0, total)}, NOW_S + at_s)

    assert {NOW_S: {ORDERS: (0, 2)}, NOW_S + 10: {ORDERS: (0, 3)}} == gains_of(gains)[0]


def test_gains_that_were_not_stored_are_given_again():
    gains = GainsByWindow({})
    gains.add_totals({ORDERS: (0, 1), USERS: (0, 4)}, NOW_S)
    gains.begin_attempt()
    gains.add_totals({ORDERS: (0, 3)}, NOW_S + 10)
    gains.resume()

    windows, marks = gains_of(gains)
    expected = {NOW_S: {ORDERS: (0, 1), USERS: (0, 4)}, NOW_S + 10: {ORDERS: (0, 2)}}
    assert (expected, {ORDERS: (0, 3), USERS: (0, 4)}) == (windows, marks)


def test_gains_that_were_stored_are_not_given_again():
    gains = GainsByWindow({})
    gains.add_totals({ORDERS: (0, 1)}, NOW_S)
    gains.begin_attempt()
    gains.add_totals({ORDERS: (0, 3)}, NOW_S)
    gains.confirm()

    assert {NOW_S: {ORDERS: (0, 2)}} == gains_of(gains)[0]


def test_counters_that_are_written_again_are_not_new_requests():
    gains = GainsByWindow({ORDERS: (0, 100)})
    for at_s, total in ((0, 0), (1, 60), (2, 101)):
        gains.add_totals({ORDERS: (0, total)}, NOW_S + at_s)

    assert {NOW_S: {ORDERS: (0, 1)}} == gains_of(gains)[0]


@pytest.mark.parametrize("sign", [1, -1])
def test_counters_that_stay_lower_count_on_from_there(sign):
    gains = GainsByWindow({ORDERS: (0, 100)})
    gains.add_totals({ORDERS: (0, 40)}, NOW_S)
    gains.add_totals({}, NOW_S + sign * (HOLD_S + 1))
    gains.add_totals({ORDERS: (0, 45)}, NOW_S + 20)

    assert {NOW_S + 20: {ORDERS: (0, 5)}} == gains_of(gains)[0]


def test_a_fall_is_dated_by_its_first_total():
    gains = GainsByWindow({ORDERS: (0, 100)})
    for at_s, total in ((0, 40), (HOLD_S - 1, 41), (HOLD_S + 1, 42), (20, 45)):
        gains.add_totals({ORDERS: (0, total)}, NOW_S + at_s)

    assert {NOW_S + 20: {ORDERS: (0, 3)}} == gains_of(gains)[0]


def test_skipped_totals_are_no_gains_and_become_marks():
    gains = GainsByWindow({})
    gains.skip({ORDERS: (1, 100)})

    assert ({}, {ORDERS: (1, 100)}) == gains_of(gains)


def test_nothing_is_pending_without_traffic():
    gains = GainsByWindow({ORDERS: (0, 1)})
    gains.add_totals({ORDERS: (0, 1), USERS: (0, 0)}, NOW_S)

    assert not gains.begin_attempt()


def test_a_store_that_is_away_for_long_costs_bounded_memory(monkeypatch):
    monkeypatch.setattr(module, "MAX_ENTRIES", 5)
    gains = GainsByWindow({})
    for number in range(20):
        gains.add_totals({ORDERS: (0, number + 1), USERS: (0, number + 1)}, NOW_S + 10 * number)
        gains.begin_attempt()
        gains.resume()

    windows, _ = gains_of(gains)
    assert [20, 20] == [
        sum(each[place][1] for each in windows.values()) for place in (ORDERS, USERS)
    ]
    assert [NOW_S + 180, NOW_S + 190] == sorted(windows)
