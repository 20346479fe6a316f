"""The new shop as a Flask app: it stands alone, and shares its data with legacy."""

from __future__ import annotations

import fcntl
import gc
import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import delete, func, select

import migrated
from migrated import answers, database
from migrated.orders.models import OrderLine
from tests.locking import waits_for
from tests.story.endpoints import ORDER, Endpoint, order
from tests.story.stub import ROOT, answer_of, running_stub


@pytest.fixture
def app(tmp_path):
    return migrated.create_app({"SHOP_DATA": tmp_path / "shop.sqlite3", "TESTING": True})


def test_the_app_makes_its_data_when_it_runs_alone(app):
    listed = app.test_client().get("/api/products").json["products"]

    assert len(listed) == 12


def test_the_factory_opens_nothing(tmp_path):
    migrated.create_app({"SHOP_DATA": tmp_path / "shop.sqlite3"})

    assert list(tmp_path.iterdir()) == []


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SHOP_DATA", "elsewhere.sqlite3")
    monkeypatch.setenv("SHOP_FROZEN", "1")

    config = migrated.create_app().config

    assert (config["SHOP_DATA"], config["SHOP_FROZEN"]) == ("elsewhere.sqlite3", True)


def test_an_app_that_is_not_frozen_gives_each_order_a_reference(app):
    client = app.test_client()

    references = {client.post("/api/orders", json=ORDER).json["reference"] for _ in range(3)}

    assert len(references) == 3


def test_every_page_finds_its_stylesheet(app):
    response = app.test_client().get("/static/shop.css")

    assert (response.status_code, response.mimetype) == (200, "text/css")
    response.close()


def test_a_transaction_that_fails_leaves_nothing(app):
    def fail_half_way() -> None:
        with database.transaction() as session:
            session.execute(delete(OrderLine))
            raise ZeroDivisionError

    with app.test_request_context():
        with pytest.raises(ZeroDivisionError):
            fail_half_way()

        assert database.rows(select(func.count().label("lines")).select_from(OrderLine)) == [
            {"lines": 5}
        ]


def test_the_connection_of_a_request_is_returned_with_it(app):
    with app.test_request_context():
        database.rows(select(1))
        pool = database.db.engine.pool
        held = pool.checkedout()

    assert (held, pool.checkedout()) == (1, 0)


def test_the_connections_of_an_app_are_closed_with_it(tmp_path):
    app = migrated.create_app({"SHOP_DATA": tmp_path / "shop.sqlite3"})
    with app.app_context():
        database.rows(select(1))
        opened = database.db.engine.raw_connection()
        driver = opened.driver_connection
        opened.close()

    del app
    gc.collect()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        driver.execute("SELECT 1")


def test_a_transaction_takes_the_write_lock_before_it_reads(app, tmp_path):
    """Otherwise what legacy writes in between makes SQLite refuse every write of this one."""
    with (
        app.test_request_context(),
        database.transaction(),
        closing(sqlite3.connect(tmp_path / "shop.sqlite3", timeout=0)) as legacy,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        legacy.execute("BEGIN IMMEDIATE")


def test_a_request_that_has_read_may_still_write(app, tmp_path):
    with app.test_request_context():
        database.rows(select(OrderLine.position))
        with closing(sqlite3.connect(tmp_path / "shop.sqlite3", isolation_level=None)) as legacy:
            legacy.execute("DELETE FROM order_lines WHERE order_id = 1")

        with database.transaction() as session:
            session.execute(delete(OrderLine).where(OrderLine.order_id == 2))

        assert {row["order_id"] for row in database.rows(select(OrderLine.order_id))} == {3}


def test_the_server_hears_of_an_order_before_it_is_committed(app, tmp_path):
    told = []

    def commit():
        with closing(sqlite3.connect(tmp_path / "shop.sqlite3")) as legacy:
            told.append(legacy.execute("SELECT count(*) FROM orders").fetchone())

    app.test_client().post("/api/orders", json=ORDER, environ_base={"overgrow.commit": commit})

    assert told == [(3,)]


def test_an_order_that_comes_too_late_is_not_written(app):
    def refuse():
        raise TimeoutError

    app.testing = False
    client = app.test_client()
    answer = client.post("/api/orders", json=ORDER, environ_base={"overgrow.commit": refuse})

    assert answer.status_code == 500
    assert len(client.get("/api/orders").json["orders"]) == 3


def test_a_copy_writes_nothing_and_tells_so(app):
    told = []
    copy = {"overgrow.shadow": True, "overgrow.wrote": lambda: told.append("wrote")}
    app.testing = False
    client = app.test_client()

    read = client.get("/api/orders", environ_overrides=copy)
    refused = client.post("/api/orders", json=ORDER, environ_overrides=copy)
    placed = client.post("/api/orders", json=ORDER)

    assert (read.status_code, refused.status_code, placed.status_code) == (200, 500, 201)
    assert (told, placed.json["id"]) == (["wrote"], 4)


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True), ("br, GZIP; q=0.1", True), ("gzip;q=0", False), ("gzip;q=0.00", False),
        ("gzip;q=0.", False), ("br", False), ("*", False), ("", False),
    ],
)  # fmt: skip
def test_gzip_is_used_for_those_who_name_it_here_too(accepted, takes):
    assert answers.takes_gzip(accepted) is takes


def test_the_shops_data_is_seeded_by_one_process_at_a_time(tmp_path):
    @contextmanager
    def held():
        with (tmp_path / "shop.sqlite3.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    assert waits_for(held(), lambda: database.prepare(tmp_path / "shop.sqlite3"))


def test_both_shops_take_orders_into_one_file_at_the_same_time(tmp_path):
    data = tmp_path / "shop.sqlite3"
    app = migrated.create_app({"SHOP_DATA": data, "TESTING": True})

    def place(turn: int) -> int:
        if turn % 2:
            return json.loads(answer_of(port, order(ORDER)).body)["id"]
        return app.test_client().post("/api/orders", json=ORDER).json["id"]

    with running_stub(data=data) as port, ThreadPoolExecutor(8) as clients:
        placed = sorted(clients.map(place, range(80)))
        seen = app.test_client().get("/api/orders/83").json
        told = json.loads(answer_of(port, Endpoint("GET", "/api/orders/83")).body)

    assert placed == list(range(4, 84))
    assert seen == told


def test_both_shops_seed_the_same_data_and_wear_the_same_style():
    for name in ("shop.sql", "static/shop.css"):
        assert (ROOT / "migrated" / name).read_bytes() == (ROOT / "legacy_stub" / name).read_bytes()


def test_the_flask_command_serves_it_alone():
    listed = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "migrated", "routes"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    assert "/api/orders/<int:id>" in listed


def test_the_guide_for_newcomers_names_every_module_and_folder():
    folder = ROOT / "migrated"
    guide = (folder / "README.md").read_text()
    parts = {path.name for path in folder.rglob("*.py")} | {
        f"{path.name}/" for path in folder.iterdir() if path.is_dir()
    }

    assert {part for part in parts if part not in guide} - {"__pycache__/"} == set()


def imported(code: str, *flags: str) -> set[str]:
    """Run code in a Python of its own and return the first names of the modules it loaded."""
    code = f"{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    command = [sys.executable, *flags, "-c", f"import sys; sys.path.insert(0, '.')\n{code}"]
    return set(subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout.split())  # fmt: skip


def test_the_new_shop_never_loads_the_front_door_or_legacy():
    loaded = imported("import migrated; migrated.create_app()")

    assert loaded & {"overgrow", "legacy_stub", "migrated", "httpx"} == {"migrated"}


def test_the_legacy_shop_loads_nothing_but_the_standard_library():
    loaded = imported("import legacy_stub.__main__", "-S")

    assert loaded - sys.stdlib_module_names - {"__main__"} == {"legacy_stub"}
