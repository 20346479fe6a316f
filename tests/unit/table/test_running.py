"""Which front door runs on a state folder, asked without a port or a token."""

from __future__ import annotations

import subprocess
import sys

from overgrow.table.running import find_master
from overgrow.table.state_dir import lock_state_dir

HOLD = """\
import sys
from pathlib import Path
from overgrow.table.state_dir import lock_state_dir
with lock_state_dir(Path(sys.argv[1]), "me"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_master_is_the_process_that_holds_the_folder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        found = find_master(tmp_path)
        process.communicate()

    assert process.pid == found
    assert find_master(tmp_path) is None


def test_a_folder_that_is_not_there_has_no_master(tmp_path):
    assert find_master(tmp_path / "state") is None


def test_asking_takes_no_lock(tmp_path):
    with lock_state_dir(tmp_path, "me"):
        pass

    assert find_master(tmp_path) is None
    assert ["serve.lock"] == [path.name for path in tmp_path.iterdir()]
