"""The Forwarder, through httpx.MockTransport: what httpx was asked, what came back as a Reply."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest
import respx

from overgrow.exchange import BodyBroken, ClientGone, Inbound
from overgrow.forwarding.client.transport import ResponseCut
from overgrow.forwarding.failures import failure_of
from overgrow.forwarding.forwarder import Forwarder
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Legacy, Route, RouteTable, Timeouts

LEGACY = Legacy("http://127.0.0.1:9000", via="front")
TABLE = RouteTable("0" * 12, LEGACY)
BY_DEFAULT = Decision(None, "legacy", "default", "0" * 12)


def head(method="GET", target=b"/", headers=((b"host", b"shop.example"),)):
    return Head(method, target, list(headers), "192.0.2.7", "192.0.2.7", "http", "shop.example")


def forwarder(handler, table=TABLE):
    live = SimpleNamespace(table=table)
    return Forwarder(lambda: live.table, lambda _legacy: httpx.MockTransport(handler)), live


def served(handler, inbound=None, decision=BY_DEFAULT, table=TABLE):
    async def scenario():
        door, _ = forwarder(handler, table)
        return await door.serve(inbound or Inbound(head()), decision)

    return asyncio.run(scenario())


async def body_of(reply):
    if isinstance(reply.body, bytes):
        return reply.body
    return b"".join([chunk async for chunk in reply.body])


def test_the_raw_target_travels_byte_for_byte():
    with respx.mock(assert_all_called=False) as router:
        route = router.route().respond(204)
        served(router.handler, Inbound(head(target=b"/a%2Fb//c?x=%zz&y")))

    assert route.calls.last.request.extensions["target"] == b"/a%2Fb//c?x=%zz&y"


def test_status_headers_and_body_come_back():
    async def scenario():
        door, _ = forwarder(
            lambda _: httpx.Response(201, headers=[("X-A", "1"), ("X-A", "2")], text="hi")
        )
        reply = await door.serve(Inbound(head()), BY_DEFAULT)
        return reply.status, reply.headers, await body_of(reply)

    status, headers, body = asyncio.run(scenario())

    assert (status, body) == (201, b"hi")
    assert [(b"x-a", b"1"), (b"x-a", b"2")] == headers[:2]


def test_a_redirect_is_relayed_not_followed():
    with respx.mock as router:
        route = router.route().respond(302, headers={"Location": "/elsewhere"})
        reply = served(router.handler)

    assert (302, 1) == (reply.status, route.call_count)


def test_the_routes_own_timeouts_apply():
    route = Route("slow", path="/", timeouts=Timeouts(response_s=7.0))
    with respx.mock as router:
        asked = router.route().respond(204)
        served(router.handler, decision=BY_DEFAULT._replace(route=route))

    assert asked.calls.last.request.extensions["timeout"]["read"] == 7.0


def test_an_upload_is_streamed_and_its_length_kept():
    async def chunks():
        yield b"ab"
        yield b"c"

    lines = [(b"host", b"a"), (b"content-length", b"3")]
    with respx.mock as router:
        asked = router.route().respond(204)
        served(router.handler, Inbound(head("POST", headers=lines), chunks()))

    request = asked.calls.last.request
    assert (b"abc", "3") == (request.content, request.headers["content-length"])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(ResponseCut("cut"), 502, "legacy-closed", id="an end before the head's end"),
        pytest.param(httpx.ConnectError("refused"), 502, "legacy-connect", id="nobody listens"),
        pytest.param(
            httpx.ConnectTimeout("slow"), 504, "legacy-timeout", id="no handshake in time"
        ),
        pytest.param(httpx.ReadTimeout("slow"), 504, "legacy-timeout", id="no head in time"),
        pytest.param(httpx.WriteTimeout("slow"), 504, "legacy-timeout", id="upload not taken"),
        pytest.param(httpx.ReadError("reset"), 502, "legacy-closed", id="reset before the head"),
        pytest.param(httpx.WriteError("reset"), 502, "legacy-closed", id="reset while sending"),
        pytest.param(httpx.RemoteProtocolError("bad"), 502, "legacy-protocol", id="not HTTP"),
        pytest.param(
            httpx.RemoteProtocolError("Server disconnected without sending a response."),
            502,
            "legacy-closed",
            id="httpcore's word for an early end",
        ),
        pytest.param(httpx.LocalProtocolError("bad"), 400, "bad-request", id="cannot be forwarded"),
        pytest.param(OSError("no descriptors"), 502, "legacy-connect", id="the system says no"),
    ],
)
def test_every_failure_is_a_reply_with_its_code(error, status, code):
    def handler(_request):
        raise error

    reply = served(handler)

    assert (status, code) == (reply.status, reply.failure.code)
    assert (b"x-overgrow-error", code.encode()) in reply.headers


@pytest.mark.parametrize(
    ("error", "party"),
    [
        (ClientGone(), "client"),
        (httpx.LocalProtocolError("bad"), "client"),
        (httpx.PoolTimeout("busy"), "front"),
        (httpx.ReadError("reset"), "legacy"),
    ],
)
def test_a_failure_blames_whoever_failed(error, party):
    assert failure_of(error).party == party


def test_a_transport_that_cannot_be_made_is_a_failure_too():
    def transport_for(_legacy):
        raise FileNotFoundError(2, "No such file or directory", "ca.pem")

    made = Forwarder(lambda: TABLE, transport_for)
    reply = asyncio.run(made.serve(Inbound(head(), None), BY_DEFAULT))

    assert (502, "legacy-connect") == (reply.status, reply.failure.code)
    assert "ca.pem" in reply.failure.detail


def test_a_full_pool_says_when_to_try_again():
    def handler(_request):
        raise httpx.PoolTimeout("full")

    reply = served(handler)

    assert (503, (b"retry-after", b"1")) == (reply.status, reply.headers[-1])


def test_a_client_that_leaves_during_its_upload_gets_no_answer():
    async def chunks():
        yield b"a"
        raise ClientGone

    lines = [(b"host", b"a"), (b"content-length", b"3")]
    reply = served(lambda _: httpx.Response(204), Inbound(head("POST", headers=lines), chunks()))

    assert (0, "client-gone", "client") == (reply.status, reply.failure.code, reply.failure.party)


def test_a_body_that_breaks_is_never_a_quiet_end():
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b"half"
            raise httpx.ReadError("reset")

    async def scenario():
        door, _ = forwarder(lambda _: httpx.Response(200, stream=Broken()))
        reply = await door.serve(Inbound(head()), BY_DEFAULT)
        with pytest.raises(BodyBroken) as caught:
            await body_of(reply)
        return caught.value.failure

    failure = asyncio.run(scenario())

    assert ("legacy-closed", "body", "legacy") == failure[:3]


def test_a_request_that_came_round_twice_is_a_loop():
    """RFC 9110 7.6.3."""
    lines = [(b"host", b"a"), (b"via", b"1.1 front, 1.1 other, 1.1 front")]

    assert served(lambda _: httpx.Response(204), Inbound(head(headers=lines))).status == 508


def test_max_forwards_zero_is_answered_here():
    """RFC 9110 7.6.2: TRACE reflects, without what may be secret."""
    secrets = [(name, b"secret") for name in (b"cookie", b"authorization", b"proxy-authorization")]
    lines = [(b"host", b"a"), (b"max-forwards", b"0"), *secrets]
    reply = served(lambda _: httpx.Response(500), Inbound(head("TRACE", headers=lines)))

    assert (200, b"TRACE / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0") == (reply.status, reply.body)


def test_options_with_max_forwards_zero_is_answered_here():
    lines = [(b"host", b"a"), (b"max-forwards", b"0")]

    assert (
        served(lambda _: httpx.Response(500), Inbound(head("OPTIONS", headers=lines))).status == 200
    )


def test_a_new_legacy_address_gets_a_transport_of_its_own():
    made = []

    def transport_for(legacy):
        made.append(legacy.url)
        return httpx.MockTransport(lambda _: httpx.Response(204))

    async def scenario():
        live = SimpleNamespace(table=TABLE)
        door = Forwarder(lambda: live.table, transport_for)
        await door.serve(Inbound(head()), BY_DEFAULT)
        live.table = replace(TABLE, legacy=replace(LEGACY))  # equal settings: same transport
        await door.serve(Inbound(head()), BY_DEFAULT)
        live.table = replace(TABLE, legacy=replace(LEGACY, url="http://127.0.0.1:9001"))
        await door.serve(Inbound(head()), BY_DEFAULT)
        await door.aclose()

    asyncio.run(scenario())

    assert ["http://127.0.0.1:9000", "http://127.0.0.1:9001"] == made


def test_host_upstream_sends_legacys_own_name():
    table = replace(TABLE, legacy=replace(LEGACY, host="upstream"))
    with respx.mock as router:
        asked = router.route().respond(204)
        served(router.handler, table=table)

    assert asked.calls.last.request.headers["host"] == "127.0.0.1:9000"


def test_early_hints_are_passed_on_with_the_header_rules_applied():
    told = []

    async def inform(status, headers):
        told.append((status, headers))

    async def handler(request):
        await request.extensions["on_informational"](
            103, [(b"Link", b"</a>"), (b"Connection", b"x"), (b"Content-Length", b"5")]
        )
        await request.extensions["on_informational"](100, [])
        return httpx.Response(204)

    served(handler, Inbound(head(), inform=inform))

    assert [(103, [(b"link", b"</a>"), (b"via", b"1.1 front")])] == told


@pytest.mark.parametrize(
    ("credentials", "connection"),
    [
        pytest.param(b"NTLM TlRM", "close", id="a login of the connection"),
        pytest.param(b"Basic eDp5", None, id="a login of the request"),
    ],
)
def test_a_foreign_transport_is_told_to_close_behind_a_login(credentials, connection):
    asked = []

    def handler(request):
        asked.append(request.headers.get("connection"))
        return httpx.Response(200)

    headers = ((b"host", b"shop.example"), (b"authorization", credentials))
    served(handler, Inbound(head(headers=headers)))

    assert asked == [connection]


@pytest.mark.parametrize(
    ("headers", "trusted", "owned"),
    [
        pytest.param((), False, True, id="a client's own"),
        pytest.param((), True, False, id="a trusted proxy's"),
        pytest.param(((b"x-forwarded-for", b"192.0.2.1"),), False, False, id="a proxy's"),
        pytest.param(((b"x-real-ip", b"192.0.2.1"),), False, False, id="another proxy's"),
        pytest.param(((b"via", b"1.1 corporate"),), False, True, id="through the client's proxy"),
    ],
)
def test_a_client_owns_its_connection_unless_users_share_it(headers, trusted, owned):
    connection = SimpleNamespace(attached_login=None)
    inbound = Inbound(head(headers=headers)._replace(peer_trusted=trusted))
    inbound.client_connection = connection

    assert (inbound.owner() is connection) is owned
