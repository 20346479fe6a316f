"""Front doors for the session, each with a legacy socket of its own: plain, trusting, and wary.

The tests that change a table, or move legacy, have one of their own.
"""

from __future__ import annotations

from contextlib import closing, contextmanager

import pytest

from tests.story.front import running_front
from tests.wire.front.ends import Legacy, Wire

APP = "tests.wire.front.echo_app:create_app"
SECRET = "a secret for tests"

PLAIN = """\
version: 1
legacy:
  url: ${LEGACY_URL}
  via: door-a
routes:
  - name: hasty
    prefix: /hasty
    target: legacy
    response_timeout: 800ms
  - name: restless
    prefix: /restless
    target: legacy
    idle_timeout: 800ms
  - name: retired
    path: /retired
    target: gone
"""

TRUSTING = """\
version: 1
legacy:
  url: ${LEGACY_URL}
  via: door-b
  host: upstream
  forwarded: true
  connect_timeout: 300ms
  max_connections: 2
  max_body: 10kB
  rewrite_headers: true
  folds: [case]
trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]
routes:
  - name: environ
    path: /environ
    methods: [GET]
    target: migrated
  - name: crash
    path: /crash
    methods: [GET]
    target: migrated
  - name: late
    path: /late
    methods: [GET]
    target: migrated
    response_timeout: 200ms
  - name: of-a-host
    path: /of-a-host
    host: retired.example
    target: gone
"""


@contextmanager
def standing(table, folder, **more):
    legacy = Legacy()
    given = {"OVERGROW_APP": APP, "OVERGROW_EXPOSE": "0", "OVERGROW_SECRET": SECRET}
    data = folder / "unused.sqlite3"
    with (
        closing(legacy),
        running_front(table, folder, legacy.port, data=data, **given, **more) as front,
    ):
        yield front, legacy


@pytest.fixture(scope="session")
def plain_front(tmp_path_factory):
    with standing(PLAIN, tmp_path_factory.mktemp("plain")) as both:
        yield both


@pytest.fixture(scope="session")
def trusting_front(tmp_path_factory):
    with standing(TRUSTING, tmp_path_factory.mktemp("trusting")) as both:
        yield both


@pytest.fixture
def wire(plain_front):
    """The front door that trusts no proxy."""
    wire = Wire(plain_front[0].port, plain_front[1])
    yield wire
    wire.end()


@pytest.fixture(scope="session")
def wary_front(tmp_path_factory):
    with standing(PLAIN, tmp_path_factory.mktemp("wary")) as both:
        yield both


@pytest.fixture
def wary(wary_front):
    """A plain front door whose legacy misbehaves: it may keep no connections for a while."""
    wire = Wire(wary_front[0].port, wary_front[1])
    yield wire
    wire.end()


@pytest.fixture(scope="session")
def dual_front(tmp_path_factory):
    with standing(TRUSTING, tmp_path_factory.mktemp("dual"), host="[::]") as both:
        yield both


@pytest.fixture
def dual(dual_front):
    """The trusting front door on [::], where IPv4 clients come in as ::ffff:127.0.0.1."""
    wire = Wire(dual_front[0].port, dual_front[1])
    yield wire
    wire.end()


@pytest.fixture
def trusting(trusting_front):
    """The front door that trusts loopback and 10/8, sends Forwarded, hides Host, has small limits."""
    wire = Wire(trusting_front[0].port, trusting_front[1])
    yield wire
    wire.end()
