"""Autogenerate writes nothing about a table of another owner; a model that wants a change of one is told so."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError


def define(team, name, *columns, **options):
    """Give the team a model of a table, with an id."""
    return sa.Table(
        name, team.metadata, sa.Column("id", sa.Integer, primary_key=True), *columns, **options
    )


def define_users(team, *columns, **options):
    """A model of legacy's table as it is, with more."""
    return define(team, "users", sa.Column("name", sa.Text, nullable=False), *columns, **options)


def is_empty(revision: str) -> bool:
    return "op." not in revision.partition("def upgrade")[2]


def test_autogenerate_never_drops_what_has_no_model(team):
    revision = team.autogenerate()

    assert is_empty(revision)


def test_autogenerate_makes_and_drops_a_table_of_ours(team):
    define(team, "notes", sa.Column("user_id", sa.Integer), sa.Index("ix_notes", "user_id"))
    made = team.autogenerate()
    team.upgrade()
    team.metadata.clear()

    removed = team.autogenerate()
    team.upgrade()

    assert 'op.create_table("notes"' in made.replace("'", '"')
    assert 'op.drop_table("notes")' in removed.replace("'", '"')
    assert "notes" not in team.tables()


def test_autogenerate_changes_a_table_of_ours(team):
    team.run("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, old TEXT)")
    define(team, "notes", sa.Column("text", sa.Text), sa.Column("more", sa.Text))

    revision = team.autogenerate()

    assert "op.add_column('notes'" in revision
    assert "op.drop_column('notes', 'old')" in revision


def test_a_model_of_a_table_of_ours_may_refer_to_legacys(team):
    define_users(team)
    define(team, "notes", sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id")))

    team.autogenerate()
    team.upgrade()
    again = team.autogenerate()

    assert is_empty(again)


def test_a_model_may_leave_out_columns_and_indexes_of_legacy(team):
    define_users(team)

    assert is_empty(team.autogenerate())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param(
            lambda team: define_users(team, sa.Column("colour", sa.Text)),
            "add column users.colour",
            id="a column more",
        ),
        pytest.param(
            lambda team: define_users(team, sa.Column("age", sa.Text)),
            "alter column users.age",
            id="another type",
        ),
        pytest.param(
            lambda team: define_users(team, sa.Column("age", sa.Integer, nullable=False)),
            "alter column users.age",
            id="not null",
        ),
        pytest.param(
            lambda team: define_users(team, sa.Column("age", sa.Integer, index=True)),
            "create index users",
            id="an index",
        ),
        pytest.param(
            lambda team: define_users(
                team, sa.Column("age", sa.Integer), sa.UniqueConstraint("age", name="uq")
            ),
            "create unique constraint users",
            id="a constraint",
        ),
    ],
)
def test_a_model_that_changes_a_table_of_legacy_fails_the_revision(team, change, what):
    change(team)

    with pytest.raises(
        CommandError, match=f"{what}: the table users is not ours: its owner is legacy"
    ):
        team.autogenerate()

    assert list((team.migrations / "versions").glob("*.py")) == []


def test_a_new_name_for_a_table_of_legacy_fails_the_revision(team):
    define(team, "people", sa.Column("name", sa.Text, nullable=False))

    with pytest.raises(CommandError, match="does not say who owns the table people"):
        team.autogenerate()


def test_a_model_of_a_missing_table_of_legacy_fails_the_revision(team):
    team.run("DROP TABLE users")
    define_users(team)

    with pytest.raises(CommandError, match="create table users: the table users is not ours"):
        team.autogenerate()


def test_a_model_can_say_that_it_is_as_in_the_database(team):
    define_users(team, sa.Column("colour", sa.Text), info={"as_in_database": True})

    assert is_empty(team.autogenerate())


@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
def test_comments_of_legacy_need_not_be_repeated_in_a_model(team):
    team.run("COMMENT ON TABLE users IS 'who'", "COMMENT ON COLUMN users.name IS 'what'")
    define_users(team)

    assert is_empty(team.autogenerate())


@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
def test_tables_of_another_schema_are_known_by_their_whole_name(team):
    team.run("CREATE SCHEMA audit", "CREATE TABLE audit.events (id serial PRIMARY KEY)")
    text = team.env.read_text()
    team.env.write_text(
        text.replace("connection=connection,", "connection=connection, include_schemas=True,")
    )
    define(team, "events", sa.Column("at", sa.Text), schema="audit")

    with pytest.raises(CommandError, match=r"the table audit\.events is not ours"):
        team.autogenerate()


def test_hooks_of_the_team_still_count(team):
    hooks = (
        "connection=connection, include_object=lambda found, name, *_: name != 'tags',"
        " include_name=lambda name, *_: name != 'secret',"
        " process_revision_directives=lambda context, revision, scripts: scripts[0].upgrade_ops.ops.pop(),"
    )
    text = team.env.read_text().replace("connection=connection,", hooks)
    team.env.write_text(text)
    define(team, "notes")
    define(team, "tags")

    assert "create_table" not in team.autogenerate()


def test_alembic_check_tells_of_a_model_that_legacys_table_lacks(team):
    define_users(team, sa.Column("colour", sa.Text))

    with pytest.raises(CommandError, match="the table users is not ours"):
        command.check(team.config)
