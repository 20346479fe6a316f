"""The tally: what a killed writer lost is counted, and a living writer's counts are its own."""

from __future__ import annotations

import fcntl
import os
import stat

from overgrow.store.loss_counter import LossCounter, dead_writers


def is_locked(path):
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def test_a_tally_is_locked_before_it_bears_its_name(tmp_path, monkeypatch):
    # Else another worker would take it for a dead writer's in between.
    visible_unlocked = []
    lock = fcntl.flock

    def look_then_lock(descriptor, mode):
        visible_unlocked.extend(tmp_path.glob("*.tally"))
        lock(descriptor, mode)

    monkeypatch.setattr("overgrow.store.loss_counter.fcntl.flock", look_then_lock)

    LossCounter(tmp_path, "boot").close(is_settled=False)

    assert visible_unlocked == []


def test_a_living_writer_holds_its_tally(tmp_path):
    tally = LossCounter(tmp_path, "boot")

    assert is_locked(tmp_path / "boot.tally")
    tally.close(is_settled=True)


def test_only_the_owner_may_enter_the_folder_of_tallies(tmp_path):
    LossCounter(tmp_path / "tallies", "boot").close(is_settled=True)

    assert stat.S_IMODE((tmp_path / "tallies").stat().st_mode) == 0o700


def test_a_dead_writer_is_found_with_its_counts(tmp_path):
    tally = LossCounter(tmp_path, "boot")
    tally.note_counts(7, 2)
    tally.close(is_settled=False)

    assert [("boot", 7, 2)] == [dead[1:] for dead in dead_writers(tmp_path)]
