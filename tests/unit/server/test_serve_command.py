"""`overgrow serve` before it serves: addresses, durations, and what it refuses."""

from __future__ import annotations

import os
import resource
import socket
import sys

import click
import pytest
from click.testing import CliRunner

from overgrow.cli.forked_call import call_in_fork
from overgrow.cli.serve.addresses import (
    ListenAddress,
    address_of,
    require_free_addresses,
    require_separate,
)
from overgrow.cli.serve.command import Seconds, serve
from overgrow.cli.serve.open_files import max_connections_for, note_few_files
from overgrow.cli.serve.refusals import CannotStart, InUse
from overgrow.cli.serve.tokens import note_short_tokens, require_tokens_that_differ
from overgrow.routing.facts import Facts
from overgrow.settings import SettingError, settings_from


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", ListenAddress("127.0.0.1", 8000)),
        ("localhost:0", ListenAddress("localhost", 0)),
        (":8000", ListenAddress("0.0.0.0", 8000)),
        ("[::1]:8000", ListenAddress("::1", 8000)),
        ("127.0.0.1:65535", ListenAddress("127.0.0.1", 65_535)),
        ("unix:/run/shop.sock", ListenAddress(path="/run/shop.sock")),
    ],
)
def test_an_address_is_read_and_shown(text, address):
    assert address_of(text, "--bind") == address
    assert address_of(str(address), "--bind") == address


def test_a_relative_socket_path_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    assert address_of("unix:shop.sock", "--bind").path == str(tmp_path / "shop.sock")


@pytest.mark.parametrize(
    "text", ["", "8000", "a:b", "a:65536", "a:99999", "::1:8000", "unix:", "fd://3", "a:1:2"]
)
def test_an_address_that_is_none_is_refused_with_its_flag(text):
    with pytest.raises(CannotStart, match=r"--admin is .* Write HOST:PORT"):
        address_of(text, "--admin")


@pytest.mark.parametrize(
    ("bind", "admin"),
    [
        pytest.param("127.0.0.1:8000", "127.0.0.1:8000", id="equal"),
        pytest.param("localhost:8000", "127.0.0.1:8000", id="two names of one"),
        pytest.param("0.0.0.0:8000", "127.0.0.1:8000", id="one within the other"),
        pytest.param("127.0.0.1:8000", "[::]:8000", id="IPv6 takes IPv4 too"),
        pytest.param("unix:/a/b", "unix:/a/b", id="one socket"),
    ],
)
def test_one_address_for_both_listeners_is_refused(bind, admin):
    with pytest.raises(CannotStart, match="same address"):
        require_separate(address_of(bind, ""), address_of(admin, ""), token="t")


@pytest.mark.parametrize(
    ("bind", "admin"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8001"),
        ("0.0.0.0:8000", "localhost:8001"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("unix:/a", "unix:/b"),
        ("unix:/a", "[::1]:1"),
    ],
)
def test_two_addresses_on_this_machine_need_no_token(bind, admin):
    require_separate(address_of(bind, ""), address_of(admin, ""), token=None)


@pytest.mark.parametrize(
    "admin", ["0.0.0.0:8001", "[::]:8001", "10.0.0.1:8001", "shop:8001", ":8001"]
)
def test_an_admin_listener_for_other_machines_needs_a_token(admin):
    public, private = ListenAddress("127.0.0.1", 8000), address_of(admin, "")
    require_separate(public, private, token="secret")

    with pytest.raises(CannotStart, match="OVERGROW_ADMIN_TOKEN is not set"):
        require_separate(public, private, token=None)


@pytest.mark.parametrize(
    ("token", "read_token"),
    [pytest.param("t", "t", id="the same"), pytest.param(None, "r", id="the reader's alone")],
)
def test_a_read_token_stands_beside_another_token(token, read_token):
    with pytest.raises(CannotStart, match="OVERGROW_ADMIN_READ_TOKEN"):
        require_tokens_that_differ(token, read_token)


def test_a_read_token_may_be_absent():
    require_tokens_that_differ("t", None)
    require_tokens_that_differ(None, None)
    require_tokens_that_differ("t", "r")


@pytest.mark.parametrize("kept", ["t0ken\n", " t0ken", "t0ken\r\n"])
def test_a_token_file_with_a_line_end_holds_the_token_that_clients_send(kept):
    assert settings_from({"OVERGROW_ADMIN_TOKEN": kept}).admin_token == "t0ken"


@pytest.mark.parametrize("name", ["SECRET", "ADMIN_TOKEN", "STORE_URL"])
def test_settings_shown_in_a_report_of_an_error_tell_no_secret(name):
    settings = settings_from({f"OVERGROW_{name}": "hunter2"})

    assert "hunter2" in (settings.secret, settings.admin_token, settings.store_url)
    assert "hunter2" not in repr(settings)


def test_facts_shown_in_a_report_of_an_error_tell_no_secret():
    facts = Facts(killed=True, secret=b"hunter2", now_s=5.0)

    assert repr(facts) == "<Facts killed=True now_s=5.0, with a secret>"
    assert repr(Facts()) == "<Facts killed=False now_s=0.0>"


def test_a_blank_token_is_refused_rather_than_taken_for_none_or_for_one():
    with pytest.raises(SettingError, match="OVERGROW_ADMIN_TOKEN is blank"):
        settings_from({"OVERGROW_ADMIN_TOKEN": " \n"})


@pytest.mark.parametrize(
    ("admin", "token", "notes"),
    [
        pytest.param("0.0.0.0:8001", "hunter2", 1, id="other machines can try them all"),
        pytest.param("0.0.0.0:8001", "0123456789abcdef", 0, id="long"),
        pytest.param("0.0.0.0:8001", "0123456789abcde", 1, id="a character short of it"),
        pytest.param("127.0.0.1:8001", "hunter2", 0, id="only this machine"),
        pytest.param("127.0.0.1:8001", None, 0, id="none needed"),
    ],
)
def test_a_token_that_other_machines_could_guess_is_worth_a_note(admin, token, notes, capsys):
    note_short_tokens(address_of(admin, ""), {"OVERGROW_ADMIN_TOKEN": token})

    assert capsys.readouterr().err.count("OVERGROW_ADMIN_TOKEN has") == notes


def test_the_token_that_reads_is_worth_a_note_too(capsys):
    tokens = {"OVERGROW_ADMIN_TOKEN": "x" * 16, "OVERGROW_ADMIN_READ_TOKEN": "short"}
    note_short_tokens(address_of("0.0.0.0:8001", ""), tokens)

    assert "note: OVERGROW_ADMIN_READ_TOKEN has 5 characters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "connections"),
    [
        pytest.param(resource.RLIM_INFINITY, 10_000, id="no limit"),
        pytest.param(65_536, 10_000, id="what serve asks for"),
        pytest.param(4_096, 3_403, id="less"),
        pytest.param(1_024, 610, id="still room for legacy's connections and files of our own"),
        pytest.param(64, 32, id="hardly any"),
    ],
)
def test_a_worker_takes_no_more_clients_than_its_open_files_allow(files, connections):
    assert max_connections_for(files) == connections


def test_few_open_files_are_worth_a_note(capsys):
    note_few_files(11_352)
    assert capsys.readouterr().err == ""

    note_few_files(1_024)
    assert "so it accepts 610 clients at once" in capsys.readouterr().err


def test_an_address_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ListenAddress("127.0.0.1", taken.getsockname()[1])

        with pytest.raises(InUse, match=rf"{address}: Address already in use") as caught:
            require_free_addresses(ListenAddress("127.0.0.1", 0), address)

    assert (caught.value.exit_code, CannotStart.exit_code) == (1, 2)


def test_a_socket_that_is_served_is_named(socket_folder):
    path = str(socket_folder / "sock")
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(path)
        taken.listen()
        with pytest.raises(InUse, match="another server listens there"):
            require_free_addresses(ListenAddress(path=path))

    require_free_addresses(ListenAddress(path=path))  # the file that was left behind is no obstacle


def test_a_file_in_place_of_a_socket_is_named(tmp_path):
    (tmp_path / "sock").write_text("x")

    with pytest.raises(InUse, match="a file that is not a socket exists there"):
        require_free_addresses(ListenAddress(path=str(tmp_path / "sock")))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("25s", 25), ("500ms", 0.5), ("1m", 60), ("0", 0), ("1.5s", 1.5), ("1h", 3600)],
)
def test_a_duration_is_read_as_seconds(text, seconds):
    assert Seconds().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "-1s", "1d", "soon", "1 s"])
def test_a_duration_that_is_none_is_refused(text):
    with pytest.raises(click.BadParameter, match="Write 25s"):
        Seconds().convert(text, None, None)


def imported_apart() -> bool:
    import this  # noqa: F401, PLC0415 - nobody else imports it

    return "this" in sys.modules and os.getpid() != PARENT


PARENT = os.getpid()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_what_runs_apart_leaves_nothing_imported_here():
    assert call_in_fork(imported_apart, lambda _: None) is True
    assert "this" not in sys.modules


def run_serve(*arguments: str, env: dict[str, str] | None = None):
    return CliRunner().invoke(serve, arguments, env=env or {}, catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "env", "text"),
    [
        (["--bind", "127.0.0.1:1", "--admin", "127.0.0.1:1"], {}, "same address"),
        (["--admin", "0.0.0.0:1"], {}, "OVERGROW_ADMIN_TOKEN"),
        (["--bind", "nonsense"], {}, "--bind is 'nonsense'"),
        ([], {"OVERGROW_WORKERS": "many"}, "OVERGROW_WORKERS"),
        (["--workers", "0"], {}, "--workers"),
        (["--grace", "long"], {}, "--grace"),
    ],
)
def test_bad_usage_is_said_and_exits_2(arguments, env, text):
    result = run_serve(*arguments, env=env)

    assert result.exit_code == 2
    assert text in result.output
