"""Which front door runs on a state folder, asked without a port or a token."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import pytest

from overgrow.table.running import (
    describe_front_door,
    find_admin,
    find_master,
    find_table,
)
from overgrow.table.state_dir import lock_state_dir

HOLD = """\
import sys
from pathlib import Path
from overgrow.table.state_dir import lock_state_dir
with lock_state_dir(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding(state, who="me"):
    """A process that holds the folder as the master of a front door does."""
    command = [sys.executable, "-c", HOLD, str(state), who]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.communicate()


def test_the_master_is_the_process_that_holds_the_folder(tmp_path):
    with holding(tmp_path) as process:
        found = find_master(tmp_path)

    assert process.pid == found
    assert find_master(tmp_path) is None


def test_a_folder_that_is_not_there_has_no_master(tmp_path):
    assert find_master(tmp_path / "state") is None


def test_asking_takes_no_lock(tmp_path):
    with lock_state_dir(tmp_path, "me"):
        pass

    assert find_master(tmp_path) is None
    assert ["serve.lock"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("who", "admin"),
    [
        ("pid 7, public 127.0.0.1:8080, admin 127.0.0.1:8081", "127.0.0.1:8081"),
        ("pid 7, public unix:/p, admin unix:/run/a.sock", "unix:/run/a.sock"),
        ("pid 7, public 127.0.0.1:0, admin 127.0.0.1:0", None),
        ("me", None),
    ],
)
def test_the_admin_listener_is_the_one_its_master_told_of(tmp_path, who, admin):
    with holding(tmp_path, who):
        found = find_admin(tmp_path)

    assert admin == found
    assert find_admin(tmp_path) is None


@pytest.mark.parametrize("name", ["demo.yaml", "a b, c.yaml", 'say "x".yaml', "ä\\.yaml"])
def test_the_table_is_the_one_its_master_told_of(tmp_path, name):
    who = describe_front_door(tmp_path / name, "127.0.0.1:8080", "127.0.0.1:8081")
    with holding(tmp_path, who):
        found = find_table(tmp_path), find_admin(tmp_path)

    assert (tmp_path / name, "127.0.0.1:8081") == found
    assert find_table(tmp_path) is None


@pytest.mark.parametrize("who", ["me", "", "pid 7, public a, admin b", 'pid 7, table "half'])
def test_a_master_that_told_no_table_has_none(tmp_path, who):
    with holding(tmp_path, who):
        assert find_table(tmp_path) is None
