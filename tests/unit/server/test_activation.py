"""Which sockets a service manager passed, and which listener each of them is."""

from __future__ import annotations

import os
import socket

import pytest

from overgrow.server.activation import (
    ActivationError,
    PassedSocket,
    assign_listeners,
    notify_service_manager,
    take_passed_sockets,
)

ADMIN = "127.0.0.1:8001"


def passed(name: str, address: str, descriptor: int = 3) -> PassedSocket:
    return PassedSocket(descriptor, name, address)


@pytest.mark.parametrize(
    ("sockets", "public", "admin"),
    [
        pytest.param([], None, None, id="none"),
        pytest.param([passed("", "[::]:80")], "[::]:80", None, id="one is public"),
        pytest.param([passed("admin", "a:1")], None, "a:1", id="named admin"),
        pytest.param([passed("x.socket", ADMIN)], None, ADMIN, id="the admin address"),
        pytest.param([passed("public", ADMIN)], ADMIN, None, id="a name beats the address"),
        pytest.param([passed("", "a:1"), passed("", ADMIN)], "a:1", ADMIN, id="by address"),
        pytest.param([passed("admin", "a:1"), passed("", ADMIN)], ADMIN, "a:1", id="by name"),
    ],
)
def test_a_socket_is_admin_by_its_name_or_else_its_address(sockets, public, admin):
    found = assign_listeners(sockets, ADMIN)

    assert (found.public and found.public.address) == public
    assert (found.admin and found.admin.address) == admin


@pytest.mark.parametrize(
    ("names", "what"),
    [
        pytest.param(["", ""], "It is not known which", id="two without a name"),
        pytest.param(["admin", "admin"], "It is not known which", id="two admins"),
        pytest.param(["public", "admin", "admin2"], "3 sockets were passed", id="three"),
    ],
)
def test_sockets_that_could_be_either_listener_are_refused(names, what):
    with pytest.raises(ActivationError, match=what):
        assign_listeners([passed(name, f"a:{at}") for at, name in enumerate(names)], ADMIN)


def variables(pid: int | str = 7, count: int | str = 1, names: str = "admin") -> dict[str, str]:
    return {"LISTEN_PID": str(pid), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names, "OTHER": "1"}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(variables(pid=8), id="of another process"),
        pytest.param(variables(pid=""), id="without a process"),
        pytest.param(variables(count=""), id="without a number"),
        pytest.param(variables(count=0), id="none"),
    ],
)
def test_variables_that_name_no_socket_are_removed_all_the_same(given):
    assert take_passed_sockets(given, 7) == []
    assert given == {"OTHER": "1"}


@pytest.mark.parametrize("count", ["x", "-1", "1.5", "\u0661", "9" * 5000])
def test_a_garbled_number_of_sockets_is_refused(count):
    given = variables(count=count)

    with pytest.raises(ActivationError, match="LISTEN_FDS is "):
        take_passed_sockets(given, 7)
    assert given == {"OTHER": "1"}


def test_a_passed_socket_has_name_and_address_and_no_program_gets_it():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        os.set_inheritable(sock.fileno(), True)
        found = take_passed_sockets(variables(), 7, sock.fileno())

        assert found == [PassedSocket(sock.fileno(), "admin", f"127.0.0.1:{sock.getsockname()[1]}")]
        assert not os.get_inheritable(sock.fileno())


def test_a_name_is_optional():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert take_passed_sockets(variables(names=""), 7, sock.fileno())[0].name == ""


def test_an_ipv6_socket_has_its_address_in_brackets():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as sock:
        found = take_passed_sockets(variables(), 7, sock.fileno())

        assert found[0].address == f"[::1]:{sock.getsockname()[1]}"


def datagram() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def unbound() -> socket.socket:
    return socket.socket()


def abstract() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"\0overgrow-test-{os.getpid()}")
    sock.listen()
    return sock


@pytest.mark.parametrize(
    ("make", "fix"),
    [
        pytest.param(datagram, "ListenStream=", id="datagrams"),
        pytest.param(unbound, "Accept=no", id="does not listen"),
        pytest.param(abstract, "a path or a port", id="abstract name"),
    ],
)
def test_a_socket_that_cannot_serve_is_refused_with_the_fix(make, fix):
    with make() as sock, pytest.raises(ActivationError, match=fix):
        take_passed_sockets(variables(), 7, sock.fileno())


def test_a_descriptor_that_is_no_socket_is_refused(tmp_path):
    with (
        (tmp_path / "file").open("w") as file,
        pytest.raises(ActivationError, match="not a socket"),
    ):
        take_passed_sockets(variables(), 7, file.fileno())


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_state_is_told_to_the_service_manager(tmp_path, kind):
    is_path = kind == "path"
    name = str(tmp_path / "n") if is_path else f"overgrow-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.settimeout(60)
        heard.bind(name if is_path else f"\0{name}")
        notify_service_manager("READY=1", {"NOTIFY_SOCKET": name if is_path else f"@{name}"})

        assert heard.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens", "vsock:1:2"])
def test_a_service_manager_that_does_not_listen_changes_nothing(address):
    notify_service_manager("READY=1", {"NOTIFY_SOCKET": address})
