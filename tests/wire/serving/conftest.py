"""One server for the tests that change nothing; fresh ones for those that do."""

from __future__ import annotations

import pytest

from tests.wire.serving.servers import ServerUnderTest


@pytest.fixture(scope="session")
def server():
    """A server of one worker with the limits of production."""
    running = ServerUnderTest()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def hasty():
    """A server with short limits."""
    limits = {"head_s": 0.3, "keepalive_s": 0.6, "idle_s": 1.0, "linger_s": 0.3}
    running = ServerUnderTest(limits=limits)
    yield running
    running.stop()


@pytest.fixture
def start():
    """A maker of servers for one test, stopped after it."""
    running = []

    def make(**plan):
        running.append(ServerUnderTest(**plan))
        return running[-1]

    yield make
    for each in running:
        each.stop()
