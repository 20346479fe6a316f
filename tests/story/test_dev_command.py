"""`overgrow dev` as a developer has it: both apps in one terminal, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.ports import free_ports
from tests.programs import IMPORT_PATH

PATIENCE_S = 60
APP = """from flask import Flask

def create_app():
    app = Flask(__name__)
    app.add_url_rule("/hello", view_func=lambda: "hello\\n")
    return app
"""
TABLE = """version: 1
app: shop:create_app
legacy: {{url: http://127.0.0.1:{legacy}}}
dev: {{legacy: "{command}"}}
routes:
  - {{name: hello, path: /hello, target: migrated}}
"""


class Dev:
    """A running `overgrow dev`, its output read line by line."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port, admin, self.legacy_port = free_ports(3)
        (folder / "shop.py").write_text(APP)
        command = f"{sys.executable} -m http.server {self.legacy_port} --bind 127.0.0.1"
        (folder / "routes.yaml").write_text(TABLE.format(legacy=self.legacy_port, command=command))
        environment = {**os.environ, "PYTHONPATH": IMPORT_PATH, "OVERGROW_WORKERS": "1"}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "overgrow", "dev"),
                *("--bind", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{admin}"),
                *options,
            ],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def read_until(self, word: str) -> str:
        """Read lines up to one with the word, and return that one."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if word in line:
                return line
        raise AssertionError("".join(self.lines))

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait for the end; return the exit status."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        self.lines.append(out)
        return self.process.returncode


@pytest.fixture
def started(tmp_path):
    running = []

    def start(*options):
        running.append(Dev(tmp_path, *options))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.stop(signal.SIGTERM)
        each.process.stdout.close()


def get(port: int, path: str) -> tuple[int, str | None]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers["X-Overgrow"]
    except urllib.error.HTTPError as error:
        return error.code, error.headers["X-Overgrow"]


def body_of(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
        return bytes(answer.read())


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True


def test_both_sides_answer_in_one_terminal_until_ctrl_c(started):
    dev = started()
    dev.read_until(" ready ")
    while not answers(dev.legacy_port):  # it starts beside the front door
        time.sleep(0.05)

    status, said = get(dev.port, "/hello")
    assert (200, "side=migrated") == (status, said.split("; ")[1])
    assert dev.read_until("GET /hello 200 migrated").startswith("door   | ")
    assert "side=legacy" in (get(dev.port, "/")[1] or "")
    assert any(line.startswith("legacy | ") for line in [*dev.lines, dev.read_until("legacy |")])

    assert 0 == dev.stop()
    assert (False, False) == (answers(dev.port), answers(dev.legacy_port))


def test_a_changed_view_is_served_without_a_further_command(started, tmp_path):
    dev = started()
    dev.read_until(" ready ")
    assert b"hello\n" == body_of(dev.port, "/hello")

    (tmp_path / "shop.py").write_text(APP.replace("hello\\n", "changed\\n"))
    dev.read_until("Reloaded")

    assert b"changed\n" == body_of(dev.port, "/hello")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_both_as_well(started, number):
    dev = started()
    dev.read_until(" ready ")

    assert 0 == dev.stop(number)
    assert (False, False) == (answers(dev.port), answers(dev.legacy_port))


def test_a_legacy_command_that_ends_stops_the_front_door_and_says_so(started):
    dev = started("--legacy-command", "echo no such app; exit 3")

    dev.process.wait(PATIENCE_S)
    dev.lines.append(dev.process.stdout.read())

    told = "".join(dev.lines)
    assert 1 == dev.process.returncode
    assert "legacy | no such app" in told
    assert "legacy ended with exit status 3, so the other was stopped too" in told
    assert not answers(dev.port)


def test_a_front_door_alone_that_cannot_start_stops_nothing_else(tmp_path):
    words = [sys.executable, "-m", "overgrow", "dev"]
    environment = {**os.environ, "PYTHONPATH": IMPORT_PATH, "COLUMNS": "400"}

    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert 1 == done.returncode
    assert "door ended with exit status 2. See its last lines" in done.stderr
    assert "Without a table, give --legacy URL." in done.stdout


def test_a_front_door_that_cannot_start_stops_legacy_and_says_why(started, tmp_path):
    dev = started("--bind", "nowhere")

    dev.process.wait(PATIENCE_S)
    dev.lines.append(dev.process.stdout.read())

    told = "".join(dev.lines)
    assert "--bind is 'nowhere'" in told
    assert "door ended with exit status 2" in told
    assert not answers(dev.legacy_port)
