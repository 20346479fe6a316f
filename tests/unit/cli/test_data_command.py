"""`overgrow data check` and `status`: the file as people and programs see it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

DATA = """\
version: 1
database: sqlite:///shop.sqlite3
tables:
  users: {owner: legacy}
  basket: {owner: shared}
"""


def test_a_missing_file_is_named_with_its_fix(overgrow):
    assert "data.yaml does not exist. Write version: 1" in overgrow.fails("data", "check")


def test_every_problem_is_printed_with_its_place(overgrow):
    (overgrow.folder / "data.yaml").write_text(DATA.replace("shared", "sharde"))

    assert "data.yaml:5:19: tables.basket.owner is sharde. Did you mean shared?" in overgrow.fails(
        "data", "check"
    )


def test_problems_as_json(overgrow):
    (overgrow.folder / "data.yaml").write_text(DATA.replace("shared", "sharde"))

    code, printed = overgrow.json("data", "check")

    assert (1, False, "owner-syntax") == (code, printed["ok"], printed["problems"][0]["code"])


def test_status_shows_owner_and_stage(overgrow):
    (overgrow.folder / "data.yaml").write_text(DATA)

    code, printed = overgrow.json("data", "status")

    assert (0, ["legacy", "shared"]) == (code, [table["owner"] for table in printed])


MOVE = """\
version: 1
database: sqlite:///shop.sqlite3
tables:
  orders:
    owner: flask
    from: order_rows
    key: [id]
    columns: {total: "total_cents / 100.0"}
    back: {total_cents: "cast(round(total * 100) as integer)"}
    routes: [orders, order-detail]
"""


@pytest.fixture
def moving(overgrow):
    """A folder whose data.yaml declares a move in a SQLite file."""
    (overgrow.folder / "data.yaml").write_text(MOVE)
    with closing(sqlite3.connect(overgrow.folder / "shop.sqlite3")) as connection:
        connection.execute("CREATE TABLE order_rows (id INTEGER PRIMARY KEY, total_cents INTEGER)")
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL)")
    overgrow.table.write_text(
        overgrow.table.read_text().replace("target: migrated", "target: legacy")
    )
    return overgrow


def test_check_compares_with_the_database(moving):
    moving.table.write_text(moving.table.read_text())
    assert "data.yaml: ok, 1 table" in moving("data", "check").stdout

    (moving.folder / "data.yaml").write_text(MOVE.replace("[id]", "[idd]"))
    assert "data.yaml:7:10: table orders has no column idd. Did you mean id?" in moving.fails(
        "data", "check"
    )


def test_a_database_that_is_not_there_is_named(moving):
    (moving.folder / "shop.sqlite3").unlink()

    told = moving.fails("data", "check")
    assert "shop.sqlite3 does not exist." in told
    assert "[data-away]" in told


def test_a_route_that_moved_too_early_is_a_problem(moving):
    moving.table.write_text(
        moving.table.read_text().replace("target: legacy", "target: migrated", 1)
    )

    told = moving.fails("data", "check")
    assert (
        'route "orders": migrated serves it, and table orders is at stage none: its writes may move from live on.'
        in told
    )


def test_a_table_that_names_an_unknown_route_is_a_problem(moving):
    (moving.folder / "data.yaml").write_text(MOVE.replace("order-detail", "order-details"))

    assert "Did you mean order-detail? [unknown-table-route]" in moving.fails("data", "check")


def test_a_stage_written_by_hand_is_a_problem(moving):
    (moving.folder / "data.yaml").write_text(MOVE + "    stage: dual_write\n")

    assert "table orders is at stage dual_write here, and at none in the database" in moving.fails(
        "data", "check"
    )


def test_check_without_database_skips_it(moving):
    (moving.folder / "shop.sqlite3").unlink()

    assert moving("data", "check", "--no-database").exit_code == 0


@pytest.mark.parametrize("command", ["check", "status"])
def test_a_command_that_only_reads_takes_dry_run_too(moving, command):
    assert moving("data", command, "--dry-run").stdout == moving("data", command).stdout
