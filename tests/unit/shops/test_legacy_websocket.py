"""The legacy shop's WebSocket echo, asked by a real client and by raw frames."""

from __future__ import annotations

import base64

import pytest
from websockets.sync.client import connect

from tests.story.endpoints import Endpoint
from tests.story.stub import answer_of

KEY = base64.b64encode(b"sixteen bytes ok").decode()
HANDSHAKE = (
    f"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
).encode()


@pytest.fixture
def client(stub_port):
    with connect(f"ws://127.0.0.1:{stub_port}/ws", subprotocols=["chat", "echo"]) as opened:
        yield opened


@pytest.mark.parametrize(
    "message",
    ["", "leaf", "é€𝄞" * 20_000, b"", bytes(range(256)) * 300],
    ids=["empty text", "text", "long text", "empty bytes", "bytes"],
)
def test_a_message_comes_back_as_it_was(client, message):
    client.send(message)

    assert client.recv(timeout=60) == message


def test_a_message_in_fragments_comes_back_whole(client):
    client.send(["le", "a", "f"])

    assert client.recv(timeout=60) == "leaf"


def test_a_ping_is_answered(client):
    assert client.ping(b"still there?").wait(timeout=60)


def test_the_subprotocol_echo_is_chosen(client):
    assert client.subprotocol == "echo"


def test_a_close_is_answered_with_its_code(client):
    client.close(code=4001, reason="done")

    assert (client.protocol.close_code, client.protocol.close_rcvd.code) == (4001, 4001)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(b"\x81\x04leaf", 1002, id="no mask"),
        pytest.param(b"\xc1\x80\0\0\0\0", 1002, id="reserved bit"),
        pytest.param(b"\x83\x80\0\0\0\0", 1002, id="unknown opcode"),
        pytest.param(b"\x80\x80\0\0\0\0", 1002, id="continues nothing"),
        pytest.param(b"\x01\x80\0\0\0\0\x81\x80\0\0\0\0", 1002, id="a message in a message"),
        pytest.param(b"\x09\x80\0\0\0\0", 1002, id="a ping in fragments"),
        pytest.param(b"\x89\xfe\0\x7e\0\0\0\0", 1002, id="a ping too long"),
        pytest.param(b"\x81\x82\0\0\0\0\xc3\x28", 1007, id="text that is not UTF-8"),
        pytest.param(b"\x82\xff" + (2**40).to_bytes(8, "big"), 1009, id="too much"),
        pytest.param(b"\x88\x81\0\0\0\0x", 1002, id="half a close code"),
        pytest.param(b"\x88\x82\0\0\0\0\x03\xed", 1002, id="a code that is never sent"),
    ],
)
def test_a_peer_that_breaks_the_protocol_is_told_so(sock, answers, frames, code):
    sock.sendall(HANDSHAKE)
    assert status_of(answers) == 101

    sock.sendall(frames)

    assert answers.read() == b"\x88\x02" + code.to_bytes(2, "big")


def test_frames_sent_along_with_the_handshake_are_not_lost(sock, answers):
    sock.sendall(HANDSHAKE + b"\x82\x82\1\2\3\4ab")
    assert status_of(answers) == 101

    assert answers.read(4) == b"\x82\x02" + bytes([ord("a") ^ 1, ord("b") ^ 2])


def status_of(answers):
    """Read a head and return its status."""
    status = int(answers.readline().split()[1])
    while answers.readline() != b"\r\n":
        pass
    return status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 426, id="no upgrade"),
        pytest.param({"Upgrade": "h2c"}, 426, id="another upgrade"),
        pytest.param({"Sec-WebSocket-Version": "8"}, 426, id="another version"),
        pytest.param({"Sec-WebSocket-Key": "short"}, 400, id="a key too short"),
    ],
)
def test_a_handshake_that_is_none_is_refused(stub_port, headers, status):
    full = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    sent = {**full, "Sec-WebSocket-Key": KEY, **headers} if headers else {}

    assert answer_of(stub_port, Endpoint("GET", "/ws", tuple(sent.items()))).status == status


@pytest.mark.parametrize(
    ("first", "last"), [(b"GET", b"HEAD"), (b"HTTP/1.1\r\n", b"HTTP/1.0\r\n")], ids=["HEAD", "1.0"]
)
def test_only_a_get_of_today_can_switch_protocols(said, first, last):
    asked = HANDSHAKE.replace(first, last, 1).replace(b"keep-alive", b"close")

    assert said(asked).startswith(b"HTTP/1.1 426 ")
