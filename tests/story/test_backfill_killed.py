"""A backfill that is killed again and again, while both apps write: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time

import pytest

from overgrow.data.ledger import read_state
from overgrow.data.staging import carry_out, plan_step
from overgrow.data.verify import verify
from tests.postgres import server
from tests.unit.data.shops import DATA, Shop
from tests.unit.data.writers import Writer, writing

ROWS = 50_000
KILLS = 10
DEADLINE_S = 240
pytestmark = pytest.mark.timeout(900)  # a dozen processes, one after the other


@pytest.fixture(scope="module")
def postgres():
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request, tmp_path):
    """A shop with many rows, at dual_write, and the files that the command reads."""
    url = "sqlite:///shop.sqlite3"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database()
    else:
        with sqlite3.connect(tmp_path / "shop.sqlite3") as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    shop = Shop(url, tmp_path)
    shop.create()
    series = "generate_series(1, {n}) AS s(n)"
    if shop.kind == "sqlite":
        series = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {n}) SELECT n FROM s)"
    shop.write(
        "INSERT INTO order_rows (id, reference, customer, placed_at, total_cents) "
        f"SELECT n, 'r', 'Ada', NULL, n FROM {series.format(n=ROWS)}"
    )
    with shop.database.write() as connection:
        plan = plan_step(
            connection, shop.mapping(), read_state(connection, "orders"), "dual_write", 0.0
        )
        carry_out(connection, plan)
    (tmp_path / "data.yaml").write_text(DATA.format(url=url) + "    stage: dual_write\n")
    (tmp_path / "routes.yaml").write_text("version: 1\nlegacy:\n  url: http://127.0.0.1:9\n")
    yield shop
    shop.database.close()


def start(shop, *options, output=subprocess.DEVNULL):
    return subprocess.Popen(
        [sys.executable, "-m", "overgrow", "data", "backfill", "orders", *options],
        cwd=shop.folder,
        stdout=output,
        stderr=subprocess.DEVNULL,
    )


def state_of(shop):
    with shop.database.read() as connection:
        return read_state(connection, "orders")


def test_a_backfill_killed_ten_times_loses_nothing(shop):
    old, new = Writer(shop, "order_rows", 0, ROWS), Writer(shop, "orders", 1, ROWS)
    chance = random.Random(3)
    with writing(old, new):
        for _ in range(KILLS):
            before = state_of(shop).fill_rows or 0
            process = start(shop, "--batch", "400", "--delay", "1ms")
            wanted = before + chance.randrange(1, ROWS // KILLS)
            deadline = time.monotonic() + DEADLINE_S
            while process.poll() is None and (state_of(shop).fill_rows or 0) < wanted:
                assert time.monotonic() < deadline
                time.sleep(0.03)
            process.kill()
            process.wait()
        last = start(shop, "--json", output=subprocess.PIPE)
        assert json.loads(last.communicate(timeout=DEADLINE_S)[0])["state"] == "done"

    assert (None, None) == (old.failure, new.failure)
    found = verify(shop.database, shop.mapping())
    assert (True, found.rows_old) == (found.is_equal, found.rows_new)
    there = dict(shop.rows("SELECT id, total_cents FROM order_rows"))
    for writer in (old, new):
        assert {
            key: cents for key, cents in writer.expected().items() if there.get(key) != cents
        } == {}


def test_a_backfill_goes_on_when_the_server_comes_back(shop, request):
    if shop.kind == "sqlite":
        pytest.skip("SQLite has no server")
    running = request.getfixturevalue("postgres")
    process = start(shop, "--batch", "300", "--delay", "5ms", "--json", output=subprocess.PIPE)
    deadline = time.monotonic() + DEADLINE_S
    while not state_of(shop).fill_rows:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    shop.database.close()
    running.stop()
    running.start()

    told = json.loads(process.communicate(timeout=DEADLINE_S)[0])
    assert ("done", ROWS) == (told["state"], told["rows"])


def test_a_second_backfill_is_refused_and_names_the_first(shop):
    first = start(shop, "--batch", "100", "--delay", "200ms")
    deadline = time.monotonic() + DEADLINE_S
    while not state_of(shop).fill_rows and time.monotonic() < deadline:
        time.sleep(0.02)
    second = start(shop, "--json", output=subprocess.PIPE)
    told = json.loads(second.communicate(timeout=DEADLINE_S)[0])
    stop = subprocess.run(
        [sys.executable, "-m", "overgrow", "data", "backfill", "orders", "--stop"],
        cwd=shop.folder,
        check=True,
        capture_output=True,
        text=True,
    )

    assert ("backfill-running", 1) == (told["error"]["code"], second.returncode)
    assert f"pid {first.pid} on " in told["error"]["message"]
    assert f"asked pid {first.pid} on" in stop.stdout
    assert first.wait(DEADLINE_S) == 1
    assert state_of(shop).fill_state == "stopped"
