"""The header by which a proxy in front names the user, over sockets: from any other peer it reaches neither side."""

from __future__ import annotations

import json
import queue

import pytest

from tests.wire.front.conftest import standing
from tests.wire.front.ends import Wire, answer, request

TABLE = """\
version: 1
legacy: {{url: "${{LEGACY_URL}}", via: door-h}}
identity: {{from: header, header: Remote-User}}
trusted_proxies: [{proxies}]
routes:
  - {{name: environ, path: /environ, target: migrated}}
  - {{name: who, path: /who, target: migrated}}
"""


def front_that_trusts(proxies, folder):
    seen = queue.Queue()

    def answer_each(end):
        while True:
            seen.put(end.message()["remote-user"])
            end.send(answer(body=b"of legacy"))

    with (
        standing(TABLE.format(proxies=proxies), folder) as (front, legacy),
        legacy.scripted(answer_each),
    ):
        yield Wire(front.port, legacy), seen


@pytest.fixture(scope="module")
def wary(tmp_path_factory):
    yield from front_that_trusts("10.0.0.0/8", tmp_path_factory.mktemp("wary"))


@pytest.fixture(scope="module")
def trusting(tmp_path_factory):
    yield from front_that_trusts("127.0.0.0/8", tmp_path_factory.mktemp("trusting"))


def body_of(wire, path, *fields):
    with wire.client() as client:
        client.send(request("GET", path, *fields))
        return client.message("GET").body


def test_migrated_does_not_get_the_header_of_another_peer(wary):
    wire, _ = wary
    sent = json.loads(body_of(wire, "/environ", "Remote-User: admin", "X-Page: 1"))["headers"]

    assert ["X-Page", "1"] in sent
    assert "admin" not in json.dumps(sent)


def test_legacy_does_not_get_the_header_of_another_peer(wary):
    wire, seen = wary
    body_of(wire, "/old", "Remote-User: admin")

    assert seen.get_nowait() is None


def test_both_sides_get_the_header_of_a_trusted_proxy(trusting):
    wire, seen = trusting
    body_of(wire, "/old", "Remote-User: ann")

    assert json.loads(body_of(wire, "/who", "Remote-User: ann"))["user"] == "ann"
    assert seen.get_nowait() == "ann"


def test_two_headers_that_differ_name_nobody(trusting):
    wire, _ = trusting
    found = body_of(wire, "/who", "Remote-User: admin", "Remote-User: ann")

    assert json.loads(found)["user"] is None
