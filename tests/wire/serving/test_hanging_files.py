"""File systems that hang, locks that are held, folders that go: traffic, brake and probes go on."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from overgrow.observe.board import workers
from tests.story.front import eventually
from tests.wire.serving.hanging import Front, hello, readiness, unseen
from tests.wire.serving.servers import Client

TOKEN = "s3cret-s3cret-s3cret"


@pytest.fixture
def front(tmp_path):
    front = Front(tmp_path)
    yield front
    front.hang.unlink(missing_ok=True)


def is_alive(served) -> bool:
    return served.asked("/healthz", served.admin).endswith(b"ok\n")


@pytest.mark.parametrize("call", ["stat", "open", "read"])
def test_a_table_that_hangs_stops_neither_traffic_nor_the_brake(front, call):
    front.stage(call, front.config)
    with front.serve() as served:
        eventually(lambda: hello(served) == 200)
        front.hang.touch()
        front.write_table("legacy")
        eventually(lambda: unseen(served) == [str(front.config)])
        before = hello(served), is_alive(served), readiness(served)["status"]
        killed = front.overgrow("rollback", "--all")
        during = eventually(lambda: hello(served) == 502 and readiness(served)["killed"])
        resumed = front.overgrow("resume")
        eventually(lambda: hello(served) == 200)
        flipped = front.overgrow("flip", "get-hello", "migrated")
        front.hang.unlink()
        eventually(lambda: hello(served) == 502 and not unseen(served))

    assert (before, during) == ((200, True, "ready"), True)
    assert killed[0] == resumed[0] == 0, (killed, resumed)
    assert "on all workers" in killed[1]
    assert flipped[0] == 1
    assert "[file-silent]" in flipped[1]
    assert str(front.config) in flipped[1]


def last_look(served) -> float:
    """When the watcher of the only worker last looked, as /metrics has it."""
    (line,) = re.findall(rb"last_look_timestamp_seconds\{.*\} (.*)\n", metrics(served))
    return float(line)


def test_the_look_at_a_table_that_hangs_grows_old_until_it_answers(front):
    front.stage("stat", front.config)
    with front.serve() as served:
        eventually(lambda: hello(served) == 200)
        front.hang.touch()
        eventually(lambda: unseen(served) == [str(front.config)])
        eventually(lambda: time.time() - last_look(served) > 5)
        stood = last_look(served)
        front.hang.unlink()

        assert eventually(lambda: last_look(served) > stood)


def test_a_folder_that_hangs_leaves_the_kill_file_of_the_state_folder(front):
    front.stage("open", front.folder)
    with front.serve() as served:
        eventually(lambda: hello(served) == 200)
        front.hang.touch()
        code, told = front.overgrow("rollback", "--all")
        eventually(lambda: hello(served) == 502)

    assert code == 0, told
    assert f"{front.state}/kill exists, on all workers" in told


def test_a_hanging_state_folder_spares_traffic_probes_and_one_kill_file(front):
    front.stage("open", front.state)
    with front.serve() as served:
        eventually(lambda: hello(served) == 200)
        front.hang.touch()
        ready = readiness(served)
        page = metrics(served)
        (front.folder / "routes.yaml.kill").touch()
        eventually(lambda: hello(served) == 502)
        front.write_table("legacy")
        revision = ready["revision"]
        eventually(lambda: readiness(served)["revision"] != revision)
        alive = is_alive(served)
        served.process.send_signal(signal.SIGTERM)

        assert served.process.wait(60) == 0  # a thread that hangs holds up no end

    assert (ready["status"], alive) == ("ready", True)
    assert b" 503 " in page.splitlines()[0]


def test_a_worker_boots_while_the_table_hangs(front):
    front.stage("open", front.config)
    with front.serve() as served:
        eventually(lambda: hello(served) == 200)
        (worker,) = readiness(served)["workers"]
        front.hang.touch()
        served.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: [each["pid"] for each in readiness(served)["workers"]] != [worker["pid"]],
        )

        assert eventually(lambda: hello(served) == 200)


def test_a_worker_boots_while_the_state_folder_hangs_and_comes_back_to_it(front):
    front.stage("open", front.state)
    with front.serve() as served:
        eventually(lambda: hello(served) == 200)
        (worker,) = readiness(served)["workers"]
        front.hang.touch()
        served.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: worker["pid"] not in [each["pid"] for each in readiness(served)["workers"]],
        )
        (front.folder / "routes.yaml.kill").touch()
        eventually(lambda: hello(served) == 502)
        (front.folder / "routes.yaml.kill").unlink()
        eventually(lambda: hello(served) == 200)
        front.hang.unlink()
        board = front.state / "board"
        eventually(lambda: worker["pid"] not in [each["pid"] for each in workers(board)] != [])
        code, told = front.overgrow("rollback", "--all")
        eventually(lambda: held_slots(board) == [workers(board)[0]["slot"]])

    assert (code, "on all workers" in told) == (0, True), told


def held_slots(board: Path) -> list[int]:
    """The slots that somebody holds, whether or not the board says something of them."""
    held = []
    for lock in board.glob("slot-*.lock"):
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(int(lock.stem.removeprefix("slot-")))
    return held


HOLD = """
import fcntl, os, signal, sys
held = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(held, fcntl.LOCK_EX)
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


class Holder:
    """A process that holds a lock and is stopped."""

    def __init__(self, path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "held\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let_go()

    def let_go(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def post(served, path: str) -> int:
    """The status of a change asked for by a program with the token."""
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", "Content-Length: 0")
    with Client(served.admin) as client:
        client.socket.settimeout(120)
        client.send("\r\n".join([*lines, f"Authorization: Bearer {TOKEN}", "", ""]).encode())
        return int(client.read_to_end().split(b" ", 2)[1])


def test_a_history_that_is_held_holds_up_neither_brake_nor_probes(front):
    front.environment["OVERGROW_ADMIN_TOKEN"] = TOKEN
    with front.serve() as served:
        eventually(lambda: hello(served) == 200)
        front.overgrow("flip", "get-hello", "legacy")
        front.overgrow("flip", "get-hello", "migrated")
        with Holder(front.state / "flips.jsonl") as holder, ThreadPoolExecutor(24) as pool:
            posts = [pool.submit(post, served, "/rollback") for _ in range(24)]
            ready = [readiness(served)["status"] for _ in range(20)]
            alive = is_alive(served)
            killed = front.overgrow("rollback", "--all")
            resumed = front.overgrow("resume")
            flipped = front.overgrow("flip", "get-hello", "legacy")
            holder.let_go()
            statuses = {each.result() for each in posts}
        told = eventually(lambda: recorded(front, ["kill", "resume"]))

    assert (set(ready), alive) == ({"ready"}, True)
    assert killed[0] == resumed[0] == 0, (killed, resumed)
    assert f"pid {holder.process.pid} (python" in killed[1]
    assert flipped[0] == 1
    assert "[locked]" in flipped[1]
    assert "which is stopped" in flipped[1]
    assert statuses <= {409, 503}, statuses
    assert told


def recorded(front, actions: list[str]) -> bool:
    """Whether the history tells of these kills and resumes, each once."""
    told = front.overgrow("history", "--json")[1]  # what waits is noted behind it, on stderr
    found = json.JSONDecoder().raw_decode(told)[0]["entries"]
    return [
        one["action"] for one in reversed(found) if one["action"] in ("kill", "resume")
    ] == actions


@pytest.mark.parametrize("what", ["board", "."])
def test_a_removed_folder_is_made_again_with_the_counts(front, what):
    with front.serve() as served:
        eventually(lambda: hello(served) == 200)
        front.overgrow("flip", "get-hello", "legacy")
        eventually(lambda: hello(served) == 502)
        for _ in range(20):
            hello(served)
        before = counted(served)
        remove_at_once(front.state / what, front.state.with_name("aside"))
        statuses = {readiness(served)["status"] for _ in range(10)}
        eventually((front.state / "board/slot-0.json").exists)
        eventually(lambda: counted(served) >= before)
        flipped = front.overgrow("flip", "get-hello", "migrated")
        eventually(lambda: hello(served) == 200)

    assert statuses == {"ready"}
    assert flipped[0] == 0, flipped
    assert (front.state / "last-good.yaml").exists()
    if what == ".":
        assert (front.state / "last-good.yaml").exists()


def remove_at_once(folder: Path, aside: Path) -> None:
    """Remove a folder though somebody writes to it: emptied in place, it fills again meanwhile."""
    folder.resolve().rename(aside)
    shutil.rmtree(aside)


def counted(served) -> float:
    """All requests that /metrics knows of."""
    text = metrics(served).decode()
    lines = [line for line in text.splitlines() if line.startswith("overgrow_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def metrics(served) -> bytes:
    """The whole answer of /metrics."""
    with Client(served.admin) as client:
        client.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return client.read_to_end()
