"""Ports for servers under test, taken from below those that the kernel hands to clients.

A port that was free a moment ago, but is of the kernel's own range, may be some client's by the
time the server binds it. Rule: no process gives the same port out twice before all others had their
turn, since the first may not be bound yet; each process begins elsewhere.
"""

from __future__ import annotations

import secrets
import socket
from itertools import count

FIRST, BEYOND = 20_000, 32_000  # Linux gives clients 32768 and up
_next = count(secrets.randbelow(BEYOND - FIRST))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(how_many: int) -> range:
    """So many ports in a row that nobody listens on now."""
    while True:
        found = [FIRST + next(_next) % (BEYOND - FIRST) for _ in range(how_many)]
        if found[-1] - found[0] == how_many - 1 and all(map(is_free, found)):
            return range(found[0], found[-1] + 1)


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of 127.0.0.1."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
