"""Full collections: they come, and they cost no more than a thousandth of the time."""

import gc
import weakref
from types import SimpleNamespace

from overgrow.server import gc_schedule
from overgrow.server.gc_schedule import EVERY_S, SHARE, YOUNG_EVERY_S, YOUNG_SHARE, GcSchedule


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
        clock.now_s += 0.25

    monkeypatch.setattr("overgrow.server.gc_schedule.gc.collect", collect)
    for second in range(400):
        clock.now_s = max(clock.now_s, float(second))
        tidier.collect_if_due()

    assert began[0] == EVERY_S
    assert began[1] >= began[0] + 0.25 + SHARE * 0.25  # counted from the end of the slow one


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


def test_a_slow_collection_for_clients_is_followed_by_a_longer_rest(monkeypatch):
    clock = Clock()
    tidier = GcSchedule(clock)
    began = []

    def collect(_generation):
        began.append(clock.now_s)
        clock.now_s += 0.02

    monkeypatch.setattr("overgrow.server.gc_schedule.gc.collect", collect)
    for tick in range(100):
        clock.now_s = max(clock.now_s, tick / 20)
        tidier.collect_if_due(departed_clients=tick)

    assert began[1] >= began[0] + 0.02 + YOUNG_SHARE * 0.02


def test_a_client_that_left_is_collected_for_once(monkeypatch):
    clock = Clock()
    tidier = GcSchedule(clock)
    began = []
    monkeypatch.setattr("overgrow.server.gc_schedule.gc.collect", began.append)
    for second in range(10):
        clock.now_s = float(second)
        tidier.collect_if_due(departed_clients=1)

    assert [gc_schedule.YOUNG] == began


def test_collections_take_little_of_the_time_even_those_for_clients():
    seldom = (gc_schedule.EVERY_S, gc_schedule.SHARE)
    often = (gc_schedule.YOUNG, gc_schedule.YOUNG_EVERY_S, gc_schedule.YOUNG_SHARE)

    assert ((60.0, 1_000), (1, 0.5, 100)) == (seldom, often)


def test_what_boots_is_tidied_and_frozen_and_never_walked_again(monkeypatch):
    asked = []
    for name in ("collect", "freeze", "set_threshold"):
        monkeypatch.setattr(gc, name, lambda *given, name=name: asked.append((name, *given)))
    monkeypatch.setattr(gc_schedule, "configure_malloc", lambda: asked.append(("malloc",)))

    gc_schedule.freeze_startup_heap()

    # The oldest generation a thousand times as seldom as the one before: a GcSchedule sees to it.
    expected = [("collect",), ("freeze",), ("set_threshold", 10_000, 20, 1_000), ("malloc",)]
    assert expected == asked


def test_the_c_library_is_told_to_give_memory_of_large_bodies_back(monkeypatch):
    told = {}
    library = SimpleNamespace(mallopt=told.__setitem__)
    monkeypatch.setattr(gc_schedule.ctypes, "CDLL", lambda _: library)

    gc_schedule.configure_malloc()

    megabyte = 1024 * 1024
    assert {-3: megabyte, -1: 4 * megabyte} == told  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD


def test_a_c_library_that_cannot_be_told_is_left_alone(monkeypatch):
    monkeypatch.setattr(gc_schedule.ctypes, "CDLL", lambda _: SimpleNamespace())

    assert gc_schedule.configure_malloc() is None
