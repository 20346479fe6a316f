"""What is told of each process: the master and every worker, whichever worker answers."""

import os
import re
import subprocess
import sys
import time

import pytest

from overgrow.observe.exposed_facts import FrontDoorFacts
from overgrow.observe.exposition import exposition
from overgrow.observe.metrics import Metrics
from overgrow.observe.process_figures import read_process

ENDED = "import os, sys; sys.stdin.read()"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


@pytest.fixture
def other():
    """A process that waits until its input ends."""
    with subprocess.Popen([sys.executable, "-c", ENDED], stdin=subprocess.PIPE) as process:
        yield process


def test_the_figures_are_those_of_the_process():
    before_s = time.process_time()

    figures = read_process(os.getpid())

    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    assert before_s - 2 * tick_s <= figures.cpu_s <= time.process_time() + 2 * tick_s
    assert 1 << 20 < figures.resident_bytes < 1 << 40
    assert figures.started_s <= time.time() + 2
    assert 3 <= figures.open_fds <= figures.max_fds


def test_a_process_that_ended_has_no_figures(other):
    other.communicate()

    assert read_process(other.pid) is None


@pytest.mark.parametrize(
    "command", ["(a) b", ") R 1 2", "a\nb"], ids=["brackets", "as if it ended", "two lines"]
)
def test_the_name_of_the_command_misleads_nobody(tmp_path, command):
    folder = tmp_path / "7"
    (folder / "fd").mkdir(parents=True)
    fields = ["R", *["0"] * 10, "300", "200", *["0"] * 6, "1000", "0", "3"]
    (folder / "stat").write_text(f"7 ({command}) {' '.join(fields)}")
    (tmp_path / "stat").write_text("cpu 1\nbtime 1700000000\n")

    figures = read_process(7, tmp_path)

    ticks_per_s = os.sysconf("SC_CLK_TCK")
    assert (500 / ticks_per_s, 3 * os.sysconf("SC_PAGE_SIZE")) == figures[:2]
    assert (1_700_000_000 + 1000 / ticks_per_s, 0, None) == figures[2:]


def test_what_may_not_be_read_is_missing_and_not_0(tmp_path):
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "stat").write_text("7 (x) " + " ".join(["0"] * 40))
    (folder / "limits").write_text("Max open files            unlimited   unlimited   files\n")
    (tmp_path / "stat").write_text("btime 1\n")

    assert (None, None) == read_process(7, tmp_path)[3:]
    assert read_process(8, tmp_path) is None


def lines_of(text, name):
    return dict(re.findall(rf'^{name}{{slot="(\w+)"}} (.+)$', text, re.MULTILINE))


def test_every_process_is_told_by_its_slot(tmp_path, other):
    living = [{"slot": 0, "pid": os.getpid()}, {"slot": 3, "pid": other.pid}, {"slot": 4}]

    text = exposition(tmp_path, living, FrontDoorFacts(master_pid=os.getppid())).decode()

    for name in ("cpu_seconds_total", "resident_memory_bytes", "start_time_seconds", "open_fds"):
        assert {"0", "3", "master"} == set(lines_of(text, f"overgrow_process_{name}"))


def test_a_worker_that_just_ended_does_not_break_the_scrape(tmp_path, other):
    other.communicate()

    text = exposition(tmp_path, [{"slot": 0, "pid": other.pid}]).decode()

    assert {} == lines_of(text, "overgrow_process_cpu_seconds_total")
    assert "overgrow_workers 1.0" in text


def test_the_last_look_is_told_for_each_living_worker(tmp_path):
    for slot, at_s in ((0, 1000), (1, 2000), (2, 3000)):
        Metrics(tmp_path, slot).set("overgrow_watcher_last_look_timestamp_seconds", at_s)

    text = exposition(tmp_path, [{"slot": 0}, {"slot": 2}, {"slot": 5}]).decode()

    told = lines_of(text, "overgrow_watcher_last_look_timestamp_seconds")
    assert {"0": "1000.0", "2": "3000.0"} == told


def test_the_load_of_the_table_is_told_for_each_living_worker(tmp_path):
    living = [{"slot": 0, "since": "2026-11-30T12:00:00.500Z"}, {"slot": 1}]

    text = exposition(tmp_path, living).decode()

    told = lines_of(text, "overgrow_table_last_load_timestamp_seconds")
    assert {"0": 1796040000.5} == {slot: float(at) for slot, at in told.items()}


def worker(slot, revision="a", **given):
    return {"slot": slot, "revision": revision, **given}


@pytest.mark.parametrize(
    ("living", "expected"),
    [
        pytest.param([worker(0), worker(1, killed=False)], 0, id="alike"),
        pytest.param([worker(0), worker(1, "b")], 1, id="two tables"),
        pytest.param([worker(0), worker(1, killed=True)], 1, id="one sees the kill file"),
        pytest.param([worker(0), worker(1, "b", leaving=True)], 0, id="one of them leaves"),
        pytest.param([], 0, id="nobody"),
    ],
)
def test_workers_that_disagree_are_told(tmp_path, living, expected):
    assert f"overgrow_workers_disagree {expected}.0\n" in exposition(tmp_path, living).decode()
