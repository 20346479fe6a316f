"""The rows of the history: the latest first, what undid what, and what waits to be recorded."""

import pytest

from overgrow.table.editing.history import FieldChange, History, HistoryEntry
from overgrow.table.editing.history_list import list_history

NOTE = {"id": "0123456789abcdef", "at": "2026-11-30T12:00:09Z", "who": "ann", "action": "kill"}


def entry(key, action="flip", route="orders", **given):
    plain = {
        "key": key,
        "prev": "",
        "at": f"2026-11-30T12:00:0{key}Z",
        "who": "bob",
        "action": action,
        "route": route,
        "from_": "legacy",
        "to": "migrated",
        "before": None,
        "after": None,
    }
    return HistoryEntry(**{**plain, **given})


def rows(*entries, notes=(), route=None, **given):
    return list_history(History(entries, (), ()), notes, route, **given)


def keys(found):
    return [row.entry.key for row in found]


def test_the_latest_row_is_first():
    assert ["2", "1"] == keys(rows(entry("1"), entry("2")))


def test_a_flip_says_when_and_by_whom_it_was_undone():
    undoing = entry("2", "rollback", who="eve", undoes="1")
    [_, flip] = rows(entry("1"), undoing)

    assert ("2026-11-30T12:00:02Z", "eve", False) == (
        *(flip.undone_at, flip.undone_by),
        flip.is_abandoned,
    )


def test_a_flip_that_never_took_effect_is_abandoned():
    [_, flip] = rows(entry("1"), entry("2", "abandoned", undoes="1"))

    assert flip.is_abandoned


def test_a_kill_that_waits_to_be_recorded_is_the_first_row():
    found = rows(entry("1"), notes=[NOTE])

    assert [("kill", False), ("flip", True)] == [(r.entry.action, r.is_recorded) for r in found]
    assert ("ann", "2026-11-30T12:00:09Z") == (found[0].as_json()["who"], found[0].as_json()["at"])


def test_a_kill_that_was_recorded_in_between_is_one_row():
    recorded = entry("1", "kill", None, id=NOTE["id"])

    assert [True] == [row.is_recorded for row in rows(recorded, notes=[NOTE])]


def test_a_note_without_an_entry_is_no_entry_without_an_id():
    assert 2 == len(rows(entry("1", "kill", None, id=None), notes=[NOTE]))


@pytest.mark.parametrize(
    ("with_kills", "expected"),
    [
        pytest.param(True, ["3", "2", "1"], id="what changed the route, and kills"),
        pytest.param(False, ["2", "1"], id="what changed the route"),
    ],
)
def test_a_route_has_its_own_flips_and_those_of_its_group(with_kills, expected):
    group = entry("2", route="group:g", changes=(FieldChange("target", "a", "b", "orders"),))
    found = rows(
        *(entry("1"), group, entry("3", "kill", None), entry("4", route="cart")),
        route="orders",
        with_kills=with_kills,
    )

    assert expected == keys(found)
