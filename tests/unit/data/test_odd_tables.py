"""Tables that people really have: odd names, schemas, identities, keys that the app makes."""

from __future__ import annotations

import pytest

from overgrow.data.backfill import Backfill, FillPace
from overgrow.data.checking import check_table
from overgrow.data.ledger import read_state
from overgrow.data.staging import carry_out, plan_step
from overgrow.data.verify import verify
from tests.unit.data.shops import Shop

ODD = """\
version: 1
database: {url}
tables:
  'new "orders"; %s':
    owner: flask
    from: 'select'
    key: ['Größe %']
    columns: {{'to"tal': '"group" % 7 + "group" - "group" % 7'}}
    back: {{group: '"to""tal"'}}
"""


def moved(shop, name, *writes):
    """Take a table to live, with writes after the backfill; return the comparison."""
    shop.table = shop.declaration.tables[name]
    mapping = shop.mapping()
    for stage in ("dual_write", "shadow", "live"):
        with shop.database.write() as connection:
            assert check_table(connection, shop.table).problems == ()
            plan = plan_step(connection, mapping, read_state(connection, name), stage, 5.0)
            carry_out(connection, plan)
        if stage == "dual_write":
            Backfill(shop.database, mapping, FillPace(most_rows=2)).run()
            verify(shop.database, mapping, now_s=5.0)
    shop.write(*writes)
    return verify(shop.database, mapping)


def make_shop(url, folder, text):
    from tests.unit.data import shops  # noqa: PLC0415

    class Odd(Shop):
        def __init__(self):
            self.url, self.folder = url, folder
            self.declaration = shops.declare(url, text)
            self.database = shops.open_database(url, folder)
            self.kind = self.database.kind

    return Odd()


def test_names_that_need_quotes_are_quoted_everywhere(database_url, tmp_path):
    shop = make_shop(database_url, tmp_path, ODD)
    shop.write(
        'CREATE TABLE "select" ("Größe %" INTEGER PRIMARY KEY, "group" INTEGER)',
        'CREATE TABLE "new ""orders""; %s" ("Größe %" INTEGER PRIMARY KEY, "to""tal" INTEGER)',
        'INSERT INTO "select" VALUES (1, 10), (2, NULL), (5, 30)',
    )
    found = moved(
        shop,
        'new "orders"; %s',
        'INSERT INTO "select" VALUES (7, 70)',
        'UPDATE "new ""orders""; %s" SET "to""tal" = 99 WHERE "Größe %" = 2',
    )

    assert (True, 4) == (found.is_equal, found.rows_new)
    assert shop.rows('SELECT "group" FROM "select" ORDER BY 1') == [(10,), (30,), (70,), (99,)]
    shop.database.close()


PLAIN = """\
version: 1
database: {url}
tables:
  NEW: {{owner: flask, from: OLD, key: [id]}}
"""


@pytest.mark.parametrize(
    ("old", "new", "kind_of_id"),
    [
        pytest.param("legacy.rows", "sales.rows", "SERIAL", id="schemas"),
        pytest.param("rows_old", "rows_new", "INT GENERATED ALWAYS AS IDENTITY", id="identity"),
        pytest.param("rows_old", "rows_new", "UUID", id="keys of the app"),
        pytest.param("rows_old", "rows_new", "TEXT", id="text keys"),
    ],
)
def test_tables_of_postgresql_move(request, tmp_path, old, new, kind_of_id):
    url = request.getfixturevalue("postgres").database()
    shop = make_shop(url, tmp_path, PLAIN.replace("NEW", new).replace("OLD", old))
    shop.write("CREATE SCHEMA legacy", "CREATE SCHEMA sales")
    value = {"UUID": "gen_random_uuid()", "TEXT": "md5(random()::text)"}.get(kind_of_id, "DEFAULT")
    for table in (old, new):
        shop.write(
            f"CREATE TABLE {table} (id {kind_of_id} PRIMARY KEY, more JSONB, at TIMESTAMPTZ, price NUMERIC)"
        )
    values = f"""(id, more, at, price) VALUES ({value}, '{{"a": 1}}', now(), 1.50)"""
    shop.write(*[f"INSERT INTO {old} {values}" for _ in range(5)])

    found = moved(
        shop,
        new,
        f"INSERT INTO {old} {values}",
        f"INSERT INTO {new} {values}",
        f"UPDATE {new} SET price = 1.5",
    )

    assert (True, 7, 7) == (found.is_equal, found.rows_old, found.rows_new)
    shop.database.close()


def test_a_role_needs_no_rights_on_the_other_table(request, tmp_path):
    url = request.getfixturevalue("postgres").database()
    shop = make_shop(url, tmp_path, PLAIN.replace("NEW", "rows_new").replace("OLD", "rows_old"))
    for table in ("rows_old", "rows_new"):
        shop.write(f"CREATE TABLE {table} (id INT PRIMARY KEY, price NUMERIC)")
    moved(shop, "rows_new")
    shop.write(
        "DROP ROLE IF EXISTS legacy_app",
        "CREATE ROLE legacy_app",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON rows_old TO legacy_app",
        "SET ROLE legacy_app",
        "INSERT INTO rows_old VALUES (1, 5)",
        "UPDATE rows_old SET price = 6",
    )

    assert shop.rows("SELECT id, price FROM rows_new") == [(1, 6)]
    shop.write("DROP OWNED BY legacy_app", "DROP ROLE legacy_app")
    shop.database.close()


def test_text_of_an_expression_cannot_end_a_function(request, tmp_path):
    url = request.getfixturevalue("postgres").database()
    text = PLAIN.replace(
        "key: [id]",
        'key: [id], columns: {{word: "word || \'$overgrow$ ; $$\'"}}, back: {{word: "left(word, -15)"}}',
    )
    shop = make_shop(url, tmp_path, text.replace("NEW", "rows_new").replace("OLD", "rows_old"))
    for table in ("rows_old", "rows_new"):
        shop.write(f"CREATE TABLE {table} (id INT PRIMARY KEY, word TEXT)")

    assert moved(shop, "rows_new", "INSERT INTO rows_old VALUES (1, 'a')").is_equal
    assert shop.rows("SELECT word FROM rows_new") == [("a$overgrow$ ; $$",)]
    shop.database.close()


@pytest.mark.parametrize("old", ["old", "New", "excluded"])
def test_a_table_named_as_a_row_of_a_trigger_is_refused(database_url, tmp_path, old):
    shop = make_shop(database_url, tmp_path, PLAIN.replace("NEW", "rows_new").replace("OLD", old))
    for table in (old, "rows_new"):
        shop.write(f'CREATE TABLE "{table}" (id INTEGER PRIMARY KEY, price INTEGER)')
    with shop.database.read() as connection:
        found = check_table(connection, shop.declaration.tables["rows_new"]).problems

    assert [("from", "table-name")] == [(one.field, one.error.code) for one in found]
    shop.database.close()


def test_columns_named_as_variables_of_a_trigger_move(database_url, tmp_path):
    shop = make_shop(
        database_url, tmp_path, PLAIN.replace("NEW", "rows_new").replace("OLD", "rows_old")
    )
    for table in ("rows_old", "rows_new"):
        shop.write(
            f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, found TEXT, old TEXT, new TEXT, is_met TEXT)"
        )
    shop.write("INSERT INTO rows_old VALUES (1, 'a', 'b', 'c', 'd'), (2, 'a', 'b', 'c', 'd')")
    found = moved(
        shop,
        "rows_new",
        "UPDATE rows_old SET found = 'e', old = 'f' WHERE id = 1",
        "UPDATE rows_new SET new = 'g', is_met = 'h' WHERE id = 1",
        "DELETE FROM rows_old WHERE id = 2",
    )

    assert found.is_equal
    assert shop.rows("SELECT * FROM rows_old") == [(1, "e", "f", "g", "h")]
    shop.database.close()


@pytest.mark.parametrize("old", ["SERIAL", "INT GENERATED ALWAYS AS IDENTITY"])
@pytest.mark.parametrize("new", ["INT", "BIGINT GENERATED ALWAYS AS IDENTITY"])
def test_rows_with_ids_of_the_database_change_on_both_sides(request, tmp_path, old, new):
    url = request.getfixturevalue("postgres").database()
    shop = make_shop(url, tmp_path, PLAIN.replace("NEW", "rows_new").replace("OLD", "rows_old"))
    for table, kind_of_id in (("rows_old", old), ("rows_new", new)):
        shop.write(f"CREATE TABLE {table} (id {kind_of_id} PRIMARY KEY, price INT)")
    shop.write("INSERT INTO rows_old (price) VALUES (1), (2)")
    found = moved(
        shop,
        "rows_new",
        "UPDATE rows_old SET price = 5 WHERE id = 1",
        "UPDATE rows_new SET price = 6 WHERE id = 2",
        "INSERT INTO rows_new (price) VALUES (7)",
    )

    assert found.is_equal
    assert shop.rows("SELECT * FROM rows_old ORDER BY id") == [(1, 5), (2, 6), (3, 7)]
    shop.database.close()


def test_a_column_of_a_longer_key_has_its_ids_from_one_place(request, tmp_path):
    url = request.getfixturevalue("postgres").database()
    text = PLAIN.replace("NEW", "rows_new").replace("OLD", "rows_old").replace("[id]", "[shop, id]")
    shop = make_shop(url, tmp_path, text)
    for table in ("rows_old", "rows_new"):
        shop.write(f"CREATE TABLE {table} (shop INT, id SERIAL, PRIMARY KEY (shop, id))")
    shop.write("INSERT INTO rows_old (shop) VALUES (1), (1)")
    found = moved(
        shop,
        "rows_new",
        "INSERT INTO rows_new (shop) VALUES (1)",
        "INSERT INTO rows_old (shop) VALUES (1)",
    )

    assert (True, 4, 4) == (found.is_equal, found.rows_old, found.rows_new)
    shop.database.close()
