"""The units for systemd in deploy/: systemd accepts them, and they agree with what `overgrow serve` takes."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path

import pytest

from overgrow.cli.reload import reload_app
from overgrow.cli.serve.command import serve
from tests.programs import needed

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
UNITS = ("overgrow.service", "overgrow.socket", "overgrow-admin.socket")


def unit(name: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.optionxform = str
    found.read_string((DEPLOY / name).read_text("utf-8"))
    return found


def test_systemd_accepts_the_units(tmp_path):
    verify = needed("systemd-analyze", "systemd")
    for name in UNITS:
        text = (DEPLOY / name).read_text("utf-8")
        # It looks for the program and the user on this machine.
        text = text.replace("/srv/shop/venv/bin/overgrow", "/bin/true").replace(
            "=overgrow\n", "=root\n"
        )
        (tmp_path / name).write_text(text)
    command = [verify, "verify", *(str(tmp_path / name) for name in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("key", "command"), [("ExecStart", serve), ("ExecReload", reload_app)])
def test_the_service_uses_options_that_the_commands_have(key, command):
    words = unit("overgrow.service")["Service"][key].split()
    known = {name for each in command.params for name in each.opts}

    assert {word for word in words if word.startswith("--")} <= known


def test_the_service_can_write_its_table_and_not_its_code():
    service = unit("overgrow.service")["Service"]
    program, *words = service["ExecStart"].split()
    table = Path(words[words.index("--config") + 1])
    code = [Path(program), Path(service["WorkingDirectory"]), Path(service["Environment"][11:])]
    writable = [Path(each) for each in service["ReadWritePaths"].split()]

    assert service["ProtectSystem"] == "strict"
    assert any(table.is_relative_to(each) for each in writable)
    assert not [path for path in code if any(path.is_relative_to(each) for each in writable)]


def test_the_stop_of_the_service_outlasts_the_grace_time():
    service = unit("overgrow.service")["Service"]
    _, _, grace = service["ExecStart"].partition("--grace ")

    assert int(service["TimeoutStopSec"]) > int(grace.split("s")[0])


def test_each_socket_has_its_name_and_the_service_takes_both():
    names = {name: unit(name)["Socket"]["FileDescriptorName"] for name in UNITS[1:]}

    assert names == {"overgrow.socket": "public", "overgrow-admin.socket": "admin"}
    assert unit("overgrow.service")["Service"]["Sockets"].split() == [*names]
