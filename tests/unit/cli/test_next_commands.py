"""What to run next: each failure names it, for people and machines that cannot guess."""

from __future__ import annotations

import pytest

from overgrow.cli.failures import FAILURES, Failed, failure_of
from overgrow.cli.main import COMMANDS
from overgrow.table.reading.problems import REFUSALS, EditRefused


@pytest.mark.parametrize("code", [*REFUSALS, *FAILURES])
def test_every_failure_names_a_command_that_exists(code):
    named = Failed(code, "").as_json()["next"]

    assert named
    assert {line.split()[1] for line in named} - {"--help"} <= set(COMMANDS) | {"reload"}


def test_a_refusal_may_name_a_better_one():
    refused = EditRefused("workers-refuse", "", next_commands=["overgrow reload"])

    assert ["overgrow reload"] == failure_of(refused).as_json()["next"] == refused.as_json()["next"]


def test_bad_usage_names_where_to_look(overgrow):
    assert ["overgrow --help"] == overgrow.json("flip")[1]["error"]["next"]
