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
