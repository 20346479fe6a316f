"""The access log of a running front door: rotated under load, in a terminal, refused before the start."""

import json
import os
import pty
import re
import signal
import subprocess
import threading

import pytest

from tests.ports import free_port
from tests.story.front import OVERGROW, ROOT, environment_for, eventually, running_front
from tests.story.test_legacy_health import living_legacy

TABLE = """\
version: 1
legacy: {url: "${LEGACY_URL}"}
"""


@pytest.fixture
def port():
    return free_port()


def ask(front, paths):
    for path in paths:
        assert front.get(path)[0] == 200


def test_a_rotation_under_load_loses_no_line(tmp_path, port):
    log = tmp_path / "access.log"
    with (
        living_legacy(port),
        running_front(
            TABLE,
            tmp_path,
            port,
            data=tmp_path / "d",
            workers=2,
            OVERGROW_ACCESS_LOG_FILE=str(log),
        ) as front,
    ):
        wanted = [[f"/{user}/{number}" for number in range(150)] for user in range(3)]
        users = [threading.Thread(target=ask, args=(front, paths)) for paths in wanted]
        for user in users:
            user.start()
        for number in range(3):
            eventually(lambda: log.exists() and log.stat().st_size)
            log.rename(tmp_path / f"access.log.{number}")
            front.process.send_signal(signal.SIGUSR1)
        for user in users:
            user.join()
        front.process.terminate()
        front.process.wait(60)

    lines = [
        line for file in tmp_path.glob("access.log*") for line in file.read_text().splitlines()
    ]
    paths = [json.loads(line)["url.path"] for line in lines]
    assert sorted(paths) == sorted(path for user in wanted for path in user)


def test_usr1_during_the_start_of_workers_ends_none(tmp_path, port):
    with (
        living_legacy(port),
        running_front(TABLE, tmp_path, port, data=tmp_path / "d", workers=2) as front,
    ):
        before = set(front.workers.values())
        front.process.send_signal(signal.SIGHUP)
        for _ in range(200):
            front.process.send_signal(signal.SIGUSR1)
            if front.workers and not before & set(front.workers.values()):
                break
        eventually(lambda: front.workers and not before & set(front.workers.values()))

    assert "worker-died" not in (tmp_path / "serve.log").read_text()


def test_a_terminal_gets_short_colored_lines(tmp_path, port):
    (tmp_path / "routes.yaml").write_text(TABLE)
    public, admin = free_port(), free_port()
    environment = environment_for(port, tmp_path / "d", OVERGROW_ADMIN=f"127.0.0.1:{admin}")
    environment.pop("NO_COLOR", None)
    ours, theirs = pty.openpty()
    command = ["serve", "--config", str(tmp_path / "routes.yaml"), "--workers", "1"]
    with (
        living_legacy(port),
        subprocess.Popen(
            [*OVERGROW, *command, "--bind", f"127.0.0.1:{public}"],
            cwd=ROOT,
            env={**environment, "TERM": "xterm"},
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
        ) as front,
    ):
        os.close(theirs)
        for line in front.stderr:
            if " ready " in line:
                break
        subprocess.run(
            ["curl", "-s", "-o", os.devnull, f"http://127.0.0.1:{public}/orders?q=secret"],
            check=True,
            timeout=60,
        )
        shown = b""
        while not shown.endswith(b"\n"):
            shown += os.read(ours, 4096)
        front.terminate()
        front.communicate(timeout=60)
    os.close(ours)

    pattern = rb"\d\d:\d\d:\d\d \x1b\[32m200\x1b\[0m legacy +[\d.]+ ms GET /orders \(default, default\)\r\n"
    assert re.fullmatch(pattern, shown)


def test_a_named_pipe_has_a_writer_until_the_front_door_ends(tmp_path, port):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with (
        living_legacy(port),
        running_front(
            TABLE, tmp_path, port, data=tmp_path / "d", OVERGROW_ACCESS_LOG_FILE=str(pipe)
        ) as front,
    ):
        with pytest.raises(BlockingIOError):  # b"" would be the end of the log
            os.read(fd, 1)
        ask(front, ["/a", "/b"])
    with os.fdopen(fd, "rb") as reader:
        read = reader.read()

    assert [json.loads(line)["url.path"] for line in read.splitlines()] == ["/a", "/b"]


def test_a_log_file_that_cannot_be_opened_stops_the_start(tmp_path, port):
    (tmp_path / "routes.yaml").write_text(TABLE)
    missing = tmp_path / "missing" / "access.log"
    environment = environment_for(port, tmp_path / "d", OVERGROW_ACCESS_LOG_FILE=str(missing))
    ended = subprocess.run(
        [*OVERGROW, "serve", "--config", str(tmp_path / "routes.yaml")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert f"OVERGROW_ACCESS_LOG_FILE is '{missing}'; it cannot be opened" in ended.stderr
    assert "in a folder that exists" in ended.stderr
