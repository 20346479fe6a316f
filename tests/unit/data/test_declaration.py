"""data.yaml as text: what it may say, and that every problem has its place."""

from __future__ import annotations

import pytest

from overgrow.data.declaration import parse_declaration

SOUND = """\
version: 1
database: ${SHOP_DB}
tables:
  users: {owner: legacy}
  orders:
    owner: flask
    from: order_rows
    key: [id]
    columns: {customer_name: "customer", total: "total_cents / 100.0"}
    back: {total_cents: "cast(round(total * 100) as integer)"}
    routes: [orders]
    stage: dual_write
"""


def parse(text, **env):
    return parse_declaration(text.encode(), file="data.yaml", env={"SHOP_DB": "sqlite:///x", **env})


def told(text):
    return [f"{one.line}:{one.column} {one.code}" for one in parse(text).problems]


def test_a_sound_file_gives_each_table():
    declaration = parse(SOUND).declaration

    orders = declaration.tables["orders"]
    assert ("sqlite:///x", ["users", "orders"]) == (declaration.database, [*declaration.tables])
    assert ("flask", "order_rows", ("id",), "dual_write") == (
        orders.owner,
        orders.source,
        orders.key,
        orders.stage,
    )
    assert [table.name for table in declaration.moves] == ["orders"]


@pytest.mark.parametrize(
    ("written", "instead", "expected"),
    [
        pytest.param("owner: flask", "owner: ours", "6:12 owner-syntax", id="unknown owner"),
        pytest.param("    key: [id]\n", "", "6:5 required", id="no key"),
        pytest.param("stage: dual_write", "stage: dual", "12:12 stage-syntax", id="no such stage"),
        pytest.param("owner: flask", "owner: shared", "6:5 owner-conflict", id="not ours"),
        pytest.param("from: order_rows", "from: orders", "7:11 owner-conflict", id="from itself"),
        pytest.param("routes: [orders]", "rout: [orders]", "11:5 unknown-key", id="typo"),
        pytest.param("/ 100.0", "/ 100.0; drop", "9:49 expression-syntax", id="two statements"),
        pytest.param("/ 100.0", "/ (100.0", "9:49 expression-syntax", id="open parenthesis"),
        pytest.param("/ 100.0", ") + (1", "9:49 expression-syntax", id="parentheses crossed"),
        pytest.param("/ 100.0", "+ random()", "9:49 expression-syntax", id="chance"),
        pytest.param("/ 100.0", "+ (select 1)", "9:49 expression-syntax", id="other rows"),
        pytest.param("/ 100.0", "-- none", "9:49 expression-syntax", id="comment"),
        pytest.param("version: 1\n", "", "1:1 required", id="no version"),
        pytest.param("database: ${SHOP_DB}\n", "", "1:1 required", id="no database"),
        pytest.param("${SHOP_DB}", "${NOT_SET}", "2:11 variable-unset", id="variable not set"),
    ],
)
def test_a_problem_has_its_place_and_code(written, instead, expected):
    text = SOUND.replace(written, instead)

    assert told(text) == [expected]


def test_problems_come_in_file_order():
    text = SOUND.replace("dual_write", "later").replace("{owner: legacy}", "{owner: them}")

    assert told(text) == ["4:18 owner-syntax", "12:12 stage-syntax"]


def test_two_tables_from_one_are_ambiguous():
    text = SOUND + "  orders_b: {owner: flask, from: order_rows, key: [id]}\n"

    assert told(text) == ["13:34 mapping-ambiguous"]


def test_a_stage_needs_a_table_to_come_from():
    assert told("version: 1\ntables:\n  a: {owner: flask, stage: live}\n") == ["3:6 required"]


def test_text_in_an_expression_may_hold_any_sign():
    text = SOUND.replace('"total_cents / 100.0"', "\"coalesce(note, 'a;b -- (?')\"")

    assert told(text) == []


def test_a_file_that_is_not_yaml_has_one_problem():
    assert told("tables: [") == ["2:1 yaml-syntax"]
