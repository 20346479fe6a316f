"""A guarded team over SQLite and over PostgreSQL."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.postgres import server
from tests.unit.data.guard.team import LEGACY, Team


@pytest.fixture(scope="package")
def postgres():
    """The URL of a database for all tests of this folder: a database for each would take longer than its test."""
    with server() as running:
        yield running.database().replace("postgresql:", "postgresql+psycopg:")


def emptied(url: str) -> str:
    """Drop everything in a database of PostgreSQL."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "DROP SCHEMA IF EXISTS audit, public CASCADE; CREATE SCHEMA public"
        )
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def team(request, tmp_path):
    """A team with the guard, on each database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'shop.sqlite3'}"
    else:
        url = emptied(request.getfixturevalue("postgres"))
    team = Team(tmp_path, url)
    team.begin()
    team.guard()
    team.run(*LEGACY)
    return team


@pytest.fixture
def file_team(tmp_path):
    """A team with the guard, on SQLite alone."""
    team = Team(tmp_path, f"sqlite:///{tmp_path / 'shop.sqlite3'}")
    team.begin()
    team.guard()
    team.run(*LEGACY)
    return team


@pytest.fixture
def offline_team(tmp_path):
    """A team with the guard, without a database."""
    team = Team(tmp_path, "sqlite://")
    team.begin()
    team.guard()
    return team
