import errno
import os
from typing import ClassVar

import pytest
from prometheus_client.mmap_dict import MmapedDict

from overgrow.observe import mapped_counters as ledger
from overgrow.observe.mapped_counters import Ledger, open_ledger, read_entries


def numbers_in(path):
    return {key: number for key, number, *_ in read_entries(str(path))}


def test_a_new_number_is_zero(tmp_path):
    Ledger(tmp_path / "counter_0.db").cell("a")

    assert numbers_in(tmp_path / "counter_0.db") == {"a": 0.0}


def test_prometheus_client_reads_numbers_with_keys_of_any_length(tmp_path):
    book = Ledger(tmp_path / "counter_0.db")
    keys = ["k" * length for length in range(1, 40)] + ["é" * 7]

    for number, key in enumerate(keys):
        book.cell(key).add(number + 0.5)

    theirs = MmapedDict(str(tmp_path / "counter_0.db"), read_mode=True)
    assert {key: number + 0.5 for number, key in enumerate(keys)} == {
        key: value for key, value, _ in theirs.read_all_values()
    }
    theirs.close()


def test_a_file_that_prometheus_client_wrote_is_continued(tmp_path):
    theirs = MmapedDict(str(tmp_path / "counter_0.db"))
    theirs.write_value("a", 41.0, 0.0)
    theirs.close()

    Ledger(tmp_path / "counter_0.db").cell("a").add(1)

    assert numbers_in(tmp_path / "counter_0.db") == {"a": 42.0}


def test_numbers_survive_the_growth_of_the_file(tmp_path):
    book = Ledger(tmp_path / "counter_0.db")
    early = book.cell("early")
    for number in range(2000):
        book.cell(f"{number:>60}").set(number)

    early.add(3)
    book.cell("early").add(4)

    read = numbers_in(tmp_path / "counter_0.db")
    assert (7.0, 1999.0, 2001) == (read["early"], read[f"{1999:>60}"], len(read))


def test_a_reopened_file_goes_on_from_its_numbers(tmp_path):
    first = Ledger(tmp_path / "counter_0.db")
    first.cell("a").add(2)
    first.close()
    first.close()

    Ledger(tmp_path / "counter_0.db").cell("a").add(3)

    assert numbers_in(tmp_path / "counter_0.db") == {"a": 5.0}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xff\xff\xff\x7f" + b"\xff" * 5000, id="used beyond the end"),
        pytest.param(b"\x40\0\0\0\0\0\0\0" + b"\xff\xff\xff\x7f" * 20, id="key beyond the end"),
        pytest.param(b"\x18", id="shorter than its own head"),
    ],
)
def test_a_damaged_file_is_set_aside_and_counting_starts_again(tmp_path, content, caplog):
    path = tmp_path / "counter_0.db"
    path.write_bytes(content)

    open_ledger(path).cell("a").add(1)

    assert numbers_in(path) == {"a": 1.0}
    assert (tmp_path / "counter_0.broken").read_bytes() == content
    assert "is damaged" in caplog.text


def test_counting_goes_on_in_memory_where_no_file_can_be_made(tmp_path, caplog):
    book = open_ledger(tmp_path / "nowhere" / "counter_0.db")

    book.cell("a").add(1)
    for number in range(2000):
        book.cell(f"{number:>60}").add(1)

    assert "missing from /metrics" in caplog.text
    assert not (tmp_path / "nowhere").exists()


def test_a_full_disk_stops_new_series_not_the_process(tmp_path, caplog, monkeypatch):
    path = tmp_path / "counter_0.db"
    book = Ledger(path)
    known = book.cell("known")

    def full(_fd, _start, _size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ledger.os, "posix_fallocate", full)
    for number in range(2000):
        book.cell(f"{number:>60}").add(1)
    known.add(1)

    assert numbers_in(path)["known"] == 1.0
    assert "No space left" in caplog.text


def test_a_new_entry_is_whole_before_the_length_of_the_file_counts_it(tmp_path):
    # A reader, or a successor after a crash, takes what stands below that length for whole.
    class Recorded(bytearray):
        written: ClassVar[list[int]] = []

        def __setitem__(self, place, data):
            self.written.append(place.start)
            super().__setitem__(place, data)

    book = Ledger(tmp_path / "counter_0.db")
    book._bytes = Recorded(book._bytes[:])
    book.cell("a")

    assert Recorded.written == [8, 0]
