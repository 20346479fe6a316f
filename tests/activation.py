"""A service manager for tests: it holds listening sockets, and starts a program with them, as systemd does.

The sockets stay open here while no program runs, so clients that connect meanwhile wait in their queues.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

# LISTEN_PID is the process that listens, so it is set between the fork and the program.
_PASS = """
import os, sys
count = int(sys.argv[1])
for at, number in enumerate(map(int, sys.argv[2 : 2 + count])):
    os.dup2(number, 3 + at)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2 + count], sys.argv[2 + count :])
"""


class ServiceManager:
    """Listening sockets by name, in order; `run` starts a program that gets them."""

    def __init__(self, **sockets: socket.socket) -> None:
        self.sockets = sockets

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.sockets.values():
            each.close()

    def run(
        self, command: Sequence[str], env: Mapping[str, str], **more: Any
    ) -> subprocess.Popen[str]:
        """Start a program: descriptors from 3 on are the sockets."""
        # Numbers above those that they get there, so that none overwrites another.
        numbers = [fcntl.fcntl(each, fcntl.F_DUPFD, 100) for each in self.sockets.values()]
        told = {"LISTEN_FDS": str(len(numbers)), "LISTEN_FDNAMES": ":".join(self.sockets)}
        wrapper = [sys.executable, "-I", "-S", "-c", _PASS, str(len(numbers)), *map(str, numbers)]
        try:
            return subprocess.Popen(
                [*wrapper, *command], env={**env, **told}, pass_fds=numbers, text=True, **more
            )
        finally:
            for number in numbers:
                os.close(number)


def listen_tcp(backlog: int = 4096) -> socket.socket:
    """A listening socket on a free port of 127.0.0.1."""
    return socket.create_server(("127.0.0.1", 0), backlog=backlog)


def listen_unix(path: Path, mode: int = 0o600) -> socket.socket:
    """A listening unix socket with a file."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    path.chmod(mode)
    sock.listen(4096)
    return sock


def address_of(sock: socket.socket) -> str:
    """The address as `--bind` takes it."""
    name = sock.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"{name[0]}:{name[1]}"
