"""The text of op.execute: SQLite asks the guard, PostgreSQL refuses a role without rights; both say whose table it is."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

TEXTS = [
    "DROP TABLE users",
    "ALTER TABLE users RENAME TO people",
    "ALTER TABLE users ADD COLUMN colour TEXT",
    "ALTER TABLE users DROP COLUMN age",
    "CREATE INDEX ix ON users (age)",
    "INSERT INTO users (id, name) VALUES (2, 'bob')",
    "UPDATE users SET name = 'bob'",
    "DELETE FROM users",
]
ON_FILES = [
    "DROP INDEX ix_users_name",
    "CREATE TRIGGER t AFTER INSERT ON users BEGIN SELECT 1; END",
]


@pytest.mark.parametrize("statement", [*TEXTS, *ON_FILES])
@pytest.mark.parametrize("call", ["op.execute", "op.get_bind().exec_driver_sql"])
def test_sqlite_refuses_texts_that_change_a_table_of_legacy(file_team, statement, call):
    before = file_team.tables()
    file_team.write(f"{call}({statement!r})")

    with pytest.raises(CommandError, match="the table users is not ours: its owner is legacy"):
        file_team.upgrade()

    assert {**file_team.tables(), "alembic_version": []} == {**before, "alembic_version": []}


def test_sqlite_lets_texts_change_tables_of_ours(file_team):
    file_team.write(
        'op.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")\n'
        'op.execute("INSERT INTO notes (text) SELECT name FROM users")\n'
        'op.execute("CREATE INDEX ix ON notes (text)")\n'
        'op.execute("ALTER TABLE notes RENAME TO tags")\n'
        'op.execute("INSERT INTO baskets (content) VALUES (7)")\n'
    )

    file_team.upgrade()

    assert "tags" in file_team.tables()


def test_sqlite_lets_a_trigger_of_the_database_write_where_it_must(file_team):
    file_team.run(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY)",
        "CREATE TRIGGER back AFTER INSERT ON notes BEGIN UPDATE users SET age = new.id; END",
    )
    file_team.write('op.execute("INSERT INTO notes (id) VALUES (7)")')

    file_team.upgrade()

    with closing(sqlite3.connect(file_team.folder / "shop.sqlite3")) as connection:
        assert connection.execute("SELECT age FROM users").fetchall() == [(7,)]


def test_a_connection_of_a_pool_is_as_before_after_the_upgrade(file_team):
    engine = sa.create_engine(file_team.url)
    config = file_team.config
    config.attributes["engine"] = engine
    text = file_team.env.read_text()
    made = text[text.index("    connectable = ") : text.index("    with connectable")]
    file_team.env.write_text(text.replace(made, '    connectable = config.attributes["engine"]\n'))
    file_team.write("pass")

    command.upgrade(config, "head")
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM users"))
    engine.dispose()

    file_team.run("DROP TABLE users")


@pytest.fixture
def careful_team(team):
    """A team whose migrations run as a role without rights on legacy's tables."""
    team.run(
        "DROP ROLE IF EXISTS migrator",
        "CREATE ROLE migrator LOGIN",
        "GRANT CREATE, USAGE ON SCHEMA public TO migrator",
        "GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA public TO migrator",
        "GRANT INSERT, UPDATE, DELETE ON baskets TO migrator",
    )
    team.owner_url = team.url
    team.url = team.url.replace("//overgrow@", "//migrator@")
    yield team
    team.url = team.owner_url
    team.run("DROP OWNED BY migrator CASCADE", "DROP ROLE migrator")


@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "statement", [*TEXTS, "TRUNCATE users", "DO $$ BEGIN DROP TABLE users; END $$"]
)
def test_postgresql_refuses_texts_of_a_role_without_rights(careful_team, statement):
    careful_team.write(f"op.execute({statement!r})")

    with pytest.raises(CommandError) as refused:
        careful_team.upgrade()

    assert "PostgreSQL refused: " in str(refused.value)
    assert "the table users is not ours: its owner is legacy" in str(refused.value)
    assert careful_team.tables()["users"] == ["id", "name", "age"]


@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
def test_a_role_without_rights_makes_and_changes_our_tables(careful_team, caplog):
    careful_team.write(
        'op.create_table("notes", sa.Column("id", sa.Integer, sa.ForeignKey("users.id"), primary_key=True))\n'
        'op.bulk_insert(baskets, [{"id": 7}])'
    )

    with caplog.at_level(logging.WARNING):
        careful_team.upgrade()

    assert "notes" in careful_team.tables()
    assert [each for each in caplog.records if "may change" in each.getMessage()] == []


@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
def test_an_upgrade_warns_of_a_role_that_may_change_tables_of_legacy(team, caplog):
    team.write("pass")

    with caplog.at_level(logging.WARNING):
        team.upgrade()

    (told,) = [each.getMessage() for each in caplog.records if "may change" in each.getMessage()]
    assert "not ours: Order Lines, baskets, order_rows, users." in told
