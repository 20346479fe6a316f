"""What of a client's request either side gets: no header of ours, and a body where one is announced."""

from __future__ import annotations

import asyncio

import pytest

from overgrow.exchange import BodyBroken, ClientGone, Failure, Reply
from overgrow.path.in_flight import (
    BODY_BROKEN,
    CLIENT_LEFT,
    COMPLETE,
    FAULT,
    NO_REPLY,
    SEND_FAILED,
    ReceivedBody,
    has_body,
    outcome_of,
    strip_private_headers,
)
from overgrow.routing.facts import Head


def head(*pairs):
    return Head("POST", b"/", list(pairs), "192.0.2.7", "192.0.2.7", "http", "a")


@pytest.mark.parametrize(
    "name",
    [
        b"x-overgrow", b"x-overgrow-override", b"x-overgrow-anything", b"proxy", b"x_forwarded_for",
        b"content_length",
    ],
)  # fmt: skip
@pytest.mark.parametrize("also", [(), ((b"x-overgrow-override", b"v1"),)], ids=["alone", "beside"])
def test_neither_side_sees_a_header_of_ours_or_one_that_passes_for_another(name, also):
    """`Proxy` would be HTTP_PROXY to a program that takes it for a variable (httpoxy)."""
    kept = (b"x-overgrown", b"1")

    public = strip_private_headers(head((name, b"forged"), *also, kept))

    assert public.headers == [kept]


@pytest.mark.parametrize(
    ("cookie", "seen"),
    [
        pytest.param(b"a=1; overgrow_override=v1; b=2", b"a=1; b=2", id="the override"),
        pytest.param(b"overgrow_admin=s; a=1", b"a=1", id="the admin page's"),
        pytest.param(b"overgrow_id=1; a=1", b"overgrow_id=1; a=1", id="the client's id is shown"),
        pytest.param(b"a=overgrow_admin", b"a=overgrow_admin", id="a value"),
    ],
)
def test_neither_side_sees_a_cookie_of_ours(cookie, seen):
    public = strip_private_headers(head((b"cookie", cookie)))

    assert public.headers == [(b"cookie", seen)]


@pytest.mark.parametrize("cookie", [b"overgrow_override=v1", b"overgrow_admin=s", b""])
def test_a_cookie_header_with_nothing_left_goes_where_one_of_ours_was(cookie):
    beside = (b"cookie", b"overgrow_admin=s")

    assert strip_private_headers(head((b"cookie", cookie), beside)).headers == []


@pytest.mark.parametrize(
    ("pair", "announced"),
    [
        ((b"content-length", b"0"), False),
        ((b"content-length", b"00"), False),
        ((b"content-length", b"000"), False),
        ((b"content-length", b"10"), True),
        ((b"content-length", b"01"), True),
        ((b"transfer-encoding", b"chunked"), True),
        ((b"content-type", b"text/plain"), False),
    ],
)
def test_a_body_is_there_where_its_framing_announces_a_byte(pair, announced):
    """RFC 9112 6.3. `00` is a length of nothing; taken for a body it would keep a place."""
    assert has_body(head(pair)) is announced


def received(*messages, body=True):
    queue = [*messages]

    async def receive():
        return queue.pop(0)

    return ReceivedBody(receive, body)


async def all_of(chunks):
    return [chunk async for chunk in chunks]


def test_half_a_body_is_an_error_and_never_a_whole_one():
    half = {"type": "http.request", "body": b"half", "more_body": True}

    with pytest.raises(ClientGone):
        asyncio.run(all_of(received(half, {"type": "http.disconnect"}).chunks()))


def test_a_disconnect_is_looked_for_only_when_the_body_is_read():
    """There is one reader at a time: who looked earlier would take a piece of the body away."""

    async def scenario():
        last = {"type": "http.request", "body": b"all", "more_body": False}
        client = received(last, {"type": "http.disconnect"})
        watching = asyncio.create_task(client.wait_for_disconnect())
        await asyncio.sleep(0)
        body = await all_of(client.chunks())
        async with asyncio.timeout(60):
            await watching
        return body

    assert asyncio.run(scenario()) == [b"all"]


ANSWER, NOBODYS = Reply(200, []), Reply(0, [])
CUT = BodyBroken(Failure("legacy-closed", "body", "legacy"))


@pytest.mark.parametrize(
    ("error", "reply", "has_left", "expected"),
    [
        pytest.param(None, ANSWER, False, COMPLETE, id="an answer that was sent"),
        pytest.param(None, NOBODYS, False, NO_REPLY, id="a reply for nobody"),
        pytest.param(None, None, False, COMPLETE, id="no reply and no error"),
        pytest.param(asyncio.CancelledError(), None, True, CLIENT_LEFT, id="the client left"),
        pytest.param(asyncio.CancelledError(), None, False, FAULT, id="the server cancels"),
        pytest.param(ClientGone(), None, False, SEND_FAILED, id="half an upload"),
        pytest.param(OSError(), ANSWER, False, SEND_FAILED, id="send finds nobody"),
        pytest.param(OSError(), None, False, FAULT, id="an OSError before a reply"),
        pytest.param(CUT, ANSWER, False, BODY_BROKEN, id="half an answer"),
        pytest.param(CUT, ANSWER, True, BODY_BROKEN, id="half an answer to a client that left"),
        pytest.param(ValueError(), ANSWER, False, FAULT, id="any other error"),
    ],
)
def test_an_exchange_ends_by_error_and_reply(error, reply, has_left, expected):
    assert outcome_of(error, reply, has_left=has_left) is expected
