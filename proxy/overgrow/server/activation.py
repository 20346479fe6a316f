"""Socket activation: listening sockets that a service manager opened and passes to this process.

Rule: the protocol is systemd's (sd_listen_fds(3)). LISTEN_PID names this process, LISTEN_FDS is the number of
descriptors from 3 on, and LISTEN_FDNAMES has their names. The admin listener is the socket named `admin`, or
the socket with the admin listener's address. It is never just the second socket, because a mistake would
publish the admin pages. The service manager keeps a passed socket open, so that clients wait in the socket's
queue while no process runs. Therefore the front door never removes the file of a passed unix socket.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import MutableMapping, Sequence
from typing import Any, NamedTuple

from gunicorn import sock as gunicorn_sockets

FIRST_DESCRIPTOR = 3
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
ADMIN, PUBLIC = "admin", "public"  # names of descriptors: FileDescriptorName= of a .socket unit
_FAMILIES = {
    socket.AF_INET: gunicorn_sockets.TCPSocket,
    socket.AF_INET6: gunicorn_sockets.TCP6Socket,
    socket.AF_UNIX: gunicorn_sockets.UnixSocket,
}


class ActivationError(ValueError):
    """A socket that was passed cannot be used. The text names the socket, the reason and the fix."""


class PassedSocket(NamedTuple):
    """A listening socket of the service manager: its descriptor, name, and address as `--bind` takes it."""

    descriptor: int
    name: str
    address: str


class PassedSockets(NamedTuple):
    """The passed socket of each listener.

    It is None if none was passed, so that this process opens the listener itself.
    """

    public: PassedSocket | None = None
    admin: PassedSocket | None = None

    @property
    def descriptors(self) -> tuple[int | None, int | None]:
        """The descriptors of the passed sockets: (public, admin).

        It is None for a listener that this process opens itself.
        """
        return (
            None if self.public is None else self.public.descriptor,
            None if self.admin is None else self.admin.descriptor,
        )


def take_passed_sockets(
    environ: MutableMapping[str, str], pid: int, first: int = FIRST_DESCRIPTOR
) -> list[PassedSocket]:
    """Return the sockets that were passed to process `pid`.

    Remove their variables, so that child processes do not read them. Raises: ActivationError: if a descriptor
    is not a listening socket that this server can use, or if LISTEN_FDS is garbled.
    """
    given, count, names = (environ.pop(name, "") for name in VARIABLES)
    if given != str(pid) or not count:
        return []
    if (
        re.fullmatch(r"[0-9]{1,4}", count) is None
    ):  # else clients would wait in a socket that nobody serves
        what = f"LISTEN_FDS is {count[:20]!r}, which is not a number of sockets"
        raise ActivationError(
            f"{what}. Leave it to the service manager to set it, or unset LISTEN_PID."
        )
    named = names.split(":") if names else []
    descriptors = range(first, first + int(count))
    return [
        _describe_socket(number, named[at] if at < len(named) else "")
        for at, number in enumerate(descriptors)
    ]


def _describe_socket(descriptor: int, name: str) -> PassedSocket:
    what = f"descriptor {descriptor}{f' ({name})' if name else ''} of LISTEN_FDS"
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            os.set_inheritable(descriptor, False)
            return PassedSocket(descriptor, name, _usable_address(sock, what))
    except OSError as error:
        raise ActivationError(
            f"{what} is not a socket: {error.strerror}. Give the .socket unit ListenStream= lines only."
        ) from error


def _usable_address(sock: socket.socket, what: str) -> str:
    """Return the address of a socket.

    Raises:
        ActivationError: it is not a listening stream socket of TCP or of a path.

    """
    if sock.type != socket.SOCK_STREAM or sock.family not in _FAMILIES:
        raise ActivationError(
            f"{what} is not a stream socket of TCP or unix. Name it with ListenStream=."
        )
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ActivationError(f"{what} does not listen. Write Accept=no in the .socket unit.")
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX and not (isinstance(name, str) and name.startswith("/")):
        raise ActivationError(
            f"{what} is the abstract unix socket {name!r}. Give ListenStream= a path or a port."
        )
    return address_text(sock)


def address_text(sock: socket.socket) -> str:
    """Return the address of a listening socket as --bind writes it: `127.0.0.1:8000`, `[::1]:8000`, `unix:/path`."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def assign_listeners(passed: Sequence[PassedSocket], admin_address: str) -> PassedSockets:
    """Assign each socket to a listener: by the socket's name, else by its address.

    Any socket other than the admin listener's is the public one.

    Raises:
        ActivationError: two sockets could be the same listener.

    """
    if len(passed) > 2:
        raise ActivationError(
            f"{len(passed)} sockets were passed ({_list(passed)}); there are two listeners, public and "
            "admin, with one socket each. Remove ListenStream= lines; [::]:PORT serves IPv4 as well."
        )
    admins = [each for each in passed if each.name == ADMIN] or [
        each for each in passed if each.address == admin_address and each.name != PUBLIC
    ]
    publics = [each for each in passed if each not in admins]
    if len(admins) > 1 or len(publics) > 1:
        raise ActivationError(
            f"It is not known which of the sockets that were passed is the admin listener: {_list(passed)}. "
            "Write FileDescriptorName=admin in the .socket unit of the admin listener alone."
        )
    return PassedSockets(next(iter(publics), None), next(iter(admins), None))


def _list(passed: Sequence[PassedSocket]) -> str:
    return ", ".join(f"{each.address} ({each.name or 'without a name'})" for each in passed)


def open_listeners(config: Any, log: Any, descriptors: Sequence[int | None]) -> list[Any]:
    """Return gunicorn's listeners for its configured addresses.

    A listener uses the passed socket in `descriptors`. If its descriptor is None, it opens a socket of its own.
    """
    return [
        _FAMILIES[_family_of(address)](address, config, log, fd=descriptor)
        for address, descriptor in zip(config.address, descriptors, strict=True)
    ]


def _family_of(address: str | tuple[str, int]) -> socket.AddressFamily:
    if isinstance(address, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def notify_service_manager(state: str, environ: MutableMapping[str, str]) -> None:
    """Tell the service manager the state of this service, as sd_notify(3) does.

    If there is no service manager, do nothing. `state` is one assignment per line, such as READY=1. An error is
    ignored: the service serves all the same.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto(
                state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address
            )
    except OSError:
        return
