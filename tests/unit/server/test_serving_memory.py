"""Full collections: they come, and they cost no more than a thousandth of the time."""

import gc
import weakref

from overgrow.server.gc_schedule import EVERY_S, SHARE, YOUNG_EVERY_S, GcSchedule


class Clock:
    """A stopwatch that a collection moves on by `takes_s`."""

    def __init__(self, takes_s=0.0):
        self.now_s, self.takes_s, self.asked = 0.0, takes_s, 0

    def __call__(self):
        self.asked += 1
        return self.now_s


class Circle:
    def __init__(self):
        self.itself = self


def test_a_circle_that_grew_old_is_collected_when_it_is_due():
    clock = Clock()
    tidier = GcSchedule(clock)
    circle = Circle()
    gc.collect()  # now it is old
    gone = weakref.ref(circle)
    gc.disable()
    try:
        del circle
        clock.now_s = EVERY_S - 1
        tidier.collect_if_due()
        before = gone()
        clock.now_s = EVERY_S
        del before
        assert gone() is not None
        tidier.collect_if_due()
        assert gone() is None
    finally:
        gc.enable()


def test_a_slow_collection_is_followed_by_a_longer_rest(monkeypatch):
    clock = Clock()
    tidier = GcSchedule(clock)
    began = []

    def collect():
        began.append(clock.now_s)
        clock.now_s += 0.1

    monkeypatch.setattr("overgrow.server.gc_schedule.gc.collect", collect)
    for second in range(300):
        clock.now_s = max(clock.now_s, float(second))
        tidier.collect_if_due()

    assert began[0] == EVERY_S
    assert began[1] - began[0] >= SHARE * 0.1


def test_what_an_app_made_for_a_client_that_left_is_collected_soon():
    clock = Clock()
    tidier = GcSchedule(clock)
    gc.collect()
    gc.disable()
    try:
        circle = Circle()
        gone = weakref.ref(circle)
        del circle
        tidier.collect_if_due(departed_clients=0)
        assert gone() is not None
        tidier.collect_if_due(departed_clients=1)
        assert gone() is None
    finally:
        gc.enable()


def test_clients_that_leave_one_after_the_other_share_a_collection(monkeypatch):
    clock = Clock()
    tidier = GcSchedule(clock)
    began = []
    monkeypatch.setattr(
        "overgrow.server.gc_schedule.gc.collect", lambda generation: began.append(clock.now_s)
    )
    for tick in range(1, 41):
        clock.now_s = tick / 20
        tidier.collect_if_due(departed_clients=tick)

    assert len(began) <= 2 / YOUNG_EVERY_S
