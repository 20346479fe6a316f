import pytest

from overgrow.observe.recent_counts import (
    LIVE_S,
    WINDOW_S,
    WINDOWS,
    RecentCounts,
    last_requests,
    recent_requests,
)
from tests.unit.observe.exchanges import NOW_S

WINDOW = NOW_S // WINDOW_S * WINDOW_S  # the beginning of a window


def counted(folder, now_s):
    return {(s.labels["route"], s.labels["side"]): s.value for s in recent_requests(folder, now_s)}


def counting(folder, slot=0, route="orders", side="migrated"):
    ring = RecentCounts(folder, slot).ring(route, side)
    return lambda *times: [ring.count(time) for time in times]


def test_requests_are_counted_by_route_and_side(tmp_path):
    counting(tmp_path)(NOW_S, NOW_S)
    counting(tmp_path, 0, "a b", "legacy")(NOW_S)

    assert counted(tmp_path, NOW_S) == {("orders", "migrated"): 2, ("a b", "legacy"): 1}


def test_slots_are_added_up(tmp_path):
    counting(tmp_path, 0)(NOW_S)
    counting(tmp_path, 1)(NOW_S)

    assert counted(tmp_path, NOW_S) == {("orders", "migrated"): 2}


@pytest.mark.parametrize(
    ("age_s", "counts"),
    [
        pytest.param(0, True, id="now"),
        pytest.param(LIVE_S, True, id="a minute ago"),
        pytest.param(LIVE_S + WINDOW_S, False, id="a window more"),
        pytest.param(100 * LIVE_S, False, id="long ago"),
    ],
)
def test_the_last_minute_counts(tmp_path, age_s, counts):
    counting(tmp_path)(WINDOW - age_s)

    assert bool(counted(tmp_path, WINDOW)) is counts


def test_a_window_comes_round_without_its_old_count(tmp_path):
    tick = counting(tmp_path)

    tick(WINDOW, WINDOW, WINDOW + WINDOWS * WINDOW_S)

    assert counted(tmp_path, WINDOW + WINDOWS * WINDOW_S) == {("orders", "migrated"): 1}


def test_a_request_that_took_longer_than_the_ring_does_not_disturb_it(tmp_path):
    tick = counting(tmp_path)

    tick(WINDOW, WINDOW - WINDOWS * WINDOW_S)

    assert counted(tmp_path, WINDOW) == {("orders", "migrated"): 1}


def test_series_of_one_route_and_side_share_their_windows(tmp_path):
    recents = RecentCounts(tmp_path, 0)
    early, late = recents.ring("orders", "legacy"), recents.ring("orders", "legacy")
    early.count(WINDOW)
    late.count(WINDOW + WINDOWS * WINDOW_S)
    early.count(WINDOW + 1)  # begun long ago: its window has come round

    assert counted(tmp_path, WINDOW + WINDOWS * WINDOW_S) == {("orders", "legacy"): 1}


def test_a_request_begun_before_the_newest_window_counts_in_its_own(tmp_path):
    counting(tmp_path)(WINDOW, WINDOW - 1, WINDOW)

    assert counted(tmp_path, WINDOW) == {("orders", "migrated"): 3}
    assert counted(tmp_path, WINDOW + (WINDOWS - 1) * WINDOW_S) == {("orders", "migrated"): 2}


def test_a_steady_stream_is_counted_whole(tmp_path):
    counting(tmp_path)(*(WINDOW + second for second in range(300)))

    assert counted(tmp_path, WINDOW + 299) == {("orders", "migrated"): WINDOWS * WINDOW_S}


def test_a_damaged_file_costs_its_own_counts_only(tmp_path):
    counting(tmp_path, 0)(NOW_S)
    (tmp_path / "recent_1.rings").write_bytes(b"\x40\0\0\0\0\0\0\0" + b"\xff" * 80)

    assert counted(tmp_path, NOW_S) == {("orders", "migrated"): 1}


def test_the_latest_request_of_each_side_is_found_however_old_it_is(tmp_path):
    counting(tmp_path, 0)(WINDOW - 5 * LIVE_S, WINDOW - 2 * LIVE_S)
    counting(tmp_path, 1)(WINDOW - 3 * LIVE_S)
    counting(tmp_path, 1, "a b", "legacy")(WINDOW)

    expected = {("orders", "migrated"): WINDOW - 2 * LIVE_S, ("a b", "legacy"): WINDOW}
    assert expected == last_requests(tmp_path)
