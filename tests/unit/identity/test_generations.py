"""Numbers of sessions that all workers share: a change in one is seen by the others."""

from __future__ import annotations

import pytest

from overgrow.identity.generations import FILE_BYTES, SLOT_BYTES, Generations

KEY, OTHER = b"\0\0\0\1" + b"k" * 28, b"\0\0\0\2" + b"k" * 28


def test_a_change_in_one_worker_is_seen_by_the_others(tmp_path):
    first, second = (Generations(tmp_path / "numbers") for _ in range(2))
    before = second.number_of(KEY), second.number_of(OTHER)
    first.change(KEY)

    assert (second.number_of(KEY) != before[0], second.number_of(OTHER)) == (True, before[1])


def test_a_worker_that_starts_later_sees_earlier_changes(tmp_path):
    Generations(tmp_path / "numbers").change(KEY)

    assert Generations(tmp_path / "numbers").number_of(KEY) == 1


def test_a_number_begins_again_after_its_last():
    numbers = Generations()
    numbers._numbers[:] = b"\xff" * FILE_BYTES
    numbers.change(KEY)

    assert (numbers.number_of(KEY), len(numbers._numbers)) == (0, FILE_BYTES)
    assert numbers.number_of(OTHER) == 2 ** (8 * SLOT_BYTES) - 1


def test_a_file_that_is_too_short_is_made_whole(tmp_path):
    (tmp_path / "numbers").write_bytes(b"\1" * 7)

    Generations(tmp_path / "numbers").change(b"\xff" * 32)
    assert (tmp_path / "numbers").stat().st_size == FILE_BYTES


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        Generations(tmp_path / "nowhere" / "numbers")


def test_the_space_of_the_file_is_reserved(tmp_path):
    Generations(tmp_path / "numbers")

    assert (tmp_path / "numbers").stat().st_blocks * 512 >= FILE_BYTES
