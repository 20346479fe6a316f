"""The legacy shop as a process: its start, its end, its data file, and standing still."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from legacy_stub.routes import EXACT, TEMPLATES
from tests.story.endpoints import ENDLESS, ENDPOINTS, ORDER, Endpoint, order
from tests.story.stub import ROOT, answer_of, running_stub

STUB = [sys.executable, "-m", "legacy_stub"]


def test_the_first_start_makes_and_seeds_the_file(tmp_path):
    data = tmp_path / "deep" / "shop.sqlite3"

    with running_stub(data=data) as port:
        answer = answer_of(port, Endpoint("GET", "/products/12"))

    assert b"Strangler fig" in answer.body
    with closing(sqlite3.connect(data)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_was_ordered_outlives_a_restart(tmp_path):
    data = tmp_path / "shop.sqlite3"
    with running_stub(data=data) as port:
        placed = answer_of(port, order(ORDER))

    with running_stub(data=data) as port:
        read = answer_of(port, Endpoint("GET", "/api/orders/4"))

    assert (placed.status, read.body) == (201, placed.body)


def test_two_frozen_shops_answer_everything_alike(tmp_path):
    with (
        running_stub(data=tmp_path / "a" / "shop.sqlite3") as first,
        running_stub(data=tmp_path / "b" / "shop.sqlite3") as second,
    ):
        differing = [
            str(endpoint)
            for endpoint in ENDPOINTS
            if endpoint.path not in ENDLESS
            and answer_of(first, endpoint) != answer_of(second, endpoint)
        ]

    assert differing == []


def test_a_shop_that_is_not_frozen_gives_every_visitor_a_token(tmp_path):
    with running_stub(frozen=False, data=tmp_path / "shop.sqlite3") as port:
        cookies = {
            dict(answer_of(port, Endpoint("GET", "/cart")).headers)["set-cookie"] for _ in range(3)
        }

    assert len(cookies) == 3


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_shop_cleanly_while_a_stream_is_open(tmp_path, sent):
    command = [*STUB, "--port", "0", "--data", str(tmp_path / "shop.sqlite3")]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
            sock.sendall(b"GET /events?every_ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.recv(1)
            process.send_signal(sent)
            _, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (0, "")


def test_a_port_that_is_taken_is_said_in_one_line(stub_port, tmp_path):
    data = str(tmp_path / "shop.sqlite3")

    ended = subprocess.run(
        [*STUB, "--port", str(stub_port), "--data", data],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"legacy shop: cannot listen on 127.0.0.1:{stub_port}: ")


def test_flags_beat_the_environment(tmp_path):
    environment = {**os.environ, "SHOP_DATA": str(tmp_path / "env.sqlite3"), "SHOP_FROZEN": "1"}
    command = [*STUB, "--port", "0", "--data", str(tmp_path / "flag.sqlite3")]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        port = int(process.stdout.readline().rsplit(b":", 1)[1])
        answer = answer_of(port, Endpoint("GET", "/"))
        process.terminate()

    assert b"Today is 2025-03-15." in answer.body
    assert sorted(path.name for path in tmp_path.glob("*.sqlite3")) == ["flag.sqlite3"]


def test_an_upload_that_breaks_off_leaves_no_file(tmp_path):
    with running_stub(data=tmp_path / "shop.sqlite3") as port:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
            sock.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nleaf")
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""

        assert list((tmp_path / "uploads").iterdir()) == []


def test_the_endpoints_for_comparisons_cover_every_address_and_method():
    asked = {(endpoint.method, endpoint.path.partition("?")[0]) for endpoint in ENDPOINTS}
    exact = {(method, path) for path, methods in EXACT.items() for method in methods}
    templates = {
        (method, pattern.pattern)
        for pattern, methods in TEMPLATES
        for method in methods
        if not any(each == method and pattern.fullmatch(path) for each, path in asked)
    }

    assert exact - asked == set()
    assert templates == set()
