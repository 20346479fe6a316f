"""What every test of the project shares: the shape report at the end, and properties without a clock."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Speed is measured in benchmarks/; on a busy machine a slow example is not a wrong one.
settings.register_profile("overgrow", deadline=None)
settings.load_profile("overgrow")

SHAPE = "shape of the code"

# Files that take longest, begun first: the last one of the processes must not go on alone for long.
LONG = (
    "test_benchmarks.py",
    "test_every_page.py",
    "test_foreign_site.py",
    "test_hanging_files.py",
    "test_serve_boots.py",
    "test_shadow_whole_shop.py",
    "test_mutants.py",
)


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder for unix sockets, whose paths have 107 bytes at most: TMPDIR may be longer."""
    with tempfile.TemporaryDirectory(prefix="og-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def shape_report(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Lines to show in the summary, whatever the outcome; they come from any process of the run."""
    lines: list[str] = []
    yield lines
    request.node.user_properties.append((SHAPE, lines))


def pytest_configure() -> None:
    """Hear SIGINT, and let the programs that tests start hear it.

    Processes of pytest-xdist ignore it, and so does what runs in the background of a shell.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [each for found in terminalreporter.stats.values() for each in found]
    told = [pair for each in reports for pair in getattr(each, "user_properties", ())]
    lines = [line for name, lines in told if name == SHAPE for line in lines]
    if lines:
        terminalreporter.section(SHAPE)
        for line in lines:
            terminalreporter.write_line(line)
