"""How often and when routes were flipped, as the history says."""

from overgrow.table.editing.history import (
    JOURNAL,
    FieldChange,
    HistoryEntry,
    append,
    lock_history,
    read_changed_history,
    read_history,
)
from overgrow.table.editing.history_list import count_flips, last_flips


def entry(action="flip", route="orders", to="migrated", at="2026-11-30T08:00:00Z", changes=()):
    return HistoryEntry("k", "", at, "ann", action, route, "legacy", to, "r1", "r2", changes)


def test_flips_and_rollbacks_are_counted_by_route_and_target():
    entries = [entry(), entry(), entry("rollback", to="legacy"), entry("kill", None, None)]

    assert count_flips(entries) == {("orders", "migrated"): 2, ("orders", "legacy"): 1}


def test_a_canary_of_any_size_has_one_label():
    assert count_flips([entry(to="10%"), entry(to="25%")]) == {("orders", "canary"): 2}


def test_a_flip_of_a_group_counts_for_each_of_its_routes():
    changes = tuple(FieldChange("target", "legacy", "migrated", name) for name in ("cart", "pay"))
    found = count_flips([entry(route="group:checkout", changes=changes)])

    assert found == {("cart", "migrated"): 1, ("pay", "migrated"): 1}


def test_the_last_flip_of_a_route_is_the_newest_of_the_history():
    entries = [entry(at="2026-11-29T08:00:00Z"), entry(at="2026-11-30T08:00:00Z")]

    assert last_flips(entries) == {"orders": "2026-11-30T08:00:00Z"}


def test_a_history_is_read_anew_as_soon_as_it_has_changed(tmp_path):
    for number in range(3):
        with lock_history(tmp_path) as descriptor:
            append(
                tmp_path,
                descriptor,
                {"at": "T", "who": "ann", "action": "kill", "id": f"k{number}"},
            )
        assert read_changed_history(tmp_path) == read_history(tmp_path)
    assert len(read_changed_history(tmp_path).entries) == 3


def test_an_unchanged_history_is_read_once(tmp_path):
    with lock_history(tmp_path) as descriptor:
        append(tmp_path, descriptor, {"at": "T", "who": "ann", "action": "kill"})

    assert read_changed_history(tmp_path) is read_changed_history(tmp_path)


def test_a_history_that_was_removed_is_empty_at_once(tmp_path):
    with lock_history(tmp_path) as descriptor:
        append(tmp_path, descriptor, {"at": "T", "who": "ann", "action": "kill"})
    read_changed_history(tmp_path)
    (tmp_path / JOURNAL).unlink()

    assert read_changed_history(tmp_path).entries == ()
