"""What an app answers, seen as a client: whole, streamed, broken, and its breaches of PEP 3333."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from overgrow.exchange import Inbound
from overgrow.wsgi.server import WsgiServer

TEXT = [("Content-Type", "text/plain")]


def app_of(*blocks, status="200 OK", headers=TEXT, sequence=iter):
    def app(environ, start_response):
        start_response(status, list(headers))
        return sequence(list(blocks))

    return app


def test_a_declared_length_that_the_first_block_fills_is_answered_whole(answered):
    found = answered(app_of(b"hello", headers=[*TEXT, ("Content-Length", "5")]))

    assert (found.status, found.body, found.streamed) == (200, b"hello", False)
    assert found.headers == [(b"content-type", b"text/plain"), (b"content-length", b"5")]


def test_one_block_in_a_list_is_answered_whole_with_its_length(answered):
    found = answered(app_of(b"hello", sequence=list))

    assert (found.body, found.streamed) == (b"hello", False)
    assert (b"content-length", b"5") in found.headers


def test_blocks_of_unknown_number_are_streamed(answered):
    found = answered(app_of(b"a", b"", b"b"))

    assert (found.body, found.streamed, found.broken) == (b"ab", True, None)
    assert (b"content-length", b"2") not in found.headers


@pytest.mark.parametrize(("size", "streamed"), [(64 * 1024, False), (64 * 1024 + 1, True)])
def test_a_whole_answer_of_64_kib_goes_out_in_one_step(answered, size, streamed):
    found = answered(app_of(b"x" * size, sequence=list))

    assert (len(found.body), found.streamed) == (size, streamed)


def test_no_blocks_are_an_empty_body(answered):
    found = answered(app_of())

    assert (found.body, found.streamed) == (b"", False)
    assert (b"content-length", b"0") in found.headers


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_without_body_gets_none_and_no_length_is_invented(answered, status):
    found = answered(app_of(b"surplus", status=status, sequence=list))

    assert (found.body, found.headers) == (b"", [(b"content-type", b"text/plain")])


def test_a_204_loses_its_content_length(answered):
    found = answered(app_of(status="204 No Content", headers=[("Content-Length", "0")]))

    assert found.headers == []


def test_a_304_keeps_the_length_of_what_it_stands_for(answered):
    found = answered(app_of(status="304 Not Modified", headers=[("Content-Length", "9")]))

    assert (found.headers, found.broken) == ([(b"content-length", b"9")], None)


def test_head_drops_the_body_and_keeps_its_length(answered):
    found = answered(app_of(b"hello", headers=[("Content-Length", "5")]), method="HEAD")

    assert (found.body, found.headers) == (b"", [(b"content-length", b"5")])


def test_head_stops_an_endless_body(answered):
    closed = []

    def endless(environ, start_response):
        start_response("200 OK", [])
        try:
            while True:
                yield b"tick"
        finally:
            closed.append(True)

    found = answered(endless, method="HEAD")

    assert (found.body, closed) == (b"", [True])


def test_a_body_longer_than_declared_is_cut(answered, caplog):
    found = answered(app_of(b"ab", b"cd", b"ef", headers=[("Content-Length", "3")]))

    assert (found.body, found.broken) == (b"abc", None)
    assert "longer than its Content-Length" in caplog.text


def test_a_first_block_longer_than_declared_is_cut(answered):
    found = answered(app_of(b"abcdef", headers=[("Content-Length", "3")]))

    assert (found.body, found.streamed) == (b"abc", False)


def test_a_streamed_body_shorter_than_declared_is_broken(answered):
    found = answered(app_of(b"ab", b"c", headers=[("Content-Length", "5")]))

    assert found.status == 200
    assert (found.broken.code, found.broken.stage) == ("migrated-crash", "body")
    assert found.broken.detail == "Content-Length is 5, the body has 3 bytes"


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(app_of(headers=[("Content-Length", "5")]), id="nothing of what was declared"),
        pytest.param(
            app_of(b"abc", headers=[("Content-Length", "5")], sequence=list), id="known beforehand"
        ),
    ],
)
def test_a_body_known_to_be_short_before_the_head_is_a_crash(answered, app):
    found = answered(app)

    assert (found.status, found.failure.code) == (500, "migrated-crash")


def test_an_app_that_raises_is_a_crash_and_tells_the_client_nothing_of_it(answered, caplog):
    def app(environ, start_response):
        raise RuntimeError("secret")

    found = answered(app)

    assert (found.status, found.failure.party, found.failure.stage) == (500, "migrated", "head")
    assert (b"x-overgrow-error", b"migrated-crash") in found.headers
    assert b"secret" not in found.body
    assert "secret" in caplog.text


def test_an_app_that_exits_does_not_take_the_thread_with_it(answered):
    def app(environ, start_response):
        sys.exit("bye")

    assert answered(app).failure.code == "migrated-crash"


def test_a_request_of_which_no_environ_can_be_made_is_a_crash(answered):
    found = answered(app_of(b""), headers=[(b"x-broken", None)])

    assert found.failure.code == "migrated-crash"


def test_an_app_that_raises_after_the_head_breaks_the_body(answered):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"half"
        raise RuntimeError("secret")

    found = answered(app)

    assert (found.status, found.body) == (200, b"half")
    assert (found.broken.code, found.broken.party) == ("migrated-crash", "migrated")


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(lambda environ, start_response: [b"body"], id="start_response never called"),
        pytest.param(lambda environ, start_response: [], id="nothing at all"),
        pytest.param(lambda environ, start_response: None, id="no iterable"),
        pytest.param(app_of("text"), id="text for a body"),
        pytest.param(app_of(b"", status=200), id="a number for a status"),
        pytest.param(app_of(b"", status="OK"), id="a status without code"),
        pytest.param(app_of(b"", status="100 Continue"), id="a status that is never final"),
        pytest.param(app_of(b"", status="200 OK\r\nX: y"), id="a status with a line break"),
        pytest.param(app_of(b"", headers=[("A b", "1")]), id="a header name with a space"),
        pytest.param(app_of(b"", headers=[(b"A", "1")]), id="a header name in bytes"),
        pytest.param(app_of(b"", headers=[("A", b"1")]), id="a header value in bytes"),
        pytest.param(app_of(b"", headers=[("A", 1)]), id="a header value that is a number"),
        pytest.param(app_of(b"", headers=[("A", "1\r\nB: 2")]), id="a value that splits"),
        pytest.param(app_of(b"", headers=[("A", "\u20ac")]), id="a value beyond latin-1"),
        pytest.param(app_of(b"", headers=[("Content-Length", "-1")]), id="a negative length"),
        pytest.param(
            app_of(b"", headers=[("Content-Length", "1"), ("Content-Length", "2")]),
            id="two lengths",
        ),
        pytest.param(app_of(b"", headers=[("Content-Length", "\u0665")]), id="a foreign digit"),
    ],
)
def test_a_breach_of_the_protocol_is_a_crash(answered, app):
    found = answered(app)

    assert (found.status, found.failure.code) == (500, "migrated-crash")


def test_equal_lengths_are_sent_once(answered):
    found = answered(app_of(b"a", headers=[("Content-Length", "1"), ("Content-Length", "1")]))

    assert found.headers == [(b"content-length", b"1")]


def test_hop_by_hop_headers_are_not_passed_on(answered):
    names = [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    ]
    hops = [(name, "x") for name in names]

    found = answered(app_of(b"a", headers=[*hops, ("X-Kept", " 1 ")], sequence=list))

    assert found.headers == [(b"x-kept", b"1"), (b"content-length", b"1")]


def test_an_exception_that_cannot_be_told_is_a_crash_like_any_other(answered):
    class Untold(Exception):
        def __str__(self):
            raise RuntimeError("not even this")

    def app(_environ, _start_response):
        raise Untold

    found = answered(app)

    assert (500, "migrated-crash", "Untold") == (
        found.status,
        found.failure.code,
        found.failure.detail,
    )


def test_an_app_that_fails_each_time_leaves_one_traceback(read, decided, head_with, caplog):
    def app(_environ, _start_response):
        raise ValueError("always")

    async def requests():
        local = WsgiServer(app)
        for _ in range(3):
            await read(await local.serve(Inbound(head_with()), decided()))
        await local.aclose()

    asyncio.run(requests())

    assert [True, False, False] == [record.exc_info is not None for record in caplog.records]


def test_what_the_front_door_says_of_itself_is_not_an_app_s_to_say(answered):
    forged = [("X-Overgrow-Error", "gone"), ("x-OVERGROW", "route=evil"), ("X-Overgrow-Any", "1")]

    found = answered(app_of(b"a", headers=[*forged, ("X-Overgrowth", "1")], sequence=list))

    assert found.headers == [(b"x-overgrowth", b"1"), (b"content-length", b"1")]


def test_repeated_headers_keep_their_order(answered):
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]

    found = answered(app_of(headers=cookies))

    assert found.headers[:2] == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


def test_the_write_callable_of_old_apps_sends_before_the_iterable(answered):
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"a")
        write(b"b")
        return [b"c"]

    found = answered(app)

    assert (found.body, found.streamed) == (b"abc", True)


def test_start_response_may_be_called_in_the_iteration(answered):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"late"

    assert answered(app).body == b"late"


def test_a_second_start_response_is_refused(answered, caplog):
    def app(environ, start_response):
        start_response("200 OK", [])
        start_response("201 Created", [])
        return []

    assert answered(app).failure.code == "migrated-crash"
    assert "second time" in caplog.text


def test_exc_info_replaces_a_head_that_was_not_sent(answered):
    def app(environ, start_response):
        start_response("200 OK", [("X-First", "1")])
        try:
            {}["missing"]
        except KeyError:
            start_response("500 Oops", [("X-Second", "2")], sys.exc_info())
        return [b"sorry"]

    found = answered(app)

    assert (found.status, found.body, found.failure) == (500, b"sorry", None)
    assert found.headers == [(b"x-second", b"2"), (b"content-length", b"5")]


def test_exc_info_after_the_head_raises_the_error_again(answered, caplog):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"half"
        try:
            {}["again"]
        except KeyError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"never"

    found = answered(app)

    assert (found.status, found.body, found.broken.code) == (200, b"half", "migrated-crash")
    assert "KeyError: 'again'" in caplog.text


def test_close_is_called_once_after_the_iteration(answered):
    calls = []

    class Body:
        def __iter__(self):
            yield b"a"
            calls.append("iterated")

        def close(self):
            calls.append("closed")

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "1")])
        return Body()

    answered(app)

    assert calls == ["iterated", "closed"]


def test_close_is_called_when_the_iteration_raises(answered):
    calls = []

    class Body:
        def __iter__(self):
            raise RuntimeError

        def close(self):
            calls.append("closed")

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body()

    assert answered(app).failure.code == "migrated-crash"
    assert calls == ["closed"]


def test_a_close_that_raises_is_logged_and_spoils_no_answer(answered, caplog):
    class Body(list):
        def close(self):
            raise RuntimeError("too late")

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body([b"fine"])

    found = answered(app)

    assert (found.status, found.body, found.failure) == (200, b"fine", None)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
