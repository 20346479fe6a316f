"""A backfill that is killed again and again, while both apps write: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import psycopg
import pytest

from overgrow.data.ledger import read_state
from overgrow.data.staging import carry_out, plan_step
from overgrow.data.verify import verify
from tests.postgres import server
from tests.unit.data.shops import DATA, Shop

ROWS = 50_000
KILLS = 10
DEADLINE_S = 240
PAUSE_S = 0.002
TRY_AGAIN = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    sqlite3.OperationalError,
)


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


class Writer(threading.Thread):
    """One app: it changes, adds and deletes rows of its own in one table, and remembers what it wrote."""

    def __init__(self, shop, table, remainder, seed):
        super().__init__()
        self.shop, self.table, self.remainder = shop, table, remainder
        self.random = random.Random(seed)
        self.wrote: dict[int, int | None] = {}
        self.added: dict[int, int] = {}
        self.is_over = threading.Event()
        self.failure: Exception | None = None

    def run(self):
        try:
            with self.shop.connection() as connection:
                while not self.is_over.is_set():
                    self.write(connection)
                    time.sleep(PAUSE_S)
        except Exception as error:  # noqa: BLE001 - the test shows it
            self.failure = error

    def write(self, connection):
        key = self.random.randrange(ROWS // 2) * 2 + self.remainder
        cents = self.random.randrange(1, 1_000_000)
        what = self.random.random()
        if what < 0.1:
            if self.do(connection, f"DELETE FROM {self.table} WHERE id = {key}"):
                self.wrote[key] = None
        elif what < 0.2:
            new_key = self.do(connection, self.insert(cents))
            self.added[new_key] = cents
        elif self.wrote.get(key, 0) is not None:
            # The new table has no row before the backfill comes to it: then the write changes nothing.
            changed = self.do(
                connection, f"UPDATE {self.table} SET {self.assign(cents)} WHERE id = {key}"
            )
            if changed:
                self.wrote[key] = cents

    def assign(self, cents):
        return (
            f"total_cents = {cents}" if self.table == "order_rows" else f"total = {cents} / 100.0"
        )

    def insert(self, cents):
        if self.table == "order_rows":
            return f"INSERT INTO order_rows (reference, customer, total_cents) VALUES ('n', 'Eve', {cents}) RETURNING id"
        return f"INSERT INTO orders (reference, customer_name, total) VALUES ('n', 'Eve', {cents} / 100.0) RETURNING id"

    def do(self, connection, statement):
        """Run one transaction, again if the database asks for it; return the new key or the number of rows."""
        while True:
            try:
                cursor = connection.execute(statement)
                found = cursor.fetchone()[0] if "RETURNING" in statement else cursor.rowcount
                connection.commit()
            except TRY_AGAIN:
                connection.rollback()
            else:
                return found

    def expected(self):
        return {**self.wrote, **self.added}


@contextmanager
def writing(*writers):
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        for writer in writers:
            writer.is_over.set()
        for writer in writers:
            writer.join()


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
    old, new = Writer(shop, "order_rows", 0, 1), Writer(shop, "orders", 1, 2)
    chance = random.Random(3)
    with writing(old, new):
        for _ in range(KILLS):
            before = state_of(shop).fill_rows or 0
            process = start(shop, "--batch", "400", "--delay", "1ms")
            wanted = before + chance.randrange(1, ROWS // KILLS)
            deadline = time.monotonic() + DEADLINE_S
            while process.poll() is None and (state_of(shop).fill_rows or 0) < wanted:
                assert time.monotonic() < deadline
                time.sleep(0.01)
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
