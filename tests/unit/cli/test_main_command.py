import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from overgrow.cli.main import COMMANDS, main
from tests.programs import IMPORT_PATH
from tests.unit.cli.found import put, served

ROOT = Path(__file__).resolve().parents[3]
HEAVY = (
    "multiprocessing",
    "flask",
    "werkzeug",
    "gunicorn",
    "httpx",
    "httptools",
    "uvloop",
    "prometheus_client",
    "sqlalchemy",
    "shop",
)
IMPORTED = f"""
import sys
from overgrow.cli.main import main
try:
    main(sys.argv[1:], prog_name="overgrow")
finally:
    print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


def python(*words, cwd):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OVERGROW_")}
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**kept, "PYTHONPATH": IMPORT_PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def commands():
    """Every command with the words that name it, those of groups included."""
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        yield (name,), command
        if isinstance(command, click.Group):
            yield from (((name, each), found) for each, found in command.commands.items())


ALL = dict(commands())


@pytest.mark.parametrize("words", [[*names, "--help"] for names in ALL], ids=" ".join)
def test_no_default_is_torn_in_two_by_the_end_of_a_line(overgrow, words):
    told = overgrow(*words, COLUMNS="80").stdout

    assert [] == re.findall(r".*\[default:[^]\n]*$", told, re.MULTILINE)


@pytest.mark.parametrize("words", [["-h"], *[[*names, "--help"] for names in ALL]], ids=" ".join)
def test_help_fits_eighty_columns_on_any_screen(overgrow, words):
    done = overgrow(*words, COLUMNS="200")

    assert (0, []) == (
        done.exit_code,
        [line for line in done.stdout.splitlines() if len(line) > 80],
    )


@pytest.mark.parametrize("command", ALL.values(), ids=map(" ".join, ALL))
def test_every_option_is_explained(command):
    options = [each for each in command.params if isinstance(each, click.Option)]

    assert [] == [option.name for option in options if not option.help]


COLLECTIONS = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count() > 0))
from overgrow.cli import main
main.main = lambda prog_name: sys.exit(print(gc.get_threshold()[0] == main.GC_THRESHOLD))
main.run_command()
"""


def test_a_command_spends_no_time_on_garbage_collections(tmp_path):
    done = python("-c", COLLECTIONS, cwd=tmp_path)

    assert (done.stdout, done.returncode) == ("True\nTrue\n", 0), done.stderr


def test_without_a_command_it_prints_its_help(overgrow):
    done = overgrow()

    assert (2, True) == (done.exit_code, "Commands:" in done.output)


def test_help_lists_every_command_in_the_order_of_a_migration(overgrow):
    listed = overgrow("--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]

    assert list(COMMANDS) == [line.split()[0] for line in listed.splitlines()]


def test_the_version_is_told(overgrow):
    assert overgrow("--version").stdout.startswith("overgrow, version ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(("flop",), "There is no command 'flop'. Did you mean flip?", id="at the top"),
        pytest.param(("data", "chekc"), "'chekc'. Did you mean check?", id="of data"),
        pytest.param(("inventory", "scn"), "'scn'. Did you mean scan?", id="of inventory"),
    ],
)
def test_a_command_that_is_none_is_told_with_the_nearest(overgrow, words, told):
    assert told in overgrow.misused(*words)


def test_a_setting_that_cannot_be_used_is_bad_usage(overgrow):
    assert "OVERGROW_THREADS" in overgrow.misused("routes", OVERGROW_THREADS="many")


def test_a_flag_beats_the_environment(overgrow):
    done = overgrow("routes", "--config", "routes.yaml", OVERGROW_CONFIG="nowhere.yaml")

    assert 0 == done.exit_code


def test_the_environment_names_the_table(overgrow):
    overgrow.table.rename(overgrow.folder / "other.yaml")

    assert 0 == overgrow("routes", OVERGROW_CONFIG="other.yaml").exit_code


def test_the_folder_of_the_table_comes_first_where_modules_are_looked_for(overgrow):
    overgrow("routes", "--config", str(overgrow.table))

    assert str(overgrow.folder) == sys.path[0]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["flip", "order-detail", "legacy"], id="flip to legacy"),
        pytest.param(["rollback", "--all"], id="rollback --all"),
        pytest.param(["resume"], id="resume"),
        pytest.param(["breaker", "reset", "orders"], id="breaker reset"),
    ],
)
def test_an_emergency_command_imports_no_server_app_or_database(overgrow, words):
    done = python("-c", IMPORTED, *words, cwd=overgrow.folder)

    assert (0, "\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ["diff", "top"],
        ["diff", "proposals"],
        ["diff", "accept", "abcd", "--reason", "x"],
        ["gate", "orders"],
        ["shadow", "restart", "orders", "--reason", "x"],
    ],
    ids=" ".join,
)
def test_a_command_that_asks_the_evidence_imports_no_server_and_no_app(overgrow, words):
    put(overgrow.folder / ".overgrow", served("orders"))

    done = python("-c", IMPORTED, *words, cwd=overgrow.folder)

    assert ["sqlalchemy"] == done.stderr.splitlines()[-1].split()


def test_a_flip_to_migrated_does_import_the_app(overgrow):
    done = python("-c", IMPORTED, "flip", "orders", "migrated", cwd=overgrow.folder)

    assert (0, True) == (done.returncode, done.stderr.split()[-1] == "shop")


def test_a_reader_that_leaves_early_gets_no_traceback(overgrow):
    many = "".join(f"  - {{path: /p{number}, target: legacy}}\n" for number in range(2_000))
    overgrow.table.write_text(overgrow.table.read_text() + many)
    command = [sys.executable, "-m", "overgrow.cli.main", "routes"]
    environment = {**os.environ, "PYTHONPATH": IMPORT_PATH}

    with subprocess.Popen(
        command,
        cwd=overgrow.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()

    assert b"" == told


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["explain", "/"],
        ["routes"],
        ["status"],
        ["shadow", "status"],
        ["diff", "top"],
        ["gate", "orders"],
    ],
    ids=" ".join,
)
def test_a_command_that_only_looks_makes_no_folder(overgrow, words):
    overgrow(*words)

    assert ["routes.yaml", "shop.py"] == sorted(
        path.name for path in overgrow.folder.iterdir() if path.name != "__pycache__"
    )


def test_only_the_output_module_prints_and_no_text_commands_the_terminal():
    folder = ROOT / "proxy/overgrow/cli"
    printing = {
        path.name
        for path in folder.rglob("*.py")
        if re.search(r"click\.(secho|echo)|^ +print\(", path.read_text("utf-8"), re.MULTILINE)
    }

    assert printing == {"output.py"}
