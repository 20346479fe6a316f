"""No revision changes a table of another owner: by each operation of Alembic, online and as SQL."""

from __future__ import annotations

import pytest
from alembic.util import CommandError

OPERATIONS = {
    "drop table": 'op.drop_table("users")',
    "drop a table if it exists": 'op.drop_table("users", if_exists=True)',
    "rename table": 'op.rename_table("users", "people")',
    "add column": 'op.add_column("users", sa.Column("colour", sa.Text))',
    "drop column": 'op.drop_column("users", "age")',
    "alter column": 'op.alter_column("users", "age", new_column_name="years")',
    "create index": 'op.create_index("ix_users_age", "users", ["age"])',
    "drop index": 'op.drop_index("ix_users_name", table_name="users")',
    "bulk insert": 'op.bulk_insert(users, [{"id": 2, "name": "bob"}])',
    "insert": 'op.execute(users.insert().values(id=2, name="bob"))',
    "update": 'op.execute(users.update().values(name="bob"))',
    "delete": "op.execute(users.delete())",
    "truncate by CTE": (
        'gone = sa.delete(users).returning(users.c.id).cte("gone")\nop.execute(sa.select(gone))'
    ),
    "drop by schema item": 'op.execute(sa.schema.DropTable(sa.Table("users", sa.MetaData())))',
    "create it again": 'op.create_table("users", sa.Column("id", sa.Integer))',
}
NOT_ON_SQLITE = {
    "create foreign key": 'op.create_foreign_key("fk", "users", "notes", ["age"], ["id"])',
    "create check": 'op.create_check_constraint("ck", "users", "age > 0")',
    "create unique": 'op.create_unique_constraint("uq", "users", ["age"])',
    "drop constraint": 'op.drop_constraint("users_pkey", "users")',
    "alter type": 'op.alter_column("users", "age", type_=sa.BigInteger)',
    "alter nullable": 'op.alter_column("users", "age", nullable=False)',
    "table comment": 'op.create_table_comment("users", "ours")',
    "column comment": 'op.alter_column("users", "age", comment="ours")',
    "schema given": 'op.drop_table("users", schema="public")',
}
BATCH = {
    "batch add": 'b.add_column(sa.Column("colour", sa.Text))',
    "batch drop": 'b.drop_column("age")',
    "batch alter": 'b.alter_column("age", nullable=False)',
    "batch rename": 'b.alter_column("age", new_column_name="years")',
    "batch unique": 'b.create_unique_constraint("uq", ["age"])',
}


def in_batch(line: str, table: str = "users") -> str:
    return f'with op.batch_alter_table("{table}") as b:\n    {line}'


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_upgrade_refuses_an_operation_on_a_table_of_legacy(team, operation):
    before = team.tables()
    team.write(operation)

    with pytest.raises(CommandError, match="the table users is not ours: its owner is legacy"):
        team.upgrade()

    assert {**team.tables(), "alembic_version": 0} == {**before, "alembic_version": 0}


@pytest.mark.parametrize("url", ["sqlite://", "postgresql+psycopg://nowhere/x"])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_the_sql_of_an_upgrade_is_refused_too(offline_team, operation, url):
    offline_team.url = url
    offline_team.write(operation)

    with pytest.raises(CommandError, match="the table users is not ours: its owner is legacy"):
        offline_team.upgrade_sql()


@pytest.mark.parametrize("operation", NOT_ON_SQLITE.values(), ids=NOT_ON_SQLITE)
def test_the_sql_for_a_server_is_refused_too(offline_team, operation):
    offline_team.url = "postgresql+psycopg://nowhere/x"
    offline_team.write(operation)

    with pytest.raises(CommandError, match="the table users is not ours"):
        offline_team.upgrade_sql()


@pytest.mark.parametrize("operation", NOT_ON_SQLITE.values(), ids=NOT_ON_SQLITE)
@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
def test_upgrade_refuses_what_only_a_server_can_do(team, operation):
    team.write(operation)

    with pytest.raises(CommandError, match="the table users is not ours"):
        team.upgrade()


@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
def test_upgrade_refuses_to_drop_a_schema_with_all_in_it(team):
    team.write('op.execute(sa.schema.DropSchema("public", cascade=True))')

    with pytest.raises(CommandError, match="the schema public may have tables that are not ours"):
        team.upgrade()

    assert "users" in team.tables()


@pytest.mark.parametrize("operation", BATCH.values(), ids=BATCH)
def test_upgrade_refuses_batches_on_a_table_of_legacy(team, operation):
    before = team.tables()
    team.write(in_batch(operation))

    with pytest.raises(CommandError, match="the table users is not ours: its owner is legacy"):
        team.upgrade()

    assert team.tables()["users"] == before["users"]


def test_a_refusal_names_the_place_in_the_revision(team):
    team.write('x = 1\nop.drop_table("users")')

    with pytest.raises(CommandError, match=r"versions/r0\.py:15: the table users"):
        team.upgrade()


def test_downgrade_is_guarded_as_upgrade_is(team):
    team.write("pass", downgrade='op.drop_table("users")')
    team.upgrade()

    with pytest.raises(CommandError, match="the table users is not ours"):
        team.downgrade("base")

    assert "users" in team.tables()


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        pytest.param('op.drop_table("Order Lines")', "Order Lines is not ours", id="quoted name"),
        pytest.param(
            'op.drop_table("order_rows")', "order_rows is not ours", id="source of a move"
        ),
        pytest.param(
            'op.drop_table("unheard_of")',
            "does not say who owns the table unheard_of",
            id="unlisted",
        ),
        pytest.param(
            'op.rename_table("notes", "memos")', "who owns the table memos", id="new name"
        ),
        pytest.param(
            'op.add_column("baskets", sa.Column("x", sa.Text))',
            "baskets is not ours: legacy and the Flask app share it",
            id="structure of a shared table",
        ),
        pytest.param(
            'op.drop_index("ix_users_name")',
            "does not say which table",
            id="index without its table",
        ),
        pytest.param(
            'op.create_table("audit.events", sa.Column("id", sa.Integer))',
            "audit.events is not ours",
            id="another schema",
        ),
    ],
)
def test_upgrade_says_whose_table_it_is(team, operation, why):
    team.write('op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))')
    team.write(operation)

    with pytest.raises(CommandError, match=why):
        team.upgrade()


@pytest.mark.parametrize(
    "call",
    [
        'sa.Table("users", sa.MetaData()).drop(op.get_bind())',
        'tables = sa.MetaData()\ntables.reflect(op.get_bind(), only=["users"])\ntables.drop_all(op.get_bind())',
        "op.get_bind().execute(users.delete())",
        'op.get_bind().execute(sa.delete(users.alias("u")))',
        'with op.get_context().autocommit_block():\n    op.drop_table("users")',
        "with op.get_bind().engine.begin() as other:\n    other.execute(users.delete())",
    ],
)
def test_what_goes_past_op_to_the_connection_is_refused_too(team, call):
    team.write(call)

    with pytest.raises(CommandError, match="the table users is not ours: its owner is legacy"):
        team.upgrade()

    assert "users" in team.tables()


@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
def test_a_declaration_may_write_the_default_schema(team):
    team.guard("version: 1\ntables:\n  public.users: {owner: legacy}\n")
    team.write('op.drop_table("users")')

    with pytest.raises(CommandError, match="the table users is not ours: its owner is legacy"):
        team.upgrade()


def test_a_name_in_other_letters_is_the_same_table_on_sqlite(file_team):
    file_team.write('op.drop_table("USERS")')

    with pytest.raises(CommandError, match="not ours: its owner is legacy"):
        file_team.upgrade()


@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
def test_a_name_in_other_letters_is_another_table_on_postgresql(team):
    team.run('CREATE TABLE "NOTES" (id integer)')
    team.write('op.drop_table("NOTES")')

    with pytest.raises(CommandError, match="does not say who owns the table NOTES"):
        team.upgrade()


def test_our_own_tables_change_in_every_way(team):
    team.write(
        'op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))\n'
        'op.create_index("ix_notes_text", "notes", ["text"])\n'
        'op.bulk_insert(sa.table("notes", sa.column("id")), [{"id": 1}])\n'
        + in_batch(
            'b.add_column(sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", name="fk")))',
            "notes",
        )
        + '\nop.drop_index("ix_notes_text", table_name="notes")\n'
        + in_batch('b.alter_column("text", new_column_name="body", nullable=True)', "notes")
        + '\nop.rename_table("notes", "tags")'
    )
    team.write('op.drop_table("tags")')

    team.upgrade("r0")
    columns = team.tables()["tags"]
    team.upgrade()

    assert sorted(columns) == ["body", "id", "user_id"]
    assert "tags" not in team.tables()


def test_rows_of_a_shared_table_may_be_written(team):
    team.write('op.bulk_insert(baskets, [{"id": 7, "content": "x"}])\nop.execute(baskets.delete())')

    team.upgrade()

    assert "alembic_version" in team.tables()


def test_one_transaction_for_each_revision_is_possible(team):
    text = team.env.read_text()
    team.env.write_text(
        text.replace(
            "(\n            connection=",
            "(\n            transaction_per_migration=True, connection=",
        )
    )
    assert "transaction_per_migration" in team.env.read_text()
    team.write('op.create_table("notes", sa.Column("id", sa.Integer))')

    team.upgrade()

    assert "notes" in team.tables()
