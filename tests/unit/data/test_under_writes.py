"""Every stage forward and back while both sides write and read: no lost write, and no half-moved row."""

from __future__ import annotations

import threading

from overgrow.data.backfill import Backfill, FillPace
from overgrow.data.database import DatabaseLocked
from overgrow.data.verify import verify
from tests.unit.data.test_staging import step
from tests.unit.data.writers import Writer, writing

ROWS = 400
PATH = ("shadow", "live", "ramp_down", "live", "shadow", "dual_write")


class Reader(threading.Thread):
    """Reads one row of both tables at one moment, again and again, and remembers where they differed."""

    def __init__(self, shop):
        super().__init__()
        self.shop, self.is_over = shop, threading.Event()
        self.looks, self.halves = 0, []

    def run(self):
        query = (
            "SELECT o.id, o.total_cents, n.total FROM order_rows o LEFT JOIN orders n ON n.id = o.id "
            "WHERE n.id IS NULL OR abs(n.total * 100 - o.total_cents) > 0.01"
        )
        with self.shop.connection() as connection:
            while not self.is_over.wait(0.01):
                self.halves += connection.execute(query).fetchall()
                connection.rollback()
                self.looks += 1


def patient_step(shop, stage):
    """Make a step; try again while writers hold locks, as the command does."""
    while True:
        try:
            return step(shop, stage, now_s=1_000.0)
        except DatabaseLocked:
            continue


def test_every_stage_forward_and_back_loses_no_write(shop):
    values = ", ".join(f"({n}, 'r', 'c', NULL, {n})" for n in range(1, ROWS + 1))
    shop.write(
        f"INSERT INTO order_rows (id, reference, customer, placed_at, total_cents) VALUES {values}"
    )
    if shop.kind == "postgresql":
        shop.write("SELECT setval('order_rows_id_seq', 1000)")
    step(shop, "dual_write")
    old, new, reader = (
        Writer(shop, "order_rows", 0, ROWS),
        Writer(shop, "orders", 1, ROWS),
        Reader(shop),
    )
    with writing(old, new):
        Backfill(shop.database, shop.mapping(), FillPace(most_rows=50)).run()
        with writing(reader):
            for stage in PATH:
                assert verify(shop.database, shop.mapping(), now_s=1_000.0).is_equal
                patient_step(shop, stage)

    assert (None, None, []) == (old.failure, new.failure, reader.halves)
    assert reader.looks
    assert verify(shop.database, shop.mapping()).is_equal
    there = dict(shop.rows("SELECT id, total_cents FROM order_rows"))
    for writer in (old, new):
        assert {
            key: cents for key, cents in writer.expected().items() if there.get(key) != cents
        } == {}
