"""What every test of the project shares: the shape report at the end, and properties without a clock."""

from __future__ import annotations

import pytest
from hypothesis import settings

# Speed is measured in benchmarks/; on a busy machine a slow example is not a wrong one.
settings.register_profile("overgrow", deadline=None)
settings.load_profile("overgrow")

SHAPE = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SHAPE] = []


@pytest.fixture
def shape_report(pytestconfig: pytest.Config) -> list[str]:
    """Lines to show in the summary, whatever the outcome."""
    return pytestconfig.stash[SHAPE]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    lines = config.stash[SHAPE]
    if lines:
        terminalreporter.section("shape of the code")
        for line in lines:
            terminalreporter.write_line(line)
