"""What ops see of recent traffic at a real front door: the tail, and the paths that no route takes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from tests.ports import free_port
from tests.story.front import OVERGROW, PATIENCE_S, eventually, running_front

TABLE = """\
version: 1
legacy:
  url: http://127.0.0.1:{legacy}
routes:
  - name: orders
    path: /orders/<int:id>
    target: legacy
"""


@pytest.fixture
def front(tmp_path):
    """A front door of two workers, before a legacy that nobody runs."""
    dead = free_port()
    table = TABLE.format(legacy=dead)
    with running_front(table, tmp_path, dead, data=tmp_path / "unused", workers=2) as running:
        yield running


@contextmanager
def tailing(front, *words):
    """`overgrow tail --json` of this front door, whose lines are read."""
    command = [*OVERGROW, "tail", "--json", "--config", str(front.config), *words]
    with subprocess.Popen(
        command,
        env=front.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def decisions(front, query=""):
    return json.loads(front.get(f"/api/decisions?{query}", admin=True)[2])["decisions"]


def has_decisions(front, count):
    return len(decisions(front)) == count


def test_tail_shows_a_request_and_ends_at_ctrl_c(front):
    front.get("/orders/1")
    with tailing(front) as tail:
        first = json.loads(tail.stdout.readline())
        front.get("/orders/2?token=secret")
        second = json.loads(tail.stdout.readline())
        tail.send_signal(signal.SIGINT)

        assert 0 == tail.wait(PATIENCE_S)
        assert "" == tail.stderr.read()
    assert ["/orders/1", "/orders/2"] == [first["path"], second["path"]]
    assert ("orders", "legacy", 502) == (second["route"], second["side"], second["status"])


def test_tail_ends_when_nobody_reads_it(front):
    front.get("/orders/1")
    with tailing(front) as tail:
        tail.stdout.readline()
        tail.stdout.close()

        assert 0 == tail.wait(PATIENCE_S)
        assert "" == tail.stderr.read()


def test_tail_goes_on_after_every_worker_was_killed(front):
    with tailing(front) as tail:
        front.get("/orders/1")
        assert "/orders/1" == json.loads(tail.stdout.readline())["path"]
        before = set(front.workers.values())
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(set(front.workers.values()) - before) == 2)
        front.get("/orders/2")

        assert "/orders/2" == json.loads(tail.stdout.readline())["path"]


def test_a_restart_keeps_decisions_and_unrouted_paths(tmp_path):
    dead = free_port()
    table = TABLE.format(legacy=dead)
    for number in (1, 2):
        with running_front(table, tmp_path, dead, data=tmp_path / "unused") as front:
            front.get(f"/cart/{number}")
            eventually(partial(has_decisions, front, number))
            found = decisions(front)

    assert [(1, "/cart/1"), (2, "/cart/2")] == [(each["seq"], each["path"]) for each in found]
    counted = json.loads((tmp_path / ".overgrow/metrics/unrouted_0.json").read_text())
    assert 2 == counted["templates"]["/cart/<int:id>"]["requests"]


def test_a_state_folder_that_is_removed_is_filled_again(front):
    front.get("/orders/1")
    eventually(lambda: decisions(front))
    for path in (front.config.parent / ".overgrow/metrics").glob("decisions*"):
        path.unlink()
    front.get("/orders/2")

    [found] = eventually(lambda: decisions(front))
    assert "/orders/2" == found["path"]


def test_polls_lose_no_decision_and_repeat_none(front):
    clients, each = 4, 75
    with ThreadPoolExecutor(clients) as pool:
        done = [pool.submit(send, front.port, f"/orders/{n}", each) for n in range(clients)]
        found, missed, after = [], 0, 0
        while len(found) + missed < clients * each:
            page = json.loads(front.get(f"/api/decisions?limit=20&after={after}", admin=True)[2])
            found += [record["seq"] for record in page["decisions"]]
            missed, after = missed + page["missed"], page["next_after"]
        assert [each] * clients == [one.result() for one in done]

    assert sorted(set(found)) == found
    assert clients * each == after == len(found) + missed


def send(port, path, count):
    """Send requests on connections of their own, so that all workers get some; return how many were answered."""
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()
    return count
