"""One frozen legacy shop for the tests of its answers, and a plain socket to talk to it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.story.stub import running_stub


@pytest.fixture(scope="session")
def stub_port(tmp_path_factory):
    with running_stub(data=Path(tmp_path_factory.mktemp("stub")) / "shop.sqlite3") as port:
        yield port


@pytest.fixture
def said(stub_port):
    """Send bytes, read to the end of the connection."""

    def say(sent: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", stub_port), timeout=60) as sock:
            sock.sendall(sent)
            with sock.makefile("rb") as answer:
                return answer.read()

    return say


@pytest.fixture
def sock(stub_port):
    with socket.create_connection(("127.0.0.1", stub_port), timeout=60) as opened:
        yield opened


@pytest.fixture
def answers(sock):
    """What comes back on the socket, as a file."""
    with sock.makefile("rb") as opened:
        yield opened
