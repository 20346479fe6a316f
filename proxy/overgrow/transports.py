"""Adds what asyncio's transports lack: a way to reset a connection, and a writelines that keeps back-pressure.

Rule: it knows asyncio's and uvloop's transports, and nothing of HTTP or of who holds one.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable

_NO_LINGER = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Close at once, so that the peer sees a broken connection and not a normal end.

    The linger time is set to 0, so that close() sends RST even if no byte is unread or unsent.
    """
    handle = transport.get_extra_info("socket")
    if handle is not None and handle.family != socket.AF_UNIX:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def write_pieces(transport: asyncio.Transport, pieces: Iterable[bytes]) -> None:
    """Write several pieces. They are joined into one first only if the transport's writelines() is not reliable.

    In CPython 3.12 and 3.13.0 asyncio's writelines() never pauses the protocol, so a sender would not stop although its
    peer has stopped reading. uvloop's writelines() pauses the protocol.
    """
    if type(transport).__module__.startswith("asyncio"):
        transport.write(b"".join(pieces))
    else:
        transport.writelines(pieces)
