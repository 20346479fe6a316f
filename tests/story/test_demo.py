"""`make run` as a newcomer meets it: what it prints is true, and it leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo import table_of_its_own
from tests.ports import free_ports, is_free
from tests.programs import IMPORT_PATH

ROOT = Path(__file__).resolve().parents[2]


class Demo:
    """A running demo on ports, table and data of its own."""

    def __init__(self, folder: Path) -> None:
        shutil.copy(ROOT / "routes.yaml", folder)
        # the public port, the admin's next to it, and legacy's
        self.port, _, self.legacy_port = free_ports(3)
        self.env = os.environ | {
            "OVERGROW_CONFIG": str(folder / "routes.yaml"),
            "OVERGROW_STATE": str(folder / "state"),
            "SHOP_DATA": str(folder / "shop.sqlite3"),
            "PYTHONPATH": IMPORT_PATH,
            "http_proxy": "http://127.0.0.1:9",  # as behind many a company's; not for this machine
        }
        ports = ["--port", str(self.port), "--legacy-port", str(self.legacy_port)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.demo", *ports],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.told = ""

    def await_ready(self) -> None:
        """Read what it prints up to the third command."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.told += line
            if " flip " in line:
                return
        raise AssertionError(self.told + self.ended()[1])

    def ended(self, with_signal: signal.Signals | None = None) -> tuple[int, str]:
        """The exit status and what it said on stderr."""
        if with_signal:
            self.process.send_signal(with_signal)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    def child(self, word: str) -> int:
        """The pid of the child whose command line has the word."""
        mine = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return next(
            int(pid) for pid in mine.split() if word in Path(f"/proc/{pid}/cmdline").read_text()
        )


def side_and_body(url: str) -> tuple[str, bytes]:
    """Which side answered, by X-Overgrow, and what."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        shown = re.search(r"side=(\w+)", answer.headers["X-Overgrow"])
        assert shown
        return shown[1], answer.read()


@pytest.fixture
def demo(tmp_path) -> Iterator[Demo]:
    running = Demo(tmp_path)
    try:
        running.await_ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.ended(signal.SIGTERM)
        for pipe in (running.process.stdout, running.process.stderr):
            if pipe:
                pipe.close()


def test_the_three_things_to_try_do_what_they_say(demo):
    moved, stayed = re.findall(r"curl -i (\S+)", demo.told)
    flip = re.findall(r"\S+/overgrow (flip .*)", demo.told)[0].split()
    before = side_and_body(stayed)

    done = subprocess.run(
        [Path(sys.executable).with_name("overgrow"), *flip],
        env=demo.env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert side_and_body(moved)[0] == "migrated"
    assert before[0] == "legacy"
    assert side_and_body(stayed) == ("migrated", before[1])


def test_ctrl_c_stops_everything_and_frees_the_ports(demo):
    status, errors = demo.ended(signal.SIGINT)

    assert (status, errors) == (0, "")
    assert all(is_free(port) for port in (demo.port, demo.port + 1, demo.legacy_port))


def test_ctrl_c_is_heard_even_where_a_shell_had_it_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        demo = Demo(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    demo.await_ready()

    assert demo.ended(signal.SIGINT) == (0, "")


def test_a_child_that_dies_ends_the_demo_with_its_name(demo):
    os.kill(demo.child("legacy_stub"), signal.SIGKILL)

    status, errors = demo.ended()

    assert status == 1
    assert "The legacy shop ended with exit status -9" in errors
    assert is_free(demo.port)


def refused(*arguments: str, **env: str) -> tuple[int, str]:
    """How a demo ends that cannot start: exit status and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo", *arguments],
        cwd=ROOT,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("--port=abc", "PORT is 'abc'; it must be a whole number from 1 to 65534."),
        ("--port=99999", "PORT is '99999'; it must be a whole number from 1 to 65534."),
        ("--port=0", "PORT is '0'; it must be a whole number from 1 to 65534."),
        ("--port=-1", "PORT is '-1'; it must be a whole number from 1 to 65534."),
        ("--legacy-port=x", "LEGACY_PORT is 'x'; it must be a whole number from 1 to 65535."),
    ],
)
def test_a_port_that_is_none_is_named_as_make_knows_it(argument, told, tmp_path):
    status, errors = refused(argument, OVERGROW_STATE=str(tmp_path))

    assert status == 1
    assert errors.startswith(f"{told} For example: make run ")


def test_a_second_demo_in_one_folder_is_refused_and_spares_the_first_logs(demo):
    front_log = Path(demo.env["OVERGROW_STATE"]) / "front.log"
    before = front_log.read_text()
    port, _, legacy_port = free_ports(3)

    status, errors = refused(f"--port={port}", f"--legacy-port={legacy_port}", **demo.env)

    assert status == 1
    assert errors.startswith(f"Another demo runs already with the state folder {front_log.parent}.")
    assert before
    assert front_log.read_text().startswith(before)


def test_a_taken_port_is_named_with_a_way_out(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, front = taken.getsockname()[1], free_ports(2)[0]
        status, errors = refused(
            f"--legacy-port={port}", f"--port={front}", OVERGROW_STATE=str(tmp_path)
        )

    assert status == 1
    assert f"127.0.0.1:{port}, meant for the legacy shop, cannot be had: Address already" in errors
    assert "make run LEGACY_PORT=" in errors


def test_the_demo_runs_on_a_copy_of_its_table(tmp_path):
    """Issue 14: a clone stays clean, and a second run goes on with the copy as it is."""
    (tmp_path / "routes.yaml").write_text("version: 1\n")

    table = table_of_its_own(tmp_path)
    assert ("demo.yaml", "version: 1\n") == (table.name, table.read_text())

    table.write_text("flipped")
    assert "flipped" == table_of_its_own(tmp_path).read_text()
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "demo.yaml" in ignored
