"""Requests and responses that keep their pairs: httpx's own in every way that others look at."""

import asyncio

import httpx

from overgrow.forwarding.client.httpx_messages import RawRequest, RawResponse, pairs_of
from overgrow.forwarding.client.transport import NO_BODY

URL = httpx.URL("http://legacy.example/path")
PAIRS = [(b"Host", b"a"), (b"X-A", b"1"), (b"x-a", b"2")]


def request(method="GET"):
    return RawRequest(method, URL, PAIRS, NO_BODY, {"target": b"/"})


def test_pairs_come_out_as_they_went_in():
    assert PAIRS == pairs_of(request()) == pairs_of(RawResponse(200, PAIRS, NO_BODY, {}))


def test_a_method_keeps_its_case():
    """RFC 9110 9.1: the method token is case-sensitive."""
    assert "get" == request("get").method


def test_headers_are_there_for_who_asks():
    assert ("1, 2", "a") == (request().headers["x-a"], request().headers["host"])


def test_headers_that_were_changed_count():
    changed = request()
    changed.headers["x-a"] = "3"

    assert [(b"Host", b"a"), (b"x-a", b"3")] == [(k, v) for k, v in pairs_of(changed)]


def test_messages_of_httpx_itself_have_pairs_too():
    plain = httpx.Request("GET", URL, headers=PAIRS, stream=NO_BODY)

    assert PAIRS == pairs_of(plain)


def test_every_attribute_that_httpx_sets_is_set():
    """A move of httpx's internals shows here first."""
    theirs = vars(httpx.Request("GET", URL, stream=NO_BODY)).keys() - {"headers"}
    answer = vars(httpx.Response(200, stream=NO_BODY))
    ours = RawResponse(200, PAIRS, NO_BODY, {})

    assert theirs <= vars(request()).keys()
    assert {name: getattr(ours, name, "(gone)") for name in answer} == {
        **answer,
        "headers": ours.headers,
        "stream": NO_BODY,
    }


def test_what_answers_share_belongs_to_none_of_them():
    first, second = (RawResponse(200, PAIRS, NO_BODY, {}) for _ in range(2))
    first.history.append(second)
    first.is_closed = True

    assert (second.history, second.is_closed) == ([], False)


def test_a_client_of_httpx_reads_such_a_response():
    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            pairs = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Set-Cookie", b"a=1")]
            return RawResponse(200, pairs, httpx.ByteStream("grün".encode()), {})

    async def scenario():
        async with httpx.AsyncClient(transport=Transport()) as client:
            answer = await client.get("http://a.example/")
        return answer.text, answer.cookies["a"], repr(answer)

    assert ("grün", "1", "<Response [200 OK]>") == asyncio.run(scenario())
