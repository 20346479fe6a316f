"""The demo's new shop places an order and then fails: legacy never places it a second time."""

from __future__ import annotations

import http.client
import json
import sqlite3
from contextlib import closing

import pytest

from tests.story.endpoints import ORDER
from tests.story.front import running_front
from tests.story.stub import running_stub

# The shop whose POST fails as a file beside it says: before its commit, or after it.
APP = """\
from pathlib import Path
from flask import request
import migrated
from migrated.orders import queries

WHEN = Path(__file__).with_name("when")


def create_app():
    app = migrated.create_app()
    place = queries.place

    def fail_before(*given):
        if WHEN.read_text() == "before":
            raise ConnectionError("the mail server is down")
        return place(*given)

    @app.after_request
    def fail_after(response):
        if request.method == "POST" and WHEN.read_text() == "after":
            raise ConnectionError("the mail server is down")
        return response

    queries.place = fail_before
    return app
"""
TABLE = """\
version: 1
app: late:create_app
legacy:
  url: ${LEGACY_URL}
routes:
  - name: orders
    path: /api/orders
    methods: [GET, POST]
    target: migrated
    fallback: {unsafe: true}
"""


@pytest.mark.parametrize(
    ("when", "status"),
    [
        pytest.param("never", 201, id="migrated places it"),
        pytest.param("before", 201, id="legacy places it"),
        pytest.param("after", 500, id="nobody places it again"),
    ],
)
def test_an_order_is_placed_once_whenever_migrated_fails(tmp_path, when, status):
    (tmp_path / "late.py").write_text(APP)
    (tmp_path / "when").write_text(when)
    data = tmp_path / "shop.sqlite3"
    with (
        running_stub(data=data) as legacy,
        running_front(TABLE, tmp_path, legacy, data=data) as front,
    ):
        answered = post_order(front.port)
    with closing(sqlite3.connect(data)) as connection:
        (orders,) = connection.execute("SELECT count(*) FROM orders").fetchone()

    assert (answered, orders) == (status, 4)


def post_order(port: int) -> int:
    """Place an order that may be sent again; the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        headers = {"Idempotency-Key": "7", "Content-Type": "application/json"}
        connection.request("POST", "/api/orders", json.dumps(ORDER), headers)
        return connection.getresponse().status
