"""Methods, targets, versions, bodies and framing on their way through (RFC 9110, RFC 9112)."""

from __future__ import annotations

import re
import time

import pytest

from tests.wire.front.ends import OK, answer, request

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "method",
    [
        *("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"),
        pytest.param("PROPFIND", id="RFC 4918 PROPFIND"),
        pytest.param("M-SEARCH", id="RFC 9110 9.1 any token"),
        pytest.param("get", id="RFC 9110 9.1 methods are case-sensitive"),
    ],
)
def test_the_method_is_passed_on(wire, method):
    """RFC 9110 9.1."""
    assert f"{method} / HTTP/1.1" == wire.seen(method, "/").line


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb//c?x=%zz",
        "/%ff%00;p=1/../.%2e/?",
        "/?",
        "/a?b?c=/../d",
        "//double",
        '/\\back|slash"<>^`{}',
        "/%41%7e+x",
    ],
)
def test_the_target_is_passed_on_byte_for_byte(wire, target):
    """RFC 9112 3.2.1, RFC 3986 6.2.2: what looks alike need not be alike to legacy."""
    assert f"GET {target} HTTP/1.1" == wire.seen("GET", target).line


@pytest.mark.parametrize(
    ("absolute", "origin"),
    [
        ("http://pub.example/a%2Fb?c", "/a%2Fb?c"),
        ("http://pub.example", "/"),
        ("HTTP://pub.example?q", "/?q"),
        ("https://pub.example/a", "/a"),
    ],
)
def test_a_target_in_absolute_form_names_the_host(wire, absolute, origin):
    """RFC 9112 3.2.2: its authority replaces Host, whatever Host says."""
    seen = wire.seen("GET", absolute, "Host: other.example")

    assert f"GET {origin} HTTP/1.1" == seen.line
    assert ("pub.example", "pub.example") == (seen["host"], seen["x-forwarded-host"])


@pytest.mark.parametrize("target", ["*", "http://shop.example"])
def test_options_for_the_whole_server(wire, target):
    """RFC 9112 3.2.4: asked for as `*`, or in absolute form without a path."""
    assert "OPTIONS * HTTP/1.1" == wire.seen("OPTIONS", target).line


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_is_counted_down(wire, method):
    """RFC 9110 7.6.2."""
    assert "6" == wire.seen(method, "/", "Max-Forwards: 7")["max-forwards"]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        pytest.param("007", "6", id="leading zeros"),
        pytest.param("x", "x", id="no number"),
        pytest.param("-1", "-1", id="negative"),
    ],
)
def test_an_odd_max_forwards_harms_nobody(wire, value, sent):
    """RFC 9110 7.6.2."""
    assert sent == wire.seen("OPTIONS", "/", f"Max-Forwards: {value}")["max-forwards"]


@pytest.mark.parametrize("digits", [20, 5_000])
def test_a_max_forwards_beyond_counting_harms_nobody(wire, digits):
    """RFC 9110 7.6.2: Python refuses to read thousands of digits."""
    client = wire.client()
    client.send(request("TRACE", "/", "Max-Forwards: " + "9" * digits))
    assert not wire.legacy.nobody_came(1), client.message().line

    assert re.fullmatch(f"[0-9]{{1,{digits}}}", wire.legacy.answers(OK)["max-forwards"])
    assert 200 == client.message().status


def test_max_forwards_means_nothing_to_other_methods(wire):
    """RFC 9110 7.6.2."""
    assert "0" == wire.seen("GET", "/", "Max-Forwards: 0")["max-forwards"]


def test_options_that_may_go_no_further_is_answered_here(wire):
    """RFC 9110 9.3.7 and 7.6.2."""
    found = wire.refused(request("OPTIONS", "/", "Max-Forwards: 0"))

    assert (200, "0", b"") == (found.status, found["content-length"], found.body)


def test_trace_that_may_go_no_further_shows_what_came_here_but_no_secrets(wire):
    """RFC 9110 9.3.8 and 7.6.2."""
    fields = ("Max-Forwards: 0", "Cookie: a=1", "Authorization: b", "X-A: 1")
    found = wire.refused(request("TRACE", "/t?q", *fields))

    assert (200, "message/http") == (found.status, found["content-type"])
    assert found.body.startswith(b"TRACE /t?q HTTP/1.1\r\n")
    assert b"x-a: 1" in found.body
    assert b"a=1" not in found.body
    assert b"uthorization" not in found.body.lower()


def test_connect_is_refused(wire):
    """RFC 9110 9.3.6: this is no proxy to tunnel through."""
    found = wire.refused(request("CONNECT", "shop.example:443"))

    assert (501, "no-upgrade") == (found.status, found.code)


def test_an_http_1_0_client_gets_a_body_it_can_read(wire):
    """RFC 9112 9.3, 7: no chunks and no kept connection for 1.0; the hop to legacy is 1.1."""
    client = wire.client()
    client.send(b"GET /old HTTP/1.0\r\n\r\n")
    seen = wire.legacy.answers(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")
    found = client.message()

    assert "GET /old HTTP/1.1" == seen.line
    assert (b"ok", None, True) == (found.body, found["transfer-encoding"], found.is_whole)
    assert "fin" == client.ended


def test_an_http_1_0_client_may_ask_to_be_kept(wire):
    """RFC 9112 C.2.2."""
    client = wire.client()
    for _ in range(2):
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        wire.legacy.answers(answer("Connection: close"))

        assert "keep-alive" == client.message()["connection"]


def test_legacy_may_speak_http_1_0(wire):
    """RFC 9110 2.5: each hop has its own version; the body ends with the connection."""
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    side.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")
    side.finish()
    found = client.message()

    assert ("HTTP/1.1 200 OK", b"all of it", True) == (found.line, found.body, found.is_whole)


def test_pipelined_requests_are_answered_in_order(wire):
    """RFC 9112 9.3.2."""
    client = wire.client()
    client.send(b"".join(request("POST", f"/{n}", body=b"x" * n) for n in range(5)))
    for n in range(5):
        seen = wire.legacy.answers(answer("Connection: close", body=b"%d" % n))

        assert (f"POST /{n} HTTP/1.1", b"x" * n) == (seen.line, seen.body)
    assert [b"0", b"1", b"2", b"3", b"4"] == [client.message().body for _ in range(5)]


def test_a_kept_connection_to_legacy_is_used_again(wire):
    """RFC 9112 9.3."""
    client = wire.client()
    side = None
    for n in range(3):
        client.send(request("GET", f"/{n}"))
        side = side or wire.legacy.accept()

        assert f"GET /{n} HTTP/1.1" == side.message().line
        side.send(OK)
        client.message()
    assert wire.legacy.nobody_came(0)


@pytest.mark.parametrize("fields", [["Content-Length: 7"], ["Transfer-Encoding: chunked"], []])
def test_an_answer_to_head_has_no_body(wire, fields):
    """RFC 9110 9.3.2: the length is that of the body it would have; the connection goes on."""
    client = wire.client()
    client.send(request("HEAD", "/") + request("GET", "/next"))
    wire.legacy.answers(answer("Connection: close", *fields, body=None))
    wire.legacy.answers(answer("Connection: close", body=b"next"))
    found = client.message("HEAD")

    assert "7" == (found["content-length"] or "7")
    assert b"next" == client.message().body


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(answer(status="204 No Content", body=None), id="RFC 9110 15.3.5 204"),
        pytest.param(answer(status="304 Not Modified", body=None), id="RFC 9110 15.4.5 304"),
        pytest.param(
            answer("Content-Length: 99", status="304 Not Modified", body=None),
            id="RFC 9110 8.6 304 with the length of what it stands for",
        ),
    ],
)
def test_an_answer_without_a_body_leaves_the_connection_usable(wire, head):
    client = wire.client()
    client.send(request("GET", "/") + request("GET", "/next"))
    end = wire.legacy.accept()
    end.message()
    end.send(head)
    found = client.message()
    assert "GET /next HTTP/1.1" == end.message().line
    end.send(OK)

    assert found.status == int(head.split()[1])
    assert found["content-length"] == ("99" if b"99" in head else None)
    assert b"ok" == client.message().body


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end", id="RFC 9112 6.3 close"),
        pytest.param(
            CHUNKED + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", id="RFC 9112 7.1"
        ),
        pytest.param(answer(body=b"\x00\xff" * 99_000), b"\x00\xff" * 99_000, id="RFC 9110 8.6"),
        pytest.param(answer(body=b""), b"", id="RFC 9110 8.6 of nothing"),
    ],
)
def test_a_body_arrives_whole_however_it_is_framed(wire, sent, body):
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    side.send(sent)
    side.finish()
    found = client.message()

    assert (body, True) == (found.body, found.is_whole)


def test_a_close_delimited_answer_keeps_the_clients_connection(wire):
    """RFC 9112 6.3 and 7: to a 1.1 client it goes on in chunks."""
    client = wire.client()
    client.send(request("GET", "/") + request("GET", "/next"))
    side = wire.legacy.accept()
    side.message()
    side.send(b"HTTP/1.1 200 OK\r\n\r\nto the end")
    side.finish()

    assert b"to the end" == client.message().body
    wire.legacy.answers(OK)
    assert b"ok" == client.message().body


def test_a_chunked_upload_streams(wire):
    """RFC 9112 7.1: each piece goes on as it comes; nothing is spooled."""
    client = wire.client()
    client.send(request("POST", "/", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
    side = wire.legacy.accept()
    head = side.head()
    assert b"3\r\nabc\r\n" == side.until(b"abc\r\n")
    client.send(b"2;x=y\r\nde\r\n0\r\n\r\n")

    assert b"2\r\nde\r\n0\r\n\r\n" == side.until(b"0\r\n\r\n")
    assert ("chunked", None) == (head["transfer-encoding"], head["content-length"])


def test_an_upload_with_a_length_keeps_it(wire):
    """RFC 9110 8.6."""
    seen = wire.seen("PUT", "/", body=b"\x00\xff" * 100_000)

    assert ("200000", None) == (seen["content-length"], seen["transfer-encoding"])
    assert b"\x00\xff" * 100_000 == seen.body


def test_a_body_on_a_get_is_a_body(wire):
    """RFC 9110 9.3.1: without meaning, but not another request."""
    assert b"GET /inner" == wire.seen("GET", "/", body=b"GET /inner").body


def test_an_empty_body_keeps_its_length(wire):
    """RFC 9110 8.6: Content-Length: 0 of a POST."""
    assert "0" == wire.seen("POST", "/", body=b"")["content-length"]


def test_an_answer_is_passed_on_as_it_comes(wire):
    """docs/wire.md#passed-on-as-it-is, bodies as streams: head first, then each piece."""
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    side.send(CHUNKED)
    head = client.head()
    for piece in (b"one", b"two"):
        side.send(b"3\r\n%b\r\n" % piece)

        assert b"3\r\n%b\r\n" % piece == client.until(piece + b"\r\n")
    assert "chunked" == head["transfer-encoding"]


def test_a_slow_client_slows_legacy_down(wire):
    """docs/wire.md#passed-on-as-it-is, back-pressure: legacy cannot send much more than the client takes."""
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    side.send(answer(f"Content-Length: {200_000_000}", body=None))

    assert side.send_until_stuck(200_000_000) < 50_000_000


def test_a_slow_legacy_slows_the_client_down(wire):
    """docs/wire.md#passed-on-as-it-is, back-pressure the other way."""
    client = wire.client()
    client.send(request("POST", "/", f"Content-Length: {200_000_000}"))
    wire.legacy.accept().head()

    assert client.send_until_stuck(200_000_000) < 50_000_000


# Trailers: RFC 9110 6.5, RFC 9112 7.1.2.

TRAILED = (
    b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n"
)


def test_te_trailers_goes_on(wire):
    """RFC 9110 10.1.4: TE is this hop's, so it is named in Connection."""
    seen = wire.seen("GET", "/", "TE: gzip, Trailers;q=1, trailers", "Connection: TE")

    assert ("trailers", "te") == (seen["te"], seen["connection"])


def test_trailers_that_come_with_the_whole_answer_are_passed_on(wire):
    """RFC 9110 6.5: an answer that arrives in one piece is no exception."""
    shown = wire.shown(TRAILED, "TE: trailers")

    assert [("x-sum", "1"), ("x-sum", "2")] == shown.trailers
    assert ("X-Sum", b"ok") == (shown["trailer"], shown.body)


def test_trailers_that_come_later_are_passed_on(wire):
    """RFC 9110 6.5, RFC 9112 7.1.2: duplicates and order kept."""
    client = wire.client()
    client.send(request("GET", "/", "TE: trailers"))
    side = wire.legacy.accept()
    side.message()
    head, last_chunk, trailers = TRAILED.partition(b"0\r\nX-Sum")
    side.send(head)
    found = client.head()
    client.until(b"ok\r\n")
    side.send(last_chunk + trailers)

    assert "X-Sum" == found["trailer"]
    assert b"0\r\nx-sum: 1\r\nx-sum: 2\r\n\r\n" == client.until(b"\r\n\r\n").lower()


def test_a_client_that_did_not_ask_gets_no_trailers(wire):
    """RFC 9110 6.5.1."""
    seen, found = wire.exchange(request("GET", "/"), TRAILED)

    assert seen["te"] is None
    assert ([], b"ok", True) == (found.trailers, found.body, found.is_whole)


@pytest.mark.parametrize(
    "field",
    [
        pytest.param("X-Overgrow-Error: loop", id="ours"),
        pytest.param("Connection: X-Sum", id="RFC 9110 7.6.1 hop-by-hop"),
        pytest.param("Keep-Alive: 1", id="RFC 9110 7.6.1 hop-by-hop too"),
        pytest.param("Transfer-Encoding: chunked", id="RFC 9110 6.5.1 framing"),
    ],
)
def test_a_trailer_that_could_not_be_a_header_stays_behind(wire, field):
    """RFC 9110 6.5.1 and 7.6.1: the rules for headers hold behind the body too."""
    client = wire.client()
    client.send(request("GET", "/", "TE: trailers"))
    side = wire.legacy.accept()
    side.message()
    side.send(CHUNKED + b"2\r\nok\r\n")
    client.head()
    client.until(b"ok\r\n")
    side.send(f"0\r\n{field}\r\n\r\n".encode())

    assert b"0\r\n\r\n" == client.until(b"\r\n\r\n")


def test_a_trailer_that_connection_names_stays_behind(wire):
    """RFC 9110 7.6.1: "remove any header or trailer field(s) from the message with the same name"."""
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive, x-hop\r\n\r\n")
    shown = wire.shown(head + b"2\r\nok\r\n0\r\nX-Hop: 1\r\nX-Sum: 2\r\n\r\n", "TE: trailers")

    assert ([("x-sum", "2")], b"ok") == (shown.trailers, shown.body)


@pytest.mark.parametrize("trailer", [b"Content-Length: 7", b"Transfer-Encoding: gzip"])
def test_an_upload_whose_trailers_frame_a_message_is_refused(wire, trailer):
    """RFC 9110 6.5.1: only who smuggles requests writes them there."""
    client = wire.client()
    asked = request("POST", "/", "Transfer-Encoding: chunked")
    client.send(asked + b"2\r\nok\r\n0\r\n%b\r\n\r\n" % trailer)

    found = client.message()
    assert (400, "bad-request") == (found.status, found["x-overgrow-error"])


@pytest.mark.parametrize("trailer", [b"X-Sum: 1", b"Authorization: NTLM x"])
def test_the_trailers_of_an_upload_end_here(wire, trailer):
    """RFC 9110 6.5.1, 6.6.2: ASGI has no word for them, and nothing announces them. The body stays."""
    client = wire.client()
    asked = request("POST", "/", "Trailer: X-Sum", "Transfer-Encoding: chunked")
    client.send(asked + b"2\r\nok\r\n0\r\n%b\r\n\r\n" % trailer)
    seen = wire.legacy.answers(OK)

    assert (b"ok", True, []) == (seen.body, seen.is_whole, seen.trailers)
    assert seen["trailer"] is None
    assert 200 == client.message().status


# Informational answers: RFC 9110 15.2, 10.1.1.

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"


def test_early_hints_are_passed_on_before_the_answer(wire):
    """RFC 8297, RFC 9110 15.2: as many as there are, at once, under the same header rules."""
    client = wire.client()
    client.send(request("GET", "/"))
    side = wire.legacy.accept()
    side.message()
    for _ in range(2):
        side.send(HINTS)
        hint = client.head()

        assert "HTTP/1.1 103 Early Hints" == hint.line
        assert [("link", "</a.css>"), ("via", "1.1 door-a")] == hint.headers
    side.send(OK)
    assert b"ok" == client.message().body


def test_early_hints_have_no_length(wire):
    """RFC 9110 8.6: Content-Length must not stand in a 1xx."""
    hint = wire.shown(b"HTTP/1.1 103 Hints\r\nContent-Length: 2\r\n\r\n" + OK).interim[0]

    assert [] == hint.all("content-length")


def test_early_hints_are_kept_from_an_http_1_0_client(wire):
    """RFC 9110 15.2."""
    client = wire.client()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    wire.legacy.answers(HINTS + OK)

    assert "HTTP/1.1 200 OK" == client.message().line


def test_a_100_from_legacy_is_this_hops_own_business(wire):
    """RFC 9110 10.1.1: nobody asked for it."""
    shown = wire.shown(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    assert ((), 200) == (shown.interim, shown.status)


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def asking_first(wire, method="POST"):
    """A client that waits for 100, and legacy's side of its request, whose head was read."""
    client = wire.client()
    client.send(request(method, "/", "Expect: 100-continue", "Content-Length: 2"))
    side = wire.legacy.accept()
    assert "100-continue" == side.head()["expect"]
    return client, side


def test_an_expectation_goes_on_and_legacys_100_asks_for_the_body(wire):
    """RFC 9110 10.1.1: a proxy forwards it, and the body when both sides are ready for it."""
    client, side = asking_first(wire)
    assert client.is_quiet(0.2)
    side.send(CONTINUE)
    assert CONTINUE == client.until(b"\r\n\r\n")
    client.send(b"hi")
    assert b"hi" == side.exactly(2)
    side.send(OK)

    assert (200, None) == ((found := client.message()).status, found["connection"])


@pytest.mark.parametrize("status", ["401 Unauthorized", "417 Expectation Failed", "200 OK"])
def test_legacy_may_answer_an_upload_before_it_is_sent(wire, status):
    """RFC 9110 10.1.1: a final answer instead of 100, and the body need not be sent at all."""
    client, side = asking_first(wire)
    side.send(answer(status=status))
    found = client.message()

    assert ((), int(status[:3]), "close") == (found.interim, found.status, found["connection"])
    assert b"" == side.to_end()


def test_legacy_that_knows_no_100_gets_the_body_after_a_moment(wire):
    """RFC 9110 10.1.1: nobody may wait for ever, as a legacy of HTTP/1.0 never says 100."""
    client, side = asking_first(wire)
    asked = time.monotonic()
    assert CONTINUE == client.until(b"\r\n\r\n")
    assert time.monotonic() - asked > 0.3
    client.send(b"hi")
    assert b"hi" == side.exactly(2)
    side.send(OK)

    assert 200 == client.message().status


def test_an_upload_that_was_not_begun_is_sent_once_more(wire):
    """RFC 9112 9.3.1: a stale connection while 100 is awaited; none of the body was read."""
    wire.exchange(request("GET", "/"))
    stale = wire.legacy.last()
    client = wire.client()
    client.send(request("PUT", "/", "Expect: 100-continue", "Content-Length: 2"))
    stale.head()
    stale.reset()
    fresh = wire.legacy.accept()
    fresh.head()
    fresh.send(CONTINUE)
    assert CONTINUE == client.until(b"\r\n\r\n")
    client.send(b"hi")
    assert b"hi" == fresh.exactly(2)
    fresh.send(OK)

    assert 200 == client.message().status


def test_an_upload_refused_before_its_body_is_not_asked_for(wire):
    """RFC 9110 10.1.1: a final answer instead of 100; the connection closes, the body may come."""
    found = wire.refused(request("POST", "/retired", "Expect: 100-continue", "Content-Length: 2"))

    assert ((), 410, "close") == (found.interim, found.status, found["connection"])


def test_an_expectation_of_an_http_1_0_client_is_none(wire):
    """RFC 9110 10.1.1: no 100 for 1.0, and no chunks in the answer."""
    client = wire.client()
    client.send(b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi")
    seen = wire.legacy.answers(OK)
    found = client.message()

    assert (b"hi", None) == (seen.body, seen["expect"])
    assert ((), 200) == (found.interim, found.status)


def test_legacy_may_answer_while_it_still_reads(wire):
    """RFC 9112 9.5: an answer that begins early does not cut the upload off."""
    client = wire.client()
    client.send(request("POST", "/", "Content-Length: 4") + b"ab")
    side = wire.legacy.accept()
    side.head()
    side.send(CHUNKED + b"1\r\nA\r\n")
    head = client.head()
    client.send(b"cd")
    assert b"abcd" == side.exactly(4)
    side.send(b"1\r\nB\r\n0\r\n\r\n")

    assert b"1\r\nA\r\n1\r\nB\r\n0\r\n\r\n" == client.to_end()
    assert "close" == head["connection"]


def test_legacy_may_reject_an_upload_early(wire):
    """RFC 9112 9.3, 9.6: its answer arrives though the upload never ends."""
    client = wire.client()
    client.send(request("POST", "/", "Content-Length: 1000000") + b"x" * 1000)
    side = wire.legacy.accept()
    side.head()
    side.send(answer("Connection: close", status="403 Forbidden", body=b"no"))
    found = client.message()

    assert (403, b"no", "close") == (found.status, found.body, found["connection"])
    assert client.ends()
