"""The commit point: the app and the fallback cannot both have the request."""

from __future__ import annotations

import threading

import pytest

from overgrow.resilience.commit import CommitPoint, TooLate
from tests.locking import waits_for


def test_a_request_is_yielded_while_nothing_was_committed():
    assert CommitPoint().yield_to_legacy()


def test_a_commit_keeps_the_request_with_the_app():
    point = CommitPoint()
    point()
    point()

    assert not point.yield_to_legacy()


def test_a_commit_after_the_request_was_yielded_is_refused():
    point = CommitPoint()
    point.yield_to_legacy()

    with pytest.raises(TooLate, match="roll back"):
        point()


def test_of_two_at_once_exactly_one_wins():
    for _ in range(200):
        point, won = CommitPoint(), []
        start = threading.Barrier(2)

        def commit(point=point, won=won, start=start):
            start.wait(60)
            try:
                point()
            except TooLate:
                return
            won.append("app")

        thread = threading.Thread(target=commit)
        thread.start()
        start.wait(60)
        if point.yield_to_legacy():
            won.append("legacy")
        thread.join(60)

        assert len(won) == 1


@pytest.mark.parametrize("step", ["__call__", "yield_to_legacy"])
def test_both_steps_of_a_commit_point_wait_for_its_lock(step):
    # Without the lock both may win: legacy repeats a payment that the app has committed.
    point = CommitPoint()

    assert waits_for(point._lock, getattr(point, step))
