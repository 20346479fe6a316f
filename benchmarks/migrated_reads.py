"""What a read of the demo's new shop costs on SQLAlchemy, beside the same read on sqlite3 alone.

    python -m benchmarks reads [--rounds 15] [--requests 200]

Both answer through the same Flask app, in this process, in interleaved rounds; what differs is how the rows come. The
version on sqlite3 opens the file for each request and closes it at the end, as the shop did before. Processor time of
this thread per request, medians.
"""

from __future__ import annotations

import argparse
import io
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask, g

import migrated
from migrated import database
from migrated.orders import queries as order_queries
from migrated.products import queries as product_queries

PATHS = (
    "/products",
    "/products/3",
    "/api/products",
    "/api/products/3",
    "/api/orders",
    "/api/orders/1",
)
GOAL = 1.3
LATEST = (
    "SELECT id, reference, customer, placed_at, total_cents FROM orders ORDER BY id DESC LIMIT 50"
)
LINES = (
    "SELECT product_id AS product, quantity, price_cents FROM order_lines"
    " WHERE order_id = ? ORDER BY position"
)


class RawQueries:
    """The queries of both features on sqlite3, with a connection for each request."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        if "raw" not in g:
            g.raw = sqlite3.connect(self._file, timeout=15, isolation_level=None)
            g.raw.row_factory = sqlite3.Row
        return [dict(row) for row in g.raw.execute(query, values)]

    def products(self, category: str | None = None) -> list[dict[str, Any]]:
        """Return the products."""
        assert category is None
        return [
            product_queries.public(row) for row in self.rows("SELECT * FROM products ORDER BY id")
        ]

    def product(self, number: int) -> dict[str, Any] | None:
        """Return one product."""
        found = self.rows("SELECT * FROM products WHERE id = ?", number)
        return next(map(product_queries.public, found), None)

    def orders(self) -> list[dict[str, Any]]:
        """Return the fifty latest orders."""
        return self.rows(LATEST)

    def order(self, number: int) -> dict[str, Any] | None:
        """Return one order with its lines."""
        found = self.rows("SELECT * FROM orders WHERE id = ?", number)
        return {**found[0], "items": self.rows(LINES, number)} if found else None


@contextmanager
def swapped(raw: RawQueries | None) -> Iterator[None]:
    """Let the views ask `raw` in place of SQLAlchemy."""
    places = [(product_queries, "products"), (product_queries, "product")]
    places += [(order_queries, "orders"), (order_queries, "order")]
    kept = [getattr(module, name) for module, name in places]
    for module, name in places if raw is not None else []:
        setattr(module, name, getattr(raw, name))
    try:
        yield
    finally:
        for (module, name), function in zip(places, kept, strict=True):
            setattr(module, name, function)


def close_raw(_error: BaseException | None) -> None:
    """Close the connection of a request."""
    if (opened := g.pop("raw", None)) is not None:
        opened.close()


def body_of(app: Flask, path: str) -> bytes:
    """Ask the app as a server does; the body of its answer."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }
    answer = app.wsgi_app(environ, lambda *_: None)
    try:
        return b"".join(answer)
    finally:
        answer.close()


def cpu_us(ask: Callable[[], object], requests: int) -> float:
    """Microseconds of this thread per request, after one that is not counted."""
    ask()
    began = time.thread_time()
    for _ in range(requests):
        ask()
    return 1e6 * (time.thread_time() - began) / requests


def measured(folder: Path, rounds: int, requests: int) -> dict[str, tuple[float, float]]:
    """Return microseconds on sqlite3 and on SQLAlchemy by path."""
    file = folder / "shop.sqlite3"
    database.prepare(file)
    app = migrated.create_app({"SHOP_DATA": file})
    app.teardown_appcontext(close_raw)
    raw = RawQueries(file)
    found: dict[str, tuple[float, float]] = {}
    for path in PATHS:
        times: list[list[float]] = [[], []]
        bodies = []
        for turn in range(rounds):
            for side, queries in enumerate((raw, None)):
                with swapped(queries):
                    bodies += [body_of(app, path)] if turn == 0 else []
                    times[side].append(cpu_us(lambda path=path: body_of(app, path), requests))
        assert bodies[0] == bodies[1]
        found[path] = (statistics.median(times[0]), statistics.median(times[1]))
    return found


def main(argv: Sequence[str]) -> int:
    """Print the times: 0, whatever they are."""
    parser = argparse.ArgumentParser("python -m benchmarks reads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=200)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), asked.rounds, asked.requests)
    print(f"{'read':<20}{'sqlite3':>10}{'SQLAlchemy':>12}{'ratio':>8}")
    for path, (raw, new) in found.items():
        print(f"{path:<20}{raw:>7.0f} us{new:>9.0f} us{new / raw:>8.2f}")
    worst = max(new / raw for raw, new in found.values())
    print(f"goal: at most {GOAL}; the highest is {worst:.2f}")
    return 0
