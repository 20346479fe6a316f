"""Adds two functions that asyncio's transports lack: a reset of the connection, and a writelines with back-pressure.

Rule: it knows the transports of asyncio and uvloop, but not HTTP or the owners of transports.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable

_NO_LINGER = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Close at once, so that the peer notices a broken connection and not a normal end.

    The linger time is set to 0, so that close() sends RST even if all bytes were read and sent.
    """
    handle = transport.get_extra_info("socket")
    if handle is not None and handle.family != socket.AF_UNIX:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def write_pieces(transport: asyncio.Transport, pieces: Iterable[bytes]) -> None:
    """Write several pieces. If the transport's writelines() is unreliable, join the pieces first.

    In CPython 3.12 and 3.13.0, asyncio's writelines() never pauses the protocol. A sender would go on although
    its peer has stopped reading. uvloop's writelines() pauses the protocol.
    """
    if type(transport).__module__.startswith("asyncio"):
        transport.write(b"".join(pieces))
    else:
        transport.writelines(pieces)
