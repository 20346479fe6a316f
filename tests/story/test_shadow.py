"""Copies on a running front door: what they find, what they carry, and that users pay for none of it."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import statistics
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from overgrow.store.engine import store_url
from overgrow.store.reader import open_reader
from tests.story.front import Front, eventually, running_front
from tests.story.shadowed import WITH_APP, groups_in
from tests.story.stub import running_stub

# The shop with one mistake: a price that became text.
SEEDED_APP = """\
from flask import request
import migrated


def create_app():
    app = migrated.create_app()

    @app.after_request
    def mistaken(response):
        if request.path == "/api/products/3":
            body = response.get_json()
            response.set_data(app.json.dumps({**body, "price_cents": str(body["price_cents"])}))
        return response

    return app
"""

# Sleeps through every request, and notes what it was asked.
SLEEPY_APP = """\
import os
import time
from flask import Flask, request


def create_app():
    app = Flask("sleepy", static_folder=None)

    @app.get("/api/products")
    def products():
        time.sleep(5)
        return {}

    return app
"""

NOTING_APP = """\
from pathlib import Path
from flask import Flask, request

SEEN = Path(__file__).with_name("seen")


def create_app():
    app = Flask("noting", static_folder=None)

    def page():
        with SEEN.open("a") as seen:
            seen.write(f"{request.full_path} {request.headers.get('X-Overgrow-Shadow')}\\n")
        return "page"

    for rule in ("/page", "/moved"):
        app.add_url_rule(rule, rule, page)
    return app
"""


# The shop with a page that places an order at GET, and answers even if it could not.
WRITING_APP = """\
import migrated
from migrated.orders import queries
from sqlalchemy.exc import DBAPIError


def create_app():
    app = migrated.create_app()

    @app.get("/page")
    def page():
        try:
            queries.place({"customer": "Ada", "items": []}, {})
        except DBAPIError:
            return "not now"
        return "page"

    return app
"""


class Noting(BaseHTTPRequestHandler):
    """A legacy that notes what was asked, the mark, the host, who asked, and the condition."""

    seen: ClassVar[list[tuple[str | None, ...]]] = []
    left: ClassVar[list[str]] = []  # targets that were held until whoever asked had gone
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        names = ("X-Overgrow-Shadow", "Host", "X-Forwarded-For", "If-None-Match")
        self.seen.append((self.path, *(self.headers[name] for name in names)))
        if self.path.endswith("?held") and self.headers["X-Overgrow-Shadow"]:
            self.connection.recv(1)
            self.left.append(self.path)
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"page")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def noting_legacy() -> Iterator[int]:
    """Run a Noting server; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Noting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Noted:
    """A front door between two sides that note what they are asked."""

    front: Front
    folder: Path

    def by_legacy(self, word: str) -> list[tuple[str | None, ...]]:
        """What legacy saw of the requests whose target ends so."""
        return [seen[1:] for seen in Noting.seen if seen[0].endswith(word)]

    def by_migrated(self, word: str) -> list[str]:
        """The marks that migrated saw on those."""
        told = self.folder / "seen"
        lines = told.read_text().splitlines() if told.exists() else []
        return [line.partition(" ")[2] for line in lines if line.split()[0].endswith(word)]


@pytest.fixture(scope="module")
def noted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noted")
    (folder / "shadow_app.py").write_text(NOTING_APP)
    table = WITH_APP + route("/page") + route("/moved", target="migrated")
    table += "    response_timeout: 1h\n"
    with (
        noting_legacy() as legacy,
        running_front(table, folder, legacy, data=folder / "no.sqlite3") as front,
    ):
        yield Noted(front, folder)


# Legacy is not asked a second time for noise, so that each side is asked as often as a test says.
EVERY = "{percent: 100%, noise: 0%}"


def route(path, *, target="legacy", shadow=EVERY, name=None, more=""):
    name = f"    name: {name}\n" if name else ""
    return (
        f"  - path: {path}\n{name}    methods: [GET]\n    target: {target}\n"
        f"    shadow: {shadow}\n{more}"
    )


def figures(front):
    """What the metrics say of shadowing: {name: {label value: number}}."""
    text = front.get("/metrics", admin=True)[2].decode()
    found = defaultdict(lambda: defaultdict(float))
    for name, label, number in re.findall(
        r'^overgrow_shadow_(\w+?)(?:_total)?(?:\{.*?(?:verdict|reason)="(.*?)"\})? (\S+)$',
        text,
        re.MULTILINE,
    ):
        found[name][label] += float(number)
    return found


def finished(front, count):
    """The figures, once so many copies have come to an end."""

    def all_done():
        now = figures(front)
        # `shadow_total` loses its suffix in the pattern above and is called "total" for it.
        done = sum(now["total"].values()) + sum(now["dropped"].values())
        return now if done >= count else None

    return eventually(all_done)


@pytest.fixture
def app(tmp_path):
    def written(text):
        (tmp_path / "shadow_app.py").write_text(text)
        return WITH_APP

    return written


def test_a_mistake_is_found_with_its_path_and_the_users_see_nothing_of_it(tmp_path, app):
    table = app(SEEDED_APP) + route("/api/products/<int:id>", name="product")
    data = tmp_path / "shop.sqlite3"
    with running_stub(data=data) as legacy:
        with running_front(table, tmp_path, legacy, data=data) as front:
            answers = [front.get(f"/api/products/{number}") for number in (1, 2, 3)]
            found = finished(front, 3)
        group, *others = groups_in(tmp_path)

    assert dict(found["total"]) == {"matched": 2, "mismatched": 1}
    assert [(part.kind, part.path) for part in group.parts] == [("type", "$.price_cents")]
    assert (group.route, group.control, group.count, others) == ("product", "legacy", 1, [])
    assert [status for status, _, _ in answers] == [200, 200, 200]
    assert b'"price_cents": "' not in answers[2][2]


def test_a_copy_of_a_view_that_writes_at_get_writes_nothing_and_is_told(tmp_path, app):
    table = app(WRITING_APP) + route("/page", name="written")
    data = tmp_path / "shop.sqlite3"
    with noting_legacy() as legacy, running_front(table, tmp_path, legacy, data=data) as front:
        answers = [front.get("/page")[0] for _ in range(3)]
        found = finished(front, 3)
        told = re.compile("copies of route written .*")
        log = eventually(lambda: told.search((tmp_path / "serve.log").read_text()))
    with closing(sqlite3.connect(data)) as connection:
        (orders,) = connection.execute("SELECT count(*) FROM orders").fetchone()

    assert answers == [200] * 3
    assert (dict(found["total"]), dict(found["dropped"])) == ({}, {"wrote": 3})
    assert "are not compared: migrated tried to write at GET /page" in log[0]
    assert orders == 3  # those of the seed


def test_the_cookie_that_keeps_a_visitor_on_one_side_is_no_difference(tmp_path, app):
    cohort = "cohort:\n  by: [cookie:overgrow_id]\nlegacy:"
    table = app(SEEDED_APP).replace("legacy:", cohort, 1)
    table += route("/api/products/<int:id>", more="    canary: 10%\n")
    data = tmp_path / "shop.sqlite3"
    with (
        running_stub(data=data) as legacy,
        running_front(table, tmp_path, legacy, data=data) as front,
    ):
        answers = [front.get(f"/api/products/{number}") for number in (1, 2)]
        found = finished(front, 2)

    assert all("overgrow_id=" in headers.get("set-cookie", "") for _, headers, _ in answers)
    assert dict(found["total"]) == {"matched": 2}


def flips_in(folder):
    """What the store's index says of the history; () while there is no store."""
    try:
        return open_reader(store_url(folder / ".overgrow", None)).flips()
    except Exception:  # noqa: BLE001  it is being made
        return ()


def test_the_store_indexes_the_history(tmp_path, app):
    table = app(SEEDED_APP) + route("/api/products/<int:id>", name="product")
    data = tmp_path / "shop.sqlite3"
    with (
        running_stub(data=data) as legacy,
        running_front(table, tmp_path, legacy, data=data) as front,
    ):
        front.get("/api/products/1")
        finished(front, 1)
        done = front.overgrow("flip", "product", "10%", "--reason", "a first try")
        (flip,) = eventually(lambda: flips_in(tmp_path))

    assert done.returncode == 0
    assert ("product", "legacy", "10%", "a first try") == (
        flip.route,
        flip.from_,
        flip.to,
        flip.why,
    )


CONDITION = {"Host": "shop.example", "If-None-Match": '"1"'}


def test_the_mark_reaches_migrated(noted):
    noted.front.get("/page?to-migrated", headers=CONDITION)
    eventually(lambda: noted.by_migrated("?to-migrated"))

    assert noted.by_migrated("?to-migrated") == ["1"]
    assert noted.by_legacy("?to-migrated") == [(None, "shop.example", "127.0.0.1", '"1"')]


def test_after_a_flip_legacy_gets_the_marked_copies(noted):
    noted.front.get("/moved?to-legacy", headers=CONDITION)
    eventually(lambda: noted.by_legacy("?to-legacy"))

    assert noted.by_migrated("?to-legacy") == ["None"]
    assert noted.by_legacy("?to-legacy") == [("1", "shop.example", "127.0.0.1", None)]


def test_a_clients_own_mark_reaches_nobody_and_is_not_copied(noted):
    noted.front.get("/page?forged", headers={"X-Overgrow-Shadow": "1"})
    noted.front.get("/page?last")
    eventually(lambda: noted.by_migrated("?last"))

    assert [mark for mark, *_ in noted.by_legacy("?forged")] == [None]
    assert noted.by_migrated("?forged") == []


def test_a_kill_file_stops_copies(noted):
    front = noted.front
    assert front.overgrow("rollback", "--all").returncode == 0
    eventually(lambda: front.readyz()["killed"])
    while_killed = [front.get("/page?killed")[0] for _ in range(5)]
    assert front.overgrow("resume").returncode == 0
    eventually(lambda: not front.readyz()["killed"])
    front.get("/page?resumed")
    eventually(lambda: noted.by_migrated("?resumed"))

    assert while_killed == [200] * 5
    assert noted.by_migrated("?killed") == []


def test_a_kill_file_breaks_off_copies_under_way(noted):
    front = noted.front
    front.get("/moved?held")
    eventually(lambda: noted.by_legacy("?held"))
    before = [*Noting.left]
    assert front.overgrow("rollback", "--all").returncode == 0
    eventually(lambda: Noting.left)
    assert front.overgrow("resume").returncode == 0
    eventually(lambda: not front.readyz()["killed"])

    assert (before, Noting.left) == ([], ["/moved?held"])


TELLING_APP = """\
import sys
from flask import Flask


def create_app():
    app = Flask("telling", static_folder=None)
    app.add_url_rule("/switches", "switches", lambda: str(sys.getswitchinterval()))
    return app
"""


def test_views_that_compute_give_way_to_users_after_a_millisecond(tmp_path, app):
    table = app(TELLING_APP) + "  - path: /switches\n    target: migrated\n"
    with running_front(table, tmp_path, 1, data=tmp_path / "no.sqlite3") as front:
        told = front.get("/switches")[2]

    assert told == b"0.001"


# An open loop: requests go out when they are due, whether or not the one before was answered.

RATE = 100
SECONDS = 2


async def latencies(port, paths, count):
    """Ask for each path at RATE, in turns; by path the seconds from when each was due, and all bodies."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    took: dict[str, list[float]] = {path: [] for path in paths}
    bodies: set[bytes] = set()
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def one(path, due):
        await asyncio.sleep(due - loop.time())
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        bodies.add(head.split(b" ")[1] + await reader.readexactly(length))
        took[path].append(loop.time() - due)
        idle.append((reader, writer))

    every_s = 1 / (RATE * len(paths))
    asked = [path for _ in range(count) for path in paths]
    dues = [began + at * every_s for at in range(len(asked))]
    await asyncio.wait_for(asyncio.gather(*map(one, asked, dues)), 60)
    for _, writer in idle:
        writer.close()
    return took, bodies


def test_a_shadow_side_that_sleeps_costs_users_nothing(tmp_path, app, shape_report):
    table = app(SLEEPY_APP)
    for name, shadow, copy in [("without", "0%", 0), ("with", "100%", 1)]:
        more = f'    query: {{copy: "{copy}"}}\n'
        table += route("/api/products", name=name, shadow=shadow, more=more)
    paths = [f"/api/products?copy={copy}" for copy in (0, 1)]
    data = tmp_path / "shop.sqlite3"
    with (
        running_stub(data=data) as legacy,
        running_front(table, tmp_path, legacy, data=data) as front,
    ):
        asyncio.run(latencies(front.port, paths, 50))  # warm
        eventually((tmp_path / ".overgrow/store.sqlite3").exists)
        took, bodies = asyncio.run(latencies(front.port, paths, 2 * RATE * SECONDS))
        now = figures(front)

    # In turns: what else this machine does meets both alike.
    without, with_ = (statistics.median(took[path]) for path in paths)
    shape_report.append(
        f"users' median latency with a sleeping shadow: {with_ / without:.2f} times that without"
    )
    assert with_ <= 1.5 * without  # both are measured in turns; a wait for a copy is a hundredfold
    slowest, slowest_with = (max(took[path]) for path in paths)
    assert slowest_with < slowest + 2.5  # half of what the other side sleeps
    assert len(bodies) == 1
    assert now["waiting"][""] <= 256
    assert now["dropped"]["queue-full"] > 0
