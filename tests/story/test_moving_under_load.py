"""Flips, broken files and dying workers while traffic flows: no request is lost, every count is exact."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from contextlib import ExitStack

import pytest

from tests.pace import at_this_pace
from tests.story.front import eventually, running_front
from tests.story.load import get, run_load
from tests.story.stub import running_stub

CHUNKS = 100_000
TABLE = """\
version: 1
app: migrated:create_app
legacy:
  url: ${LEGACY_URL}
routes:
  - name: products
    path: /api/products
    methods: [GET]
    target: legacy
  - name: part
    path: /api/products/<int:id>
    methods: [GET]
    target: legacy
    canary: 30%
"""


@pytest.fixture
def front(request, tmp_path):
    workers = getattr(request, "param", 2)
    with ExitStack() as stack:
        data = tmp_path / "shop.sqlite3"
        legacy = stack.enter_context(running_stub(data=data))
        yield stack.enter_context(
            running_front(TABLE, tmp_path, legacy, data=data, workers=workers)
        )


def test_a_flip_under_load_loses_nothing_and_reaches_all_workers_at_once(front):
    took = []

    def flip():
        done = front.overgrow("flip", "products", "migrated", "--json")
        took.append(front.wait_for_revision(json.loads(done.stdout)["revision"]))

    requests = [get("/api/products")] * 5_000
    outcome = run_load(front.port, requests, connections=16, at={500: flip}, outlasting=True)

    assert ([200], []) == (list(outcome.statuses), outcome.broken)
    assert 5_000 < outcome.answered
    assert min(outcome.sides["legacy"], outcome.sides["migrated"]) > 0
    # docs/operations.md#how-a-table-takes-effect promises this to who flips.
    assert took[0] < at_this_pace(1)


def test_flip_wait_confirms_that_all_workers_run_the_change(front):
    done = front.overgrow("flip", "products", "migrated", "--wait", "--json")

    told = json.loads(done.stdout)
    assert ("legacy", "migrated", True) == (told["from"], told["to"], told["confirmed"])
    assert front.runs(told["revision"])
    assert front.get("/api/products")[1]["X-Overgrow"].startswith("route=products; side=migrated")


def test_an_invalid_file_and_a_killed_worker_leave_the_old_table_serving(front):
    before = front.readyz()["revision"]
    front.config.write_text(TABLE.replace("30%", "130%"))
    eventually(lambda: front.readyz()["reload_error"])
    for pid in front.workers.values():
        os.kill(pid, signal.SIGKILL)
        eventually(lambda gone=pid: len(front.workers) == 2 and gone not in front.workers.values())
        outcome = run_load(front.port, [get("/api/products/1")] * 200, connections=8)
        assert ({200: 200}, []) == (dict(outcome.statuses), outcome.broken)

    told = front.readyz()
    (problem,) = told["reload_error"]["problems"]
    assert (before, True, "canary-out-of-range", 14) == (
        told["revision"],
        told["agreed"],
        problem["code"],
        problem["line"],
    )
    assert "canary is 130%" in front.overgrow("status").stdout


def test_a_mended_file_takes_effect_and_the_error_goes(front):
    front.config.write_text("version: [")
    eventually(lambda: front.readyz()["reload_error"])
    front.config.write_text(TABLE.replace("30%", "40%"))
    eventually(lambda: front.readyz()["reload_error"] is None)

    assert front.readyz()["agreed"]


def test_the_kill_file_sends_everything_to_legacy_within_a_second(front):
    front.overgrow("flip", "products", "migrated", "--wait")
    done = front.overgrow("rollback", "--all")
    began = time.monotonic()
    eventually(lambda: front.readyz()["killed"] and front.readyz()["agreed"])
    took_s = time.monotonic() - began
    killed = front.get("/api/products")[1]["X-Overgrow"]
    front.overgrow("resume")
    eventually(lambda: not (told := front.readyz())["killed"] and told["agreed"])

    assert 0 == done.returncode
    assert took_s < at_this_pace(1)  # docs/operations.md promises this to who kills
    assert killed.startswith("route=products; side=legacy; reason=killed")
    assert front.get("/api/products")[1]["X-Overgrow"].startswith("route=products; side=migrated")


def counted(front):
    """Requests per (route, side) as /metrics tells them."""
    totals = {}
    for line in front.get("/metrics", admin=True)[2].decode().splitlines():
        if line.startswith("overgrow_requests_total{"):
            labels, _, value = line.rpartition(" ")
            fields = dict(pair.split("=") for pair in labels.partition("{")[2][:-1].split(","))
            key = (fields["route"].strip('"'), fields["side"].strip('"'))
            totals[key] = totals.get(key, 0) + int(float(value))
    return totals


@pytest.mark.parametrize("front", [4], indirect=True)
def test_the_split_adds_up_exactly_though_a_worker_is_replaced_half_way(front):
    clients = [get("/api/products/1", f"Cookie: overgrow_id=client-{n}") for n in range(20_000)]
    victim = front.workers[0]

    outcome = run_load(
        front.port, clients, connections=16, at={10_000: lambda: os.kill(victim, signal.SIGTERM)}
    )

    eventually(lambda: len(front.workers) == 4 and victim not in front.workers.values())
    told = json.loads(front.overgrow("status", "--json").stdout)
    part = next(route for route in told["routes"] if route["name"] == "part")
    totals = counted(front)
    assert ({200: 20_000}, []) == (dict(outcome.statuses), outcome.broken)
    assert totals["part", "legacy"] == outcome.sides["legacy"] == part["legacy"]["requests"]
    assert totals["part", "migrated"] == outcome.sides["migrated"] == part["migrated"]["requests"]
    assert 20_000 == part["requests"] == sum(totals.values())
    assert 29 < part["live_share"] < 31


def test_stopping_finishes_what_is_open(front):
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    connection.request("GET", f"/chunked?count={CHUNKS}")
    answer = connection.getresponse()
    begun = answer.read(100)
    os.kill(front.process.pid, signal.SIGTERM)
    eventually(lambda: is_refused(front.port))
    rest = answer.read()
    connection.close()

    assert (begun + rest).endswith(f"chunk {CHUNKS - 1}\n".encode())
    assert 0 == front.process.wait(timeout=60)


def is_refused(port):
    """Whether nobody accepts connections any more."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionError:
        return True
    return False
