"""The moved features answer as the legacy shop: each request goes to three shops, byte for byte.

Legacy as a process, the Flask app in the test client, and the Flask app under gunicorn. Each has a
data file of its own, seeded by itself, and all get the same requests in the same order.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import migrated
from tests.story.endpoints import JSON, ORDER, Endpoint, order
from tests.story.stub import HOST, ROOT, Answer, answer_of, comparable, running_stub

ADDRESSES = [
    "/products",
    "/products?category=tools",
    "/products?category=nothing",
    "/products?category=",
    "/products?category=seeds&category=tools",
    "/products?category=%ff",
    "/products?category=a+b&x",
    "/products/1",
    "/products/2",
    "/products/3",
    "/products/7",
    "/products/8",
    "/products/007",
    "/%70roducts/1",
    "/products/0",
    "/products/99",
    "/products/-1",
    "/products/9223372036854775808",
    "/products/seeds",
    "/products/1/",
    "/products/",
    "/api//products",
    "/api/products",
    "/api/products?category=plants",
    "/api/products/12",
    "/api/products/99",
    "/api/products/x",
    "/api/orders",
    "/api/orders/1",
    "/api/orders/3",
    "/api/orders/99",
    "/api/orders/9223372036854775808",
    "/api/orders/x",
    "/api/orders/",
]
METHODS = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND"]
HEADERS = [
    pytest.param(("Accept-Encoding", "gzip"), id="gzip"),
    pytest.param(("Accept-Encoding", "br, GZIP ; q=0.5"), id="gzip with a weight"),
    pytest.param(("Accept-Encoding", "gzip;q=0.0"), id="gzip refused"),
    pytest.param(("Accept-Encoding", "*"), id="any coding is not gzip"),
    pytest.param(("If-None-Match", "*"), id="any tag"),
    pytest.param(("If-None-Match", '"other", W/"another"'), id="other tags"),
    pytest.param(("If-None-Match", "not a tag"), id="malformed tag"),
]
# The next feature's requests go here: a list of Endpoint.
MOVED = [Endpoint(method, address) for address in ADDRESSES for method in METHODS]


class Shops:
    """The three shops, asked in step."""

    def __init__(self, legacy: int, client: FlaskClient, served: int) -> None:
        self.legacy, self.client, self.served = legacy, client, served

    def agree(self, endpoint: Endpoint) -> Answer:
        legacy = answer_of(self.legacy, endpoint)
        assert self.alone(endpoint) == legacy
        assert answer_of(self.served, endpoint) == legacy
        return legacy

    def alone(self, endpoint: Endpoint) -> Answer:
        response = self.client.open(
            endpoint.path,
            method=endpoint.method,
            headers=[("Host", HOST), *endpoint.headers],
            data=endpoint.body,
        )
        return Answer(response.status_code, comparable(list(response.headers)), response.data)


@contextmanager
def served(data: Path) -> Iterator[int]:
    """Run the Flask app under gunicorn's threads, and yield its port."""
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "4"]
    command += ["--bind", "127.0.0.1:0", "--no-control-socket", "migrated:create_app()"]
    environment = {**os.environ, "SHOP_DATA": str(data), "SHOP_FROZEN": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            lines = (
                re.search(r"Listening at: http://[\d.]+:(\d+)", line) for line in process.stderr
            )
            yield int(next(found for found in lines if found)[1])
        finally:
            process.terminate()
            process.communicate(timeout=60)


@pytest.fixture(scope="module")
def shops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shops")
    config = {"SHOP_DATA": folder / "alone.sqlite3", "SHOP_FROZEN": True, "TESTING": True}
    client = migrated.create_app(config).test_client()
    with (
        running_stub(data=folder / "legacy.sqlite3") as legacy,
        served(folder / "served.sqlite3") as port,
    ):
        yield Shops(legacy, client, port)


@pytest.mark.parametrize("endpoint", MOVED, ids=str)
def test_every_moved_address_answers_every_method_alike(shops, endpoint):
    shops.agree(endpoint)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/products", "/products/3", "/api/products", "/api/products/3"])
def test_products_treat_conditions_and_codings_alike(shops, path, method, header):
    shops.agree(Endpoint(method, path, (header,)))


@pytest.mark.parametrize("path", ["/products", "/products/3", "/api/products", "/api/products/3"])
def test_a_tag_from_one_shop_is_known_to_the_other(shops, path):
    etag = dict(shops.agree(Endpoint("GET", path)).headers)["etag"]

    statuses = [
        shops.agree(Endpoint(method, path, (("If-None-Match", sent),))).status
        for method in ("GET", "HEAD")
        for sent in (etag, etag.removeprefix("W/"), f'"x", {etag}')
    ]

    assert statuses == [304] * 6


def test_gzip_is_really_used(shops):
    answer = shops.agree(Endpoint("GET", "/products", (("Accept-Encoding", "gzip"),)))

    assert ("content-encoding", "gzip") in answer.headers


def line(**fields: object) -> dict[str, object]:
    return {"customer": "Ada", "items": [fields]}


@pytest.mark.parametrize(
    ("value", "status"),
    [
        pytest.param(ORDER, 201, id="one line"),
        pytest.param({**ORDER, "items": ORDER["items"] * 50}, 201, id="fifty equal lines"),
        pytest.param({**ORDER, "note": "x"}, 201, id="a field nobody knows"),
        pytest.param({**ORDER, "customer": "Zoë <b>&'\""}, 201, id="characters to escape"),
        pytest.param(line(product=1, quantity=99), 201, id="the most of one"),
        pytest.param(line(product=1, quantity=100), 400, id="more than the most"),
        pytest.param(line(product=1, quantity=0), 400, id="none"),
        pytest.param(line(product=1, quantity=True), 400, id="true is no number"),
        pytest.param(line(product=1.0, quantity=1), 400, id="a float is no product"),
        pytest.param(line(product="1", quantity=1), 400, id="a text is no product"),
        pytest.param(line(product=[1], quantity=1), 400, id="a list is no product"),
        pytest.param(line(product=99, quantity=1), 400, id="unknown product"),
        pytest.param(line(product=10**30, quantity=1), 400, id="a number beyond SQLite"),
        pytest.param(line(product=4, quantity=1), 409, id="sold out"),
        pytest.param(line(), 400, id="empty line"),
        pytest.param({"customer": "Ada", "items": []}, 400, id="empty cart"),
        pytest.param({"customer": "Ada", "items": ORDER["items"] * 51}, 400, id="too many lines"),
        pytest.param({"customer": "Ada", "items": {"0": 1}}, 400, id="items no list"),
        pytest.param({"customer": "Ada", "items": [1, None]}, 400, id="lines no objects"),
        pytest.param({"customer": "Ada"}, 400, id="no items"),
        pytest.param({**ORDER, "customer": " "}, 400, id="blank customer"),
        pytest.param({**ORDER, "customer": "x" * 81}, 400, id="long customer"),
        pytest.param({**ORDER, "customer": "a\nb"}, 400, id="control character"),
        pytest.param({**ORDER, "customer": "\ud800"}, 400, id="lone surrogate"),
        pytest.param({**ORDER, "customer": 7}, 400, id="customer no text"),
        pytest.param({}, 400, id="empty object"),
        pytest.param([], 400, id="list"),
        pytest.param(None, 400, id="null"),
    ],
)
def test_an_order_is_taken_or_refused_alike(shops, value, status):
    assert shops.agree(order(value)).status == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="empty"),
        pytest.param(b"{", 400, id="cut off"),
        pytest.param(b"\xff\xfe", 400, id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", 400, id="byte order mark"),
        pytest.param(b"NaN", 400, id="not a number"),
        pytest.param(b"9" * 5000, 400, id="a number of 5000 digits"),
        pytest.param(b"[" * 30_000, 400, id="nested beyond reason"),
        pytest.param(b" " * 65_537, 413, id="one byte too many"),
        pytest.param(json.dumps(ORDER).encode().ljust(65_536), 201, id="as long as may be"),
    ],
)
def test_a_body_is_read_alike(shops, body, status):
    assert shops.agree(Endpoint("POST", "/api/orders", (JSON,), body)).status == status


def chunked_order(port: int, pieces: list[bytes]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        connection.request("POST", "/api/orders", iter(pieces), {"Host": HOST}, encode_chunked=True)
        response = connection.getresponse()
        return response.status, response.read()


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        pytest.param([b'{"customer": "Ada"', b', "items": []}'], 400, id="small"),
        pytest.param([b" " * 65_536, b" "], 413, id="one byte too many"),
    ],
)
def test_a_body_in_chunks_is_read_alike(shops, pieces, status):
    answers = [chunked_order(port, pieces) for port in (shops.legacy, shops.served)]

    assert answers[0][0] == status
    assert answers[1] == answers[0]


def test_the_content_type_of_an_order_does_not_matter(shops):
    body = json.dumps(ORDER).encode()
    kinds = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]

    statuses = [
        shops.agree(Endpoint("POST", "/api/orders", (("Content-Type", kind),), body)).status
        for kind in kinds
    ]

    assert statuses == [201] * 3


def test_an_order_placed_can_be_read_alike(shops):
    location = dict(shops.agree(order(ORDER)).headers)["location"]

    shops.agree(Endpoint("GET", "/api/orders"))
    placed = json.loads(shops.agree(Endpoint("GET", location)).body)
    assert placed["items"] == [{"price_cents": 410, "product": 3, "quantity": 2}]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 120) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
LINES = st.fixed_dictionaries(
    {},
    optional={"product": st.integers(0, 14) | VALUES, "quantity": st.integers(0, 101) | VALUES},
)
ORDERS = VALUES | st.fixed_dictionaries(
    {},
    optional={
        "customer": st.text(max_size=90) | VALUES,
        "items": st.lists(LINES | VALUES) | VALUES,
    },
)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(value=ORDERS)
def test_any_order_is_answered_alike(shops, value):
    shops.agree(order(value))
