"""Which role runs the migrations, as PostgreSQL tells."""

from __future__ import annotations

import dataclasses

import pytest

from overgrow.data.declaration import parse_declaration
from overgrow.data.guard.state import MigrationsRole, migrations_role
from tests.unit.data.guard.team import OWNERS


def declared(url: str | None):
    parsed = parse_declaration(OWNERS.encode(), file="data.yaml", env={})
    return dataclasses.replace(parsed.declaration, migrations=url)


@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
def test_an_owner_of_the_tables_may_change_them(team):
    role = migrations_role(declared(team.url))

    assert role == MigrationsRole("overgrow", ("Order Lines", "baskets", "order_rows", "users"))


@pytest.mark.parametrize("team", ["postgresql"], indirect=True)
def test_a_role_may_have_the_rows_of_shared_tables_alone(team):
    team.run(
        "DROP ROLE IF EXISTS migrator",
        "CREATE ROLE migrator LOGIN",
        "GRANT SELECT, INSERT ON baskets TO migrator",
        "GRANT SELECT ON users TO migrator",
        "GRANT DELETE ON order_rows TO migrator",
    )
    found = migrations_role(declared(team.url.replace("//overgrow@", "//migrator@")))
    team.run("DROP OWNED BY migrator", "DROP ROLE migrator")

    assert found == MigrationsRole("migrator", ("order_rows",))


@pytest.mark.parametrize("url", [None, "sqlite:///shop.sqlite3", "mysql://x"])
def test_only_postgresql_has_roles(url):
    assert migrations_role(declared(url)) is None


@pytest.mark.parametrize(
    "url", ["postgresql://x:tulip@/x?host=/nowhere", "tulip", "x://a:tulip@b:c"]
)
def test_a_role_that_cannot_be_asked_is_told_as_unknown(url):
    error = migrations_role(declared(url)).error

    assert error
    assert "tulip" not in error
