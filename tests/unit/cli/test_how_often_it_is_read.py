"""How often a command reads a whole table: at 10,000 routes each time is felt."""

from __future__ import annotations

import pytest

from overgrow.app import Overgrow, check_start, import_team
from overgrow.settings import Settings
from overgrow.table.reading import parse
from overgrow.table.reading import routes as entries
from overgrow.table.reading.table_file import parse_tree


@pytest.fixture
def read(monkeypatch):
    """The sizes of the texts that were read as YAML."""
    sizes = []

    def counted(text):
        sizes.append(len(text))
        return parse_tree(text)

    for module in (parse, entries):
        monkeypatch.setattr(module, "parse_tree", counted)
    return sizes


@pytest.mark.parametrize(
    ("most", "words"),
    [
        (1, ["check"]),
        (1, ["check", "--no-app"]),
        (1, ["routes"]),
        (1, ["explain", "/orders"]),
        (0, ["rollback", "--all"]),
        (2, ["flip", "orders", "10%"]),
        (2, ["flip", "order-detail", "legacy"]),
        (1, ["flip", "orders", "legacy"]),
        (2, ["flip", "nobody", "legacy"]),
    ],
)
def test_a_command_reads_the_routes_no_more_often_than_it_must(overgrow, read, most, words):
    whole = len(overgrow.table.read_text())
    overgrow(*words)

    assert most == len([size for size in read if size > 0.9 * whole])


@pytest.mark.parametrize(
    "start",
    [check_start, lambda settings: Overgrow(settings, import_team(settings))],
    ids=["the check before the start", "a worker"],
)
def test_a_start_reads_the_routes_once(overgrow, read, start):
    whole = len(overgrow.table.read_text())
    start(Settings(config=overgrow.table))

    assert 1 == len([size for size in read if size > 0.9 * whole])


def test_an_app_named_below_the_routes_is_found_as_well(overgrow):
    text = overgrow.table.read_text().replace("app: shop:create_app\n", "")
    overgrow.table.write_text(f"{text}app: shop:create_app\n")

    assert 0 == overgrow("check").exit_code
