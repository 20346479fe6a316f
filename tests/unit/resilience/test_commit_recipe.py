"""The lines that docs/fallback.md gives to teams, in a real app over SQLite and over PostgreSQL."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path

import pytest
from flask import Flask, abort
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, event, text
from sqlalchemy.orm import Session

from overgrow.exchange import Reply
from overgrow.resilience.commit import TooLate
from overgrow.resilience.fallback import Fallback
from overgrow.routing.model import Timeouts
from overgrow.wsgi.server import WsgiServer
from tests.postgres import server

PAGE = Path(__file__).resolve().parents[3] / "docs/fallback.md"
WAIT_S = 60  # a bound on a wait that succeeds costs nothing


@pytest.fixture
def _recipe():
    """The recipe, word for word, for as long as the test runs."""
    (lines,) = re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    names = {}
    exec(lines, names)
    yield
    event.remove(Engine, "commit", names["before_commit"])


class Shop:
    """An app that writes a row in some way and then fails."""

    def __init__(self, url):
        self.engine = create_engine(url)
        metadata = MetaData()
        Table("orders", metadata, Column("id", Integer, primary_key=True))
        metadata.create_all(self.engine)
        self.flask = Flask("shop")
        self.released = threading.Event()
        self.ended = threading.Event()
        self.raised = []
        for rule in ("session", "core", "rolled_back", "savepoint", "untouched", "late", "at_once"):
            self.flask.add_url_rule(f"/{rule}", rule, getattr(self, rule))

    def session(self):
        with Session(self.engine) as session:
            session.execute(text("insert into orders default values"))
            session.commit()
        abort(500)

    def core(self):
        with self.engine.begin() as connection:
            connection.execute(text("insert into orders default values"))
        raise RuntimeError("the mail server is down")

    def rolled_back(self):
        with Session(self.engine) as session:
            session.execute(text("insert into orders default values"))
            session.flush()
            raise RuntimeError("out of stock")

    def savepoint(self):
        with Session(self.engine) as session:
            # First, as sqlite3 begins no transaction for a savepoint alone.
            session.execute(text("insert into orders default values"))
            with session.begin_nested():
                session.execute(text("insert into orders default values"))
            raise RuntimeError("out of stock")

    def untouched(self):
        raise RuntimeError("nothing was done")

    def at_once(self):
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("insert into orders default values"))
            raise RuntimeError("the mail server is down")

    def late(self):
        assert self.released.wait(WAIT_S)
        try:
            self.session()
        except TooLate as error:
            self.raised.append(error)
            raise
        finally:
            self.ended.set()

    @property
    def orders(self):
        with self.engine.connect() as connection:
            return connection.execute(text("select count(*) from orders")).scalar()


@pytest.fixture(scope="module")
def postgres():
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'shop.sqlite3'}"
    else:
        found = request.getfixturevalue("postgres").database()
        url = found.replace("postgresql:", "postgresql+psycopg:")
    shop = Shop(url)
    yield shop
    shop.engine.dispose()


@pytest.fixture
def visit(shop, side, decided, inbound_of):
    def visited(path, then=None, **timeouts):
        async def scenario():
            local = WsgiServer(shop.flask.wsgi_app, threads=2, queue=2)
            server = Fallback(local, side([Reply(200, [], b"legacy")]))
            decision = decided(timeouts=Timeouts(**timeouts))
            reply = await server.serve(inbound_of(target=path.encode()), decision)
            if then:
                await asyncio.to_thread(then)
            await local.aclose()
            return reply

        return asyncio.run(scenario())

    return visited


@pytest.mark.usefixtures("_recipe")
@pytest.mark.parametrize("path", ["/session", "/core"])
def test_what_was_committed_is_not_done_again_by_legacy(visit, shop, path):
    reply = visit(path)

    assert (reply.status, reply.fallback) == (500, None)
    assert shop.orders == 1


@pytest.mark.usefixtures("_recipe")
@pytest.mark.parametrize("path", ["/rolled_back", "/savepoint", "/untouched"])
def test_what_was_not_committed_is_done_by_legacy(visit, shop, path):
    reply = visit(path)

    assert (reply.body, reply.fallback.status) == (b"legacy", 500)
    assert shop.orders == 0


@pytest.mark.usefixtures("_recipe")
def test_what_a_connection_commits_by_itself_is_not_seen(visit, shop):
    reply = visit("/at_once")

    assert (reply.body, shop.orders) == (b"legacy", 1)


@pytest.mark.usefixtures("_recipe")
def test_a_commit_that_comes_after_the_timeout_is_rolled_back(visit, shop):
    def then():
        shop.released.set()
        assert shop.ended.wait(WAIT_S)

    reply = visit("/late", then, response_s=0.5)

    assert (reply.body, reply.fallback.code) == (b"legacy", "migrated-timeout")
    assert len(shop.raised) == 1
    assert shop.orders == 0


@pytest.mark.usefixtures("_recipe")
def test_a_refused_commit_leaves_nothing_for_the_next_request_to_commit(visit, shop):
    def then():
        shop.released.set()
        assert shop.ended.wait(WAIT_S)

    visit("/late", then, response_s=0.5)
    with shop.engine.begin() as connection:
        connection.execute(text("insert into orders default values"))

    assert shop.orders == 1


@pytest.mark.usefixtures("_recipe")
def test_the_recipe_does_nothing_without_a_front_door(shop):
    answer = shop.flask.test_client().get("/session")

    assert answer.status_code == 500
    assert shop.orders == 1
