"""A shop's database in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import pytest

from tests.postgres import server
from tests.unit.data.shops import Shop


@pytest.fixture(scope="session")
def postgres():
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request):
    return request.param


@pytest.fixture
def database_url(kind, request, tmp_path):
    """The URL of an empty database; the server starts only for the tests that need it."""
    if kind == "postgresql":
        return request.getfixturevalue("postgres").database()
    (tmp_path / "shop.sqlite3").touch()
    return "sqlite:///shop.sqlite3"


@pytest.fixture
def empty_shop(database_url, tmp_path):
    shop = Shop(database_url, tmp_path)
    yield shop
    shop.database.close()


@pytest.fixture
def shop(empty_shop):
    empty_shop.create()
    return empty_shop
