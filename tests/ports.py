"""Ports for servers under test, taken from below those that the kernel hands to clients.

A port that was free a moment ago, but is of the kernel's own range, may be some client's by the
time the server binds it.
"""

from __future__ import annotations

import secrets
import socket

FIRST, BEYOND = 20_000, 32_000  # Linux gives clients 32768 and up


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> range:
    """So many ports in a row that nobody listens on now."""
    while True:
        first = FIRST + secrets.randbelow(BEYOND - FIRST - count)
        found = range(first, first + count)
        if all(map(is_free, found)):
            return found


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of 127.0.0.1."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
