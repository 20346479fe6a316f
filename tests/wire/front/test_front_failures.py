"""What a client sees when something fails: the closed table of codes, and never half a truth.

docs/wire.md#answers-of-the-front-door; RFC 9110 15.5 and 15.6, RFC 9112 8.
"""

from __future__ import annotations

import time

import pytest

from tests.wire.front.ends import OK, answer, request

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def assert_is_ours(found, status, code):
    """An error answer of the front door: short, uncached, marked, dated once, and discreet."""
    assert (status, code) == (found.status, found.code)
    assert ("no-store", "text/plain; charset=utf-8") == (
        found["cache-control"],
        found["content-type"],
    )
    assert (1, None) == (len(found.all("date")), found["server"])
    assert found.is_whole
    assert len(found.body) < 120
    for secret in (b"127.0.0.1", b"Traceback", b"httpx", b"gunicorn", b"Error:"):
        assert secret not in found.raw


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        pytest.param(request("GET", "/retired"), 410, "gone", id="RFC 9110 15.5.11"),
        pytest.param(request("GET", "/x/..//retired"), 400, "ambiguous-path", id="gone"),
        pytest.param(request("GET", "/%2e/retired"), 400, "ambiguous-path", id="encoded"),
        pytest.param(request("GET", "/" + "a" * 9_000), 414, "target-too-long", id="9110 15.5.15"),
        pytest.param(
            request("GET", "/", "X-A: " + "a" * 33_000), 431, "head-too-large", id="RFC 6585 5"
        ),
        pytest.param(
            request("GET", "/", *["X-A: 1"] * 101), 431, "head-too-large", id="RFC 6585 5 many"
        ),
        pytest.param(request("GET", "nowhere"), 400, "bad-request", id="RFC 9112 3.2"),
        pytest.param(request("CONNECT", "a:1"), 501, "no-upgrade", id="RFC 9110 9.3.6"),
    ],
)
def test_a_refusal_is_short_and_marked(wire, asked, status, code):
    assert_is_ours(wire.refused(asked), status, code)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/crash", 500, "migrated-crash"), ("/late", 504, "migrated-timeout")],
)
def test_a_failing_app_is_told_by_a_code_and_no_detail(trusting, path, status, code):
    """RFC 9110 15.6.1 and 15.6.5."""
    found = trusting.refused(request("GET", path))

    assert_is_ours(found, status, code)
    assert b"secret" not in found.raw


def test_an_upgrade_of_a_migrated_route_goes_to_legacy(trusting):
    """docs/wire.md#passed-on-as-it-is: upgrades go to legacy unless an ASGI app is mounted for the route."""
    seen = trusting.seen("GET", "/environ", "Connection: Upgrade", "Upgrade: websocket")

    assert "websocket" == seen["upgrade"]


@pytest.mark.parametrize("ending", ["finish", "reset"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "half"])
def test_legacy_that_hangs_up_before_its_answer_is_a_502(wire, ending, sent):
    """RFC 9110 15.6.3; a fresh connection is not tried again."""
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    side.send(sent)
    getattr(side, ending)()

    assert_is_ours(client.message(), 502, "legacy-closed")
    assert wire.legacy.nobody_came()


MALFORMED = [
    pytest.param(b"220 mail.example ESMTP\r\n\r\n", id="RFC 9112 4 not HTTP"),
    pytest.param(b"HTTP/1.1 2x0 OK\r\n\r\n", id="RFC 9112 4 no status"),
    pytest.param(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="RFC 9112 2.3 version"),
    pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", id="RFC 9112 2.2 bare LF"),
    pytest.param(answer("X-A: 1\r\n 2"), id="RFC 9112 5.2 folded"),
    pytest.param(answer("X-A : 1"), id="RFC 9112 5.1 blank before the colon"),
    pytest.param(answer("X-A: \x00"), id="RFC 9110 5.5 NUL"),
    pytest.param(answer("X(A): 1"), id="RFC 9110 5.1 a name that is no token"),
    pytest.param(answer(status="099 Low"), id="RFC 9110 15 a status below 100"),
    pytest.param(answer(status="1000 High"), id="RFC 9110 15 a status of four digits"),
    pytest.param(answer(status="200 O\x01K"), id="RFC 9112 4 control in the phrase"),
    pytest.param(b"HTTP/1.1 103 H\r\nX-A: \x7f\r\n\r\n" + OK, id="RFC 9110 5.5 control in a 103"),
    pytest.param(answer("Content-Length:", body=None), id="RFC 9110 8.6 no number"),
    pytest.param(answer("Content-Length: 5"), id="RFC 9112 6.3 two lengths"),
    pytest.param(answer("Transfer-Encoding: chunked"), id="RFC 9112 6.1 length and chunked"),
    pytest.param(answer("Content-Length: -1", body=None), id="RFC 9110 8.6 negative"),
    pytest.param(answer("Transfer-Encoding: gzip", body=None), id="RFC 9112 6.1 gzip"),
    pytest.param(
        answer("Upgrade: h2c", status="101 Switching", body=None), id="RFC 9110 15.2.2 unasked 101"
    ),
    pytest.param(answer("X-A: " + "a" * 70_000), id="RFC 9110 5.4 head too large"),
]


@pytest.mark.parametrize("malformed", MALFORMED)
def test_an_answer_that_is_no_http_is_a_502(wire, malformed):
    """RFC 9110 15.6.3: it could be read in two ways; and that connection is not used again."""
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    side.send(malformed)

    assert_is_ours(client.message(), 502, "legacy-protocol")
    assert side.ends()


def test_legacy_that_does_not_answer_in_time_is_a_504(wire):
    """RFC 9110 15.6.5; response_timeout of its route, and its connection ends."""
    began = time.monotonic()
    client = wire.client()
    client.send(request("GET", "/hasty/a"))
    side = wire.legacy.accept()
    side.message()

    assert_is_ours(client.message(), 504, "legacy-timeout")
    assert 0.7 < time.monotonic() - began < 20  # not the table's own limit, a minute
    assert side.ends()


def test_an_upload_that_takes_its_time_is_no_late_answer(wire):
    """docs/routes-yaml.md#legacy: response_timeout begins with the last byte of the request's body."""
    client = wire.client()
    client.send(request("POST", "/hasty", "Content-Length: 3") + b"a")
    side = wire.legacy.accept()
    side.head()
    for byte in (b"b", b"c"):
        time.sleep(0.5)  # both together are longer than the limit
        client.send(byte)
    assert b"abc" == side.exactly(3)
    side.send(OK)

    assert 200 == client.message().status


def test_a_pause_in_the_answer_breaks_it(wire):
    """RFC 9112 8; idle_timeout of its route: the client sees that something is missing."""
    client = wire.client()
    client.send(request("GET", "/restless"))
    side = wire.legacy.accept()
    side.message()
    side.send(CHUNKED + b"2\r\nok\r\n")
    found = client.message()

    assert (200, b"ok", False) == (found.status, found.body, found.is_whole)
    assert side.ends()


def test_events_may_pause_longer(wire):
    """docs/routes-yaml.md#legacy: stream_idle_timeout instead, for text/event-stream."""
    client = wire.client()
    client.send(request("GET", "/restless"))
    side = wire.legacy.accept()
    side.message()
    side.send(answer("Content-Type: text/event-stream", body=None))
    client.head()
    time.sleep(1.0)  # longer than idle_timeout
    side.send(b"data: 1\n\n")

    assert b"data: 1\n\n" in client.until(b"\n\n")


def test_an_upload_may_pause_while_its_answer_moves(wire):
    """docs/routes-yaml.md#legacy: idle_timeout runs between two bytes, either way."""
    client = wire.client()
    client.send(request("POST", "/restless", "Content-Length: 4") + b"ab")
    side = wire.legacy.accept()
    side.head()
    side.send(CHUNKED)
    for _ in range(8):
        time.sleep(0.12)  # all together are longer than idle_timeout
        side.send(b"1\r\nx\r\n")
    client.send(b"cd")
    assert b"abcd" == side.exactly(4)
    side.send(b"0\r\n\r\n")

    assert (b"x" * 8, True) == ((found := client.message()).body, found.is_whole)


def test_an_upload_and_its_answer_may_not_both_pause(wire):
    """docs/wire.md#what-ends-early: nothing moves, so the connection breaks."""
    client = wire.client()
    client.send(request("POST", "/restless", "Content-Length: 4") + b"ab")
    side = wire.legacy.accept()
    side.head()
    side.send(CHUNKED + b"1\r\nx\r\n")

    assert not client.message().is_whole
    assert side.ends()


def test_a_pause_in_the_upload_is_a_408_and_breaks_it_off_for_legacy(wire):
    """RFC 9110 15.5.9; legacy must not take half a body for the whole."""
    client = wire.client()
    client.send(request("POST", "/restless", "Transfer-Encoding: chunked") + b"2\r\nok\r\n")
    side = wire.legacy.accept()
    found = client.message()

    assert_is_ours(found, 408, "client-timeout")
    assert "close" == found["connection"]
    assert not side.message().is_whole


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(answer("Content-Length: 9", body=None) + b"part", id="RFC 9112 6.3 length"),
        pytest.param(CHUNKED + b"4\r\npart\r\n", id="RFC 9112 7.1 between chunks"),
        pytest.param(CHUNKED + b"9\r\npart", id="RFC 9112 7.1 in a chunk"),
        pytest.param(CHUNKED + b"4\r\npart\r\n0\r\n", id="RFC 9112 7.1.2 before the last line"),
        pytest.param(CHUNKED + b"4\r\npart\r\nnonsense\r\n", id="RFC 9112 7.1 no chunk"),
    ],
)
@pytest.mark.parametrize("ending", ["finish", "reset"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_truncated_answer_is_passed_on_truncated(wire, sent, ending, version):
    """RFC 9112 8: also to a 1.0 client, to whom only a reset can say it."""
    client = wire.client()
    client.send(request("GET", "/").replace(b"HTTP/1.1", b"HTTP/" + version.encode()))
    side = wire.legacy.accept()
    side.message()
    side.send(sent)
    found_head = client.head()
    getattr(side, ending)()
    rest = client.to_end()

    if found_head["content-length"]:
        assert len(rest) < int(found_head["content-length"])
    elif found_head["transfer-encoding"]:
        assert b"0\r\n\r\n" not in rest
    else:
        assert "reset" == client.ended


def test_a_close_delimited_answer_that_is_reset_is_passed_on_broken(wire):
    """RFC 9112 8: an incomplete close, where only the close would end the body."""
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    side.send(b"HTTP/1.1 200 OK\r\n\r\npart")
    client.head()
    client.until(b"part\r\n")
    side.reset()

    assert b"0\r\n\r\n" not in client.to_end()


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(b"x", id="RFC 9112 6.3 a byte too many"),
        pytest.param(OK.replace(b"ok", b"no"), id="RFC 9112 11.2 a whole answer nobody asked for"),
    ],
)
def test_bytes_after_a_complete_answer_end_that_connection(wary, extra):
    """RFC 9112 11.2, response splitting: they never answer the next request."""
    client = wary.client()
    client.send(request("GET", "/"))
    side = wary.legacy.accept()
    side.message()
    side.send(OK + extra)

    assert b"ok" == client.message().body
    assert side.ends()
    client.send(request("GET", "/next"))
    assert "GET /next HTTP/1.1" == wary.legacy.answers(answer(body=b"yes")).line
    assert b"yes" == client.message().body


def test_bytes_on_an_idle_connection_end_it(wary):
    """RFC 9112 11.2, and 408 of servers that close idle connections (RFC 9110 15.5.9)."""
    client = wary.client()
    client.send(request("GET", "/"))
    side = wary.legacy.accept()
    side.message()
    side.send(OK)
    client.message()
    side.send(answer(status="408 Request Timeout"))

    assert side.ends()
    client.send(request("POST", "/next", body=b"a"))
    wary.legacy.answers(answer(body=b"yes"))
    assert b"yes" == client.message().body


# The single retry: RFC 9110 9.2.2, RFC 9112 9.3.1.


def warmed(wire):
    """A client, and the side of a connection that the front door keeps."""
    client = wire.client()
    client.send(request("GET", "/warm"))
    side = wire.legacy.accept()
    side.message()
    side.send(OK)
    client.message()
    return client, side


@pytest.mark.parametrize("ending", ["finish", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "PUT"])
def test_an_idempotent_request_on_a_stale_connection_is_sent_once_more(wire, method, ending):
    client, side = warmed(wire)
    client.send(request(method, "/again"))
    first = side.message()
    getattr(side, ending)()
    second = wire.legacy.answers(answer(body=None, status="204 No Content"))

    assert first.raw == second.raw
    assert 204 == client.message(method).status


@pytest.mark.parametrize("ending", ["finish", "reset"])
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request("POST", "/once"), id="POST without a body"),
        pytest.param(request("POST", "/once", body=b"a"), id="POST with a body"),
        pytest.param(request("PATCH", "/once", body=b"a"), id="PATCH"),
        pytest.param(request("MKCOL", "/once"), id="a method we do not know"),
        pytest.param(request("PUT", "/once", body=b"a"), id="PUT whose body was read"),
    ],
)
def test_a_request_that_may_have_had_its_effect_is_never_sent_twice(wire, asked, ending):
    client, side = warmed(wire)
    client.send(asked)
    side.message()
    getattr(side, ending)()

    assert_is_ours(client.message(), 502, "legacy-closed")
    assert wire.legacy.nobody_came()


def test_it_is_sent_once_more_and_no_more(wire):
    client, side = warmed(wire)
    client.send(request("GET", "/again"))
    side.message()
    side.finish()
    fresh = wire.legacy.accept()
    fresh.message()
    fresh.finish()

    assert_is_ours(client.message(), 502, "legacy-closed")
    assert wire.legacy.nobody_came()


def test_a_request_whose_answer_began_is_not_sent_again(wire):
    client, side = warmed(wire)
    client.send(request("GET", "/begun"))
    side.message()
    side.send(b"H")
    side.finish()

    assert_is_ours(client.message(), 502, "legacy-closed")
    assert wire.legacy.nobody_came()


def test_a_post_after_legacy_closed_its_idle_connection_takes_a_fresh_one(wire):
    """RFC 9112 9.3.1: nothing was sent on the old one, so nothing is repeated."""
    client, side = warmed(wire)
    side.finish()
    assert side.ends()
    client.send(request("POST", "/", body=b"a"))

    assert b"a" == wire.legacy.answers(OK).body
    assert 200 == client.message().status


# Clients that leave: docs/wire.md#what-ends-early, within a second.


@pytest.mark.parametrize("leave", ["close", "reset", "finish"])
def test_a_client_that_leaves_before_the_head_ends_the_request(wire, leave):
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    getattr(client, leave)()

    assert side.ends()


@pytest.mark.parametrize("leave", ["close", "reset", "finish"])
def test_a_client_that_leaves_during_the_body_ends_the_request(wire, leave):
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    side.send(CHUNKED + b"2\r\nok\r\n")
    client.until(b"ok\r\n")
    getattr(client, leave)()

    assert side.ends()


@pytest.mark.parametrize("leave", ["close", "reset", "finish"])
@pytest.mark.parametrize(
    ("framing", "part"),
    [("Content-Length: 9", b"part"), ("Transfer-Encoding: chunked", b"4\r\npart\r\n")],
)
def test_a_client_that_leaves_during_its_upload_breaks_it_off(wire, leave, framing, part):
    """RFC 9112 8: legacy must not take half a body for the whole."""
    client = wire.client()
    client.send(request("POST", "/", framing) + part)
    side = wire.legacy.accept()
    side.head()
    side.until(b"part")
    getattr(client, leave)()

    assert b"0\r\n\r\n" not in side.to_end()


def test_a_client_that_leaves_an_event_stream_ends_it(wire):
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    side.send(answer("Content-Type: text/event-stream", body=None) + b"data: 1\n\n")
    client.until(b"\n\n")
    client.close()

    assert side.ends()


# Upgrades fail like anything else: RFC 6455 4.1.

UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.mark.parametrize("status", ["101 S", "403 No"])
def test_hints_before_the_answer_to_an_upgrade_go_on_at_once(wire, status):
    """RFC 9110 15.2: as for any other request; they are not the answer."""
    client = wire.client()
    client.send(request("GET", "/", *UPGRADE))
    side = wire.legacy.accept()
    side.message()
    side.send(answer("Link: </a.css>", status="103 Early Hints", body=None))
    hint = client.head()
    side.send(answer("Connection: Upgrade", "Upgrade: websocket", status=status, body=None))
    head = client.head()

    assert (103, [("link", "</a.css>"), ("via", "1.1 door-a")]) == (hint.status, hint.headers)
    assert int(status[:3]) == head.status


@pytest.mark.parametrize("leave", ["close", "reset", "finish"])
def test_a_client_that_leaves_before_its_101_ends_the_upgrade(wire, leave):
    client = wire.client()
    client.send(request("GET", "/", *UPGRADE))
    side = wire.legacy.accept()
    side.message()
    getattr(client, leave)()

    assert side.ends()


def test_an_upgrade_that_is_not_answered_in_time_is_a_504(wire):
    client = wire.client()
    client.send(request("GET", "/hasty", *UPGRADE))
    side = wire.legacy.accept()
    side.message()

    assert_is_ours(client.message(), 504, "legacy-timeout")
    assert side.ends()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "legacy-closed"),
        (b"HTTP/1.1 101 Swi", "legacy-closed"),
        (b"220 mail.example\r\n\r\n", "legacy-protocol"),
        (answer("Upgrade: h2c", status="101 S", body=None), "legacy-protocol"),
        (answer("Transfer-Encoding: chunked", status="403 No"), "legacy-protocol"),
    ],
)
def test_an_upgrade_without_an_answer_that_makes_sense_is_a_502(wire, sent, code):
    client = wire.client()
    client.send(request("GET", "/", *UPGRADE))
    side = wire.legacy.accept()
    side.message()
    side.send(sent)
    side.finish()

    assert_is_ours(client.message(), 502, code)


def test_a_refused_upgrade_that_is_cut_off_is_passed_on_cut_off(wire):
    """RFC 9112 8."""
    client = wire.client()
    client.send(request("GET", "/", *UPGRADE))
    side = wire.legacy.accept()
    side.message()
    side.send(answer("Content-Length: 9", status="403 No", body=None) + b"part")
    side.finish()
    found = client.message()

    assert (403, False) == (found.status, found.is_whole)


@pytest.mark.parametrize("ending", ["finish", "reset"])
def test_the_end_of_a_tunnel_is_passed_on(wire, ending):
    """RFC 6455 7.1.1: whichever end closes, the other learns of it."""
    for is_client in (True, False):
        client = wire.client()
        client.send(request("GET", "/", *UPGRADE))
        side = wire.legacy.accept()
        side.message()
        side.send(answer("Connection: Upgrade", "Upgrade: websocket", status="101 S", body=None))
        client.head()
        one, other = (client, side) if is_client else (side, client)
        getattr(one, ending)()

        assert other.ends()


# Bounds: max_connections 2, max_body 10 kB, connect_timeout 300 ms.


def held(wire, count, answered=b""):
    """Requests that legacy has taken and not, or not wholly, answered."""
    sides = []
    for _ in range(count):
        client = wire.client()
        client.send(request("GET", "/held"))
        sides.append(wire.legacy.accept())
        sides[-1].message()
        sides[-1].send(answered)
        if answered:
            client.head()
    return sides


def test_beyond_max_connections_the_answer_is_503_with_a_time_to_come_back(trusting):
    """RFC 9110 15.6.4 and 10.2.3."""
    held(trusting, 2)
    found = trusting.refused(request("GET", "/one-too-many"))

    assert_is_ours(found, 503, "legacy-busy")
    assert "1" == found["retry-after"]


def test_handshakes_and_requests_are_counted_together(trusting):
    """docs/routes-yaml.md#legacy: max_connections is what legacy has to stand, whatever asks; a 101 leaves the count."""
    asking = trusting.client()
    asking.send(request("GET", "/ws", *UPGRADE))
    switching = trusting.legacy.accept()
    switching.head()
    held(trusting, 1)
    for one_too_many in (request("GET", "/"), request("GET", "/ws", *UPGRADE)):
        assert_is_ours(trusting.refused(one_too_many), 503, "legacy-busy")
    switching.send(answer("Connection: Upgrade", "Upgrade: websocket", status="101 S", body=None))
    asking.head()

    assert 200 == trusting.exchange(request("GET", "/"))[1].status


def test_a_request_waits_a_moment_for_a_connection(trusting):
    """docs/routes-yaml.md#legacy: a bounded queue, bounded by connect_timeout."""
    sides = held(trusting, 2)
    client = trusting.client()
    client.send(request("GET", "/waiting"))
    assert client.is_quiet()
    sides[0].send(OK)

    assert "GET /waiting HTTP/1.1" == sides[0].message().line
    sides[0].send(OK)
    assert 200 == client.message().status


@pytest.mark.parametrize(
    ("answered", "fields"),
    [
        pytest.param(
            answer("Content-Type: text/event-stream", body=None) + b"data: 1\n\n",
            (),
            id="HTML Living Standard 9.2 event streams",
        ),
        pytest.param(
            answer("Connection: Upgrade", "Upgrade: websocket", status="101 S", body=None),
            ("Connection: Upgrade", "Upgrade: websocket"),
            id="RFC 6455 4.2.2 WebSockets",
        ),
    ],
)
def test_long_lived_streams_leave_the_count(trusting, answered, fields):
    """docs/routes-yaml.md#legacy: upgrades and text/event-stream leave max_connections at their head."""
    for _ in range(3):
        client = trusting.client()
        client.send(request("GET", "/events", *fields))
        side = trusting.legacy.accept()
        side.message()
        side.send(answered)
        client.head()

    assert 200 == trusting.exchange(request("GET", "/quick"))[1].status


def test_a_body_as_large_as_allowed_passes(trusting):
    """RFC 9110 15.5.14."""
    assert 10_000 == len(trusting.seen("POST", "/", body=b"x" * 10_000).body)


@pytest.mark.parametrize("expects", [(), ("Expect: 100-continue",)])
def test_a_declared_body_that_is_too_large_is_refused_at_once(trusting, expects):
    """RFC 9110 15.5.14 and 10.1.1."""
    found = trusting.refused(request("POST", "/", "Content-Length: 10001", *expects))

    assert_is_ours(found, 413, "body-too-large")
    assert ((), "close") == (found.interim, found["connection"])


def test_a_chunked_body_that_grows_too_large_is_cut_off(trusting):
    """RFC 9110 15.5.14, RFC 9112 8: legacy sees an upload that broke off."""
    client = trusting.client()
    client.send(request("POST", "/", "Transfer-Encoding: chunked"))
    client.send(b"1388\r\n%b\r\n" % (b"x" * 5000) * 3 + b"0\r\n\r\n")
    seen = trusting.legacy.accept().message()

    assert_is_ours(client.message(), 413, "body-too-large")
    assert not seen.is_whole
