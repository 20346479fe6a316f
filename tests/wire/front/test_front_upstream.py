"""The way to legacy as the table describes it: the name in its certificate, the age of connections."""

from __future__ import annotations

import socket
from contextlib import contextmanager

from tests.story.front import running_front
from tests.wire.front.conftest import APP
from tests.wire.front.ends import OK, PATIENCE_S, End, Legacy, request
from tests.wire.transport.addresses import certificate_for

NAME = "legacy.internal"
WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def front_to(url, folder, *fields):
    lines = "".join(f"  {field}\n" for field in fields)
    table = f"version: 1\nlegacy:\n  url: {url}\n{lines}"
    return running_front(table, folder, 1, data=folder / "unused", OVERGROW_APP=APP)


def client_of(front):
    return End(socket.create_connection(("127.0.0.1", front.port), PATIENCE_S))


@contextmanager
def listening(context=None):
    """Legacy's socket, with TLS if there is a context; nothing of it is left open."""
    legacy = Legacy()
    legacy.tls = context
    try:
        yield legacy
    finally:
        legacy.close()


def test_requests_and_tunnels_take_a_certificate_by_its_own_name(tmp_path):
    context, ca = certificate_for(NAME, tmp_path)
    fields = (f"tls_ca: {ca}", f"tls_name: {NAME}")
    with (
        listening(context) as legacy,
        front_to(f"https://127.0.0.1:{legacy.port}", tmp_path, *fields) as front,
        client_of(front) as client,
        client_of(front) as other,
    ):
        other.send(request("GET", "/"))
        legacy.answers(OK)
        client.send(request("GET", "/ws", *WEBSOCKET))
        legacy.answers(SWITCH + b"hello")

        assert other.message().body == b"ok"
        assert client.head().status == 101
        assert client.exactly(5) == b"hello"


def test_a_certificate_that_names_something_else_is_never_taken(tmp_path):
    context, ca = certificate_for(NAME, tmp_path)

    def answering(end):
        end.message()
        end.send(OK)

    with (
        listening(context) as legacy,
        legacy.scripted(answering),
        front_to(f"https://127.0.0.1:{legacy.port}", tmp_path, f"tls_ca: {ca}") as front,
        client_of(front) as client,
        client_of(front) as other,
    ):
        client.send(request("GET", "/"))
        other.send(request("GET", "/", *WEBSOCKET))

        assert client.message().code == "legacy-connect"
        assert other.message().code == "legacy-connect"


def test_a_connection_to_legacy_is_not_used_longer_than_the_table_says(tmp_path):
    served = []

    def answering(end):
        served.append(0)
        own = len(served) - 1
        while True:
            end.message()
            served[own] += 1
            end.send(OK)

    with (
        listening() as legacy,
        legacy.scripted(answering),
        front_to(f"http://127.0.0.1:{legacy.port}", tmp_path, "max_age: 300ms") as front,
        client_of(front) as client,
    ):
        while len(served) < 3:  # without a pause in which a connection might end idle
            client.send(request("GET", "/"))
            assert client.message().status == 200

    assert served[0] > 1
