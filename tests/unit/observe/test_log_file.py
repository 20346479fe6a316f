"""The file of the access log: rotated, removed, unwritable, a pipe; no line is lost."""

import json
import os
import select
from pathlib import Path

import pytest

from overgrow.observe.access_log import target as log_target
from overgrow.observe.access_log.combined_lines import CombinedLines
from overgrow.observe.access_log.json_lines import JsonLines
from overgrow.observe.access_log.target import FileTarget, open_log_file
from overgrow.observe.access_log.writer import AccessLog
from tests.unit.observe.exchanges import exchange


class FakeClock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


def statuses(path):
    return [
        json.loads(line).get("http.response.status_code") for line in path.read_text().splitlines()
    ]


def write(log, *written):
    for status in written:
        log.record(exchange(status=status))
    log.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "logs" / "access.log"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def log(path, clock):
    path.parent.mkdir()
    return AccessLog(FileTarget(path, clock), JsonLines())


def test_lines_are_appended_to_what_is_there(log, path):
    path.write_text('{"http.response.status_code": 100}\n')
    write(log, 200)

    assert statuses(path) == [100, 200]


def test_a_log_is_not_for_all_users_of_the_machine(log, path):
    write(log, 200)

    assert path.stat().st_mode & 0o007 == 0


def test_no_file_is_made_before_the_first_line(log, path):
    log.reopen()
    log.close()

    assert not path.exists()


def test_a_rotated_file_is_opened_again_when_asked(log, path):
    write(log, 200)
    old = path.rename(path.with_suffix(".1"))
    log.reopen()
    write(log, 201)

    assert (statuses(old), statuses(path)) == ([200], [201])


def test_an_idle_log_is_opened_again_at_once(log, path):
    log.record(exchange())
    while not path.exists() or not path.stat().st_size:
        os.sched_yield()
    path.rename(path.with_suffix(".1"))
    log.reopen()
    while not path.exists():
        os.sched_yield()
    log.close()

    assert statuses(path) == []


def test_lines_between_the_rename_and_the_signal_are_in_the_old_file(log, path):
    write(log, 200)
    old = path.rename(path.with_suffix(".1"))
    write(log, 201)
    log.reopen()
    write(log, 202)

    assert (statuses(old), statuses(path)) == ([200, 201], [202])


def test_a_file_that_somebody_moved_without_a_word_is_noticed(log, path, clock):
    write(log, 200)
    path.rename(path.with_suffix(".1"))
    clock.now_s += log_target.CHECK_S
    write(log, 201)

    assert statuses(path) == [201]


def test_a_removed_folder_loses_no_line_of_the_open_file(log, path, clock, caplog):
    caplog.set_level("INFO", "overgrow")
    write(log, 200)
    kept = path.open()
    path.unlink()
    path.parent.rmdir()
    for status in (201, 202):
        clock.now_s += log_target.CHECK_S
        write(log, status)
    path.parent.mkdir()
    clock.now_s += log_target.CHECK_S
    write(log, 203)

    with kept:
        assert len(kept.readlines()) == 3
    assert statuses(path) == [203]
    assert [record.getMessage().split()[0] for record in caplog.records] == [
        "access-log-not-reopened",
        "access-log-reopened",
    ]


def test_lines_are_counted_as_lost_while_no_file_can_be_opened(path, clock, caplog):
    caplog.set_level("INFO", "overgrow")
    dropped = []
    log = AccessLog(FileTarget(path, clock), JsonLines(), dropped.append)
    write(log, 200, 201)
    path.parent.mkdir()
    write(log, 202)

    assert (sum(dropped), statuses(path)) == (2, [202, None])
    assert [record.getMessage() for record in caplog.records] == [
        "access-log-lost why='No such file or directory'",
        "access-log-found dropped=2",
    ]


def test_lines_for_a_full_disk_are_counted_and_said_once(clock, caplog):
    dropped = []
    log = AccessLog(FileTarget(Path("/dev/full"), clock), JsonLines(), dropped.append)
    write(log, 200)
    write(log, 201)

    assert sum(dropped) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "access-log-lost why='No space left on device'"
    ]


def test_a_pipe_that_nobody_reads_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="No such device or address"):
        open_log_file(tmp_path / "pipe")


def test_a_pipe_gets_whole_lines_though_it_is_full(tmp_path, clock):
    os.mkfifo(tmp_path / "pipe")
    fd = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    log = AccessLog(FileTarget(tmp_path / "pipe", clock), JsonLines())
    for _ in range(500):  # a pipe holds 64 KiB, some 110 lines
        log.record(exchange())
    select.select([fd], [], [])  # until the log has opened the pipe
    with os.fdopen(fd, "rb") as reader:
        lines = [reader.readline() for _ in range(500)]
        log.close()

    assert {json.loads(line)["http.response.status_code"] for line in lines} == {200}


def test_a_pipe_whose_reader_comes_back_is_written_to_again(tmp_path, clock):
    os.mkfifo(tmp_path / "pipe")
    first = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(FileTarget(tmp_path / "pipe", clock), JsonLines())
    write(log, 200)
    os.close(first)
    write(log, 201)
    second = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write(log, 202)
    data = os.read(second, 1 << 16).decode()
    os.close(second)

    assert ('status_code":202' in data, log.dropped_lines) == (True, 1)


def test_a_format_without_a_gap_line_tells_the_gap_in_the_log_of_events(path, clock, caplog):
    log = AccessLog(FileTarget(path, clock), CombinedLines())
    write(log, 200)
    path.parent.mkdir()
    write(log, 201)
    write(log, 202)

    assert "access-log-gap dropped=1" in caplog.text
    assert [line.split()[8] for line in path.read_text().splitlines()] == ["201", "202"]
