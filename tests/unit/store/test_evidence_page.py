"""docs/evidence.md, held to the code: its numbers are computed, its bounds are those in force."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from overgrow.shadow.findings.gate import Requirement, format_percent, mismatch_rate_upper_bound
from overgrow.store.engine import DAMAGED_SUFFIX, FILE
from overgrow.store.pruning import Retention
from overgrow.store.row_builder import MAX_GROUPS, MAX_SHAPES
from overgrow.store.saving import MAX_EXAMPLES
from overgrow.store.tables import PREFIX
from overgrow.store.writer import BatchLimits

PAGE = (Path(__file__).resolve().parents[3] / "docs/evidence.md").read_text("utf-8")
WORKED = re.findall(r"^\| ([\d,]+) \| (\d+) \| ([\d.]+%) \|$", PAGE, re.MULTILINE)


def test_the_page_has_worked_numbers():
    assert len(WORKED) == 6


@pytest.mark.parametrize(("compared", "mismatched", "bound"), WORKED)
def test_every_worked_number_is_what_the_gate_computes(compared, mismatched, bound):
    computed = mismatch_rate_upper_bound(int(mismatched), int(compared.replace(",", "")))

    assert format_percent(computed) == bound


@pytest.mark.parametrize(
    "phrase",
    [
        f"{Retention().keep_days} days, {Retention().max_rows:,} rows",
        f"{Retention().max_groups:,} groups",
        f"{MAX_SHAPES} shapes and {MAX_GROUPS} groups",
        f"every {BatchLimits().batch_records}",
        f"At most {BatchLimits().queue_records:,} wait",
        f"at most {Requirement().max_age_s / 3600:.0f} hours old",
        f"at least {Requirement().coverage:.0%} of the requests",
        f"`{FILE}{DAMAGED_SUFFIX}`",
        f"begin with `{PREFIX}`",
    ],
)
def test_every_bound_on_the_page_is_the_one_in_force(phrase):
    assert phrase in PAGE


def test_the_number_of_examples_is_told():
    assert (MAX_EXAMPLES, "five redacted pairs" in PAGE) == (5, True)
