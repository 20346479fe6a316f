"""Calls made in a process of their own, and the end of commands that leave threads of the app."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from overgrow.cli import forked_call
from overgrow.cli.forked_call import EndedApartError, call_in_fork
from tests.programs import IMPORT_PATH
from tests.story.front import eventually

ROOT = Path(__file__).resolve().parents[3]
TABLE = """\
version: 1
app: leaving_app:app
legacy: {url: "http://127.0.0.1:9"}
routes: []
"""
APP = """
import threading, time
from flask import Flask
app = Flask(__name__)
threading.Thread(target=time.sleep, args=(1000,)).start()
"""


def unheard(seconds):
    raise AssertionError(seconds)


def fail():
    raise LookupError("no such table")


def leave_a_thread():
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return os.getpid()


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_call_apart_returns_what_it_returns_elsewhere():
    assert call_in_fork(os.getpid, unheard) != os.getpid()


def test_a_call_apart_raises_what_it_raises_elsewhere():
    with pytest.raises(LookupError, match="no such table"):
        call_in_fork(fail, unheard)


def test_a_thread_of_a_call_apart_holds_nobody_up():
    assert is_gone(call_in_fork(leave_a_thread, unheard))


def test_the_end_of_a_process_apart_is_seen_though_its_pipe_stays_open():
    waits, let_go = os.pipe()

    def leave_a_process_and_end():
        if os.fork() == 0:  # holds the pipe of the outcome open until the test is over
            os.close(let_go)
            os.read(waits, 1)
            os._exit(0)
        os._exit(3)

    try:
        with pytest.raises(EndedApartError):
            call_in_fork(leave_a_process_and_end, unheard)
    finally:
        os.close(waits)
        os.close(let_go)


def test_a_call_apart_that_takes_long_is_told_of_once(monkeypatch):
    monkeypatch.setattr(forked_call, "LONG_S", 0.01)
    told = []
    call_in_fork(lambda: time.sleep(0.5), told.append)

    assert told == [0.01]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "routes.yaml").write_text(TABLE)
    (tmp_path / "leaving_app.py").write_text(APP)
    return tmp_path


def test_a_command_ends_beside_a_thread_of_the_app(folder):
    command = [sys.executable, "-m", "overgrow.cli.main", "check"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": IMPORT_PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, "ok, 0 routes" in done.stdout) == (0, True)


ENDS = """
import threading
from overgrow.cli import process_end
process_end.THREADS_GRACE_S = 0.01
threading.Thread(target=threading.Event().wait).start()
process_end.end_process({code!r})
"""


@pytest.mark.parametrize(("code", "told"), [(None, 0), (0, 0), (3, 3), ("why", 1)])
def test_a_command_keeps_its_exit_code_beside_a_thread_of_the_app(code, told):
    command = [sys.executable, "-c", ENDS.format(code=code)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": IMPORT_PATH}, check=False)

    assert done.returncode == told


def test_a_start_that_is_told_to_end_takes_its_import_along(folder):
    app = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\n"
    (folder / "leaving_app.py").write_text(app + "time.sleep(1000)\n")
    words = ["serve", "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    with subprocess.Popen(
        [sys.executable, "-m", "overgrow.cli.main", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": IMPORT_PATH},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as start:
        eventually(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
        start.terminate()
        start.wait(timeout=60)

    assert start.returncode == 143
    eventually(lambda: is_gone(int((folder / "pid").read_text())))
