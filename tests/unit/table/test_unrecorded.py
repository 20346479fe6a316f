"""Kills and resumes that could not wait for the history: appended once, whoever does it."""

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest

from overgrow.table.editing import flip as edit
from overgrow.table.editing import kill_switch
from overgrow.table.editing.history import lock_history, read_history
from overgrow.table.editing.unrecorded import (
    MAX_NOTE_BYTES,
    MAX_NOTE_TEXT,
    HistoryKeeper,
    create_note,
    note_line,
    read_notes,
    record_waiting,
    record_waiting_now,
    save_notes,
    waiting_notes,
)
from overgrow.table.reading.problems import EditRefused

GOOD = "version: 1\nlegacy: {url: 'http://h'}\nroutes:\n  - {name: x, path: /x, target: legacy}\n"


class Place:
    """A table and its state folder."""

    def __init__(self, folder) -> None:
        self.config, self.state = folder / "routes.yaml", folder / "state"
        self.config.write_text(GOOD)
        self.state.mkdir()

    def entries(self) -> list[tuple[str, str, str | None]]:
        return [(one.action, one.who, one.why) for one in read_history(self.state).entries]

    def held(self):
        """The history's lock as somebody else holds it."""
        descriptor = os.open(self.state / "flips.jsonl", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_kill_and_a_resume_wait_for_no_lock_and_are_recorded_later(place):
    held = place.held()
    killed = kill_switch.kill_and_report(place.config, place.state, who="ada", why="it burns")
    resumed = kill_switch.resume_and_report(place.config, place.state, who="bob")
    before = place.entries()
    os.close(held)
    edit.flip(place.config, place.state, "x", "gone", edit.Actor(env={}, who="cy"))

    assert f"it is locked by pid {os.getpid()} (" in killed.unrecorded
    assert resumed.unrecorded
    assert before == []
    assert place.entries() == [
        ("kill", "ada", "it burns"),
        ("resume", "bob", None),
        ("flip", "cy", None),
    ]
    assert waiting_notes(place.config, place.state) == []


def test_what_stands_in_a_kill_file_is_recorded_once_while_it_stands_there(place):
    kill_switch.kill(place.config, place.state, who="ada")
    for _ in range(3):
        record_waiting_now(place.config, place.state)

    assert place.entries() == [("kill", "ada", None)]
    assert kill_switch.resume(place.config, place.state, who="bob")
    assert [action for action, *_ in place.entries()] == ["kill", "resume"]


def test_a_writer_that_dies_after_its_line_leaves_no_line_to_repeat(place, monkeypatch):
    held = place.held()
    kill_switch.kill(place.config, place.state, who="ada")
    kill_switch.resume(place.config, place.state, who="bob")
    os.close(held)
    monkeypatch.setattr(
        "overgrow.table.editing.unrecorded.remove_note", lambda *_: None
    )  # it died before this
    record_waiting_now(place.config, place.state)
    monkeypatch.undo()
    record_waiting_now(place.config, place.state)

    assert [action for action, *_ in place.entries()] == ["kill", "resume"]
    assert waiting_notes(place.config, place.state) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="an empty file, touched by hand"),
        pytest.param(b"\xff\xfe\n[1]\n{}\n", id="no notes"),
        pytest.param(
            b'{"id": "0123456789abcdef", "at": "T", "who": "x", "action": "flip"}', id="flip"
        ),
        pytest.param(b'{"id": "../../etc", "at": "T", "who": "x", "action": "kill"}', id="no id"),
        pytest.param(
            b'{"id": "0123456789abcdef", "at": 1, "who": "x", "action": "kill"}', id="types"
        ),
    ],
)
def test_a_kill_file_made_by_hand_says_nothing_to_the_history(place, text):
    path = place.state / "kill"
    path.write_bytes(text)

    assert read_notes(path) == []
    assert kill_switch.resume(place.config, place.state, who="bob") == (path,)
    assert place.entries() == [("resume", "bob", None)]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a FIFO", "a folder"])
def test_a_kill_file_of_another_kind_is_in_effect_and_holds_nobody_up(place, make):
    make(f"{place.config}.kill")

    assert kill_switch.kill_and_report(place.config, place.state).path.name == "routes.yaml.kill"


def test_a_flip_gives_up_on_a_held_history_and_says_who_holds_it(place):
    held = place.held()
    with pytest.raises(EditRefused) as refused:
        edit.flip(place.config, place.state, "x", "gone", edit.Actor(env={}, wait_s=0.05))
    os.close(held)

    assert refused.value.code == "locked"
    assert f"locked by pid {os.getpid()} (" in str(refused.value)
    assert place.config.read_text() == GOOD


def test_a_flip_gives_up_on_a_held_folder(place):
    held = os.open(place.config.parent, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(EditRefused) as refused:
        edit.flip(place.config, place.state, "x", "gone", edit.Actor(env={}, wait_s=0.05))
    os.close(held)

    assert refused.value.code == "locked"


def test_a_history_removed_while_it_was_waited_for_keeps_nobody_out(place):
    held = place.held()
    (place.state / "flips.jsonl").unlink()
    with lock_history(place.state, wait_s=5.0) as descriptor:
        record_waiting(place.config, place.state, descriptor)
    os.close(held)

    edit.flip(place.config, place.state, "x", "gone", edit.Actor(env={}))
    assert [action for action, *_ in place.entries()] == ["flip"]


def test_nobody_writes_into_a_history_that_was_removed_while_it_was_held(place):
    def rules():
        (place.state / "flips.jsonl").unlink()

    with pytest.raises(EditRefused) as refused:
        edit.flip(place.config, place.state, "x", "migrated", edit.Actor(env={}, rules=rules))

    assert refused.value.code == "file-unwritable"
    assert place.config.read_text() == GOOD


def test_a_file_system_without_locks_stops_no_flip(place, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("overgrow.table.file_lock.fcntl.flock", no_locks)
    edit.flip(place.config, place.state, "x", "gone", edit.Actor(env={}))

    assert [action for action, *_ in place.entries()] == ["flip"]
    assert "No locks available" in caplog.text


@pytest.mark.parametrize("is_writer", [True, False])
def test_a_lost_history_is_begun_anew_by_the_one_that_speaks(place, is_writer):
    keeper = HistoryKeeper(place.config, place.state, lambda: "T")
    edit.flip(place.config, place.state, "x", "gone", edit.Actor(env={}, who="cy"))
    before = keeper.check(is_writer=is_writer)
    (place.state / "flips.jsonl").unlink()
    told = keeper.check(is_writer=is_writer)

    assert before is None
    assert [one[0] for one in place.entries()] == (["restarted"] if is_writer else [])
    assert (told is not None) == is_writer
    assert keeper.check(is_writer=is_writer) is None


def test_a_history_cut_short_says_so(place):
    keeper = HistoryKeeper(place.config, place.state, lambda: "T")
    edit.flip(place.config, place.state, "x", "gone", edit.Actor(env={}, who="cy"))
    kill_switch.kill(place.config, place.state, who="ada")
    keeper.check(is_writer=True)
    path = place.state / "flips.jsonl"
    path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n")
    keeper.check(is_writer=True)

    assert [one[0] for one in place.entries()] == ["flip", "restarted", "kill"]


def test_a_state_folder_that_is_gone_is_made_again_by_a_flip(place):
    shutil.rmtree(place.state)
    edit.flip(place.config, place.state, "x", "gone", edit.Actor(env={}, who="cy"))

    assert [one[0] for one in place.entries()] == ["flip"]


def test_the_kill_file_says_who_made_it_when_and_why(place):
    path = kill_switch.kill_and_report(
        place.config, place.state, who="ada", why="it burns", now=lambda: "T"
    ).path

    told = json.loads(path.read_text())
    assert ("ada", "T", "kill", "it burns") == tuple(
        told[key] for key in ("who", "at", "action", "why")
    )


def test_a_resume_that_somebody_else_made_meanwhile_is_not_recorded(place, monkeypatch):
    kill_switch.kill(place.config, place.state, who="ada")
    unlink = Path.unlink

    def too_late(path, **given):
        unlink(path, **given)
        if path.suffix == ".kill":
            raise FileNotFoundError(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", too_late)
        resumed = kill_switch.resume_and_report(place.config, place.state, who="bob")
    record_waiting_now(place.config, place.state)

    assert resumed.removed == ()
    assert place.entries() == [("kill", "ada", None)]


def test_a_resume_whose_notes_cannot_be_kept_is_made(place, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = kill_switch.kill(place.config, place.state, who="ada")
    monkeypatch.setattr(kill_switch, "save_notes", full)

    assert kill_switch.resume(place.config, place.state, who="bob") == (path,)


def test_what_a_kill_file_said_outlives_whoever_removes_it(place, monkeypatch):
    held = place.held()
    kill_switch.kill(place.config, place.state, who="ada")
    unlink = Path.unlink

    def dies(path, **given):
        unlink(path, **given)
        if path.suffix == ".kill":
            raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", dies)
        with pytest.raises(SystemExit):
            kill_switch.resume(place.config, place.state, who="bob")
    os.close(held)
    record_waiting_now(place.config, place.state)

    assert [who for _, who, _ in place.entries()] == ["ada", "bob"]


@pytest.mark.parametrize(("length", "count"), [(MAX_NOTE_TEXT, 1), (MAX_NOTE_TEXT + 1, 0)])
def test_a_reason_in_a_kill_file_has_a_greatest_length(tmp_path, length, count):
    (tmp_path / "kill").write_bytes(
        note_line(create_note("kill", at="T", who="x", why="y" * length))
    )

    assert len(read_notes(tmp_path / "kill")) == count


def test_of_a_kill_file_no_more_is_read_than_its_bound(tmp_path):
    line = note_line(create_note("kill", at="T", who="x"))
    (tmp_path / "kill").write_bytes(line + b"#" * MAX_NOTE_BYTES + b"\n" + line)

    assert len(read_notes(tmp_path / "kill")) == 1


def test_a_note_that_the_disk_took_half_of_is_none(place, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_notes(place.state, [create_note("kill", at="T", who="x")])

    assert list((place.state / "unrecorded").iterdir()) == []


def test_only_its_owner_may_read_what_was_put_aside(place):
    save_notes(place.state, [create_note("kill", at="T", who="x")])

    assert (place.state / "unrecorded").stat().st_mode & 0o777 == 0o700


def test_notes_are_recorded_in_the_order_of_their_times(place):
    save_notes(place.state, [create_note("resume", at="T2", who="bob")])
    record_waiting_now(place.config, place.state, [create_note("kill", at="T1", who="ada")])

    assert [who for _, who, _ in place.entries()] == ["ada", "bob"]


@pytest.mark.parametrize(("is_writer", "who"), [(True, ["ada"]), (False, [])])
def test_only_the_worker_that_speaks_records_what_waits(place, is_writer, who):
    save_notes(place.state, [create_note("kill", at="T", who="ada")])
    HistoryKeeper(place.config, place.state, lambda: "T").check(is_writer=is_writer)

    assert [who for _, who, _ in place.entries()] == who
