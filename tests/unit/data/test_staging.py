"""The steps between stages: what each needs, what it changes, and that ids never collide."""

from __future__ import annotations

import pytest

from overgrow.data.backfill import Backfill, FillPace
from overgrow.data.database import DataError
from overgrow.data.ledger import read_state
from overgrow.data.stages import STAGE_NAMES
from overgrow.data.staging import carry_out, plan_step
from overgrow.data.verify import verify
from tests.unit.data.shops import DATA, NEW, OLD, TYPES, declare

NOW_S = 1_000.0


def step(shop, to, now_s=NOW_S):
    mapping = shop.mapping()
    with shop.database.write() as connection:
        plan = plan_step(connection, mapping, read_state(connection, "orders"), to, now_s)
        carry_out(connection, plan)
    return plan


def fill(shop):
    Backfill(shop.database, shop.mapping(), FillPace()).run()


def check(shop):
    return verify(shop.database, shop.mapping(), now_s=NOW_S)


def advance(shop, to):
    """Take a shop from none to a stage, by every stage between."""
    order = ["dual_write", "shadow", "live", "ramp_down", "complete"]
    for one in order[: order.index(to) + 1]:
        step(shop, one)
        if one == "dual_write":
            fill(shop)
        check(shop)


def refused(shop, to, now_s=NOW_S):
    with pytest.raises(DataError) as caught:
        step(shop, to, now_s)
    return f"{caught.value.what}. {caught.value.fix}"


def add_old(shop, count=1):
    for _ in range(count):
        shop.write(
            "INSERT INTO order_rows (reference, customer, total_cents) VALUES ('r', 'Ada', 5)"
        )


def add_new(shop, count=1):
    for _ in range(count):
        shop.write("INSERT INTO orders (reference, customer_name, total) VALUES ('r', 'Eve', 5)")


def ids(shop, table):
    return [row[0] for row in shop.rows(f"SELECT id FROM {table} ORDER BY id")]


def test_a_stage_cannot_be_skipped(shop):
    assert refused(shop, "live") == (
        "orders is at none, and live is 3 steps away; stages change one by one. "
        "First: overgrow data stage orders dual_write."
    )


def test_shadow_needs_a_complete_backfill(shop):
    add_old(shop)
    step(shop, "dual_write")

    assert refused(shop, "shadow") == (
        "the backfill of orders is not complete. Run overgrow data backfill orders."
    )


def test_live_needs_a_fresh_verify(shop):
    add_old(shop)
    step(shop, "dual_write")
    fill(shop)
    step(shop, "shadow")
    assert "orders was not verified yet" in refused(shop, "live")

    check(shop)
    assert "the last verify of orders was" in refused(shop, "live", NOW_S + 90_000)
    step(shop, "live")


def test_rows_that_only_the_new_table_has_are_refused(shop):
    shop.write("INSERT INTO orders (id, reference, customer_name, total) VALUES (9, 'r', 'Eve', 5)")

    assert "orders has rows that order_rows does not have, such as 9" in refused(shop, "dual_write")


def test_every_stage_goes_forward_and_back(shop):
    add_old(shop, 3)
    advance(shop, "ramp_down")
    for one in ("live", "shadow", "dual_write", "none"):
        step(shop, one)
        add_old(shop)
    advance(shop, "live")
    add_new(shop)

    assert ids(shop, "orders") == ids(shop, "order_rows")
    assert len(ids(shop, "orders")) == 8


@pytest.mark.parametrize("stage", ["dual_write", "shadow", "live", "ramp_down"])
def test_ids_of_both_sides_never_collide(shop, stage):
    add_old(shop, 3)
    advance(shop, stage)
    for _ in range(3):
        add_old(shop)
        add_new(shop)

    assert ids(shop, "orders") == ids(shop, "order_rows")
    assert len(set(ids(shop, "orders"))) == 9


def test_ids_before_the_backfill_do_not_collide(shop):
    add_old(shop, 3)
    step(shop, "dual_write")
    add_new(shop)

    assert len(ids(shop, "order_rows")) == 4


def test_complete_writes_only_the_new_table(shop):
    add_old(shop, 3)
    advance(shop, "complete")
    add_new(shop)

    assert (3, 4) == (len(ids(shop, "order_rows")), len(ids(shop, "orders")))
    with pytest.raises(Exception, match="order_rows gets no writes any more"):
        add_old(shop)
    assert "Nothing leads back from complete" in refused(shop, "ramp_down")


def test_the_new_table_has_its_own_ids_after_complete(empty_shop):
    serial = (
        "INTEGER PRIMARY KEY"
        if empty_shop.kind == "sqlite"
        else "int GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    )
    empty_shop.create(new=NEW.replace("{serial}", serial))
    add_old(empty_shop, 3)
    advance(empty_shop, "complete")
    add_new(empty_shop)

    assert ids(empty_shop, "orders") == [1, 2, 3, 4]


def test_a_table_without_ids_of_its_own_gets_some_at_complete(empty_shop):
    empty_shop.create(new=NEW.replace("{serial}", "INTEGER PRIMARY KEY"))
    add_old(empty_shop, 3)
    advance(empty_shop, "complete")
    add_new(empty_shop)

    assert ids(empty_shop, "orders") == [1, 2, 3, 4]


@pytest.mark.parametrize("stage", ["dual_write", "shadow", "live", "ramp_down"])
def test_a_step_forward_needs_every_trigger(shop, stage):
    add_old(shop, 3)
    advance(shop, stage)
    check(shop)
    take_away_triggers(shop)

    following = STAGE_NAMES[STAGE_NAMES.index(stage) + 1]
    assert "is gone or disabled" in refused(shop, following)


def take_away_triggers(shop):
    """Make the legacy table anew in SQLite, as many tools change a table; disable its triggers in PostgreSQL."""
    if shop.kind == "postgresql":
        shop.write("ALTER TABLE order_rows DISABLE TRIGGER USER")
        return
    shop.write(
        OLD.format(**TYPES["sqlite"]).replace("order_rows", "made_anew"),
        "PRAGMA legacy_alter_table = ON",  # without it SQLite refuses, because of the other triggers
        "INSERT INTO made_anew SELECT * FROM order_rows",
        "DROP TABLE order_rows",
        "ALTER TABLE made_anew RENAME TO order_rows",
    )


def test_a_step_back_makes_lost_triggers_again(shop):
    add_old(shop, 3)
    advance(shop, "dual_write")
    take_away_triggers(shop)
    step(shop, "none")
    step(shop, "dual_write")
    add_old(shop)

    assert 4 in ids(shop, "orders")


def test_an_edited_mapping_is_refused_in_the_middle(shop):
    step(shop, "dual_write")
    shop.table = declare(shop.url, DATA.replace("/ 100.0", "/ 100.00")).tables["orders"]

    assert "the mapping of orders was edited at dual_write" in refused(shop, "shadow")


def test_a_step_back_to_none_forgets_the_backfill(shop):
    add_old(shop)
    advance(shop, "dual_write")
    step(shop, "none")
    step(shop, "dual_write")

    assert "the backfill of orders is not complete" in refused(shop, "shadow")


def test_a_dry_plan_changes_nothing(shop):
    with shop.database.read() as connection:
        plan = plan_step(
            connection, shop.mapping(), read_state(connection, "orders"), "dual_write", NOW_S
        )
    add_old(shop)

    assert any("CREATE TRIGGER" in one for one in plan.statements)
    assert ids(shop, "orders") == []


@pytest.mark.parametrize("change", ["complete", "none again"])
def test_a_verify_across_two_moves_counts_for_neither(shop, change):
    add_old(shop, 3)
    advance(shop, "ramp_down" if change == "complete" else "dual_write")
    if change == "complete":
        check(shop)

    def change_meanwhile(rows):
        if rows != 2:
            return
        step(shop, "complete" if change == "complete" else "none")
        if change != "complete":
            step(shop, "dual_write")
            fill(shop)
        add_new(shop)

    with pytest.raises(DataError, match="while its tables were compared"):
        verify(shop.database, shop.mapping(), range_rows=2, report=change_meanwhile)
    with shop.database.read() as connection:
        found = read_state(connection, "orders").verify_different
    assert found == (0 if change == "complete" else None)
