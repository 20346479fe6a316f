"""A view that writes on GET: its copy changes nothing, and is reported as not compared."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from overgrow.exchange import Reply
from overgrow.shadow.write_attempts import mark_shadow_requests
from overgrow.wsgi.server import WsgiServer
from tests.unit.shadow.mirrored import Side, Stage, decided


def writing(environ, start_response):
    """An app that reports an attempt to write, and answers as if nothing had happened."""
    environ["overgrow.wrote"]()
    start_response("200 OK", [])
    return [b"ok"]


def played(app, times=1, **given):
    """The stage after requests whose copies the app served in threads of its own."""
    stage = Stage(**given.pop("stage", {}))
    decision = given.pop("decision", None)

    async def scene():
        migrated = WsgiServer(mark_shadow_requests(app), threads=2, queue=2)
        stage.mirror._servers["migrated"] = migrated
        for _ in range(times):
            await stage.ask(server=stage.legacy, decision=decision, **given)
            await stage.settled()
        await migrated.aclose()

    asyncio.run(scene())
    return stage


def test_a_copy_that_tried_to_write_is_not_compared():
    stage = played(writing)

    assert (stage.notes.drops, stage.notes.verdicts) == (["wrote"], [])


def test_what_is_not_compared_names_the_route():
    stage = played(writing)

    ((reason, served),) = stage.notes.left_out
    assert (reason, served.route, served.shape.method) == ("wrote", "orders", "GET")


def test_the_log_names_the_route_once_an_hour(caplog):
    with caplog.at_level(logging.WARNING):
        played(writing, times=3)

    (line,) = [
        each.getMessage() for each in caplog.records if "tried to write" in each.getMessage()
    ]
    assert "copies of route orders are not compared: migrated tried to write at GET /a" in line


def test_an_attempt_in_the_body_counts_too():
    def late(environ, start_response):
        start_response("200 OK", [])
        yield b"ok"
        environ["overgrow.wrote"]()

    assert played(late).notes.drops == ["wrote"]


def test_an_attempt_before_a_crash_is_no_mismatch():
    def crashing(environ, _start_response):
        environ["overgrow.wrote"]()
        raise ZeroDivisionError

    assert played(crashing).notes.drops == ["wrote"]


def test_an_attempt_in_a_response_that_is_too_large_counts_too():
    def app(environ, start_response):
        environ["overgrow.wrote"]()
        start_response("200 OK", [])
        return iter([b"x" * 600_000] * 200)  # too large to be compared

    stage = played(app)

    assert stage.notes.drops == ["wrote"]


def test_an_attempt_of_one_copy_is_not_that_of_another():
    both = threading.Barrier(2, timeout=60)

    def app(environ, start_response):
        both.wait()
        if environ["QUERY_STRING"] == "write":
            environ["overgrow.wrote"]()
        both.wait()
        start_response("200 OK", [])
        return [b"ok"]

    stage = Stage()

    async def scene():
        migrated = WsgiServer(mark_shadow_requests(app), threads=2, queue=2)
        stage.mirror._servers["migrated"] = migrated
        asked = [
            stage.ask(server=stage.legacy, target=b"/a?" + word) for word in (b"write", b"read")
        ]
        await asyncio.gather(*asked)
        await stage.settled()
        await migrated.aclose()

    asyncio.run(scene())

    assert (stage.notes.drops, stage.notes.verdicts) == (["wrote"], ["matched"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_copies_of_safe_methods_are_marked(method):
    seen = []

    def app(environ, start_response):
        seen.append(environ.get("overgrow.shadow"))
        start_response("200 OK", [])
        return [b"ok"]

    played(app, method=method)

    assert seen == [True]


def test_the_second_copy_for_noise_is_marked_too():
    seen = []

    def app(environ, start_response):
        seen.append(environ.get("overgrow.shadow"))
        start_response("200 OK", [])
        return [b"ok"]

    played(app, decision=decided(shadow_noise=10_000))

    assert seen == [True, True]


def test_copies_of_an_app_that_reports_nothing_are_compared():
    def app(_environ, start_response):
        start_response("200 OK", [])
        return [b"ok"]

    stage = played(app, stage={"legacy": Side([Reply(200, [], b"ok")])})

    assert (stage.notes.drops, stage.notes.verdicts) == ([], ["matched"])
