"""A WebSocket echo by hand (RFC 6455): text, binary, fragments, ping, close; subprotocol `echo`."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator

from legacy_stub.message import Request, Response
from legacy_stub.page import error_page
from legacy_stub.shop import Shop
from legacy_stub.wire import Wire

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024


class ProtocolViolation(Exception):
    """The peer broke the protocol; `code` is the close code that says how."""

    def __init__(self, code: int) -> None:
        super().__init__(f"close code {code}")
        self.code = code


def upgrade(request: Request, _shop: Shop) -> Response:
    """Switch to the WebSocket protocol, or say that this address speaks nothing else."""
    if not asks_for_websocket(request):
        need = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
        return error_page(
            426, "WebSocket only", "This address speaks WebSocket, version 13.", *need
        )
    if request.header("sec-websocket-version") != "13":
        need = [("Sec-WebSocket-Version", "13")]
        return error_page(
            426, "WebSocket only", "This address speaks WebSocket, version 13.", *need
        )
    key = request.header("sec-websocket-key")
    if not is_key(key):
        return error_page(400, "Not accepted", "Sec-WebSocket-Key is not 16 bytes in Base64.")
    headers = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
    headers.append(("Sec-WebSocket-Accept", acceptance(key)))
    offered = request.header("sec-websocket-protocol").replace(" ", "").split(",")
    if "echo" in offered:
        headers.append(("Sec-WebSocket-Protocol", "echo"))
    return Response(101, headers, takeover=echo)


def asks_for_websocket(request: Request) -> bool:
    """Whether a request is the GET that RFC 6455 4.1 describes."""
    wish = request.header("connection").lower()
    wanted = request.header("upgrade").lower()
    is_get = (request.method, request.version) == ("GET", "HTTP/1.1")
    return is_get and "upgrade" in wish and wanted == "websocket"


def is_key(key: str) -> bool:
    """Whether a client's key is what the RFC asks for."""
    with contextlib.suppress(ValueError):
        return len(base64.b64decode(key, validate=True)) == 16
    return False


def acceptance(key: str) -> str:
    """Return the proof that the handshake was understood."""
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()  # noqa: S324 - RFC 6455 4.2.2


def frame(opcode: int, payload: bytes) -> bytes:
    """Return one unmasked, final frame."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65536:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + payload


def next_frame(wire: Wire) -> tuple[bool, int, bytes]:
    """Read one frame: whether it is final, its opcode and its data without the mask."""
    first, second = wire.exactly(2)
    final, opcode, size = bool(first & 0x80), first & 0x0F, second & 0x7F
    is_control = opcode >= CLOSE
    if first & 0x70 or not second & 0x80 or opcode not in {0, 1, 2, 8, 9, 10}:
        raise ProtocolViolation(1002)
    if is_control and (size > 125 or not final):
        raise ProtocolViolation(1002)
    if size >= 126:
        size = int.from_bytes(wire.exactly(2 if size == 126 else 8), "big")
    if size > MESSAGE_LIMIT_BYTES:
        raise ProtocolViolation(1009)
    mask, data = wire.exactly(4), wire.exactly(size)
    return final, opcode, unmask(data, mask)


def unmask(data: bytes, mask: bytes) -> bytes:
    """Return the data without its mask; as one large number, for speed."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def messages(wire: Wire) -> Iterator[tuple[int, bytes]]:
    """Yield whole messages, and control frames as they come between fragments."""
    kind, parts, size = CONTINUATION, [], 0
    while True:
        final, opcode, data = next_frame(wire)
        if opcode >= CLOSE:
            yield opcode, data
            continue
        if (opcode == CONTINUATION) != (kind != CONTINUATION):
            raise ProtocolViolation(1002)
        kind, size = kind or opcode, size + len(data)
        parts.append(data)
        if size > MESSAGE_LIMIT_BYTES:
            raise ProtocolViolation(1009)
        if final:
            yield kind, b"".join(parts)
            kind, parts, size = CONTINUATION, [], 0


def echo(wire: Wire) -> None:
    """Send every message back until the peer closes."""
    wire.sock.settimeout(None)
    try:
        for opcode, data in messages(wire):
            if opcode == CLOSE:
                raise ProtocolViolation(close_code(data))  # noqa: TRY301 - one way out
            if opcode == TEXT and not is_text(data):
                raise ProtocolViolation(1007)  # noqa: TRY301 - one way out
            if opcode != PONG:
                wire.sock.sendall(frame(PONG if opcode == PING else opcode, data))
    except ProtocolViolation as broken:
        code = b"" if broken.code == 1005 else broken.code.to_bytes(2, "big")
        wire.sock.sendall(frame(CLOSE, code))


def close_code(data: bytes) -> int:
    """Return the code to answer a close frame with; 1005 stands for none."""
    if not data:
        return 1005
    code = int.from_bytes(data[:2], "big")
    is_known = code in {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
    return code if len(data) > 1 and is_known and is_text(data[2:]) else 1002


def is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
