"""End users must never notice: what legacy answers directly, it answers through the front door."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect

from tests.story.endpoints import BREAKS, ENDLESS, ENDPOINTS, REFLECTS, UPGRADES, Endpoint
from tests.story.front import running_front
from tests.story.stub import HOST, answer_of, running_stub

ALL_LEGACY = """\
version: 1
app: migrated:create_app
legacy:
  url: ${LEGACY_URL}
routes:
"""
PRODUCTS_AND_ORDERS = (
    ("product-list", "/products", "GET"),
    ("product-detail", "/products/<int:id>", "GET"),
    ("api-products", "/api/products", "GET"),
    ("api-product-detail", "/api/products/<int:id>", "GET"),
    ("orders", "/api/orders", "GET, POST"),
    ("order-detail", "/api/orders/<int:id>", "GET"),
)


def table(target):
    entries = [
        f"  - name: {name}\n    path: {path}\n    methods: [{methods}]\n    target: {target}\n"
        for name, path, methods in PRODUCTS_AND_ORDERS
    ]
    return ALL_LEGACY + "".join(entries)


def path_of(endpoint):
    return endpoint.path.partition("?")[0]


def is_endless(endpoint):
    return path_of(endpoint) in ENDLESS and "count=" not in endpoint.path


PLAIN = [
    endpoint
    for endpoint in ENDPOINTS
    if path_of(endpoint) not in REFLECTS | UPGRADES | BREAKS and not is_endless(endpoint)
]


@pytest.fixture(scope="module", params=["legacy", "migrated"])
def pair(request, tmp_path_factory):
    """A stub asked directly, and another behind the front door, each over fresh data."""
    folder = tmp_path_factory.mktemp(request.param)
    behind = folder / "behind.sqlite3"
    with ExitStack() as stack:
        direct = stack.enter_context(running_stub(data=folder / "direct.sqlite3"))
        legacy = stack.enter_context(running_stub(data=behind))
        front = stack.enter_context(
            running_front(table(request.param), folder, legacy, data=behind, OVERGROW_SECRET="s")
        )
        yield direct, front, request.param


def test_every_endpoint_answers_alike(pair):
    """One test on purpose: both sides must be asked the same things in the same order."""
    direct, front, _ = pair
    different = []
    for endpoint in PLAIN:
        expected, actual = answer_of(direct, endpoint), answer_of(front.port, endpoint)
        if expected != actual:
            different.append((str(endpoint), expected, actual))

    assert [] == different
    assert len(PLAIN) > 40


def test_a_flip_changes_x_overgrow_and_nothing_else(pair):
    _, front, target = pair
    shown = {
        path: front.get(path)[1]["X-Overgrow"].partition("; reason")[0]
        for path in ("/products", "/products/1", "/api/products", "/api/orders", "/cart")
    }

    assert {
        "/products": f"route=product-list; side={target}",
        "/products/1": f"route=product-detail; side={target}",
        "/api/products": f"route=api-products; side={target}",
        "/api/orders": f"route=orders; side={target}",
        "/cart": "route=default; side=legacy",
    } == shown


def test_a_body_that_breaks_is_seen_to_break(pair):
    _, front, _ = pair
    with socket.create_connection(("127.0.0.1", front.port), timeout=60) as client:
        client.sendall(f"GET {next(iter(BREAKS))} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        seen = read_to_the_end(client)

    head, _, body = seen.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert len(body) < length


def read_to_the_end(client):
    seen = b""
    while True:
        try:
            chunk = client.recv(65536)
        except ConnectionResetError:
            return seen
        if not chunk:
            return seen
        seen += chunk


def events(port):
    """The first three events of the endless stream."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(f"GET /events HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        seen = b""
        while seen.count(b"data:") < 4:
            seen += client.recv(65536)
    lines = [
        line for line in seen.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data:")
    ]
    return lines[:3]


def test_an_endless_stream_is_passed_on_as_it_comes(pair):
    direct, front, _ = pair

    assert events(direct) == events(front.port)


def echoed(port, endpoint):
    answer = answer_of(port, endpoint)
    return json.loads(answer.body)


ECHOES = [
    pytest.param(Endpoint("GET", "/echo?a=%2F&b=%zz&&c"), id="a query nobody may tidy"),
    pytest.param(
        Endpoint("GET", "/echo", (("X-A", "1"), ("x-b", "2"), ("X-A", "3"))), id="duplicates"
    ),
    pytest.param(Endpoint("POST", "/echo", (), b"\x00\xff" * 70_000), id="a binary body"),
    pytest.param(Endpoint("PUT", "/echo", (("Content-Type", "a/b"),), b""), id="an empty body"),
    pytest.param(Endpoint("DELETE", "/echo", (("Cookie", "a=1; b=2"),)), id="cookies"),
]
ADDED = {"via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"}


@pytest.mark.parametrize("endpoint", ECHOES)
def test_legacy_sees_the_request_as_it_was_sent(pair, endpoint):
    direct, front, _ = pair
    expected, actual = echoed(direct, endpoint), echoed(front.port, endpoint)
    for one in (expected, actual):
        one["headers"] = [
            [name.lower(), value] for name, value in one["headers"] if name.lower() not in ADDED
        ]

    assert expected == actual


def conversation(port):
    """What a client of the WebSocket echo sees: subprotocol, extensions, answers, how it ends."""
    with connect(f"ws://127.0.0.1:{port}/ws", subprotocols=["chat", "echo"]) as client:
        seen = [client.subprotocol, client.response.headers.get("Sec-WebSocket-Extensions")]
        for message in ("h\u00e9llo", b"\x00\xff" * 50_000, ""):
            client.send(message)
            seen.append(client.recv(timeout=60))
        client.ping().wait(60)
        client.close(4_321, "bye")
    return [*seen, client.close_code, client.close_reason]


def test_a_websocket_is_a_tunnel_nobody_reads(pair):
    direct, front, _ = pair

    assert conversation(direct) == conversation(front.port)


def test_a_refused_websocket_is_relayed(pair):
    """RFC 6455 4.4: legacy, not the front door, says which version it wants."""
    direct, front, _ = pair
    asked = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "7"))
    endpoint = Endpoint("GET", "/ws", asked)
    expected, actual = answer_of(direct, endpoint), answer_of(front.port, endpoint)

    assert 400 <= expected.status < 500
    hop_by_hop = {"upgrade"}
    assert (
        expected._replace(headers=[pair for pair in expected.headers if pair[0] not in hop_by_hop])
        == actual
    )


def test_a_legacy_app_that_is_down_leaves_migrated_routes_alone(tmp_path):
    data = tmp_path / "shop.sqlite3"
    with running_stub(data=data):
        pass  # it leaves its data behind and its port closed
    with running_front(table("migrated"), tmp_path, 1, data=data) as front:
        down, up = front.get("/cart"), front.get("/api/products")

    assert (502, "legacy-connect") == (down[0], down[1]["X-Overgrow-Error"])
    assert b"The application could not be reached.\n" == down[2]
    assert 200 == up[0]
