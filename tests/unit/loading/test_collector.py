from __future__ import annotations

import gc

from proxy.loading.collector import LARGE, at_rest, set_aside


def test_the_collector_rests_until_the_last_block_ends():
    with at_rest():
        with at_rest():
            inner = gc.isenabled()
        outer = gc.isenabled()

    assert [inner, outer, gc.isenabled()] == [False, False, True]


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with at_rest():
            pass
        after = gc.isenabled()
    finally:
        gc.enable()

    assert after is False


def test_only_a_large_table_is_set_aside():
    before = gc.get_freeze_count()
    set_aside(LARGE - 1)
    small = gc.get_freeze_count()
    set_aside(LARGE)
    large = gc.get_freeze_count()
    gc.unfreeze()

    assert small == before < large
