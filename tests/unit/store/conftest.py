"""Every store test runs on SQLite, and again on a real PostgreSQL where there is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from overgrow.store.engine import open_engine, store_url
from overgrow.store.reader import open_reader
from overgrow.store.writer import BatchLimits, Writer
from tests.postgres import Server, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[tuple[Server, str]]:
    with server() as running:
        yield running, running.database()


def emptied(postgres: tuple[Server, str]) -> str:
    """The one database, with nothing in it: that is faster than a new one."""
    running, asked = postgres
    with running.connection(asked.partition("@/")[2].partition("?")[0]) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return asked


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return store_url(tmp_path, None)
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def postgres_url(tmp_path, postgres):
    return store_url(tmp_path, emptied(postgres))


@pytest.fixture
def engine(url):
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def new_writer(tmp_path):
    """Make writers that are closed at the end."""
    made = []

    def make(url, limits=None):
        made.append(Writer(url, tmp_path / "tallies", limits or BatchLimits(flush_s=60)))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


@pytest.fixture
def new_reader(url):
    made = []

    def make():
        made.append(open_reader(url))
        return made[-1]

    yield make
    for reader in made:
        reader.close()
