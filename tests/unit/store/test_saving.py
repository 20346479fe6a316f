"""Saving: nothing is counted twice, and what a dead writer lost is counted once."""

from __future__ import annotations

from overgrow.store.loss_counter import DeadWriter, LossCounter, dead_writers
from overgrow.store.reader import Reader
from overgrow.store.row_builder import RowBuilder
from overgrow.store.saving import BatchMark, last_stored_number, record_losses, save
from tests.unit.store.made import NOW, compared

BATCH = [compared()] * 3


def mark(number, boot="boot"):
    return BatchMark(boot, NOW, number, 0, NOW)


def test_a_batch_whose_commit_was_not_answered_is_not_counted_twice(engine):
    for number in (3, 3, 6):
        with engine.begin() as connection:
            save(connection, RowBuilder("boot").build_rows(BATCH), mark(number))

    assert Reader(engine).shadow_status()[0].comparisons == 6


def test_a_writer_unknown_to_the_store_has_stored_nothing(engine):
    with engine.connect() as connection:
        assert last_stored_number(connection, "unknown") == 0


def test_what_a_dead_writer_lost_is_what_it_took_beyond_what_is_stored(engine, tmp_path):
    dead = DeadWriter(tmp_path, "boot", 10, 4)
    with engine.begin() as connection:
        save(connection, RowBuilder("boot").build_rows(BATCH), mark(3))
        lost = [record_losses(connection, dead, NOW + 9) for _ in range(2)]

    losses = Reader(engine).losses()

    assert lost == [7, 7]
    assert (losses.lost, losses.dropped, losses.last_at) == (7, 4, NOW + 9)


def test_a_writer_that_stored_all_it_took_lost_nothing(engine, tmp_path):
    with engine.begin() as connection:
        save(connection, RowBuilder("boot").build_rows(BATCH), mark(3))

        assert record_losses(connection, DeadWriter(tmp_path, "boot", 3, 0), NOW) == 0
    assert Reader(engine).losses().lost == 0


def test_the_tally_of_a_living_writer_is_left_alone(tmp_path):
    tally = LossCounter(tmp_path, "alive")
    tally.note_counts(5, 1)

    assert list(dead_writers(tmp_path)) == []
    tally.close(is_settled=False)
    assert [(dead.boot, dead.accepted, dead.dropped) for dead in dead_writers(tmp_path)] == [
        ("alive", 5, 1)
    ]


def test_a_tally_that_tells_of_nothing_more_is_removed(tmp_path):
    LossCounter(tmp_path, "done").close(is_settled=True)

    assert list(tmp_path.iterdir()) == []


def test_a_torn_tally_tells_of_nothing(tmp_path):
    (tmp_path / "torn.tally").write_bytes(b"\1")

    assert [dead[1:] for dead in dead_writers(tmp_path)] == [("torn", 0, 0)]


def test_a_tally_that_another_writer_settled_first_is_passed_over(tmp_path):
    (tmp_path / "gone.tally").symlink_to(tmp_path / "gone")

    assert list(dead_writers(tmp_path)) == []
