"""The legacy shop as a real process, and a client that changes nothing of what is asked.

Frozen, two shops over two fresh data files answer the same requests byte for byte alike: give each
side of a comparison a file of its own and ask both in the same order.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.story.endpoints import Endpoint

ROOT = Path(__file__).resolve().parents[2]
HOST = "shop.example"

# What may differ between two servers that give one answer: see issue and RFC 9110 7.6.1.
SERVERS_OWN = frozenset(
    ["connection", "date", "keep-alive", "server", "transfer-encoding", "via", "x-overgrow"]
)


class Answer(NamedTuple):
    """What a client can see of an answer; header names in lower case, sorted."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@contextmanager
def running_stub(*, frozen: bool = True, data: Path) -> Iterator[int]:
    """Run the legacy shop on a free port over a data file, and yield the port."""
    command = [sys.executable, "-m", "legacy_stub", "--port", "0", "--data", str(data)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SHOP_")}
    with subprocess.Popen(
        command + ["--frozen"] * frozen, cwd=ROOT, env=environment, stdout=subprocess.PIPE
    ) as process:
        try:
            yield int(process.stdout.readline().rsplit(b":", 1)[1])
        finally:
            process.terminate()
            status = process.wait(timeout=60)
    assert status == 0


def answer_of(port: int, endpoint: Endpoint, *, host: str = HOST) -> Answer:
    """Ask for an endpoint on a connection of its own; a body that breaks off is kept as it came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        send(connection, endpoint, host)
        response = connection.getresponse()
        try:
            body = response.read()
        except http.client.IncompleteRead as short:
            body = short.partial
        return Answer(response.status, comparable(response.getheaders()), body)
    finally:
        connection.close()


def send(connection: http.client.HTTPConnection, endpoint: Endpoint, host: str) -> None:
    """Send a request with no headers but the endpoint's, Host and the body's length."""
    connection.putrequest(endpoint.method, endpoint.path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", host)
    for name, value in endpoint.headers:
        connection.putheader(name, value)
    if endpoint.body is not None:
        connection.putheader("Content-Length", str(len(endpoint.body)))
    connection.endheaders(endpoint.body)


def comparable(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers that two servers with one answer must share."""
    pairs = [(name.lower(), value) for name, value in headers]
    return sorted(pair for pair in pairs if pair[0] not in SERVERS_OWN)
