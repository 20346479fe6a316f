"""The WSGI mount under real servers: gunicorn gthread, `flask run --debug`, the test client."""

from __future__ import annotations

import hashlib
import re

import flask
import pytest

from overgrow.observe.access_log.writer import AccessLog
from tests.wire.apps import gthread_app
from tests.wire.apps.gthread_legacy import Legacy
from tests.wire.apps.running import (
    APP,
    Running,
    chunk,
    read_to_end,
    read_until,
    request,
    settings,
)

BODY = bytes(range(256)) * 1000
DIGEST = f"{len(BODY)} {hashlib.sha256(BODY).hexdigest()}".encode()
SIDES = pytest.mark.parametrize("side", ["legacy", "migrated"])
PREFIX = {"legacy": "", "migrated": "/m"}

GUNICORN = [
    "gunicorn", "-k", "gthread", "--threads", "8", "-b", "127.0.0.1:{port}",
    "--no-control-socket", "--log-level", "warning",
]  # fmt: skip


@pytest.fixture(scope="module")
def legacy():
    with Legacy() as running:
        yield running


@pytest.fixture(scope="module")
def gthread_of_module(legacy, tmp_path_factory):
    server = Running([*GUNICORN, f"{APP}:create_app()"], legacy, tmp_path_factory.mktemp("gthread"))
    yield server
    server.stop()


@pytest.fixture
def gthread(gthread_of_module):
    gthread_of_module.forget()
    return gthread_of_module


@pytest.fixture
def started(legacy, tmp_path):
    """Start one more server for a test of its own."""
    running = []

    def start(*command):
        running.append(Running(command, legacy, tmp_path))
        return running[-1]

    legacy.notes.clear()
    yield start
    for server in running:
        server.stop()


def test_both_sides_are_served_under_one_address(gthread):
    migrated = gthread.answer("GET /m/hello HTTP/1.1")
    legacy = gthread.answer("GET /products?page=2 HTTP/1.1")

    assert migrated.startswith(b"HTTP/1.1 200 OK")
    assert b"hello from" in migrated
    assert re.search(rb"(?i)x-overgrow: route=m-all; side=migrated; reason=target", migrated)
    assert legacy.endswith(b"\r\n\r\n/products?page=2")
    assert re.search(rb"(?i)x-overgrow: route=default; side=legacy; reason=default", legacy)


@SIDES
def test_exactly_one_date_and_one_framing_header_go_out(gthread, side):
    head = gthread.answer(f"GET {PREFIX[side]}/hello HTTP/1.1").partition(b"\r\n\r\n")[0].lower()

    assert head.count(b"\r\ndate:") == 1
    assert head.count(b"\r\ncontent-length:") + head.count(b"\r\ntransfer-encoding:") == 1


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/%ff", id="bytes that are no UTF-8"),
        pytest.param("/m/anything/%ff", id="below a migrated prefix: ambiguous, so legacy"),
        pytest.param("/a%2Fb//c/../d?q=%ff&q", id="nothing is normalised"),
    ],
)
def test_a_target_reaches_legacy_byte_for_byte(gthread, target):
    found = gthread.answer(f"GET {target} HTTP/1.1")

    assert found.startswith(b"HTTP/1.1 200 OK")
    assert found.endswith(b"\r\n\r\n" + target.encode())


@SIDES
def test_an_upload_with_a_length_arrives_whole(gthread, side):
    head = f"POST {PREFIX[side]}/upload HTTP/1.1\r\nContent-Length: {len(BODY)}"

    found = gthread.answer(head, BODY)

    assert found.endswith(DIGEST)


@SIDES
def test_a_chunked_upload_arrives_whole(gthread, side):
    head = f"POST {PREFIX[side]}/upload HTTP/1.1\r\nTransfer-Encoding: chunked"

    found = gthread.answer(head, chunk(BODY[:7]), chunk(BODY[7:]), chunk(b""))

    assert found.endswith(DIGEST)


@SIDES
@pytest.mark.parametrize(
    ("framing", "part"),
    [
        pytest.param(f"Content-Length: {len(BODY)}", BODY[:100_000], id="length"),
        pytest.param("Transfer-Encoding: chunked", chunk(BODY[:100_000]), id="chunked"),
        pytest.param("Transfer-Encoding: chunked", b"fffff\r\n" + BODY, id="inside a chunk"),
    ],
)
def test_an_aborted_upload_never_looks_whole(gthread, side, framing, part):
    with gthread.connect() as client:
        client.sendall(request(f"POST {PREFIX[side]}/upload HTTP/1.1\r\n{framing}") + part)
        gthread.was_told("upload-began", side)

    if side == "legacy":
        gthread.legacy.wait_for("upload-broken")
    again = gthread.answer(f"POST {PREFIX[side]}/upload HTTP/1.1\r\nContent-Length: 1", b"x")
    assert again.startswith(b"HTTP/1.1 200 OK")
    whole = gthread.words() if side == "migrated" else gthread.legacy.notes
    assert whole.count("upload-whole") == 1  # the second one


@SIDES
def test_an_aborted_download_ends_what_makes_it(gthread, side):
    with gthread.connect() as client:
        client.sendall(request(f"GET {PREFIX[side]}/endless HTTP/1.1"))
        read_until(client, b"xxxx")

    gthread.was_told("endless-closed", side)


def test_an_answer_that_legacy_breaks_off_is_broken_for_the_client(gthread):
    found = gthread.answer("GET /truncated HTTP/1.1")

    assert re.search(rb"(?i)content-length: 100\r\n", found)
    assert found.endswith(b"\r\n\r\nonly this")


def test_the_head_of_an_event_stream_does_not_wait_for_an_event(gthread):
    with gthread.connect() as client:
        client.sendall(request("GET /events HTTP/1.1"))
        head = read_until(client, b"\r\n\r\n")
        gthread.legacy.go.set()
        rest = read_to_end(client)

    assert b"text/event-stream" in head
    assert b"data: 1\n\n" in rest


def test_preload_makes_the_loop_in_each_worker(started):
    server = started(*GUNICORN, "--preload", "-w", "2", f"{APP}:create_app()")

    legacy = [server.answer("GET /x HTTP/1.1") for _ in range(8)]
    migrated = [server.answer("GET /m/hello HTTP/1.1") for _ in range(8)]

    assert all(found.endswith(b"\r\n\r\n/x") for found in legacy)
    assert all(b"hello from" in found for found in migrated)


def test_an_exception_under_flask_run_debug_shows_the_debugger(started):
    server = started(
        "flask", "--app", f"{APP}:create_app", "run", "--debug", "--no-reload", "-p", "{port}"
    )

    page = server.answer("GET /m/boom HTTP/1.1")
    legacy = server.answer("GET /products HTTP/1.1")
    upload = server.answer(
        "POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked", chunk(BODY), chunk(b"")
    )

    assert b"Werkzeug Debugger" in page
    assert b"a mistake in a view" in page
    assert legacy.endswith(b"/products")
    assert upload.endswith(DIGEST)


@pytest.fixture
def app(legacy, tmp_path, monkeypatch):
    for name, value in settings(tmp_path, legacy).items():
        monkeypatch.setenv(name, value)
    app = gthread_app.create_app()
    app.testing = True
    yield app
    app.wsgi_app.close()


def test_the_test_client_is_served_by_both_sides(app):
    client = app.test_client()

    with client.get("/m/hello") as migrated, client.get("/x?y=%ff") as legacy:
        assert migrated.text.startswith("hello from")
        assert legacy.text == "/x?y=%ff"


@pytest.mark.parametrize("testing", [True, False])
def test_only_an_app_under_test_leaves_no_access_log(app, testing):
    app.testing = testing
    with app.test_client().get("/x"):
        kinds = {type(sink) for sink in app.wsgi_app._front_door._sinks}

    assert (AccessLog in kinds) is not testing


def test_the_test_client_uploads_to_legacy(app):
    with app.test_client().post("/upload", data=BODY) as found:
        assert found.data == DIGEST


def test_with_client_keeps_the_request_context(app):
    with app.test_client() as client:
        client.get("/m/hello?name=Ada")

        assert flask.request.args["name"] == "Ada"


def test_an_exception_reaches_the_test_client(app):
    with pytest.raises(RuntimeError, match="a mistake in a view"):
        app.test_client().get("/m/boom")
