"""The migrated side as production runs it: Flask in threads behind an ASGI server, on the wire."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.wire.apps.gthread_legacy import Legacy
from tests.wire.apps.running import APP, Running, chunk, read_until, request, until

BODY = bytes(range(256)) * 1000
DIGEST = f"{len(BODY)} {hashlib.sha256(BODY).hexdigest()}".encode()


@pytest.fixture(scope="module")
def asgi_of_module(tmp_path_factory):
    command = [
        "gunicorn", "-k", "asgi", "-b", "127.0.0.1:{port}", "--no-control-socket",
        "--log-level", "error", f"{APP}:create_asgi()",
    ]  # fmt: skip
    with Legacy() as legacy:
        server = Running(command, legacy, tmp_path_factory.mktemp("asgi"), OVERGROW_THREADS="1")
        yield server
        server.stop()


@pytest.fixture
def server(asgi_of_module):
    asgi_of_module.forget()
    return asgi_of_module


def test_exactly_one_date_goes_out(server):
    head = server.answer("GET /m/hello HTTP/1.1").partition(b"\r\n\r\n")[0].lower()

    assert head.count(b"\r\ndate:") == 1


def test_the_app_knows_its_client_and_its_address(server):
    found = server.answer("GET /m/whoami HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6")

    assert found.endswith(b"127.0.0.1 http://shop.test/m/whoami")


@pytest.mark.parametrize(
    ("framing", "pieces"),
    [
        pytest.param(f"Content-Length: {len(BODY)}", [BODY], id="length"),
        pytest.param(
            "Transfer-Encoding: chunked",
            [chunk(BODY[:9]), chunk(BODY[9:]), chunk(b"")],
            id="chunks",
        ),
    ],
)
def test_an_upload_arrives_whole(server, framing, pieces):
    found = server.answer(f"POST /m/upload HTTP/1.1\r\n{framing}", *pieces)

    assert found.endswith(DIGEST)


@pytest.mark.parametrize(
    ("framing", "part"),
    [
        pytest.param(f"Content-Length: {len(BODY)}", BODY[:100_000], id="length"),
        pytest.param("Transfer-Encoding: chunked", chunk(BODY[:100_000]), id="chunks"),
    ],
)
def test_an_aborted_upload_frees_its_thread_and_never_looks_whole(server, framing, part):
    with server.connect() as client:
        client.sendall(request(f"POST /m/upload HTTP/1.1\r\n{framing}") + part)
        until(lambda: "upload-began" in server.words())

    after = server.answer("POST /m/upload HTTP/1.1\r\nContent-Length: 1", b"x")

    assert after.startswith(b"HTTP/1.1 200 OK")  # the only thread is free again
    assert server.words() == ["upload-began", "upload-began", "upload-whole"]


def test_an_aborted_download_frees_its_thread(server):
    with server.connect() as client:
        client.sendall(request("GET /m/endless HTTP/1.1"))
        read_until(client, b"xxxx")

    until(lambda: "endless-closed" in server.words())
    assert server.answer("GET /m/hello HTTP/1.1").startswith(b"HTTP/1.1 200 OK")


def test_a_body_shorter_than_its_length_breaks_the_connection(server):
    found = server.answer("GET /m/short HTTP/1.1")

    assert re.search(rb"(?i)content-length: 100\r\n", found)
    assert found.endswith(b"only this")


def test_a_view_that_raises_is_flasks_own_500_and_not_marked(server):
    found = server.answer("GET /m/boom HTTP/1.1")

    assert found.startswith(b"HTTP/1.1 500 ")
    assert b"x-overgrow-error" not in found.lower()


def test_a_slow_view_is_a_504_and_its_thread_is_busy_until_it_returns(server):
    late = server.answer("GET /m/slow?seconds=0.9 HTTP/1.1")
    waiting = server.answer("GET /m/slow?seconds=0 HTTP/1.1")

    assert late.startswith(b"HTTP/1.1 504 ")
    assert b"x-overgrow-error: migrated-timeout" in late
    assert b"x-overgrow-error: local-busy" in waiting
    until(lambda: server.answer("GET /m/hello HTTP/1.1").startswith(b"HTTP/1.1 200 OK"))


def test_legacy_is_served_while_every_thread_is_busy(server):
    with server.connect() as client:
        client.sendall(request("GET /m/endless HTTP/1.1"))
        read_until(client, b"xxxx")

        assert server.answer("GET /products HTTP/1.1").endswith(b"/products")

    until(lambda: "endless-closed" in server.words())  # else the next test reads it as its own
