"""Parses and checks the addresses on which `overgrow serve` listens.

Rule: an address is tried before gunicorn binds it, because gunicorn would retry for seconds and say less.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from overgrow.cli.serve.refusals import CannotStart, InUse

_FIXES = {
    errno.EADDRINUSE: "Stop the server that listens there, or name another address with --bind or --admin.",
    errno.EACCES: "Ports below 1024 need special permission; name another port.",
    errno.EADDRNOTAVAIL: "Name an address of this machine, or 0.0.0.0 for all.",
}
_ANY = frozenset({"", "0.0.0.0", "::"})


class ListenAddress(NamedTuple):
    """Where to listen: a host and a port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def clashes_with(self, other: ListenAddress) -> bool:
        """Whether this address and another one cannot be bound at the same time.

        They clash if the paths are the same, or if the ports are the same and the hosts are the same or one is a
        wildcard.
        """
        if self.path is not None or other.path is not None:
            return self.path == other.path
        hosts = {"127.0.0.1" if host == "localhost" else host for host in (self.host, other.host)}
        return self.port == other.port != 0 and (len(hosts) == 1 or bool(hosts & _ANY))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(text: str, flag: str) -> ListenAddress:
    """Parse HOST:PORT, [IPv6]:PORT, :PORT or unix:/path."""
    if text.startswith("unix:") and len(text) > len("unix:"):
        return ListenAddress(path=str(Path(text.removeprefix("unix:")).absolute()))
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:/\[\]]*)):(\d{1,5})", text)
    if found is None or int(found[3]) > 65_535:
        raise CannotStart(f"{flag} is {text!r}. Write HOST:PORT, [IPV6]:PORT or unix:/path.sock.")
    return ListenAddress(found[1] or found[2] or "0.0.0.0", int(found[3]))


def require_separate(public: ListenAddress, admin: ListenAddress, *, token: str | None) -> None:
    """Require a separate address for the admin listener, and a token if other machines can reach it (docs/operations.md#who-may-use-the-admin-listener)."""
    if public.clashes_with(admin):
        raise CannotStart(
            f"--admin {admin} and --bind {public} are the same address; the admin pages would be "
            "public. Give --admin a port of its own, such as 127.0.0.1:8001."
        )
    if not admin.is_local and not token:
        raise CannotStart(
            f"--admin {admin} can be reached from other machines, and OVERGROW_ADMIN_TOKEN is not "
            "set. Set it to a long random text, or bind --admin to 127.0.0.1."
        )


def require_free_addresses(*addresses: ListenAddress) -> None:
    """Bind each address for a moment.

    If an address is in use, raise InUse; gunicorn would retry for seconds and say less.
    """
    with ExitStack() as taken:
        for address in addresses:
            if address.path is None:
                taken.enter_context(_bind_socket(address))
            else:
                _require_unused_socket(address.path)


def _bind_socket(address: ListenAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        fix = _FIXES.get(error.errno or 0, "Name another address.")
        raise InUse(f"Cannot listen on {address}: {error.strerror or error}. {fix}") from error
    return sock


def _require_unused_socket(path: str) -> None:
    """If a server uses the socket file, raise InUse. An unused socket file is allowed, because gunicorn replaces it."""
    if not Path(path).exists():
        return
    if not Path(path).is_socket():
        raise InUse(
            f"Cannot listen on unix:{path}: a file that is not a socket exists there. Name another."
        )
    with socket.socket(socket.AF_UNIX) as sock, suppress(ConnectionRefusedError):
        sock.connect(path)
        raise InUse(
            f"Cannot listen on unix:{path}: another server listens there. Stop it, or name another."
        )
