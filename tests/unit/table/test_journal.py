from __future__ import annotations

import os
import subprocess
import sys

import pytest

from overgrow.files import is_same_file
from overgrow.table.editing.history import append, find_undoable, lock_history, read_history
from overgrow.table.file_lock import LockHeld
from tests.disk import disk_calls


def record(state, action="flip", **more):
    with lock_history(state) as journal:
        return append(state, journal, {"at": "T", "who": "kim", "action": action, **more})


@pytest.fixture
def state(tmp_path):
    for number in range(3):
        record(tmp_path, route=f"r{number}", changes=[("target", "legacy", "migrated")])
    return tmp_path


def test_no_journal_is_an_empty_history(tmp_path):
    assert read_history(tmp_path) == ((), (), ())
    assert read_history(tmp_path).broken == ()


def test_what_was_appended_is_read_in_order_and_holds_together(state):
    assert [entry.route for entry in read_history(state).entries] == ["r0", "r1", "r2"]
    assert read_history(state).broken == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"r1", b"q1"), lines[2]], "line 3"),
        (lambda lines: [lines[0], lines[2]], "line 2"),
        (lambda lines: [lines[1], lines[0], lines[2]], "line 1"),
    ],
)
def test_a_changed_removed_or_moved_line_breaks_the_chain(state, change, said):
    path = state / "flips.jsonl"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))

    assert read_history(state).broken[0].startswith(said)


def test_a_line_torn_by_a_kill_is_skipped_named_and_covered_by_the_next(state):
    with (state / "flips.jsonl").open("ab") as file:
        file.write(b'{"prev": "12')
    torn = read_history(state).torn
    record(state, route="after")

    assert torn == (4,)
    assert [entry.route for entry in read_history(state).entries] == ["r0", "r1", "r2", "after"]
    assert read_history(state).broken == (
        "line 4 is incomplete: the process writing it was stopped",
    )


def test_a_whole_last_line_without_its_end_counts(state):
    path = state / "flips.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    record(state, route="after")

    assert len(read_history(state).entries) == 4
    assert read_history(state).broken == ()


@pytest.mark.parametrize(
    "line",
    [b"[]", b"1", b"{}", b'{"prev": "", "at": 1, "who": "", "action": "x", "changes": [[1]]}'],
)
def test_a_line_that_is_no_entry_is_named(tmp_path, line):
    (tmp_path / "flips.jsonl").write_bytes(line + b"\n")

    (sentence,) = read_history(tmp_path).broken

    assert sentence.startswith("line 1 is ")


def test_the_last_flip_neither_undone_nor_abandoned_is_the_one_to_undo(state):
    last = read_history(state).entries[2]
    record(state, "rollback", route="r2", undoes=last.key)
    given_up = record(state, route="r9")
    record(state, "abandoned", undoes=given_up.key)
    entries = read_history(state).entries

    assert find_undoable(entries, None).route == "r1"
    assert find_undoable(entries, "r0").route == "r0"
    assert find_undoable(entries, "r2") is None


@pytest.mark.parametrize("line", [b"[]", b"1", b"{}", b"\xff" * 20])
def test_a_line_of_something_else_is_not_called_torn(tmp_path, line):
    (tmp_path / "flips.jsonl").write_bytes(line + b"\n")
    found = read_history(tmp_path)

    assert found.torn == ()
    assert found.broken == ("line 1 is not a line of this history: something else wrote it",)


def test_a_history_has_one_holder_at_a_time(tmp_path):
    with lock_history(tmp_path), pytest.raises(LockHeld), lock_history(tmp_path, wait_s=0.0):
        pass


def test_a_history_that_is_held_no_more_is_the_next_ones(tmp_path):
    with lock_history(tmp_path):
        pass

    with lock_history(tmp_path, wait_s=0.0) as descriptor:
        assert is_same_file(descriptor, tmp_path / "flips.jsonl")


def test_a_history_removed_by_its_holder_is_not_the_next_ones(tmp_path, monkeypatch):
    path = tmp_path / "flips.jsonl"
    before = lock_history(tmp_path)
    before.__enter__()

    def remove_and_release(_):
        path.unlink()
        before.__exit__(None, None, None)

    monkeypatch.setattr("overgrow.table.file_lock.time.sleep", remove_and_release)

    with lock_history(tmp_path, wait_s=30.0) as descriptor:
        assert is_same_file(descriptor, path)


def test_a_line_counts_once_it_is_on_disk(tmp_path, monkeypatch):
    made = disk_calls(monkeypatch)
    record(tmp_path)

    assert made == [("sync", "flips.jsonl")]


def test_a_line_of_a_history_that_is_removed_meanwhile_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (tmp_path / "flips.jsonl").unlink())

    with pytest.raises(OSError, match="removed or replaced"):
        record(tmp_path)


def test_only_its_owner_may_read_the_history(tmp_path):
    record(tmp_path)

    assert (tmp_path / "flips.jsonl").stat().st_mode & 0o077 == 0


IN_TURNS = """
import sys
from pathlib import Path
from overgrow.table.editing.kill_switch import kill, resume
config, state = map(Path, sys.argv[1:])
for _ in range(15):
    kill(config, state)
    resume(config, state)
"""


def test_kills_and_resumes_of_many_processes_leave_the_history_whole(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    command = [sys.executable, "-c", IN_TURNS, str(tmp_path / "routes.yaml"), str(state)]
    processes = [subprocess.Popen(command) for _ in range(3)]

    assert [process.wait(60) for process in processes] == [0, 0, 0]
    found = read_history(state)
    ids = [entry.id for entry in found.entries]
    assert found.broken == ()
    assert len(ids) == len(set(ids)) > 0
