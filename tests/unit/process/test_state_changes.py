"""Which changes of a front door become events."""

import pytest

from overgrow.process.state_changes import FrontDoorState, find_events
from overgrow.table.editing.history import HistoryEntry

AT = "2026-11-30T08:00:00.000Z"
BEGAN_S = 1_796_100_000.0  # later than AT
UP, DOWN = {"up": True, "since_s": 5.0, "at_s": 9.0}, {"up": False, "since_s": 8.0, "at_s": 9.0}
PROBLEM = {"file": "routes.yaml", "line": 3, "column": 1, "message": "no such key", "code": "key"}


def entry(key, action="flip", **more):
    facts = {"route": "orders", "from_": "legacy", "to": "migrated", "before": "r1", "after": "r2"}
    facts |= {"at": AT} | more
    return HistoryEntry(key, "", who="ann", action=action, **facts)


def state(*entries, workers=1, **published):
    worker = {"upstream": UP, "reload_error": None, "breakers": [], **published}
    return FrontDoorState([worker] * workers, entries, AT, began_s=BEGAN_S)


def told(before, after):
    """The events of a change from one state to another."""
    return find_events(find_events(None, before)[1], after)[0]


def types(events):
    return [event.type for event in events]


def test_nothing_of_the_past_is_told_at_the_first_start():
    assert find_events(None, state(entry("k1"), entry("k2")))[0] == []


def test_what_is_wrong_at_the_first_start_is_told():
    assert types(find_events(None, state(upstream=DOWN | {"error": "legacy-connect"}))[0]) == [
        "legacy.down"
    ]


def test_each_new_entry_of_the_history_is_told_in_order():
    found = told(
        state(entry("k1")),
        state(entry("k1"), entry("k2"), entry("k3", "rollback", from_="migrated", to="legacy")),
    )

    assert [event.sentence for event in found] == [
        "orders was flipped from legacy to migrated by ann.",
        "orders was rolled back from migrated to legacy by ann.",
    ]
    assert types(found) == ["route.flipped", "route.rolled_back"]


def test_the_first_entry_of_an_empty_history_is_told():
    assert types(told(state(), state(entry("k1", "kill", route=None)))) == ["kill"]


def test_a_reason_is_told():
    [found] = told(state(), state(entry("k1", why="the gate is open")))

    assert found.sentence.endswith("by ann: the gate is open")
    assert found.data["why"] == "the gate is open"


@pytest.mark.parametrize("action", ["kill", "resume", "accept", "restarted"])
def test_every_action_of_the_history_has_a_sentence(action):
    [found] = told(state(), state(entry("k1", action)))

    assert "ann" in found.sentence


def test_a_history_that_was_cut_is_not_told_again():
    assert told(state(entry("k1"), entry("k2")), state(entry("k9"))) == []


def test_legacy_that_goes_down_and_comes_back_is_told_once_each():
    down = state(upstream=DOWN | {"error": "legacy-connect"}, workers=3)
    [found] = told(state(), down)

    assert (found.type, found.data) == ("legacy.down", {"error": "legacy-connect"})
    assert types(told(down, down)) == []
    assert types(told(down, state())) == ["legacy.up"]


def test_new_workers_without_evidence_say_nothing_of_legacy():
    down, fresh = state(upstream=DOWN | {"error": "legacy-connect"}), state(upstream=None)

    assert told(down, fresh) == []
    known = find_events(find_events(None, down)[1], fresh)[1]
    assert types(find_events(known, state())[0]) == ["legacy.up"]


def test_a_rejected_table_is_told_once_and_its_recovery_too():
    rejected = state(reload_error={"at": AT, "problems": [PROBLEM]}, workers=2)
    [found] = told(state(), rejected)

    assert found.type == "table.rejected"
    assert "routes.yaml:3: no such key" in found.sentence
    assert told(rejected, rejected) == []
    assert types(told(rejected, state())) == ["table.accepted"]


def test_another_problem_of_the_table_is_told_again():
    one = state(reload_error={"at": AT, "problems": [PROBLEM]})
    other = state(reload_error={"at": AT, "problems": [PROBLEM | {"line": 9}]})

    assert types(told(one, other)) == ["table.rejected"]


def test_a_breaker_is_told_once_however_many_workers_have_it():
    breaker = {"route": "orders", "side": "migrated", "state": "open"}
    opened = state(breakers=[breaker], workers=4)
    [found] = told(state(), opened)

    assert (found.type, found.data) == ("breaker.opened", {"route": "orders", "side": "migrated"})
    assert told(opened, state(breakers=[breaker | {"state": "half-open"}])) == []
    assert types(told(opened, state())) == ["breaker.closed"]


def test_an_empty_board_changes_nothing():
    known = find_events(None, state(upstream=DOWN | {"error": "x"}))[1]
    events, after = find_events(known, FrontDoorState([], [], AT))

    assert (events, after) == ([], known)


def test_two_workers_give_the_same_event_the_same_id():
    down = state(upstream=DOWN | {"error": "legacy-connect"})

    assert told(state(), down)[0].id == told(state(), down)[0].id


def gates(**is_open):
    return {route: {"is_open": value, "at_s": 1.0} for route, value in is_open.items()}


def test_a_gate_that_opens_and_closes_is_told_once_each():
    closed, opened = state(gates=gates(orders=False)), state(gates=gates(orders=True))

    assert types(told(closed, opened)) == ["gate.opened"]
    assert types(told(opened, closed)) == ["gate.closed"]
    assert told(opened, opened) == []


def test_a_gate_that_is_judged_for_the_first_time_is_not_told():
    assert told(state(), state(gates=gates(orders=True))) == []


def test_a_new_worker_without_gates_changes_nothing():
    known = find_events(None, state(gates=gates(orders=True)))[1]
    known = find_events(known, state())[1]

    assert types(find_events(known, state(gates=gates(orders=False)))[0]) == ["gate.closed"]


def test_what_was_changed_between_the_start_and_the_first_look_is_told():
    before, after = entry("k1"), entry("k2", at="2026-12-31T08:00:00Z")

    assert [event.id for event in find_events(None, state(before, after))[0]] == ["evt_k2"]
