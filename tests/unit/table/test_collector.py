from __future__ import annotations

import gc

import pytest

from overgrow.table.reading.gc_pause import LARGE, freeze_table, gc_paused
from overgrow.table.reading.parse import parse
from overgrow.table.reading.routes import parse_drafts

TEXT = "version: 1\nlegacy: {url: http://legacy}\nroutes:\n" + "".join(
    f"  - {{path: /p{number}, target: legacy}}\n" for number in range(LARGE)
)


def test_the_collector_rests_until_the_last_block_ends():
    with gc_paused():
        with gc_paused():
            inner = gc.isenabled()
        outer = gc.isenabled()

    assert [inner, outer, gc.isenabled()] == [False, False, True]


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
