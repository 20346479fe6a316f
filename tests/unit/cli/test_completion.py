"""What the shell completes; asked as the shell asks, in a process of its own."""

import os
import subprocess
import sys

import pytest

TABLE = """version: 1
legacy: {url: http://127.0.0.1:9000}
routes:
  - {name: orders, path: /orders, target: legacy, group: checkout}
  - {name: order-detail, path: /orders/<int:id>, target: legacy, group: checkout}
  - {name: cart, path: /cart, target: nowhere}
"""


def complete(folder, *words):
    """Return what bash would be offered for the last word."""
    asked = {
        "_OVERGROW_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("overgrow", *words[:-1])),
    }
    # bash gives the words typed so far and the index of the one under the cursor
    asked |= {"COMP_WORDS": f"{asked['COMP_WORDS']} {words[-1]}", "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-c", "from overgrow.cli.main import main; main(prog_name='overgrow')"],
        cwd=folder,
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "routes.yaml").write_text(TABLE)
    return tmp_path


def test_routes_and_groups_of_the_table_are_completed_valid_or_not(folder):
    assert ["orders", "order-detail", "cart", "group:checkout"] == complete(folder, "flip", "")
    assert ["orders", "order-detail"] == complete(folder, "flip", "ord")


def test_targets_are_completed_behind_a_route(folder):
    assert ["legacy"] == complete(folder, "flip", "orders", "l")


def test_a_route_option_is_completed(folder):
    assert ["cart"] == complete(folder, "diff", "top", "--route", "c")


def test_the_table_of_config_is_read(folder):
    (folder / "routes.yaml").rename(folder / "other.yaml")

    assert ["cart"] == complete(folder, "gate", "--config", "other.yaml", "c")


def test_nothing_is_completed_or_said_where_the_table_is_broken(folder):
    (folder / "routes.yaml").write_text("routes: [")

    assert [] == complete(folder, "flip", "")


def test_commands_are_completed(folder):
    assert ["rollback", "routes"] == sorted(complete(folder, "ro"))
