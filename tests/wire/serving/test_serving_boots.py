"""Workers that do not start: those that live serve on, another one is tried, and it is said why."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from tests.wire.serving.servers import PATIENCE_S
from tests.wire.serving.test_serving_answers import get
from tests.wire.serving.test_serving_drain import wait_until

FAILURES = [
    pytest.param("raise ValueError('no table')", "ValueError: no table", id="exception"),
    pytest.param("def(", "SyntaxError", id="code that is none"),
    pytest.param("import sys; sys.exit('no')", "sys.exit('no')", id="sys.exit"),
    pytest.param("import sys; sys.exit(0)", "sys.exit(0)", id="sys.exit without an error"),
    pytest.param("import os; os._exit(0)", "exit code 0", id="os._exit(0)"),
    pytest.param("import os; os._exit(3)", "exit code 3", id="gunicorn's code for a failed boot"),
    pytest.param("import os; os._exit(4)", "exit code 4", id="gunicorn's code for a failed import"),
    pytest.param("raise KeyboardInterrupt", "KeyboardInterrupt", id="interrupt"),
    pytest.param("raise GeneratorExit", "GeneratorExit", id="no Exception"),
    pytest.param("import os; os.kill(os.getpid(), 9)", "SIGKILL", id="kill -9"),
    pytest.param("import os; os.kill(os.getpid(), 11)", "SIGSEGV", id="segmentation fault"),
    pytest.param("import time; time.sleep(60)", "not ready after 4 s", id="hang"),
    pytest.param(
        "import os, time; os.kill(os.getpid(), 15); time.sleep(60)",
        "not ready after 4 s",
        id="told to leave, and a hang",
    ),
    pytest.param("app.entrance = lambda: None", "TypeError", id="fault of the loop's start"),
    pytest.param(
        "import os\nfor fd in range(3, 40):\n try: os.close(fd)\n except OSError: pass",
        "Error",
        id="closed sockets",
    ),
]

# However long its start takes: the reason is another one for a worker that ends before it accepts.
DIES_ONCE_IT_SERVES = """
import os, sys, threading, time

def die_once_it_serves():
    control = sys.modules["__main__"].CONTROL
    while "worker" not in control or not control["worker"]._worker.is_ready:
        time.sleep(0.01)
    os._exit(7)

threading.Thread(target=die_once_it_serves, daemon=True).start()
"""


class Fragile:
    """A server whose workers run a file of the test's when they boot."""

    def __init__(self, start, folder, **plan) -> None:
        self._file = folder / "boot.py"
        self.mend()
        self.server = start(boot_code=str(self._file), **plan)
        wait_until(lambda: len(self.server.workers()) == plan.get("workers", 1))
        self.all_serve(plan.get("workers", 1))

    def break_with(self, code: str) -> None:
        self._file.write_text(code)

    def mend(self) -> None:
        self._file.write_text("")

    def error(self) -> dict:
        return self.server.told_until(lambda found: found["boot_error"])["boot_error"]

    def kill_one(self) -> int:
        """Kill a worker; the pid of the other one."""
        gone, left = self.server.workers()
        os.kill(gone, signal.SIGKILL)
        wait_until(lambda: gone not in self.server.workers())
        return left

    def all_serve(self, count: int) -> None:
        """Wait until so many workers answer, and none fails."""
        seen = set()

        def is_so() -> bool:
            told = self.server.told()
            seen.add(told["pid"])
            return told["boot_error"] is None and len(seen & set(self.server.workers())) >= count

        wait_until(is_so)


@pytest.fixture
def fragile(start, tmp_path):
    return lambda **plan: Fragile(start, tmp_path, **{"workers": 2, **plan})


@pytest.mark.parametrize(("code", "reason"), FAILURES)
def test_a_boot_that_fails_leaves_the_living_and_is_tried_again(fragile, code, reason):
    front = fragile(boot_s=4 if "sleep" in code else 30)
    front.break_with(code)
    left = front.kill_one()

    assert reason in front.error()["reason"]
    assert front.server.told()["pid"] == left
    front.mend()
    front.all_serve(2)


def test_workers_that_hang_after_they_were_told_to_leave_are_no_crowd(fragile):
    front = fragile(boot_s=6)
    front.break_with("import os, time; os.kill(os.getpid(), 15); time.sleep(60)")
    front.kill_one()
    most = 0

    def is_told() -> bool:
        nonlocal most
        most = max(most, len(front.server.workers()))
        return front.server.told()["boot_error"] is not None

    wait_until(is_told)
    assert most <= 1 + 2 + 1  # who lives, as many as there should be, and one


@pytest.mark.parametrize("code", ["raise ValueError", "import os; os._exit(3)"])
def test_hup_with_code_that_does_not_load_keeps_the_old_workers(fragile, code):
    front = fragile()
    before = set(front.server.workers())
    front.break_with(code)
    front.server.signal(signal.SIGHUP)
    front.server.told_until(lambda found: (found["boot_error"] or {}).get("failures", 0) >= 2)

    assert before <= set(front.server.workers())
    front.mend()
    front.server.signal(signal.SIGHUP)
    wait_until(lambda: not before & set(front.server.workers()))
    front.all_serve(2)


def test_hup_twice_ends_with_workers_of_the_latest_code(fragile):
    front = fragile()
    before = set(front.server.workers())
    front.server.signal(signal.SIGHUP)
    wait_until(lambda: set(front.server.workers()) - before)
    between = set(front.server.workers())
    front.server.signal(signal.SIGHUP)

    wait_until(lambda: not between & set(front.server.workers()))
    wait_until(lambda: len(front.server.workers()) == 2)
    front.all_serve(2)


def test_more_workers_than_can_boot_are_tried_one_at_a_time(fragile):
    front = fragile()
    before = set(front.server.workers())
    front.break_with("import time; time.sleep(0.3); raise ValueError")
    front.server.signal(signal.SIGTTIN)
    front.error()
    front.server.signal(signal.SIGTTIN)

    assert before <= set(front.server.workers())
    wait_until(lambda: len(front.server.workers()) <= 3)
    front.mend()
    wait_until(lambda: len(front.server.workers()) == 4)


def test_fewer_workers_end_the_ones_that_do_not_boot(fragile):
    front = fragile()
    before = set(front.server.workers())
    front.break_with("raise ValueError")
    front.server.signal(signal.SIGTTIN)
    front.error()
    front.server.signal(signal.SIGTTOU)

    wait_until(lambda: set(front.server.workers()) == before)
    front.server.told_until(lambda found: found["boot_error"] is None)


def test_usr1_while_boots_fail_disturbs_nobody(fragile):
    front = fragile()
    front.break_with("raise ValueError")
    left = front.kill_one()
    front.error()
    front.server.signal(signal.SIGUSR1)

    assert front.server.told()["pid"] == left


def test_term_while_the_master_waits_to_try_again_ends_it(fragile):
    front = fragile()
    front.break_with("raise ValueError")
    front.kill_one()
    front.server.told_until(lambda found: (found["boot_error"] or {}).get("failures", 0) >= 3)
    front.server.signal(signal.SIGTERM)

    assert front.server.exit_code() == 0


def test_hup_during_the_drain_delay_is_told_to_be_ignored(fragile):
    front = fragile(drain_delay_s=2)
    front.server.signal(signal.SIGTERM)
    front.server.told_until(lambda found: found["is_server_stopping"])
    before = set(front.server.workers())
    front.server.signal(signal.SIGHUP)

    assert "ignored signal=HUP" in "".join(iter(front.server.process.stderr.readline, ""))
    assert front.server.exit_code() == 0
    assert before


def test_a_worker_killed_during_the_drain_delay_is_replaced(fragile):
    front = fragile(workers=1, drain_delay_s=3)
    front.server.signal(signal.SIGTERM)
    found = front.server.told_until(lambda found: found["is_server_stopping"])
    os.kill(found["pid"], signal.SIGKILL)

    assert front.server.told()["pid"] != found["pid"]


def test_a_server_whose_workers_are_all_dead_serves_once_they_boot_again(fragile):
    front = fragile()
    front.break_with("raise ValueError")
    for pid in front.server.workers():
        os.kill(pid, signal.SIGKILL)
    with front.server.client() as client:
        client.send(get("/"))
        wait_until(lambda: "boot-failed" in front.server.process.stderr.readline())
        front.mend()

        assert client.read_answer()[1] == b"hello"
    assert front.server.process.poll() is None


def test_no_process_to_be_had_leaves_the_living(fragile):
    front = fragile()
    master = front.server.process.pid
    files = resource.prlimit(master, resource.RLIMIT_NOFILE)
    resource.prlimit(master, resource.RLIMIT_NOFILE, (3, files[1]))
    left = front.kill_one()
    error = front.error()

    assert "no process can be made: " in error["reason"]
    assert front.server.told()["pid"] == left
    resource.prlimit(master, resource.RLIMIT_NOFILE, files)
    front.all_serve(2)


def test_workers_that_die_once_they_serve_are_not_started_without_a_pause(fragile):
    front = fragile()
    front.break_with(DIES_ONCE_IT_SERVES)
    left = front.kill_one()
    error = front.server.told_until(lambda found: found["pid"] == left and found["boot_error"])[
        "boot_error"
    ]

    assert error["reason"] == "workers die within 10 s of being ready: exit code 7"


def test_failures_that_are_alike_are_logged_once(fragile):
    front = fragile()
    front.break_with("import os; raise ValueError(f'pid {os.getpid()}')")
    front.kill_one()
    front.server.told_until(lambda found: (found["boot_error"] or {}).get("failures", 0) >= 3)
    log = front.server.stop()

    assert log.count("boot-failed") == 1
    assert log.count("Traceback") == 1


def test_an_interrupt_that_an_app_raises_ends_its_own_worker_alone(fragile):
    front = fragile()
    with front.server.client() as client:
        client.send(get("/interrupt"))
        client.read_to_end()
    wait_until(lambda: len(front.server.workers()) == 2)

    front.all_serve(2)
    assert front.server.process.poll() is None


def test_a_boot_that_fails_before_any_worker_served_ends_the_server(start, tmp_path):
    file = tmp_path / "boot.py"
    file.write_text("raise ValueError('never')")
    server = start(boot_code=str(file))

    assert server.process.wait(PATIENCE_S) == 1
    assert "ValueError: never" in server.stop()
