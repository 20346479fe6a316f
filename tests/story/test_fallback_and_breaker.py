"""Migrated fails in every way it can, and users are served; legacy fails, and they are told when to come back."""

from __future__ import annotations

import http.client
import http.server
import json
import re
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from overgrow.resilience.breaker import MIGRATED_POLICY
from overgrow.resilience.reset_files import request_reset
from tests.ports import free_port
from tests.story.front import Front, eventually, running_front
from tests.story.stub import running_stub

FAILING_APP = '''\
"""An app that does what a file beside it says, and notes each POST."""
import time
from pathlib import Path
from flask import Flask, request

HERE = Path(__file__).parent


def create_app():
    app = Flask("failing")
    inner = app.wsgi_app

    def wsgi_app(environ, start_response):
        if (HERE / "mood").read_text() == "crash":
            raise OSError("out of file handles")
        return inner(environ, start_response)

    def answer(**_):
        if request.method == "POST":
            with (HERE / "posts").open("a") as posts:
                posts.write("x")
        mood = (HERE / "mood").read_text()
        if mood == "500":
            raise KeyError("name")
        if mood == "slow":
            time.sleep(0.6)
        if mood == "404":
            return "not here", 404
        return "migrated"

    for rule in ("/api/products", "/api/orders", "/api/products/<int:id>"):
        app.add_url_rule(rule, rule, answer, methods=["GET", "POST"])
    app.wsgi_app = wsgi_app
    return app
'''
TABLE = """\
version: 1
app: failing:create_app
legacy:
  url: ${LEGACY_URL}
routes:
  - name: products
    path: /api/products
    methods: [GET]
    target: migrated
    fallback: true
    response_timeout: 300ms
  - name: orders
    path: /api/orders
    methods: [GET, POST]
    target: migrated
    fallback: true
  - name: alone
    path: /api/products/<int:id>
    methods: [GET]
    target: migrated
"""
LEGACY_TABLE = """\
version: 1
app: failing:create_app
legacy:
  url: ${LEGACY_URL}
  breaker: ${BREAKER:-false}
routes:
  - name: cart
    path: /cart
    target: legacy
"""
ORDER = json.dumps({"customer": "Grace", "items": [{"product": 3, "quantity": 1}]}).encode()
ENOUGH = MIGRATED_POLICY.min_answers


def set_mood(front: Front, mood: str) -> None:
    (front.config.parent / "mood").write_text(mood)


@pytest.fixture
def front(tmp_path: Path):
    with ExitStack() as stack:
        (tmp_path / "failing.py").write_text(FAILING_APP)
        (tmp_path / "mood").write_text("well")
        data = tmp_path / "shop.sqlite3"
        legacy = stack.enter_context(running_stub(data=data))
        yield stack.enter_context(running_front(TABLE, tmp_path, legacy, data=data))


@pytest.fixture
def orphan(tmp_path: Path):
    """A front door whose legacy is down, and has breakers."""
    (tmp_path / "failing.py").write_text(FAILING_APP)
    with running_front(
        LEGACY_TABLE, tmp_path, free_port(), data=tmp_path / "shop.sqlite3", BREAKER="true"
    ) as running:
        yield running


def post(front: Front, path: str, body: bytes) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def how(headers: Any) -> str:
    """Who answered and why, as X-Overgrow has it."""
    found = re.search(r"side=(\w+); reason=([\w-]+)", headers["X-Overgrow"])
    assert found
    return f"{found[1]} {found[2]}"


def fallbacks(front: Front) -> dict[str, float]:
    """The fallbacks counted so far, by route and code."""
    text = front.get("/metrics", admin=True)[2].decode()
    lines = re.findall(r"^overgrow_fallbacks_total\{(.*)\} (\S+)$", text, re.MULTILINE)
    return {" ".join(sorted(re.findall(r'"(.*?)"', labels))): float(n) for labels, n in lines}


def test_users_get_legacys_answer_however_migrated_fails(front):
    well = front.get("/api/products")
    seen = []
    for mood in ("crash", "500", "slow"):
        set_mood(front, mood)
        status, headers, body = front.get("/api/products")
        seen.append((status, how(headers), b'"name"' in body, headers["X-Overgrow-Error"]))

    assert (well[2], how(well[1])) == (b"migrated", "migrated target")
    assert seen == [(200, "legacy fallback", True, None)] * 3
    assert fallbacks(front) == {
        "500 products": 1,
        "migrated-crash products": 1,
        "migrated-timeout products": 1,
    }


def test_what_must_not_fall_back_does_not(front):
    set_mood(front, "404")
    missing = front.get("/api/products")
    set_mood(front, "500")
    alone = front.get("/api/products/1")
    before = front.get("/api/orders")
    posted = post(front, "/api/orders", ORDER)
    after = front.get("/api/orders")

    assert (missing[0], how(missing[1])) == (404, "migrated target")
    assert (alone[0], how(alone[1])) == (500, "migrated target")
    assert (posted.status, how(posted.headers)) == (500, "migrated target")
    assert (front.config.parent / "posts").read_text() == "x"
    assert (how(after[1]), after[2]) == ("legacy fallback", before[2])  # no order was made


def test_a_breaker_opens_for_all_methods_and_closes_by_probe_or_reset(front):
    set_mood(front, "500")
    began_s = time.monotonic()
    failing = [how(front.get("/api/orders")[1]) for _ in range(ENOUGH + 5)]
    posted = post(front, "/api/orders", ORDER)
    untouched = front.get("/api/products/1")
    set_mood(front, "well")
    eventually(lambda: how(front.get("/api/orders")[1]) == "migrated target", every_s=0.1)
    rested_s = time.monotonic() - began_s
    request_reset(front.config.parent / ".overgrow", "orders")
    eventually(lambda: {how(front.get("/api/orders")[1]) for _ in range(20)} == {"migrated target"})

    assert failing == ["legacy fallback"] * ENOUGH + ["legacy breaker"] * 5
    assert (posted.status, how(posted.headers)) == (201, "legacy breaker")
    assert how(untouched[1]) == "migrated target"
    assert rested_s >= MIGRATED_POLICY.open_s
    # Later the breaker would have closed without the reset.
    assert time.monotonic() - began_s < MIGRATED_POLICY.open_s + MIGRATED_POLICY.recovery_s


def test_without_fallback_an_open_breaker_is_503_with_retry_after(front):
    set_mood(front, "crash")
    statuses = [front.get("/api/products/1")[0] for _ in range(ENOUGH)]
    status, headers, _ = front.get("/api/products/1")

    assert statuses == [500] * ENOUGH
    assert (status, headers["X-Overgrow-Error"]) == (503, "migrated-open")
    assert 1 <= int(headers["Retry-After"]) <= MIGRATED_POLICY.open_s


def test_legacy_that_comes_back_is_asked_at_once(tmp_path):
    (tmp_path / "failing.py").write_text(FAILING_APP)
    port, data = free_port(), tmp_path / "shop.sqlite3"
    with running_front(LEGACY_TABLE, tmp_path, port, data=data) as front:
        down = {front.get("/cart")[0] for _ in range(2 * ENOUGH)}
        with listening_at(port):
            up = {front.get("/cart")[0] for _ in range(ENOUGH)}

    assert ({502}, {200}) == (down, up)


@contextmanager
def listening_at(port: int):
    """A legacy app that answers everything with 200, on a given port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _Fine)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Fine(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args):
        """Say nothing."""


def test_legacy_that_is_down_is_left_alone_where_a_route_takes_the_request(orphan):
    codes = [orphan.get("/cart")[1]["X-Overgrow-Error"] for _ in range(ENOUGH)]
    status, headers, _ = orphan.get("/cart")
    elsewhere = orphan.get("/products")

    assert codes == ["legacy-connect"] * ENOUGH
    assert (status, headers["X-Overgrow-Error"]) == (503, "legacy-open")
    assert int(headers["Retry-After"]) >= 1
    assert (elsewhere[0], elsewhere[1]["X-Overgrow-Error"]) == (502, "legacy-connect")
