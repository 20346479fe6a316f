"""Workers of `overgrow serve` that cannot have their app or their table: what users and /readyz see."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.request
from contextlib import contextmanager

import pytest

from tests.story.front import eventually
from tests.wire.serving.servers import PATIENCE_S, status_of
from tests.wire.serving.test_serve_for_real import Served, Site


class Front:
    """A running site whose log is read all the time."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.log = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in iter(self.served.process.stderr.readline, ""):
            self.log += line

    def stop(self) -> None:
        self.served.process.send_signal(signal.SIGINT)
        self.served.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)

    def hello(self) -> bytes:
        return self.served.asked("/hello").rpartition(b"\r\n\r\n")[2]

    def ready(self) -> dict:
        answer = self.served.asked("/readyz", self.served.admin)
        return {**json.loads(answer.partition(b"\r\n\r\n")[2]), "code": status_of(answer)}

    def pids(self) -> set[int]:
        return {each["pid"] for each in self.ready()["workers"]}

    def ready_when(self, holds) -> dict:
        deadline = time.monotonic() + PATIENCE_S
        while not holds(told := self.ready()):
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        return told

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.served.admin}/metrics", timeout=PATIENCE_S) as answer:
            return answer.read().decode()


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@contextmanager
def running(site, *arguments: str):
    with site.serve(*arguments) as served:
        front = Front(served)
        try:
            # A worker stands on the board a moment before it accepts.
            eventually(lambda: " ready workers=" in front.log)
            yield front
        finally:
            front.stop()


def break_app(site, code: str = "import nowhere\n") -> None:
    site.write_app_code(code)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import nowhere\n", id="import error"),
        pytest.param("def(\n", id="syntax error"),
        pytest.param("raise SystemExit(0)\n", id="sys.exit"),
        pytest.param("import os\nos._exit(0)\n", id="os._exit"),
        pytest.param("create_app = lambda: 7\n", id="no Flask app"),
        pytest.param(
            "from flask import Flask\ndef create_app(): return Flask(__name__)\n",
            id="an app without the rule that the table needs",
        ),
    ],
)
def test_hup_with_an_app_that_cannot_be_had_keeps_the_old_workers(site, code):
    with running(site) as front:
        before = front.pids()
        break_app(site, code)
        front.served.process.send_signal(signal.SIGHUP)
        told = front.ready_when(lambda found: found["boot_error"])

        assert (told["code"], front.hello(), front.pids()) == (200, b"one", before)
        site.write_app("two")
        front.ready_when(lambda found: found["boot_error"] is None)
        eventually(lambda: front.hello() == b"two")  # the old worker may answer until it leaves
    assert front.log.count("boot-failed serving=1 why=") == 1


def test_the_metrics_tell_of_boots_that_fail(site):
    with running(site) as front:
        assert "overgrow_boot_error 0.0" in front.metrics()
        break_app(site)
        front.served.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE_S
        while "overgrow_boot_error 1.0" not in front.metrics():
            assert time.monotonic() < deadline
            time.sleep(0.05)

        assert "overgrow_boot_failures_total 0.0" not in front.metrics()


def test_a_worker_without_the_app_serves_while_there_is_no_other(site):
    with running(site) as front:
        (only,) = front.pids()
        break_app(site)
        os.kill(only, signal.SIGKILL)
        told = front.ready_when(lambda found: found["boot_error"])

        assert told["code"] == 200
        assert "cannot be imported" in told["boot_error"]["reason"]
        assert status_of(front.served.asked("/elsewhere")) == 502  # legacy's, which is down
        assert status_of(front.served.asked("/hello")) == 500
        site.write_app("two")
        front.ready_when(lambda found: found["boot_error"] is None)
        deadline = time.monotonic() + PATIENCE_S
        while front.hello() != b"two":
            assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import os\nos._exit(0)\n", id="os._exit"),
        pytest.param("import os\nos.kill(os.getpid(), 9)\n", id="kill -9"),
        pytest.param("import os\nos.abort()\n", id="abort"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_app_that_kills_who_imports_it_does_not_take_legacy_along(site, code, workers):
    with running(site, "--workers", workers) as front:
        told = front.ready_when(lambda found: len(found["workers"]) == int(workers))
        break_app(site, code)
        for worker in told["workers"]:
            os.kill(worker["pid"], signal.SIGKILL)
        told = front.ready_when(lambda found: found["boot_error"])

        assert (told["code"], len(told["workers"])) == (200, 1)
        assert told["boot_error"]["reason"].startswith("the process ended while it started")
        assert status_of(front.served.asked("/elsewhere")) == 502  # legacy's, which is down
        assert status_of(front.served.asked("/hello")) == 500
        site.write_app("two")
        front.ready_when(lambda found: found["boot_error"] is None)
        deadline = time.monotonic() + PATIENCE_S
        while front.hello() != b"two":
            assert time.monotonic() < deadline
    assert front.log.count("boot-failed serving=") == 1


def test_a_refused_table_and_a_lost_last_good_one_leave_the_living(site):
    with running(site, "--workers", "2") as front:
        pids = front.ready_when(lambda told: len(told["workers"]) == 2)["workers"]
        (site.folder / "routes.yaml").write_text("version: one\n")
        front.ready_when(lambda told: told["reload_error"])
        (site.folder / ".overgrow" / "last-good.yaml").unlink()
        os.kill(pids[0]["pid"], signal.SIGKILL)
        told = front.ready_when(lambda found: found["boot_error"])

        assert (told["code"], front.hello()) == (200, b"one")
        assert "routes.yaml:1:" in told["boot_error"]["reason"]
        site.write_table("migrated")
        front.ready_when(lambda found: found["boot_error"] is None and len(found["workers"]) == 2)
