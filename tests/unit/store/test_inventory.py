"""The inventory in the store: steps of a scan are whole, one scan writes at a time, decisions stay."""

from __future__ import annotations

import pytest

from overgrow.store.engine import StoreError
from overgrow.store.inventory import (
    InventoryDecision,
    InventoryStep,
    InventoryStore,
    LogRow,
    PathRow,
)

PATH = PathRow("/orders/<int:id>", 3, 1.0, 2.0, {"by": {"GET 200": 3}})
LOG = LogRow("a1", {"offset": 30})


@pytest.fixture
def store(engine):
    return InventoryStore(engine)


def step(turn=0, **given):
    return InventoryStep(
        **{"turn": turn, "dropped": 0, "paths": [PATH], "removed": (), "log": LOG} | given
    )


def test_what_a_step_stores_is_read_again(store):
    turn = store.save_step(step(dropped=4))
    found = store.read()

    assert (turn, 4, [PATH], [LOG]) == (found.turn, found.dropped, found.paths, found.logs)


def test_a_later_step_replaces_counts_and_deletes_paths(store):
    other = PATH._replace(path="/old")
    turn = store.save_step(step(paths=[PATH, other]))
    store.save_step(step(turn, paths=[PATH._replace(requests=9)], removed={"/old"}))

    assert [("/orders/<int:id>", 9)] == [row[:2] for row in store.read().paths]


@pytest.mark.parametrize("turn", [0, 1])
def test_a_second_scan_at_the_same_time_stores_nothing(store, turn):
    first = store.save_step(step())
    store.save_step(step(first))

    with pytest.raises(StoreError):
        store.save_step(step(turn, paths=[PATH._replace(path="/late")]))

    assert [PATH.path] == [row.path for row in store.read().paths]


def test_the_last_decision_counts_and_review_has_none(store):
    one = InventoryDecision("/a", "confirmed", "ann", "", 1.0)
    two = InventoryDecision("/b", "ignored", "ann", "a bot", 1.0)
    store.save_decisions([one, two])
    store.save_decisions([one._replace(state="ignored"), two._replace(state="review")])

    assert [one._replace(state="ignored")] == store.read().decisions
