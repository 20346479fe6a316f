"""Calls of legacy from a view: what is sent, what comes back, and what is refused."""

from __future__ import annotations

import asyncio
import threading

import pytest

from overgrow.exchange import BodyBroken, Failure, Reply, failure_reply
from overgrow.legacy_calls.calls import LegacyCalls, LegacyDoor, LegacyPage
from overgrow.routing.facts import head_of
from overgrow.routing.model import Decision, Route, Timeouts

HEADERS = [
    (b"host", b"shop.example"),
    (b"cookie", b"sid=1"),
    (b"content-length", b"9"),
    (b"content-type", b"text/plain"),
    (b"range", b"bytes=0-1"),
    (b"if-none-match", b'"x"'),
    (b"accept-language", b"de"),
]
HEAD = head_of("PUT", b"/new?x=1", HEADERS, peer="10.0.0.7", scheme="https")
ROUTE = Route("new", path="/new", target="migrated", timeouts=Timeouts(response_s=5.0))
DECISION = Decision(ROUTE, "migrated", "target", "r")


class Legacy:
    """A Server that answers as a test says, and keeps what it was asked."""

    def __init__(self, reply=None):
        self.reply = reply or Reply(200, [(b"content-type", b"text/plain")], b"old page")
        self.asked, self.bodies, self.closed = [], [], 0

    async def serve(self, inbound, decision):
        self.asked.append((inbound.head, decision))
        self.bodies.append(
            None if inbound.body is None else b"".join([each async for each in inbound.body])
        )
        self.reply.close = self.close
        return self.reply

    async def close(self):
        self.closed += 1


@pytest.fixture
def loop():
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.close()


def calls_of(legacy, loop, *, is_copy=False, noted=None):
    note = (lambda *_: None) if noted is None else (lambda *what: noted.append(what))
    return LegacyCalls(LegacyDoor(legacy, note, is_copy), loop, HEAD, DECISION)


def test_a_get_carries_the_users_cookies_and_no_body_or_condition(loop):
    legacy = Legacy()
    page = calls_of(legacy, loop).get("/old/part?a=ü#top", headers={"X-Part": "1"})
    head, decision = legacy.asked[0]

    assert page == LegacyPage(200, (("content-type", "text/plain"),), b"old page")
    assert (head.method, head.target, head.client) == ("GET", b"/old/part?a=%C3%BC", "10.0.0.7")
    assert head.headers == [
        (b"host", b"shop.example"),
        (b"cookie", b"sid=1"),
        (b"accept-language", b"de"),
        (b"x-part", b"1"),
    ]
    assert (decision.route, decision.side) == (ROUTE, "legacy")
    assert legacy.closed == 1


@pytest.mark.parametrize(
    ("given", "kind", "sent"),
    [
        (
            {"data": {"a": "1", "b": ["x", "y"]}},
            b"application/x-www-form-urlencoded",
            b"a=1&b=x&b=y",
        ),
        ({"data": "ü"}, b"text/plain; charset=utf-8", "ü".encode()),
        ({"data": b"\xff"}, None, b"\xff"),
        ({"json_body": {"a": None}}, b"application/json", b'{"a": null}'),
        ({"data": "x", "headers": {"content-type": "a/b"}}, b"a/b", b"x"),
        ({}, None, b""),
    ],
)
def test_a_post_sends_a_form_text_bytes_or_json(loop, given, kind, sent):
    legacy = Legacy()
    calls_of(legacy, loop).post("/old", **given)
    headers = dict(legacy.asked[0][0].headers)

    assert (kind, str(len(sent)).encode()) == (
        headers.get(b"content-type"),
        headers[b"content-length"],
    )
    assert legacy.bodies == [sent]


def test_the_cookies_of_all_calls_are_passed_on_when_asked(loop):
    class Response:
        def __init__(self):
            self.headers, self.added = self, []

        def add(self, name, value):
            self.added.append((name, value))

    calls, response = (
        calls_of(Legacy(Reply(200, [(b"set-cookie", b"a=1; Path=/")])), loop),
        Response(),
    )
    for _ in range(2):
        calls.get("/")
    calls.pass_cookies(response)

    assert response.added == [("Set-Cookie", "a=1; Path=/")] * 2


def test_calls_are_counted_by_route_and_status(loop):
    noted = []
    calls = calls_of(Legacy(Reply(404, [])), loop, noted=noted)
    calls.get("/")
    calls.post("/")

    assert (calls.count, noted) == (2, [("new", 404)] * 2)


def test_a_legacy_that_fails_is_an_answer_with_its_code(loop):
    page = calls_of(Legacy(failure_reply(Failure("loop", "read", "front"))), loop).get("/")

    assert (page.status, page.header("X-Overgrow-Error")) == (508, "loop")


def test_a_body_that_breaks_off_is_never_half_a_page(loop):
    async def broken():
        yield b"half"
        raise BodyBroken(Failure("legacy-closed", "body", "legacy"))

    page = calls_of(Legacy(Reply(200, [], broken())), loop).get("/")

    assert (page.status, page.header("x-overgrow-error")) == (502, "legacy-closed")


def test_a_body_beyond_all_measure_is_an_error(loop):
    async def endless():
        while True:
            yield b"x" * 1_000_000

    page = calls_of(Legacy(Reply(200, [], endless())), loop).get("/")

    assert (page.status, page.header("x-overgrow-error")) == (502, "legacy-protocol")


@pytest.mark.parametrize(
    "target", ["http://elsewhere/", "//elsewhere/", "old", "", "\\\\elsewhere"]
)
def test_only_a_path_of_legacy_can_be_called(loop, target):
    with pytest.raises(ValueError, match="is not a path of legacy"):
        calls_of(Legacy(), loop).get(target)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "elsewhere"),
        ("X-Overgrow-Override", "x"),
        ("Content-Length", "7"),
        ("X-A", "1\r\nX-B: 2"),
        ("X\nA", "1"),
        ("", "1"),
        ("Host: elsewhere\r\nX", "1"),
        ("Transfer-Encoding: chunked, x", "1"),
        ("X Y", "1"),
        ("Via", "1.1 x"),
    ],
)
def test_a_header_that_would_change_the_request_is_refused(loop, name, value):
    with pytest.raises(ValueError, match="header"):
        calls_of(Legacy(), loop).get("/", headers={name: value})


def test_a_line_end_in_a_target_is_encoded(loop):
    legacy = Legacy()
    calls_of(legacy, loop).get("/a b\r\nc")

    assert legacy.asked[0][0].target == b"/a%20b%0D%0Ac"


def test_a_copy_of_a_request_may_get_but_not_post(loop):
    calls = calls_of(Legacy(), loop, is_copy=True)

    assert calls.get("/").status == 200
    with pytest.raises(RuntimeError, match="a second time"):
        calls.post("/")


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/html; charset=latin-1", b"\xfc", "ü"),
        ("text/html", "ü".encode(), "ü"),
        ("text/html; charset=nonsense", b"\xff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_page_has_its_text_in_its_own_charset(kind, body, text):
    assert LegacyPage(200, (("Content-Type", kind),), body).text == text


def test_a_page_can_be_read_as_json():
    assert LegacyPage(200, (), b'{"a": 1}').json() == {"a": 1}
