"""The copies that wait: how many, whose turn it is, and who goes for whom."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from overgrow.shadow.queueing import ENOUGH_COMPARISONS, CopyQueue


def copy(route: str, at_s: float = 0.0) -> Any:
    return SimpleNamespace(route=SimpleNamespace(name=route), since_s=at_s)


def queue(most: int, *copies: Any) -> CopyQueue:
    found = CopyQueue(most)
    for each in copies:
        assert found.add_and_evict(each) is None
    return found


def taken(found: CopyQueue) -> list[str]:
    return [found.pop_next().route.name for _ in range(len(found))]


def test_a_full_queue_sends_back_a_copy_of_the_route_with_most_in_it():
    found = queue(2, copy("busy"), copy("busy"))
    late = copy("busy")

    assert found.add_and_evict(late) is late
    assert (len(found), found.has_room_for("busy"), found.has_room_for("quiet")) == (2, False, True)


def test_a_copy_of_a_quiet_route_takes_the_place_of_a_busy_ones():
    first, quiet = copy("busy", 1.0), copy("quiet", 3.0)
    found = queue(3, copy("other"), first, copy("busy", 2.0))

    assert found.add_and_evict(quiet) is first
    assert len(found) == 3
    assert sorted(taken(found)) == ["busy", "other", "quiet"]


def test_a_route_with_as_many_as_the_busiest_gets_no_other_place():
    found = queue(2, copy("one"), copy("two"))
    late = copy("two")

    assert found.add_and_evict(late) is late


def test_the_route_with_the_fewest_comparisons_goes_first():
    found = queue(9, copy("known", 1.0), copy("new", 2.0))
    found.count_comparison("known")

    assert taken(found) == ["new", "known"]


def test_routes_with_enough_comparisons_take_turns_by_age():
    found = queue(9, copy("more", 1.0), copy("enough", 2.0))
    for _ in range(ENOUGH_COMPARISONS):
        found.count_comparison("enough")
    for _ in range(ENOUGH_COMPARISONS + 1):
        found.count_comparison("more")

    assert taken(found) == ["more", "enough"]


def test_the_oldest_copy_of_a_route_goes_first():
    first = copy("one", 1.0)
    found = queue(9, first, copy("one", 2.0))

    assert found.pop_next() is first


def test_what_is_cleared_waits_no_longer():
    found = queue(9, copy("one"), copy("two"), copy("one"))

    assert len([*found.pop_all()]) == 3
    assert (len(found), bool(found)) == (0, False)
