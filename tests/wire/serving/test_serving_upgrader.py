"""The Upgrader as the front door's legacy side, through our worker: headers, refusals, the rest."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlencode

import pytest

from tests.wire.serving.servers import ScriptedLegacy, code_in, status_of
from tests.wire.serving.test_serving_answers import get

SWITCHED = b"HTTP/1.1 101 Switched\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\n"
ASKED = ("Connection: keep-alive, Upgrade", "Upgrade: websocket")


@pytest.fixture
def legacy():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield ScriptedLegacy(listener, f"http://127.0.0.1:{listener.getsockname()[1]}")


def asking(legacy, *headers: str, **options: object) -> bytes:
    return get("/upgrader?" + urlencode({"legacy": legacy.url, **options}), *headers)


def test_a_handshake_is_forwarded_with_the_headers_of_a_proxy(server, legacy):
    with server.client() as client:
        client.send(asking(legacy, *ASKED, "X-Forwarded-For: 10.0.0.1", "TE: trailers"))
        with legacy.accept_and_switch(SWITCHED):
            head = client.read_until(b"\r\n\r\n")
    sent = legacy.request.lower()

    assert re.match(rb"get /upgrader\?legacy=\S+ http/1.1\r\nhost: shop\r\n", sent)
    assert sent.count(b"connection: upgrade\r\n") == 1
    assert sent.count(b"upgrade: websocket\r\n") == 1
    assert b"x-forwarded-for: 127.0.0.1\r\n" in sent
    assert b"via: 1.1 overgrow\r\n" in sent
    assert b"\r\nte:" not in sent
    assert head == (
        b"HTTP/1.1 101 Switched\r\nconnection: Upgrade\r\nupgrade: websocket\r\nx-a: b\r\n"
        b"via: 1.1 overgrow\r\n\r\n"
    )


def test_legacy_sees_its_own_host_where_the_table_says_so(server, legacy):
    with server.client() as client:
        client.send(asking(legacy, *ASKED, host="upstream"))
        legacy.accept_and_switch(SWITCHED).socket.close()

    assert f"host: {legacy.url[7:]}\r\n".encode() in legacy.request


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(("Upgrade: h2c", "Connection: Upgrade"), id="another token"),
        pytest.param((), id="no upgrade"),
    ],
)
def test_what_is_no_upgrade_goes_to_the_wrapped_server(server, legacy, headers):
    with server.client() as client:
        client.send(asking(legacy, *headers))

        assert client.read_answer()[1] == b"plain"


def test_an_upgrade_with_a_body_is_a_plain_request(server, legacy):
    with server.client() as client:
        client.send(asking(legacy, *ASKED, "Content-Length: 2") + b"ab")

        assert client.read_answer()[1] == b"plain"


def test_a_server_that_cannot_hand_over_its_client_answers_501(server, legacy):
    answer = server.exchange(asking(legacy, *ASKED, stock="1"))

    assert (status_of(answer), code_in(answer)) == (501, "no-upgrade")


def test_a_handshake_that_came_round_again_is_refused(server, legacy):
    answer = server.exchange(asking(legacy, *ASKED, "Via: 1.1 overgrow, 1.1 a, 1.1 overgrow"))

    assert (status_of(answer), code_in(answer)) == (508, "loop")


def test_a_switch_to_another_protocol_is_no_answer(server, legacy):
    with server.client() as client:
        client.send(asking(legacy, *ASKED))
        side = legacy.accept_and_switch(SWITCHED.replace(b"WebSocket", b"h2c"))
        answer = client.read_to_end()

        assert (status_of(answer), code_in(answer)) == (502, "legacy-protocol")
        assert side.is_closed_by_server()
        side.socket.close()


def test_blanks_behind_the_name_of_the_protocol_are_no_part_of_it(server, legacy):
    with server.client() as client:
        client.send(asking(legacy, *ASKED))
        with legacy.accept_and_switch(SWITCHED.replace(b"WebSocket", b"websocket \t")):
            head = client.read_until(b"\r\n\r\n")

    assert status_of(head) == 101


@pytest.mark.parametrize(
    "final",
    [
        pytest.param(SWITCHED, id="before a 101"),
        pytest.param(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", id="before a refusal"),
    ],
)
def test_informational_answers_go_on_in_their_order(server, legacy, final):
    """RFC 9110 15.2: a proxy forwards 1xx, but for the 100 of its own hop."""
    interim = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early\r\nLink: a\r\nX-Overgrow-Error: faked\r\nContent-Length: 9\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\n\r\n"
    )
    with server.client() as client:
        client.send(asking(legacy, *ASKED))
        with legacy.accept_and_switch(interim + final):
            heads = [client.read_until(b"\r\n\r\n") for _ in range(3)]

    assert [103, 102, int(final[9:12])] == [status_of(head) for head in heads]
    assert heads[0].endswith(b"\r\nlink: a\r\nvia: 1.1 overgrow\r\n\r\n")


def test_an_answer_that_ends_after_its_informational_one_is_no_answer(server, legacy):
    with server.client() as client:
        client.send(asking(legacy, *ASKED))
        with legacy.accept_and_switch(b"HTTP/1.1 103 Early\r\n\r\n"):
            client.read_until(b"\r\n\r\n")
        answer = client.read_to_end()

    assert (status_of(answer), code_in(answer)) == (502, "legacy-closed")


def test_a_refusal_is_an_answer_like_any_other(server, legacy):
    with server.client() as client:
        client.send(asking(legacy, *ASKED))
        side = legacy.accept_and_switch(
            b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nX-Overgrow-Error: faked\r\n\r\nno"
        )
        answer = client.read_to_end()
        side.socket.close()

    assert (status_of(answer), code_in(answer)) == (403, "")
    assert answer.endswith(b"\r\n\r\nno")


def test_legacy_that_is_down_is_answered_502(server, legacy):
    legacy.listener.close()

    answer = server.exchange(asking(legacy, *ASKED))

    assert (status_of(answer), code_in(answer)) == (502, "legacy-connect")
