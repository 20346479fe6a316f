"""A migration half-way, with something on every admin page: the table, a migrated app with two mistakes, and traffic.

The routes are those of the demo shop; what no route takes goes to legacy. The traffic brings a canary, comparisons with
differences, errors of legacy and paths that no route takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

from tests.browser.shop import Shop, running_shop
from tests.story.front import eventually

TABLE = """\
version: 1
app: half_moved:create_app
legacy: {url: "${LEGACY_URL}", probe: /}
cohort: {by: ["header:X-Client"]}
routes:
  - {name: product-list, path: /products, methods: [GET], target: migrated}
  - {name: product-detail, path: "/products/<int:id>", methods: [GET], target: legacy, canary: 25%, shadow: 100%}
  - {name: api-products, path: /api/products, methods: [GET], target: legacy, shadow: 100%}
  - {name: api-product-detail, path: "/api/products/<int:id>", methods: [GET], target: legacy, shadow: 100%}
  - {name: orders, path: /api/orders, methods: [GET, POST], target: legacy, group: ordering}
  - {name: order-detail, path: "/api/orders/<int:id>", methods: [GET], target: legacy, group: ordering, shadow: 100%}
  - {name: failing-report, path: /fail, methods: [GET], target: legacy}
"""
# The demo's Flask app, which adds a member to a product and returns a price as text. Comparisons may take all the time
# they need: a share of a core is kept for users, of whom there are none here.
APP = """\
import json
import time

from flask import request

import migrated

time.thread_time = lambda: 0.0


def create_app():
    app = migrated.create_app()
    app.after_request(make_mistakes)
    return app


def make_mistakes(response):
    change = {"/api/products/": add_member, "/api/orders/": mistype_price}.get(request.path[:-1])
    if change is not None and response.status_code == 200:
        document = json.loads(response.data)
        change(document)
        response.data = json.dumps(document)
    return response


def add_member(product):
    product["debug"] = True


def mistype_price(order):
    for item in order["items"]:
        item["price_cents"] = str(item["price_cents"])
"""
COMPARED = ("/products/1", "/api/products", "/api/products/3", "/api/orders/1")
PATHS = ("/products", "/api/orders", *COMPARED, "/", "/cart", "/sale", "/account")
_clients, _numbers = count(), count(4700)


@contextmanager
def running_scene(folder: Path, **given: str) -> Iterator[Shop]:
    """Run the front door over the table, with the migrated app that makes mistakes."""
    (folder / "half_moved.py").write_text(APP)
    with running_shop(TABLE, folder, **given) as shop:
        yield shop


def send_traffic(shop: Shop, *, rounds: int, errors: int = 0) -> None:
    """Send each path once a round, each round from a client of its own, and wait for the comparisons."""
    before = count_comparisons(shop)
    connection = HTTPConnection("127.0.0.1", shop.front.port, timeout=60)
    for _ in range(rounds):
        client = {"X-Client": f"client-{next(_clients)}"}
        for path in (*PATHS, *_unrouted()):
            _ask(connection, path, client)
    for _ in range(errors):
        _ask(connection, "/fail", {})
    connection.close()
    eventually(lambda: count_comparisons(shop) >= before + rounds * len(COMPARED))


def _unrouted() -> Iterator[str]:
    """Paths that no route takes: one of each kind a round."""
    number = next(_numbers)
    yield f"/invoices/{number}"
    yield f"/customers/{number % 7}/letters/2026-11-{number % 30 + 1:02}"
    if number % 5 == 0:
        yield "/wp-login.php"


def _ask(connection: HTTPConnection, path: str, headers: dict[str, str]) -> None:
    connection.request("GET", path, headers=headers)
    connection.getresponse().read()


def count_comparisons(shop: Shop) -> int:
    """How many comparisons the store knows of."""
    done = shop.front.overgrow("shadow", "status", "--json")
    if done.returncode != 0:
        return 0
    rows = json.loads(done.stdout)["routes"]
    return sum(row["matched"] + row["ignored"] + row["mismatched"] for row in rows)
