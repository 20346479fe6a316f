"""The legacy shop as an HTTP/1.1 server: framing, persistence, refusals. Raw sockets tell."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.story.endpoints import Endpoint
from tests.story.stub import answer_of

LAST = b"GET /whoami HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n"


def echoed(answer: bytes) -> dict[str, object]:
    return json.loads(answer.partition(b"\r\n\r\n")[2].partition(b"\n")[0])


def test_a_connection_carries_one_request_after_another(said):
    answer = said(b"GET /api/users HTTP/1.1\r\nHost: x\r\n\r\n" + LAST)

    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2


def test_a_body_that_nobody_reads_is_drained_before_the_next_request(said):
    head = b"POST /slow?ms=0 HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"

    answer = said(head + b"GET /" * 60_000 + LAST)

    assert answer.count(b"HTTP/1.1 ") == 2
    assert b'"host":"last"' in answer


def test_a_chunked_body_is_put_together_and_its_trailers_are_dropped(said):
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = said(head + b"4;x=y\r\nleaf\r\nA\r\n" + b"0" * 10 + b"\r\n0\r\nX-T: 1\r\n\r\n" + LAST)

    assert echoed(answer)["body_bytes"] == 14
    assert echoed(answer)["body_sha256"] == hashlib.sha256(b"leaf0000000000").hexdigest()
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_continue_is_sent_when_the_body_is_wanted(sock, answers):
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
    sock.sendall(head + b"Connection: close\r\n\r\n")

    assert answers.readline() == b"HTTP/1.1 100 Continue\r\n"
    sock.sendall(b"ok")
    assert b'"body_bytes":2' in answers.read()


def test_an_unwanted_body_gets_no_100_and_the_connection_closes(said):
    head = b"POST /slow?ms=0 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"

    answer = said(head + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_echo_shows_header_pairs_as_they_were_sent(said):
    answer = said(
        b"GET /echo?%7e HTTP/1.1\r\nHost: x\r\nX-b: 1\r\nx-A:  two \r\nX-b: 3\r\nConnection: close\r\n\r\n"
    )

    assert echoed(answer)["target"] == "/echo?%7e"
    assert echoed(answer)["headers"][1:4] == [["X-b", "1"], ["x-A", "two"], ["X-b", "3"]]


def test_an_old_client_gets_a_body_that_ends_with_the_connection(said):
    head, _, body = said(b"GET /chunked?count=2 HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")

    assert b"Transfer-Encoding" not in head
    assert body == b"chunk 0\nchunk 1\n"


def test_an_old_client_may_ask_to_stay(said):
    answer = said(b"GET /sale HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + LAST)

    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"\r\nConnection: keep-alive\r\n" in answer


def test_chunks_come_with_the_trailer_they_announce(said):
    answer = said(b"GET /chunked HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    whole = "".join(f"chunk {place}\n" for place in range(10)).encode()
    assert b"\r\nTrailer: X-Content-SHA256\r\n" in answer
    assert answer.endswith(
        b"\r\n0\r\nX-Content-SHA256: %b\r\n\r\n" % hashlib.sha256(whole).hexdigest().encode()
    )


def test_a_broken_answer_ends_before_its_length(said):
    head, _, body = said(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")

    assert head.endswith(b"\r\nContent-Length: 1000")
    assert body == b"half " * 80


@pytest.mark.parametrize(
    "path",
    ["/", "/products", "/products/99", "/api/orders", "/chunked", "/downloads/catalogue.bin"],
)
def test_head_has_the_head_of_get_and_no_body(stub_port, path):
    asked = [answer_of(stub_port, Endpoint(method, path)) for method in ("GET", "HEAD")]

    assert asked[1][:2] == asked[0][:2]
    assert (asked[0].body != b"", asked[1].body) == (True, b"")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"GET /\r\n\r\n", 400, id="no version"),
        pytest.param(b"GET / HTTP/2.0\r\n\r\n", 505, id="another version"),
        pytest.param(b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="two spaces"),
        pytest.param(b"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="no path"),
        pytest.param(b"GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="raw byte in the target"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400, id="folded header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, id="space before the colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400, id="bare line feed"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            id="two lengths",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            id="a length beside chunks",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 400, id="a signed length"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400, id="gzip coding"
        ),
        pytest.param(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n",
            400,
            id="chunk size with a prefix",
        ),
        pytest.param(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
            400,
            id="chunk longer than it says",
        ),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 140_000, 431, id="endless head"),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(said, sent, status):
    answer = said(sent)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in answer


def test_an_absolute_target_is_read_as_its_path(said):
    answer = said(b"GET http://x/api/users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_first_event_comes_while_the_second_is_far_away(sock, answers):
    sock.sendall(b"GET /events?every_ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
    lines = iter(answers.readline, b"")

    assert next(line for line in lines if line.startswith(b"id:")) == b"id: 0\n"


def test_three_events_are_numbered_and_then_the_stream_ends(stub_port):
    answer = answer_of(stub_port, Endpoint("GET", "/events?count=3&every_ms=1"))

    assert [line for line in answer.body.splitlines() if line.startswith(b"id:")] == [
        b"id: 0",
        b"id: 1",
        b"id: 2",
    ]


@pytest.mark.parametrize("status", [200, 204, 304, 404, 429, 503])
def test_a_failure_can_be_ordered(stub_port, status):
    answer = answer_of(stub_port, Endpoint("GET", f"/fail?status={status}"))

    assert answer.status == status
    assert ("retry-after", "7") in answer.headers or status not in {429, 503}


@pytest.mark.parametrize("text", ["", "-1", "many", "99999999999"])
def test_a_number_that_is_none_means_the_default(stub_port, text):
    assert answer_of(stub_port, Endpoint("GET", f"/fail?status={text}")).status == 500


def test_many_clients_are_answered_at_once(stub_port):
    with ThreadPoolExecutor(60) as clients:
        endpoint = Endpoint("GET", "/slow?ms=200")
        answers = list(clients.map(lambda _: answer_of(stub_port, endpoint), range(60)))

    assert {answer.status for answer in answers} == {200}
