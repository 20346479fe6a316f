"""Headers that a client repeats: what legacy gets is worked out once, and anew when a fact changes."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest

from overgrow.caches.header_memo import ForwardedHeaders, HeaderMemo
from overgrow.exchange import Inbound
from overgrow.forwarding.client.httpx_messages import RawRequest
from overgrow.forwarding.client.request import NO_BODY, build_outgoing_request
from overgrow.forwarding.forwarder import Forwarder
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Legacy, RouteTable

LEGACY = Legacy("http://127.0.0.1:9000", via="front")
DECISION = Decision(None, "legacy", "default", "0" * 12)
PAIRS = [(b"host", b"shop.example"), (b"accept", b"*/*"), (b"max-forwards", b"3")]
URL = httpx.URL("http://legacy.example/")


def head(headers, **changes):
    plain = Head("GET", b"/", headers, "192.0.2.7", "192.0.2.7", "http", "shop.example")
    return plain._replace(**changes)


class Witness(httpx.AsyncBaseTransport):
    def __init__(self):
        self.requests = []

    async def handle_async_request(self, request):
        self.requests.append(request)
        return httpx.Response(204)


def asked(*heads, tables=None):
    """What legacy is asked for these heads, one after the other."""
    witness, live = Witness(), SimpleNamespace(table=RouteTable("0" * 12, LEGACY))

    async def scenario():
        forwarder = Forwarder(lambda: live.table, lambda _legacy: witness)
        for each, legacy in zip(heads, tables or [LEGACY] * len(heads), strict=True):
            live.table = RouteTable("0" * 12, legacy)
            await forwarder.serve(Inbound(each), DECISION)

    asyncio.run(scenario())
    return witness.requests


def test_the_same_headers_are_worked_out_once():
    known = HeaderMemo(PAIRS, "shop.example")
    first, second = asked(head(known), head(known))

    assert type(first.pairs) is ForwardedHeaders
    assert second.pairs is first.pairs


@pytest.mark.parametrize(
    "changes",
    [
        {"client": "198.51.100.1"},
        {"peer": "198.51.100.1"},
        {"scheme": "https"},
        {"host": "other.example"},
        {"peer_trusted": True},
        {"method": "OPTIONS"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_fact_about_the_request_gives_other_headers(changes):
    claimed = [*PAIRS, (b"x-forwarded-user", b"alice")]
    known = HeaderMemo(claimed, "shop.example")
    _, second = asked(head(known), head(known, **changes))
    (fresh,) = asked(head(list(claimed), **changes))

    assert list(second.pairs) == list(fresh.pairs)


def test_another_table_gives_other_headers():
    known = HeaderMemo(PAIRS, "shop.example")
    changed = replace(LEGACY, via="other")
    _, second = asked(head(known), head(known), tables=[LEGACY, changed])

    assert second.pairs[-1] == (b"via", b"1.1 other")


def test_a_loop_is_seen_each_time():
    known = HeaderMemo([*PAIRS, (b"via", b"1.1 front, 1.1 front")], "shop.example")

    assert asked(head(known), head(known)) == []


def test_the_lines_of_repeated_headers_are_those_of_any_others():
    pairs = ForwardedHeaders(PAIRS[:2])
    wire = []
    for target in (b"/a", b"/b?c"):
        request = RawRequest("GET", URL, pairs, NO_BODY, {"target": target})
        fresh = RawRequest("GET", URL, list(pairs), NO_BODY, {"target": target})
        assert build_outgoing_request(request).head == build_outgoing_request(fresh).head
        wire.append(build_outgoing_request(request).head)

    assert wire[1].startswith(b"GET /b?c HTTP/1.1\r\n")


@pytest.mark.parametrize(("method", "target"), [("GET", b"/ HTTP/1.1\r\nx:"), ("CONNECT", b"/")])
def test_a_request_line_is_checked_though_its_headers_are_known(method, target):
    pairs = ForwardedHeaders(PAIRS[:2])
    build_outgoing_request(RawRequest("GET", URL, pairs, NO_BODY, {"target": b"/"}))

    with pytest.raises(httpx.LocalProtocolError):
        build_outgoing_request(RawRequest(method, URL, pairs, NO_BODY, {"target": target}))


@pytest.mark.parametrize("framing", [(b"content-length", b"3"), (b"transfer-encoding", b"chunked")])
def test_repeated_headers_that_announce_a_body_are_framed_each_time(framing):
    pairs = ForwardedHeaders([*PAIRS, framing])
    body = httpx.ByteStream(b"abc")

    for _ in range(2):
        assert (
            b"abc"
            in build_outgoing_request(RawRequest("POST", URL, pairs, body, {"target": b"/"})).head
        )
    assert pairs.lines is None
