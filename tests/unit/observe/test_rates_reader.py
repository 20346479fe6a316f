"""Reading the rates again and again gives what reading them anew gives."""

import json

import pytest

from overgrow.observe.metrics import BUCKETS_S
from overgrow.observe.rates_reader import RateCounts, RatesReader
from overgrow.observe.recent_rates import MAX_FILE_S, Gain, RatesFile, read_rates

COUNT = len(BUCKETS_S) + 1
PLACE = ("orders", "legacy")


def gain(requests=1, errors=0, bucket=4, place=PLACE):
    buckets = [0] * COUNT
    buckets[bucket] = requests
    return Gain(*place, errors, tuple(buckets))


@pytest.fixture
def reader(tmp_path):
    return RatesReader(tmp_path, COUNT)


def requests_of(reader, now_s, window="last_minute", place=PLACE):
    counts = reader.read(now_s)[window].get(place)
    return counts.requests if counts else 0


def test_lines_that_were_added_are_counted_once(tmp_path, reader):
    file = RatesFile()
    told = []
    for at_s in (1000.0, 1005.0, 1010.0):
        file.append(tmp_path, 0, [gain()], at_s)
        told += [requests_of(reader, at_s), requests_of(reader, at_s)]

    assert [1, 1, 2, 2, 3, 3] == told


def test_a_line_leaves_each_window_when_it_is_too_old(tmp_path, reader):
    RatesFile().append(tmp_path, 0, [gain()], 1000.0)
    told = [
        [window for window, counts in reader.read(now_s).items() if counts]
        for now_s in (1059.9, 1060.0, 1300.0)
    ]

    assert [["last_minute", "last_five_minutes"], ["last_five_minutes"], []] == told


def test_slots_are_added_up(tmp_path, reader):
    for slot in range(3):
        RatesFile().append(tmp_path, slot, [gain(2, 1)], 1000.0)

    assert (
        RateCounts(6, 3, (0,) * 4 + (6,) + (0,) * (COUNT - 5))
        == (reader.read(1001.0)["last_minute"][PLACE])
    )


def test_a_new_file_goes_on_after_the_former_one(tmp_path, reader):
    file = RatesFile()
    file.append(tmp_path, 0, [gain()], 1000.0)
    reader.read(1000.0)
    file.append(tmp_path, 0, [gain()], 1001.0)  # not read before the file is replaced
    file.append(tmp_path, 0, [gain()], 1000.0 + MAX_FILE_S + 1)

    assert 1 == requests_of(reader, 1000.0 + MAX_FILE_S + 1)
    assert list(tmp_path.glob("*.former"))


def test_what_the_former_file_got_last_is_not_lost(tmp_path, reader):
    file = RatesFile()
    file.append(tmp_path, 0, [gain()], 1000.0)
    reader.read(1000.0)
    file.append(tmp_path, 0, [gain()], 1002.0)
    (tmp_path / "rates_0.jsonl").replace(tmp_path / "rates_0.former")
    RatesFile().append(tmp_path, 0, [gain()], 1004.0)

    assert 3 == requests_of(reader, 1004.0)


def test_a_line_that_is_just_being_written_is_read_when_it_is_whole(tmp_path, reader):
    path = tmp_path / "rates_0.jsonl"
    line = "\n" + json.dumps([1000.0, [gain()]])
    path.write_text(line[:30])
    before = requests_of(reader, 1000.0)
    path.write_text(line)

    assert (0, 1) == (before, requests_of(reader, 1000.0))


def test_a_garbled_line_takes_no_other_with_it(tmp_path, reader):
    path = tmp_path / "rates_0.jsonl"
    path.write_text('\n[1000.0,[["orders",1]]]\n{"x":\n[]\nnonsense')
    RatesFile().append(tmp_path, 0, [gain()], 1001.0)

    assert 1 == requests_of(reader, 1001.0)


def test_lines_of_a_clock_that_was_set_back_do_not_count_again(tmp_path, reader):
    file = RatesFile()
    file.append(tmp_path, 0, [gain()], 2000.0)
    reader.read(2000.0)
    file.append(tmp_path, 0, [gain()], 1000.0)
    told = [requests_of(reader, 1000.0), requests_of(reader, 2000.0)]

    assert [1, 0] == told


def test_a_folder_that_is_not_there_has_no_rates(tmp_path):
    assert {} == RatesReader(tmp_path / "none", COUNT).read(1000.0)["last_minute"]


def test_figures_are_those_of_a_reader_that_begins_anew(tmp_path, reader):
    files = [RatesFile(), RatesFile()]
    for step in range(100):
        for slot, file in enumerate(files):
            gains = [gain(step % 7, step % 2, step % COUNT), gain(place=("cart", "migrated"))]
            file.append(tmp_path, slot, gains, 1000.0 + 5 * step)
        reader.read(1000.0 + 5 * step)
    now_s = 1000.0 + 5 * 99

    anew = read_rates(tmp_path, BUCKETS_S, now_s)
    told = reader.read(now_s)
    for place, windows in anew.items():
        for name, figures in windows.items():
            counts = told[name][place]
            assert (figures["requests"], figures["errors"], figures["p95_s"]) == (
                counts.requests,
                counts.errors,
                counts.percentile(0.95, BUCKETS_S),
            )
    assert set(anew) == set(told["last_five_minutes"])
