"""The way back of a contract: SQL that makes the legacy table again as it was, and nothing of ours."""

from __future__ import annotations

import pytest

from overgrow.data.contract import plan_contract
from overgrow.data.database import execute
from overgrow.data.ledger import read_state
from overgrow.data.staging import carry_out, plan_step
from tests.unit.data.shops import Shop, declare
from tests.unit.data.test_staging import NOW_S, check, fill

PLAIN = """\
version: 1
database: {url}
tables:
  NEW: {{owner: flask, from: order_rows, key: [id]}}
"""


@pytest.mark.parametrize("name", ["orders", "orders_" * 6])
def test_the_way_back_makes_the_table_again(database_url, tmp_path, name):
    text = PLAIN.replace("NEW", name)
    shop = Shop(database_url, tmp_path, text.replace(f"  {name}:", "  orders:"))
    shop.table = declare(database_url, text).tables[name]
    sum_ = "INT GENERATED ALWAYS AS (price + 1) STORED"
    shop.write(
        f"CREATE TABLE order_rows (id INTEGER PRIMARY KEY, price INT, more {sum_})",
        f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, price INT)",
        "INSERT INTO order_rows (id, price) VALUES (1, 2)",
    )
    mapping = complete(shop, name)
    with shop.database.write() as connection:
        plan = plan_contract(connection, mapping, read_state(connection, name), 0.0, NOW_S)
        for statement in (*plan.statements, *plan.way_back):
            execute(connection, statement).close()
    shop.write("INSERT INTO order_rows (id, price) VALUES (2, 3)")

    assert shop.rows("SELECT * FROM order_rows ORDER BY id") == [(1, 2, 3), (2, 3, 4)]
    shop.database.close()


def complete(shop, name):
    mapping = shop.mapping()
    for stage in ("dual_write", "shadow", "live", "ramp_down", "complete"):
        with shop.database.write() as connection:
            state = read_state(connection, name)
            carry_out(connection, plan_step(connection, mapping, state, stage, NOW_S))
        if stage == "dual_write":
            fill(shop)
            check(shop)
    return mapping
