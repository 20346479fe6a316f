from __future__ import annotations

import gc
import threading

import pytest

from overgrow.table.reading import gc_pause
from overgrow.table.reading.gc_pause import LARGE, freeze_table, gc_paused
from overgrow.table.reading.parse import parse
from overgrow.table.reading.routes import parse_drafts
from tests.locking import LONG_ENOUGH_S

TEXT = "version: 1\nlegacy: {url: http://legacy}\nroutes:\n" + "".join(
    f"  - {{path: /p{number}, target: legacy}}\n" for number in range(LARGE)
)


def test_the_collector_rests_until_the_last_block_ends():
    with gc_paused():
        with gc_paused():
            inner = gc.isenabled()
        outer = gc.isenabled()

    assert [inner, outer, gc.isenabled()] == [False, False, True]


def test_the_collector_works_again_after_a_block_that_fails():
    with pytest.raises(KeyError), gc_paused():
        raise KeyError

    assert gc.isenabled()


def test_blocks_of_two_threads_do_not_count_at_once():
    """A count that is lost leaves the collector off for ever, or on in the middle of a block."""
    inside, leave, left = (threading.Event() for _ in range(3))

    def block():
        with gc_paused():
            inside.set()
            leave.wait(60)
        left.set()

    thread = threading.Thread(target=block)
    with gc_pause._lock:
        thread.start()
        was_inside = inside.wait(LONG_ENOUGH_S)
    inside.wait(60)
    with gc_pause._lock:
        leave.set()
        had_left = left.wait(LONG_ENOUGH_S)
    thread.join(60)

    assert (was_inside, had_left, left.is_set()) == (False, False, True)


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with gc_paused():
            pass
        after = gc.isenabled()
    finally:
        gc.enable()

    assert after is False


def test_only_a_large_table_is_set_aside():
    before = gc.get_freeze_count()
    freeze_table(LARGE - 1)
    small = gc.get_freeze_count()
    freeze_table(LARGE)
    large = gc.get_freeze_count()
    gc.unfreeze()

    assert small == before < large


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda: parse_drafts(TEXT, {}), id="drafts for a flip"),
        pytest.param(
            lambda: parse(TEXT.encode(), file="routes.yaml", env={}, rules=None), id="a table"
        ),
    ],
)
def test_whoever_reads_a_large_text_leaves_nothing_for_the_next_collection(read):
    before = gc.get_freeze_count()
    kept = read()
    after = gc.get_freeze_count()
    gc.unfreeze()

    assert kept
    assert after - before > LARGE
    assert gc.isenabled()
