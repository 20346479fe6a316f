"""A mapping compared with real tables: what is ambiguous, or loses a value, is refused with table and column."""

from __future__ import annotations

import pytest

from overgrow.data.checking import as_problems, check_table
from tests.unit.data.shops import DATA, NEW, OLD, declare

COLUMNS = 'columns: {{customer_name: customer, total: "total_cents / 100.0"}}'
BACK = 'back: {{total_cents: "cast(round(total * 100) as integer)"}}'


def problems(shop, text=DATA):
    table = declare(shop.url, text).tables["orders"]
    with shop.database.read() as connection:
        found = check_table(connection, table)
    return [str(one) for one in as_problems("data.yaml", table, found.problems)]


def told(shop, text):
    return " / ".join(problems(shop, text))


def test_a_sound_mapping_has_no_problem(shop):
    assert problems(shop) == []


@pytest.mark.parametrize(
    ("written", "instead", "expected"),
    [
        pytest.param(
            "customer_name: customer",
            "customer_name: custommer",
            ["table order_rows has no column custommer. Did you mean customer? [column-absent]"],
            id="absent column",
        ),
        pytest.param(
            BACK,
            "",
            ["the way back of order_rows.total_cents is not given. Write back: {total_cents: SQL"],
            id="no way back",
        ),
        pytest.param(
            "round(total * 100)",
            "total * 100 - 0.5",
            [
                "order_rows.total_cents does not come back the same",
                "[mapping-lossy]",
            ],
            id="lossy",
        ),
        pytest.param(
            '"total_cents / 100.0"',
            '"total_cents / 100.0 * nonsense"',
            ["orders.total cannot be computed from order_rows", "nonsense"],
            id="unknown word",
        ),
        pytest.param(
            "key: [id]",
            "key: [reference]",
            ["(reference) of order_rows may be NULL, or is not unique"],
            id="key not unique",
        ),
        pytest.param(
            "key: [id]",
            "key: [idd]",
            ["table orders has no column idd. Did you mean id?"],
            id="key absent",
        ),
        pytest.param(
            "from: order_rows",
            "from: order_row",
            ["table order_row, from which orders comes, is not in the database"],
            id="no table",
        ),
        pytest.param(
            "key: [id]",
            "key: [id]\n    drops: [referense]",
            ["order_rows has no column referense"],
            id="dropped column absent",
        ),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(shop, written, instead, expected):
    text = DATA.replace(written, instead)
    assert text != DATA

    found = told(shop, text)
    assert [one for one in expected if one not in found] == []


def test_a_column_that_two_columns_hold_is_ambiguous(empty_shop):
    empty_shop.create(new=NEW.replace("note TEXT", "buyer TEXT"))

    found = told(
        empty_shop,
        DATA.replace("customer_name: customer,", "customer_name: customer, buyer: customer,"),
    )
    assert (
        "the way back of order_rows.customer is not given, and customer_name and buyer both hold it"
        in found
    )


def test_a_legacy_column_that_nothing_carries_is_refused(empty_shop):
    empty_shop.create(old=OLD.replace("placed_at TEXT", "placed_at TEXT, coupon TEXT"))

    assert (
        "order_rows.coupon is carried to no column of orders, so its values would be lost"
        in told(empty_shop, DATA)
    )
    dropped = DATA.replace("key: [id]", "key: [id]\n    drops: [coupon]")
    assert problems(empty_shop, dropped) == []


def test_a_new_column_without_value_is_refused(empty_shop):
    empty_shop.create(new=NEW.replace("note TEXT", "note TEXT NOT NULL"))

    assert "orders.note may not be NULL, has no default, and gets no value" in told(
        empty_shop, DATA
    )


def test_a_row_that_comes_back_different_is_shown(shop):
    shop.write("INSERT INTO order_rows VALUES (1, 'r', ' Ada', NULL, 5)")
    text = DATA.replace("customer_name: customer", 'customer_name: "trim(customer)"').replace(
        "back: {{", "back: {{customer: customer_name, "
    )

    assert "order_rows.customer does not come back the same" in told(shop, text)


def test_a_type_without_equality_is_refused(request, tmp_path):
    from tests.unit.data.shops import Shop  # noqa: PLC0415

    shop = Shop(request.getfixturevalue("postgres").database(), tmp_path)
    shop.create(
        old=OLD.replace("placed_at TEXT", "spot point"),
        new=NEW.replace("placed_at TEXT", "spot point"),
    )

    assert "orders.spot has the type point, which cannot be compared" in told(shop, DATA)
    shop.database.close()


def test_json_is_compared_by_value(request, tmp_path):
    from tests.unit.data.shops import Shop  # noqa: PLC0415

    shop = Shop(request.getfixturevalue("postgres").database(), tmp_path)
    shop.create(
        old=OLD.replace("placed_at TEXT", "more json"),
        new=NEW.replace("placed_at TEXT", "more jsonb"),
    )
    shop.sync()
    shop.write("""INSERT INTO order_rows VALUES (1, 'r', 'Ada', '{"b": 1, "a": 2}', 5)""")

    assert problems(shop) == []
    assert shop.rows("SELECT total FROM orders WHERE more @> '{\"a\": 2}'") != []
    shop.database.close()
