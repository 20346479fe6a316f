"""Plain requests to a mounted ASGI app: scope, bodies both ways, and every way to fail."""

from __future__ import annotations

import asyncio

import pytest

from overgrow.asgi.scope import http_scope, websocket_scope
from overgrow.asgi.server import AsgiMounts
from overgrow.exchange import ClientGone, Inbound

START = {"type": "http.response.start", "status": 200, "headers": []}


def app_of(*bodies, status=200, headers=()):
    """An app that sends these pieces of body."""

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for body in bodies:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})

    return app


async def echo(_scope, receive, send):
    """Answer with the request's body."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    await send(START)
    await send({"type": "http.response.body", "body": body})


def scope_seen(answered, **request):
    """The scope an app gets for a request."""
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)
        await echo(scope, receive, send)

    answered(app, **request)
    return seen


@pytest.mark.parametrize(
    ("prefix", "target", "status"),
    [
        pytest.param("/live", b"/live", 200, id="the prefix"),
        pytest.param("/live", b"/live/a/b?x=/other", 200, id="below it"),
        pytest.param("/live", b"/li%76e/a", 200, id="spelt otherwise"),
        pytest.param("/live", b"/lively", 410, id="whole segments only"),
        pytest.param("/live", b"/other?/live", 410, id="elsewhere"),
        pytest.param("/live", b"/live/../other", 410, id="a path that can be read two ways"),
        pytest.param("/", b"/any", 200, id="the root"),
    ],
)
def test_a_path_at_or_below_the_prefix_is_the_app_s(answered, prefix, target, status):
    assert answered(app_of(), prefix=prefix, target=target).status == status


def test_the_longest_prefix_wins(elsewhere, request_of, decided, read):
    async def run():
        mounts = [("/live", app_of(b"short")), ("/live/deep", app_of(b"long"))]
        inbound = Inbound(request_of(target=b"/live/deep/x"))
        return await read(await AsgiMounts(mounts, elsewhere).serve(inbound, decided()))

    assert asyncio.run(run()).body == b"long"


def test_the_scope_tells_the_request_and_where_the_app_is_mounted(answered):
    scope = scope_seen(answered, target=b"/live/a%20b?q=%31", scheme="https")

    expected = {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": "/live/a b",
        "raw_path": b"/live/a%20b",
        "query_string": b"q=%31",
        "root_path": "/live",
        "http_version": "1.1",
        "client": ("192.0.2.9", 0),
        "server": ("shop.test", 443),
    }
    assert expected == {name: scope[name] for name in expected}


def test_the_root_path_of_an_app_at_the_root_is_empty(answered):
    assert scope_seen(answered, prefix="/")["root_path"] == ""


def test_headers_arrive_in_order_without_those_a_client_could_forge(answered):
    headers = [
        (b"accept", b"a"),
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"forwarded", b"for=192.0.2.1"),
        (b"x-original-url", b"/admin"),
        (b"x-rewrite-url", b"/admin"),
        (b"host", b"shop.test:8000"),
        (b"accept", b"b"),
    ]

    scope = scope_seen(answered, headers=headers)

    expected = [(b"host", b"shop.test:8000"), (b"accept", b"a"), (b"accept", b"b")]
    assert (scope["headers"], scope["server"]) == (expected, ("shop.test", 8000))


def test_an_answer_that_is_whole_at_once_is_bytes_with_its_length(answered):
    found = answered(echo, method="POST", body=[b"a", b"b"])

    assert (found.body, found.streamed) == (b"ab", False)
    assert found.headers == [(b"content-length", b"2")]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_no_body_and_no_length_is_invented_where_there_is_none(answered, method, status):
    found = answered(app_of(b"x" * 9, status=status), method=method)

    assert (found.status, found.body, found.headers) == (status, b"", [])


def test_headers_of_the_connection_are_not_the_app_s_to_say(answered):
    names = b"Connection Keep-Alive Proxy-Connection TE Trailer Transfer-Encoding Upgrade".split()
    hops = [(name, b"x") for name in names]

    found = answered(app_of(b"x", headers=[*hops, (b"X-A", b"b")]))

    assert found.headers == [(b"x-a", b"b"), (b"content-length", b"1")]


def test_an_exception_that_cannot_be_told_is_a_crash_like_any_other(answered):
    class Untold(Exception):
        def __str__(self):
            raise RuntimeError("not even this")

    async def app(_scope, _receive, _send):
        raise Untold

    failure = answered(app).failure

    assert ("migrated-crash", "Untold") == (failure.code, failure.detail)


def test_what_the_front_door_says_of_itself_is_not_the_app_s_to_say(answered):
    forged = [
        (b"X-Overgrow-Error", b"gone"),
        (b"x-OVERGROW", b"route=evil"),
        (b"X-Overgrow-A", b""),
    ]

    found = answered(app_of(b"x", headers=[*forged, (b"X-Overgrowth", b"1")]))

    assert [(b"x-overgrowth", b"1")] == [pair for pair in found.headers if b"overgrow" in pair[0]]


def test_a_head_goes_out_before_a_body_that_takes_its_time(answered):
    async def app(_scope, _receive, send):
        await send(START)
        await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": b"late"})

    found = answered(app)

    assert (found.status, found.body, found.streamed) == (200, b"late", True)


def test_the_app_runs_a_bounded_piece_ahead_of_a_client_that_does_not_read(
    elsewhere, request_of, decided
):
    sent = []

    async def endless(_scope, _receive, send):
        await send(START)
        while True:
            await send({"type": "http.response.body", "body": b"x" * 16_384, "more_body": True})
            sent.append(16_384)

    async def run():
        server = AsgiMounts([("/live", endless)], elsewhere)
        reply = await server.serve(Inbound(request_of()), decided())
        for _ in range(50):
            await asyncio.sleep(0)
        waiting = sum(sent)
        await anext(aiter(reply.body))
        for _ in range(50):
            await asyncio.sleep(0)
        await reply.close()
        await server.aclose(grace_s=1)
        return waiting, sum(sent)

    waiting, after_one_more = asyncio.run(run())
    assert waiting <= 64 * 1024
    assert waiting < after_one_more <= 128 * 1024


BREACHES = [
    pytest.param([], id="no answer"),
    pytest.param([{"type": "http.response.body", "body": b""}], id="a body before the head"),
    pytest.param([{**START, "status": 101}], id="not a final status"),
    pytest.param([{**START, "headers": [(b"a", b"b\r\nc: d")]}], id="a value that ends its line"),
    pytest.param([{**START, "headers": [(b"a b", b"c")]}], id="a name that is none"),
    pytest.param([START, START], id="two heads"),
    pytest.param([{"type": "websocket.accept"}], id="a message of another protocol"),
    pytest.param(
        [
            {**START, "headers": [(b"content-length", b"2")]},
            {"type": "http.response.body", "body": b"abc"},
        ],
        id="longer than it said",
    ),
    pytest.param(
        [
            {**START, "headers": [(b"content-length", b"4")]},
            {"type": "http.response.body", "body": b"abc"},
        ],
        id="shorter than it said",
    ),
]


@pytest.mark.parametrize("messages", BREACHES)
def test_an_app_that_breaks_the_protocol_before_its_head_is_a_crash(answered, messages):
    async def app(_scope, _receive, send):
        for message in messages:
            await send(message)

    found = answered(app)

    assert (found.status, found.failure.code) == (500, "migrated-crash")


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3)])
def test_an_app_that_raises_is_a_crash(answered, error):
    async def app(_scope, _receive, _send):
        raise error

    found = answered(app)

    assert (found.status, found.failure.code) == (500, "migrated-crash")


@pytest.mark.parametrize("error", [ValueError("x"), None], ids=["raises", "returns"])
def test_an_app_that_ends_in_the_middle_of_its_body_breaks_it(answered, error):
    async def app(_scope, _receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.sleep(0.02)
        if error:
            raise error

    found = answered(app)

    assert (found.body, found.broken.code, found.broken.stage) == (
        b"half",
        "migrated-crash",
        "body",
    )


def test_an_app_without_a_head_in_time_is_cancelled_and_answered_504(answered):
    ended = []

    async def app(_scope, _receive, _send):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    found = answered(app, timeouts={"response_s": 0.05})

    assert (found.status, found.failure.code, ended) == (504, "migrated-timeout", ["cancelled"])


def test_an_app_that_goes_silent_in_its_body_breaks_it(answered):
    async def app(_scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    found = answered(app, timeouts={"idle_s": 0.05})

    assert (found.body, found.broken.code) == (b"half", "migrated-timeout")


def test_a_body_that_breaks_off_is_the_client_s_fault(answered):
    found = answered(echo, method="POST", body=[b"half", ClientGone()])

    assert (found.failure.code, found.failure.party) == ("bad-request", "client")


def test_the_time_a_client_takes_to_send_is_not_the_app_s(answered):
    body = [b"a", 0.3, b"b", 0.3, b"c", 0.3]  # together longer than the limit

    found = answered(echo, method="POST", body=body, timeouts={"response_s": 0.6})

    assert (found.status, found.body) == (200, b"abc")


def test_a_client_that_pauses_for_too_long_is_told_408(answered):
    found = answered(echo, method="POST", body=[b"a", 0.5, b"b"], timeouts={"idle_s": 0.05})

    assert (found.status, found.failure.code) == (408, "client-timeout")


def test_a_receive_that_the_app_cancels_costs_no_chunk(elsewhere, request_of, decided, read):
    gate = asyncio.Event()

    async def body():
        await gate.wait()
        yield b"first"
        yield b"second"

    async def app(scope, receive, send):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.02)
        gate.set()
        await echo(scope, receive, send)

    async def run():
        inbound = Inbound(request_of(method="POST"), body())
        return await read(await AsgiMounts([("/live", app)], elsewhere).serve(inbound, decided()))

    assert asyncio.run(run()).body == b"firstsecond"


def test_an_app_that_fails_amid_a_read_gets_no_fallback_with_half_a_body(
    elsewhere, request_of, decided
):
    committed = []

    async def app(_scope, receive, _send):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.02)
        raise ValueError

    async def run(chunks):
        inbound = Inbound(request_of(method="POST"), chunks, commit=lambda: committed.append(1))
        return await AsgiMounts([("/live", app)], elsewhere).serve(inbound, decided())

    async def never():
        await asyncio.Event().wait()
        yield b""

    assert asyncio.run(run(never())).failure.code == "migrated-crash"
    assert committed == [1]


def test_a_client_that_leaves_is_told_and_sending_to_it_fails(elsewhere, request_of, decided):
    seen = []

    async def app(_scope, receive, send):
        await send(START)
        await receive()
        seen.append((await receive())["type"])
        with pytest.raises(OSError, match="closed"):
            await send({"type": "http.response.body", "body": b"x"})
        seen.append("told")

    async def run():
        server = AsgiMounts([("/live", app)], elsewhere)
        reply = await server.serve(Inbound(request_of()), decided())
        await reply.close()
        await server.aclose(grace_s=5)

    asyncio.run(run())

    assert seen == ["http.disconnect", "told"]


def test_what_an_app_does_after_its_answer_goes_on(elsewhere, request_of, decided, read):
    done = []

    async def app(scope, receive, send):
        await echo(scope, receive, send)
        await asyncio.sleep(0.02)
        done.append("afterwards")

    async def run():
        server = AsgiMounts([("/live", app)], elsewhere)
        found = await read(await server.serve(Inbound(request_of()), decided()))
        before = list(done)
        await server.aclose(grace_s=5)
        return found.status, before

    assert asyncio.run(run()) == (200, [])
    assert done == ["afterwards"]


def test_a_client_that_leaves_before_the_head_is_told_to_the_app(elsewhere, request_of, decided):
    seen = []

    async def run():
        begun = asyncio.Event()

        async def app(_scope, receive, _send):
            await receive()
            begun.set()
            seen.append((await receive())["type"])

        server = AsgiMounts([("/live", app)], elsewhere)
        serving = asyncio.create_task(server.serve(Inbound(request_of()), decided()))
        await begun.wait()
        serving.cancel()
        await asyncio.wait({serving})
        await server.aclose(grace_s=5)
        return serving.cancelled()

    assert asyncio.run(run())
    assert seen == ["http.disconnect"]


def test_a_call_that_outlives_the_grace_time_is_cancelled(elsewhere, request_of, decided):
    ended = []

    async def app(_scope, _receive, send):
        await send(START)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def run():
        server = AsgiMounts([("/live", app)], elsewhere)
        reply = await server.serve(Inbound(request_of()), decided())
        await reply.close()
        before = list(ended)
        await server.aclose(grace_s=0.05)
        return before

    assert asyncio.run(run()) == []
    assert ended == ["cancelled"]


@pytest.mark.parametrize("scope_of", [http_scope, websocket_scope])
@pytest.mark.parametrize("trusted", [True, False])
def test_what_a_trusted_peer_says_of_the_user_arrives(request_of, scope_of, trusted):
    said = [(b"x-forwarded-user", b"alice"), (b"x-forwarded-for", b"6.6.6.6"), (b"forwarded", b"x")]
    head = request_of(headers=[*said, (b"x-forwarded", b"for x")])._replace(peer_trusted=trusted)

    headers = scope_of(Inbound(head), "/live", {})["headers"]

    assert headers == ([(b"x-forwarded-user", b"alice"), (b"x-forwarded", b"for x")] * trusted)


def test_a_header_that_names_another_path_does_not_reach_the_app(request_of):
    head = request_of(headers=[(b"x-original-url", b"/a"), (b"x-rewrite-url", b"/b")])

    assert http_scope(Inbound(head), "/live", {})["headers"] == []
