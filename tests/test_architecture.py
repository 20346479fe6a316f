"""docs/architecture.md's pictures and map, held to the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_layers import BANDS

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
UNITS = {name.removeprefix("overgrow."): unit.band for name, unit in BANDS.items() if "." in name}
MAP = re.findall(
    r"^\| `(\w+)` \| (.+) \|$", PAGE.split("## The map")[1].split("\n## ")[0], re.MULTILINE
)
NUMBERS = {"words": "0", "tools": "0", "parts": "1", "path": "2", "faces": "3", "root": "4"}


def test_the_map_has_every_unit_once_in_the_order_of_the_bands():
    assert list(UNITS) == [unit for unit, _ in MAP]


@pytest.mark.parametrize(("unit", "band"), UNITS.items())
def test_the_picture_of_the_bands_shows_every_unit_in_its_own(unit, band):
    (picture,) = re.findall(r"```\n(4 root .*?)```", PAGE, re.DOTALL)
    rows = re.split(r"\n(?=\d |outside)", picture)
    (row,) = [row for row in rows if row.startswith(f"{NUMBERS[band]} {band}")]

    assert re.search(rf"\b{unit}\b", row)


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_of_the_map_is_in_the_tree(unit):
    assert (ROOT / "proxy/overgrow" / unit).is_dir() or (
        ROOT / "proxy/overgrow" / f"{unit}.py"
    ).is_file()


def test_what_stands_at_the_top_is_in_the_tree():
    (top,) = re.findall(r"```\n(proxy/ .*?)```", PAGE, re.DOTALL)

    assert [] == [line for line in top.splitlines() if not (ROOT / line.split()[0]).exists()]
