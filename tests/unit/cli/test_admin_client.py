"""Whom a command asks, what it makes of the answer, and that it never waits for ever."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import click
import pytest

from overgrow.cli import file_deadline as module
from overgrow.cli.admin_client import AdminClient, Unreachable
from overgrow.cli.file_deadline import file_deadline


def place_of(address: str) -> tuple[str, int | None]:
    connection = AdminClient(address, None)
    return connection._host, connection._port


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("ops.test:65535", ("ops.test", 65_535)),
        pytest.param("0.0.0.0:8001", ("127.0.0.1", 8001), id="what a server binds"),
        pytest.param("[::]:8001", ("::1", 8001), id="what a server binds, IPv6"),
        pytest.param(":8001", ("127.0.0.1", 8001), id="no host"),
        ("unix:/run/admin.sock", ("/run/admin.sock", None)),
    ],
)
def test_an_address_is_asked_where_it_can_be_reached(address, place):
    assert place_of(address) == place


@pytest.mark.parametrize("address", ["h:0", "h:65536", "h", "http://h:1", "unix:admin.sock"])
def test_what_is_no_address_is_bad_usage(address):
    with pytest.raises(click.UsageError, match="is not the address of an admin listener"):
        place_of(address)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_the_token(status):
    with pytest.raises(Unreachable, match="OVERGROW_ADMIN_TOKEN"):
        AdminClient("h:1", None)._object(status, b"{}")


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"status": "ok"}'])
def test_an_answer_of_another_server_is_none(body):
    with pytest.raises(Unreachable, match="is not an admin listener of Overgrow"):
        AdminClient("h:1", None)._object(200, body)


@pytest.mark.parametrize("kind", ["TCP", "unix"])
def test_a_listener_that_never_answers_is_given_up_on(socket_folder, kind):
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family) as silent:
        silent.bind(str(socket_folder / "admin.sock") if kind == "unix" else ("127.0.0.1", 0))
        silent.listen()
        name = silent.getsockname()
        address = f"unix:{name}" if kind == "unix" else f"{name[0]}:{name[1]}"

        with pytest.raises(Unreachable, match="no response in time"):
            AdminClient(address, None, timeout_s=0.05).get("/readyz")


# Files that must answer.


@pytest.fixture
def given_up(monkeypatch):
    """Set once a command is given up."""
    event = threading.Event()
    monkeypatch.setattr(module, "_give_up", lambda *_: event.set())
    return event


def test_a_command_whose_files_do_not_answer_is_given_up(given_up):
    with file_deadline(SimpleNamespace(), 0.02):
        assert given_up.wait(30)


def test_what_takes_its_own_time_is_not_counted(given_up):
    with file_deadline(SimpleNamespace(), 0.05) as deadline:
        assert deadline.pausing(given_up.wait)(0.3) is False


def test_a_command_that_is_done_is_not_given_up(given_up):
    with file_deadline(SimpleNamespace(), 0.05):
        pass

    assert not given_up.wait(0.3)
