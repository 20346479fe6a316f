"""What a table may say and how its file is watched where nobody says otherwise: the promises of the docs."""

from overgrow.files import ANSWER_S
from overgrow.table.editing.history import WAIT_S
from overgrow.table.reading.grammar import (
    MAX_CLEAN,
    MAX_CONNECTIONS,
    MAX_PRIORITY,
    ShadowField,
)
from overgrow.table.reading.settling import STANDS_S
from overgrow.table.reading.table_file import MAX_BYTES
from overgrow.table.reading.values import MAX_ANSWER_BYTES, MAX_DURATION_S, MAX_SIZE_BYTES
from overgrow.table.watcher import INTERVAL_S

MIB = 1024 * 1024


def test_files_are_polled_and_waited_for_as_documented():
    assert (0.25, 3.0, 5.0, 3.0) == (INTERVAL_S, STANDS_S, WAIT_S, ANSWER_S)


def test_a_table_may_be_as_large_as_is_promised():
    assert MAX_BYTES == 16 * MIB


def test_numbers_of_a_table_have_the_bounds_that_are_promised():
    assert (100_000, 1_000_000, 1_000_000) == (MAX_CONNECTIONS, MAX_PRIORITY, MAX_CLEAN)
    assert (86_400.0, 1000**4, 4 * MIB) == (MAX_DURATION_S, MAX_SIZE_BYTES, MAX_ANSWER_BYTES)


def test_a_tenth_of_the_copies_is_asked_twice_for_noise():
    assert ShadowField(500).noise == 1_000
