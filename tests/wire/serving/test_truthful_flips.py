"""A flip says what the running workers do: they are asked before, and followed after it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from overgrow.observe.board import workers
from tests.story.front import eventually
from tests.wire.serving.test_serve_for_real import Site

TABLE = """\
version: 1
app: site_under_test:create_app
legacy:
  url: http://127.0.0.1:9
routes:
  - {name: hello, path: /hello, methods: [GET], target: legacy}
  - {name: later, path: /later, methods: [GET], target: legacy}
"""
LATER = """\
from flask import Flask
def create_app():
    app = Flask(__name__)
    app.add_url_rule("/hello", view_func=lambda: "hello", endpoint="hello")
    app.add_url_rule("/later", view_func=lambda: "later", endpoint="later")
    return app
"""


class Door(Site):
    """A folder whose table has a route for a view that is not written yet."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.table = folder / "routes.yaml"
        self.table.write_text(TABLE)

    @contextmanager
    def serving(self):
        """A front door whose worker has imported the app and says so on the board."""
        with self.serve() as served:
            eventually(lambda: ready(served)["workers"])
            yield served

    def run(self, *words, **environment):
        """Run a command in the folder, without a port or a token of the front door's."""
        return subprocess.run(
            [sys.executable, "-B", "-m", "overgrow.cli.main", *words],
            cwd=self.folder,
            env={**self.env, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def door(tmp_path):
    return Door(tmp_path)


def ready(served):
    return json.loads(served.asked("/readyz", served.admin).partition(b"\r\n\r\n")[2])


def test_a_flip_returns_when_every_worker_follows(door):
    with door.serving() as served:
        done = door.run("flip", "hello", "migrated", "--json")
        told = ready(served)

    payload = json.loads(done.stdout)
    assert (0, True) == (done.returncode, payload["confirmed"])
    assert [payload["revision"]] * len(told["workers"]) == [
        each["revision"] for each in told["workers"]
    ]


def test_a_flip_finds_the_front_door_whatever_overgrow_admin_says(door):
    with door.serving():
        done = door.run("flip", "hello", "migrated", OVERGROW_ADMIN="127.0.0.1:1")

    assert (0, True) == (done.returncode, "on all workers" in done.stdout), done.stderr


def test_a_flip_that_workers_would_refuse_writes_nothing_and_says_why(door):
    with door.serving() as served:
        (door.folder / "site_under_test.py").write_text(LATER)
        done = door.run("flip", "later", "migrated", "--json")
        error = json.loads(done.stdout)["error"]
        told = ready(served)

    assert (1, TABLE) == (done.returncode, door.table.read_text())
    assert ("workers-refuse", ["overgrow reload"]) == (error["code"], error["next"])
    assert "The workers imported the app at " in error["fix"]
    assert "site_under_test.py changed at " in error["fix"]
    assert "run overgrow reload" in error["problems"][0]["fix"]
    assert told["reload_error"] is None


def test_what_an_editor_writes_is_refused_with_the_same_cure(door):
    with door.serving() as served:
        (door.folder / "site_under_test.py").write_text(LATER)
        door.table.write_text(
            TABLE.replace("[GET], target: legacy}\n", "[GET], target: migrated}\n")
        )
        problem = eventually(lambda: ready(served)["reload_error"])["problems"][0]
        checked = door.run("check")

    assert "app-rule-missing" == problem["code"]
    assert "site_under_test.py changed at " in problem["fix"]
    assert "run overgrow reload" in problem["fix"]
    assert (0, True) == (checked.returncode, "overgrow reload" in checked.stderr), checked.stderr


def test_once_the_workers_have_the_view_the_flip_is_made(door):
    with door.serving() as served:
        (door.folder / "site_under_test.py").write_text(LATER)
        before = [each["pid"] for each in ready(served)["workers"]]
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: not {w["pid"] for w in ready(served)["workers"]} & set(before))
        done = door.run("flip", "later", "migrated")

    assert (0, True) == (done.returncode, "on all workers" in done.stdout), done.stderr


def test_a_silent_worker_keeps_a_flip_to_migrated_from_being_written(door):
    with door.serving() as served:
        pid = ready(served)["workers"][0]["pid"]
        with stopped(pid):
            done = door.run("flip", "hello", "migrated", "--timeout", "1s")

    assert (1, TABLE) == (done.returncode, door.table.read_text())
    assert f"worker 0 (pid {pid}) did not say within 1 s" in done.stderr


def test_a_flip_to_legacy_is_written_though_a_worker_does_not_answer(door):
    door.table.write_text(TABLE.replace("target: legacy", "target: migrated", 1))
    with door.serving() as served:
        with stopped(ready(served)["workers"][0]["pid"]):
            done = door.run("flip", "hello", "legacy", "--timeout", "1s", "--json")
        is_written = TABLE == door.table.read_text()

    assert (1, True) == (done.returncode, is_written)
    assert json.loads(done.stdout)["confirmed"] is False
    assert "worker 0 (pid " in done.stderr


def test_a_flip_to_legacy_never_waits_for_one_to_migrated_that_asks(door):
    door.table.write_text(TABLE.replace("target: legacy", "target: migrated", 1))
    with door.serving() as served, stopped(ready(served)["workers"][0]["pid"]):
        words = [
            sys.executable,
            "-m",
            "overgrow.cli.main",
            "flip",
            "later",
            "1%",
            "--timeout",
            "30s",
        ]
        with subprocess.Popen(
            words, cwd=door.folder, env=door.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as asking:
            eventually(lambda: list((door.folder / ".overgrow/proposals").glob("*.yaml")))
            done = door.run("flip", "hello", "legacy", "--no-wait")
            is_asking = asking.poll() is None
            asking.kill()
            asking.communicate()

    assert (0, TABLE, True) == (done.returncode, door.table.read_text(), is_asking), done.stderr


def test_a_flip_without_a_front_door_says_that_nobody_follows(door):
    done = door.run("flip", "hello", "migrated", "--json")
    text = door.run("flip", "hello", "50%").stdout

    assert (0, None) == (done.returncode, json.loads(done.stdout)["confirmed"])
    assert "no front door runs on this state folder" in text


def test_a_resume_returns_when_every_worker_follows_the_table(door):
    with door.serving() as served:
        door.run("rollback", "--all")
        done = door.run("resume", "--json")
        killed = ready(served)["killed"]
        states = [each["killed"] for each in workers(door.folder / ".overgrow/board")]

    assert (0, True) == (done.returncode, json.loads(done.stdout)["confirmed"]), done.stderr
    assert (False, [False] * len(states)) == (killed, states)


def test_explain_says_when_the_workers_run_another_table(door):
    with door.serving() as served, stopped(ready(served)["workers"][0]["pid"]):
        door.table.write_text(TABLE.replace("/later", "/other"))
        done = door.run("explain", "/other")

    assert (0, True) == (done.returncode, "runs revision" in done.stderr), done.stderr


def test_an_app_that_was_edited_is_a_note_of_the_running_front_door(door):
    with door.serving() as served:
        (door.folder / "site_under_test.py").write_text(LATER)
        notes = eventually(lambda: ready(served).get("notes"))

    assert "site_under_test.py changed at " in notes[0]
    assert "overgrow reload" in notes[0]


class stopped:  # noqa: N801 - used like a function
    """A process that does nothing for a while, as one that hangs."""

    def __init__(self, pid) -> None:
        self.pid = pid

    def __enter__(self):
        import os  # noqa: PLC0415

        os.kill(self.pid, signal.SIGSTOP)
        eventually(
            lambda: Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        )

    def __exit__(self, *_):
        import os  # noqa: PLC0415

        os.kill(self.pid, signal.SIGCONT)
