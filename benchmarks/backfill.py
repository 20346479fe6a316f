"""What copying a table costs: its speed beside one INSERT ... SELECT, how long writers wait beside it, and its memory.

    python -m benchmarks backfill [--rows 1000000] [--rounds 5] [--writes 10000] [--only sqlite|postgresql]

Triggers join both tables throughout. Speed: without load, rounds of both kinds by turns, medians. Waits: single-row
writes of one writer, the longest of them, without and beside a backfill. Then both tables are compared.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from overgrow.data.backfill import Backfill, FillPace
from overgrow.data.crossing import to_new
from overgrow.data.database import execute
from overgrow.data.ledger import read_state
from overgrow.data.staging import carry_out, plan_step
from overgrow.data.verify import verify
from tests.postgres import server
from tests.unit.data.shops import Shop

GOAL_RATIO, GOAL_WAIT_MS = 0.5, 200
KINDS = ("sqlite", "postgresql")


def main(argv: Sequence[str]) -> int:
    """Measure one kind of database after the other; 0 if all goals are met."""
    parser = argparse.ArgumentParser("python -m benchmarks backfill")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--writes", type=int, default=10_000)
    parser.add_argument("--only", choices=KINDS)
    asked = parser.parse_args(argv)
    kinds = [asked.only] if asked.only else KINDS
    return max(measure(kind, asked) for kind in kinds)


def measure(kind: str, asked: argparse.Namespace) -> int:
    with shop_of(kind, asked.rows) as shop:
        ratio = measure_speed(shop, asked.rounds)
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        alone_ms = longest_wait_ms(shop, asked.writes)
        empty(shop)
        beside_ms = longest_wait_beside_ms(shop, asked.writes)
        found = verify(shop.database, shop.mapping())
    print(f"{kind}: {asked.rows:,} rows, {ratio:.2f}x of one INSERT ... SELECT (goal {GOAL_RATIO})")
    print(
        f"  longest wait of {asked.writes:,} writes: {alone_ms:.0f} ms alone, {beside_ms:.0f} ms beside (goal +{GOAL_WAIT_MS})"
    )
    print(
        f"  {'equal' if found.is_equal else f'{found.different} rows differ'}, {found.rows_new:,} rows, at most {grown_kb // 1024} MB"
    )
    is_good = ratio >= GOAL_RATIO and beside_ms - alone_ms <= GOAL_WAIT_MS and found.is_equal
    return 0 if is_good else 1


@contextmanager
def shop_of(kind: str, rows: int) -> Iterator[Shop]:
    """A shop with many rows in the legacy table, joined to the new one."""
    with tempfile.TemporaryDirectory(prefix="overgrow-bench-") as place:
        folder = Path(place)
        if kind == "sqlite":
            (folder / "shop.sqlite3").touch()
            yield filled(Shop("sqlite:///shop.sqlite3", folder), rows)
            return
        with server() as running:
            yield filled(Shop(running.database(), folder), rows)


def filled(shop: Shop, rows: int) -> Shop:
    if shop.kind == "sqlite":
        with shop.connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    shop.create()
    series = f"generate_series(1, {rows}) AS s(n)"
    if shop.kind == "sqlite":
        series = f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) SELECT n FROM s)"
    shop.write(
        "INSERT INTO order_rows (id, reference, customer, placed_at, total_cents) "
        f"SELECT n, 'r' || n, 'Customer ' || n % 1000, NULL, n FROM {series}"
    )
    with shop.database.write() as connection:
        plan = plan_step(
            connection, shop.mapping(), read_state(connection, "orders"), "dual_write", 0.0
        )
        carry_out(connection, plan)
    return shop


def measure_speed(shop: Shop, rounds: int) -> float:
    """Return how fast a backfill is, as a multiple of one INSERT ... SELECT."""
    batches, whole = [], []
    for _ in range(rounds):
        empty(shop)
        begin_s = time.perf_counter()
        copy(shop)
        batches.append(time.perf_counter() - begin_s)
        empty(shop)
        begin_s = time.perf_counter()
        insert_all(shop)
        whole.append(time.perf_counter() - begin_s)
    empty(shop)
    return statistics.median(whole) / statistics.median(batches)


def copy(shop: Shop) -> None:
    state = Backfill(shop.database, shop.mapping(), FillPace()).run(restart=True)
    assert state.fill_state == "done"


def insert_all(shop: Shop) -> None:
    with shop.database.write() as connection:
        execute(connection, to_new(shop.mapping(), shop.kind).insert("1 = 1")).close()


def empty(shop: Shop) -> None:
    """Empty the new table alone: its triggers would empty the legacy one, too."""
    mapping = shop.mapping()
    if shop.kind == "sqlite":
        with shop.database.write() as connection:
            name = "overgrow_orders_to_old_delete"
            text = execute(
                connection, f"SELECT sql FROM sqlite_master WHERE name = '{name}'"
            ).scalar()
            for statement in (f"DROP TRIGGER {name}", "DELETE FROM orders", text):
                execute(connection, statement).close()
        return
    assert mapping
    off, on = (f"ALTER TABLE orders {word} TRIGGER USER" for word in ("DISABLE", "ENABLE"))
    shop.write(off, "TRUNCATE orders", on)


def longest_wait_ms(shop: Shop, writes: int) -> float:
    """Write single rows of the legacy table, with a short pause after each; return the longest wait."""
    longest_s = 0.0
    with shop.connection() as connection:
        for number in range(writes):
            begin_s = time.perf_counter()
            connection.execute(
                f"UPDATE order_rows SET total_cents = total_cents + 1 WHERE id = {number * 37 % 9_999 + 1}"
            )
            connection.commit()
            longest_s = max(longest_s, time.perf_counter() - begin_s)
            time.sleep(0.0005)
    return 1000 * longest_s


def longest_wait_beside_ms(shop: Shop, writes: int) -> float:
    """Return the longest wait of the same writes while the table is copied again and again."""
    is_over = threading.Event()

    def copy_on() -> None:
        while not is_over.is_set():
            copy(shop)

    thread = threading.Thread(target=copy_on)
    thread.start()
    try:
        return longest_wait_ms(shop, writes)
    finally:
        is_over.set()
        thread.join()
