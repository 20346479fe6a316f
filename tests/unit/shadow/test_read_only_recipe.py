"""The lines that docs/shadowing.md gives to teams, in a real app over SQLite and over PostgreSQL."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from tests.postgres import server

PAGE = Path(__file__).resolve().parents[3] / "docs/shadowing.md"
LISTENERS = {"begin_copy": (Pool, "checkout"), "end_copy": (Pool, "checkin")}
LISTENERS |= {"report_refused_write": (Engine, "handle_error")}
INSERT = text("INSERT INTO visits (at) VALUES (1)")


@pytest.fixture
def _recipe():
    """The recipe, word for word, for as long as the test runs."""
    (lines,) = re.findall(
        r"^```python\n(import sqlite3.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    names = {}
    exec(lines, names)
    yield
    for name, (target, what) in LISTENERS.items():
        event.remove(target, what, names[name])


class Shop:
    """An app that writes a row at GET, in several ways."""

    def __init__(self, url):
        self.engine = create_engine(url, pool_size=1, max_overflow=0)
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE visits (at integer)"))
        self.flask = Flask("shop")
        for rule in ("/session", "/core", "/at_once", "/caught", "/table", "/read"):
            self.flask.add_url_rule(rule, rule, getattr(self, rule[1:]))

    def session(self):
        with Session(self.engine) as session:
            session.execute(INSERT)
            session.commit()
        return "written"

    def core(self):
        with self.engine.begin() as connection:
            connection.execute(INSERT)
        return "written"

    def at_once(self):
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(INSERT)
        return "written"

    def caught(self):
        try:
            return self.core()
        except DBAPIError:
            return "written"

    def table(self):
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE more (at integer)"))
        return "written"

    def read(self):
        return str(self.visits)

    @property
    def visits(self):
        with self.engine.connect() as connection:
            return connection.execute(text("SELECT count(*) FROM visits")).scalar()

    def ask(self, path, *told):
        """Ask as a copy does if `told` has a list for what the app reports."""
        copy = {"overgrow.shadow": True, "overgrow.wrote": lambda: told[0].append(path)}
        return self.flask.test_client().get(path, environ_overrides=copy if told else {})


@pytest.fixture(scope="module")
def postgres():
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request, tmp_path, _recipe):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'shop.sqlite3'}"
    else:
        found = request.getfixturevalue("postgres").database()
        url = found.replace("postgresql:", "postgresql+psycopg:")
    shop = Shop(url)
    yield shop
    shop.engine.dispose()


@pytest.mark.parametrize("path", ["/session", "/core", "/at_once", "/caught", "/table"])
def test_a_copy_writes_nothing_and_tells_so(shop, path):
    told = []

    shop.ask(path, told)

    assert (told, shop.visits) == ([path], 0)


def test_a_copy_reads_what_a_user_reads(shop):
    told = []

    assert (shop.ask("/read", told).text, told) == ("0", [])


def test_the_connection_of_a_copy_writes_for_the_next_user(shop):
    """The pool has one connection: it cannot be another one."""
    for _ in range(3):
        shop.ask("/core", [])
        assert shop.ask("/session").text == "written"
        shop.ask("/at_once", [])
        assert shop.ask("/at_once").text == "written"

    assert shop.visits == 6


def test_users_are_not_read_only(shop):
    for path in ("/session", "/core", "/at_once", "/table"):
        assert shop.ask(path).text == "written"

    assert shop.visits == 3


def test_a_connection_that_cannot_be_reset_is_thrown_away(shop):
    def break_connection():
        with shop.engine.connect() as connection:
            connection.connection.driver_connection.close()
        return "read"

    shop.flask.add_url_rule("/broken", "broken", break_connection)
    shop.ask("/broken", [])

    assert shop.ask("/core").text == "written"
