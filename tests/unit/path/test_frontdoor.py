"""The five stations, with scripted servers: who is asked, what the client sees, what is recorded."""

import asyncio
from types import SimpleNamespace

import pytest

from overgrow.exchange import (
    BodyBroken,
    ClientGone,
    Failure,
    FellBack,
    Inbound,
    Reply,
    failure_reply,
)
from overgrow.path.frontdoor import Collaborators, FrontDoor
from overgrow.path.in_flight import strip_private_headers
from overgrow.path.plain_scope import PlainScope
from overgrow.path.refusing import BodyLimit, RefusingServer
from overgrow.routing.facts import Facts, Head
from overgrow.routing.match import Matcher, sort_routes
from overgrow.routing.model import Decision, Legacy, Route, RouteTable
from overgrow.routing.override import create_override

ROUTES = (
    Route("new", path="/new", target="migrated", fallback=True),
    Route("part", path="/part", canary=5_000),
    Route("gone", path="/gone", target="gone"),
)

NOTHING = Facts(now_s=1_000.0)


def table():
    return RouteTable("abc123abc123", Legacy("http://127.0.0.1:9"), sort_routes(ROUTES))


class Scripted:
    """A Server that answers from a function and remembers what it was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    async def serve(self, inbound, decision):
        self.asked.append(inbound)
        reply = self.answer(inbound, decision)
        return await reply if asyncio.iscoroutine(reply) else reply


def text(body=b"ok", headers=(), status=200):
    return lambda *_: Reply(status, list(headers), body)


class Client:
    """An ASGI server's side of one request."""

    def __init__(self, method="GET", target=b"/", headers=(), body=(), ours=None):
        self.scope = {
            "type": "http",
            "method": method,
            "path": target.decode(),
            "raw_path": target,
            "query_string": b"",
            "headers": [(b"host", b"shop.example"), *headers],
            "client": ("192.0.2.7", 1234),
            "scheme": "http",
        }
        if ours:
            self.scope["overgrow"] = ours
        self.messages = [*body]
        self.sent = []
        self.gone = asyncio.Event()

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    @property
    def body(self):
        return b"".join(m.get("body", b"") for m in self.sent)

    @property
    def headers(self):
        return dict(self.sent[0]["headers"])


class Filed(list):
    """A sink that keeps what it is told."""

    def record(self, exchange):
        self.append(exchange)


def front(*, legacy=None, migrated=None, sinks=(), facts=NOTHING, expose=False):
    tables = SimpleNamespace(matcher=Matcher(table()))
    servers = {
        "legacy": Scripted(legacy or text(b"legacy")),
        "migrated": Scripted(migrated or text(b"migrated")),
        "gone": RefusingServer(),
        "refused": RefusingServer(),
    }
    ticks = iter(range(1000))
    collaborators = Collaborators(
        servers=servers,
        facts=lambda: facts,
        clock=lambda: 1_000.0,
        stopwatch=lambda: float(next(ticks)),
        new_id=lambda: "id-1",
        sinks=sinks,
        expose=expose,
    )
    return FrontDoor(tables, collaborators), servers


def visit(client, **given):
    async def scenario():
        door, servers = front(**given)
        await door(client.scope, client.receive, client.send)
        return servers

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        (b"/", 200, b"legacy"),
        (b"/new", 200, b"migrated"),
        (b"/gone", 410, b"This address is no longer in use.\n"),
    ],
)
def test_the_decision_names_the_server(target, status, body):
    client = Client(target=target)
    visit(client)

    assert (status, body) == (client.sent[0]["status"], client.body)


def test_the_kill_file_sends_everything_to_legacy():
    client = Client(target=b"/new")
    visit(client, facts=NOTHING._replace(killed=True))

    assert client.body == b"legacy"


def test_a_finished_exchange_is_filed_once_with_its_figures():
    filed = Filed()
    client = Client(
        "POST",
        headers=[(b"content-length", b"3")],
        body=[{"type": "http.request", "body": b"abc", "more_body": False}],
    )

    async def legacy(inbound, _decision):
        taken = [chunk async for chunk in inbound.body]
        return Reply(201, [], b"".join(taken) * 2)

    visit(client, legacy=legacy, sinks=[filed])

    (exchange,) = filed
    assert (201, 3, 6, 1_000.0) == (
        exchange.status,
        exchange.request_bytes,
        exchange.response_bytes,
        exchange.started_at,
    )
    assert (exchange.duration_s, exchange.first_byte_s) == (2.0, 1.0)


def test_a_failure_is_told_to_the_client_and_filed():
    filed = Filed()
    client = Client()
    failure = Failure("legacy-connect", "connect", "legacy")
    visit(client, legacy=lambda *_: failure_reply(failure), sinks=[filed])

    assert (b"legacy-connect", 502, failure) == (
        client.headers[b"x-overgrow-error"],
        filed[0].status,
        filed[0].failure,
    )


async def broken_body():
    yield b"half"
    raise BodyBroken(Failure("legacy-closed", "body", "legacy"))


def test_a_body_that_breaks_reaches_a_plain_server_as_an_exception():
    client = Client()

    with pytest.raises(BodyBroken):
        visit(client, legacy=lambda *_: Reply(200, [], broken_body()))
    assert client.body == b"half"


class Ours(PlainScope):
    """What our worker adds to the scope."""

    is_native = True

    def __init__(self, target=b"/"):
        super().__init__({"path": target.decode(), "client": ("192.0.2.7", 1234)})
        self.aborted = False
        self.left = None

    def on_disconnect(self, callback):
        self.left = callback

    def abort(self):
        self.aborted = True


def test_a_body_that_breaks_is_left_unfinished_for_our_worker_to_break_off():
    ours = Ours()
    filed = Filed()
    closed = []

    async def close():
        closed.append(1)

    client = Client(ours=ours)
    visit(client, legacy=lambda *_: Reply(200, [], broken_body(), close=close), sinks=[filed])

    assert client.sent[-1]["more_body"]
    assert (False, [1], "legacy-closed") == (ours.aborted, closed, filed[0].failure.code)


def test_a_server_that_fails_by_an_os_error_is_no_client_that_left():
    ours, filed = Ours(), Filed()

    def failing(*_):
        raise FileNotFoundError("ca.pem")

    with pytest.raises(FileNotFoundError):
        visit(Client(ours=ours), legacy=failing, sinks=[filed])
    assert (False, None) == (ours.aborted, filed[0].failure)


def test_a_client_that_is_gone_before_its_answer_gets_none():
    ours = Ours()
    gone = Failure("client-gone", "send", "client")
    client = Client(ours=ours)
    visit(client, legacy=lambda *_: Reply(0, [], failure=gone))

    assert (True, []) == (ours.aborted, client.sent)


def test_a_stream_of_events_may_be_silent_longer_than_other_answers():
    async def events():
        yield b"data: 1\n\n"

    ours, other = Ours(), Ours()
    kind = [(b"Content-Type", b"text/event-stream; charset=utf-8")]
    visit(Client(ours=ours), legacy=lambda *_: Reply(200, kind, events()))
    visit(Client(ours=other), legacy=lambda *_: Reply(200, [], events()))

    assert (3600.0, 100.0) == (ours.idle_s, other.idle_s)


def test_a_client_that_leaves_cancels_the_upstream_and_is_filed():
    ours = Ours()
    filed = Filed()
    stopped = []

    async def scenario():
        async def never(*_):
            asyncio.get_running_loop().call_soon(ours.left)
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(1)

        client = Client(ours=ours)
        door, _ = front(legacy=never, sinks=[filed])
        await door(client.scope, client.receive, client.send)
        return asyncio.current_task().cancelling()

    assert asyncio.run(scenario()) == 0
    assert ([1], 0, "client-gone") == (stopped, filed[0].status, filed[0].failure.code)


def test_a_client_that_leaves_a_plain_server_cancels_the_upstream_too():
    filed = Filed()

    async def scenario():
        client = Client()

        async def never(*_):
            client.gone.set()
            await asyncio.Event().wait()

        door, _ = front(legacy=never, sinks=[filed])
        await door(client.scope, client.receive, client.send)

    asyncio.run(scenario())

    assert "client-gone" == filed[0].failure.code


def test_nobody_watches_a_client_whose_request_is_over():
    async def scenario():
        client = Client()
        door, _ = front()
        await door(client.scope, client.receive, client.send)
        await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(scenario()) == set()


@pytest.mark.parametrize("body", [b"whole", None], ids=["whole", "streamed"])
def test_the_reply_is_closed_and_filed_where_the_client_cannot_be_sent_to(body):
    closed, filed = [], Filed()

    async def chunks():
        yield b"chunk"

    async def close():
        closed.append(True)

    class Left(Client):
        async def send(self, message):
            raise OSError("the client has left")

    visit(
        Left(ours=Ours()),
        legacy=lambda *_: Reply(200, [], body or chunks(), close=close),
        sinks=[filed],
    )

    assert ([True], ["client-gone"]) == (closed, [each.failure.code for each in filed])


def test_a_cancellation_from_outside_is_not_swallowed():
    async def scenario():
        async def never(*_):
            await asyncio.Event().wait()

        client = Client(ours=Ours())
        door, _ = front(legacy=never)
        task = asyncio.create_task(door(client.scope, client.receive, client.send))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scenario())


def test_a_fault_of_ours_goes_up_to_be_logged():
    def faulty(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        visit(Client(ours=Ours()), legacy=faulty)


def test_x_overgrow_shows_the_decision_when_exposed():
    client = Client(target=b"/new")
    visit(client, expose=True)

    assert (
        b"route=new; side=migrated; reason=target; revision=abc123abc123"
        == client.headers[b"x-overgrow"]
    )


def test_a_fallback_response_is_shown_and_recorded_with_what_it_replaced():
    fell = FellBack("500", 500)

    def fallen_back(_inbound, decision):
        turned = decision._replace(side="legacy", reason="fallback")
        return Reply(200, [], b"legacy's", decision=turned, fallback=fell)

    client, filed = Client(target=b"/new"), Filed()

    visit(client, migrated=fallen_back, sinks=[filed], expose=True)

    assert client.headers[b"x-overgrow"] == (
        b"route=new; side=legacy; reason=fallback; revision=abc123abc123"
    )
    assert (filed[0].decision.side, filed[0].fallback) == ("legacy", fell)


def test_a_route_that_is_turned_away_from_migrated_is_legacys():
    client = Client(target=b"/new")

    visit(client, legacy=text(b"legacy's"), facts=NOTHING._replace(open_breakers={"new"}))

    assert client.body == b"legacy's"


def test_x_overgrow_is_absent_by_default():
    client = Client(target=b"/new")
    visit(client)

    assert b"x-overgrow" not in client.headers


def test_a_canary_gives_an_unknown_client_its_id():
    client = Client(target=b"/part")
    visit(client)

    assert (
        b"overgrow_id=id-1; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"
        == client.headers[b"set-cookie"]
    )
    assert b"x-overgrow" not in client.headers


def test_an_id_given_over_https_stays_there():
    client = Client(target=b"/part")
    client.scope["scheme"] = "https"
    visit(client)

    assert client.headers[b"set-cookie"].endswith(b"; SameSite=Lax; Secure")


def test_an_override_shows_the_decision_to_its_tester():
    secret = b"a secret"
    token = create_override("legacy", "new", 2_000, secret).encode()
    client = Client(target=b"/new", headers=[(b"x-overgrow-override", token)])
    visit(client, facts=NOTHING._replace(secret=secret))

    assert b"side=legacy; reason=override" in client.headers[b"x-overgrow"]


def test_a_decision_that_was_made_before_is_not_made_again():
    """The WSGI mount decides for itself, and a table may change in between."""
    ours, client = Ours(target=b"/"), Client(target=b"/")
    client.scope["overgrow"] = ours
    ours.decision = Decision(ROUTES[0], "migrated", "target", "an earlier revision")
    visit(client)

    assert client.body == b"migrated"


@pytest.mark.parametrize("value", [b"public, max-age=60", b"s-maxage=60", b"max-age=60"])
def test_no_id_on_an_answer_that_caches_share(value):
    client = Client(target=b"/part")
    visit(client, legacy=text(headers=[(b"Cache-Control", value)]))

    assert b"set-cookie" not in client.headers


def test_no_id_on_an_answer_that_renews_a_stored_one():
    """RFC 9111 4.3.4: the headers of a 304 go into what a cache holds."""
    client = Client(target=b"/part")
    visit(client, legacy=text(b"", status=304))

    assert b"set-cookie" not in client.headers


def test_neither_side_sees_what_is_between_us_and_the_client():
    lines = [
        (b"x-overgrow-override", b"v1"),
        (b"x_forwarded_for", b"10.0.0.1"),
        (b"cookie", b"a=1; overgrow_override=v1; b=2"),
        (b"accept", b"*/*"),
    ]
    servers = visit(Client(headers=lines))

    (inbound,) = servers["legacy"].asked
    assert [(b"host", b"shop.example"), (b"cookie", b"a=1; b=2"), (b"accept", b"*/*")] == list(
        inbound.head.headers
    )


def test_a_cookie_header_that_held_only_the_override_goes():
    request = Head("GET", b"/", [(b"cookie", b"overgrow_override=v1")], "", "", "http", "")

    assert [] == strip_private_headers(request).headers


def test_a_request_without_private_parts_is_not_copied():
    request = Head("GET", b"/", [(b"cookie", b"a=1")], "", "", "http", "")

    assert strip_private_headers(request) is request


def test_no_trailers_are_sent_where_the_server_carries_none():
    async def chunks():
        yield b"a"

    client = Client(headers=[(b"te", b"trailers")])
    visit(client, legacy=lambda *_: Reply(200, [], chunks(), trailers=lambda: [(b"x-sum", b"1")]))

    assert not client.sent[0]["trailers"]
    assert client.sent[-1]["type"] == "http.response.body"


def test_trailers_are_sent_where_the_server_carries_them():
    async def chunks():
        yield b"a"

    client = Client(headers=[(b"te", b"trailers")])
    client.scope["extensions"] = {"http.response.trailers": {}}
    visit(client, legacy=lambda *_: Reply(200, [], chunks(), trailers=lambda: [(b"x-sum", b"1")]))

    assert {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]} == client.sent[-1]


def bounded(inbound, max_bytes=4):
    """The answer of a server that takes the whole body, behind a bound; and what it took."""
    taken = []

    async def takes(asked, _decision):
        try:
            taken.extend([chunk async for chunk in asked.body])
        except ClientGone:
            return Reply(0, [], failure=Failure("client-gone", "send", "client"))
        return Reply(200, [])

    server = BodyLimit(Scripted(takes), lambda: max_bytes)
    reply = asyncio.run(server.serve(inbound, None))
    return reply.status, b"".join(taken)


def upload(*chunks, length=None):
    async def body():
        for chunk in chunks:
            yield chunk

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return Inbound(Head("POST", b"/", headers, "", "", "http", ""), body())


@pytest.mark.parametrize(
    ("inbound", "expected"),
    [
        pytest.param(upload(b"ab", b"cd"), (200, b"abcd"), id="exactly as long as it may be"),
        pytest.param(upload(b"abcd", length=4), (200, b"abcd"), id="declared as long as it may be"),
        pytest.param(upload(b"ab", b"cde"), (413, b""), id="chunked, found out on the way"),
        pytest.param(upload(b"abcde", length=5), (413, b""), id="declared, refused at once"),
    ],
)
def test_a_body_beyond_the_bound_is_refused_and_never_looks_whole(inbound, expected):
    assert expected == bounded(inbound)


def test_without_a_bound_any_body_passes():
    assert (200, b"abcde") == bounded(upload(b"abcde"), max_bytes=None)


def test_trailers_of_an_answer_that_came_whole_are_sent_too():
    client = Client(headers=[(b"te", b"trailers")])
    client.scope["extensions"] = {"http.response.trailers": {}}
    visit(client, legacy=lambda *_: Reply(200, [], b"a", trailers=lambda: [(b"x-sum", b"1")]))

    assert {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]} == client.sent[-1]


def test_what_a_side_answered_to_a_body_that_was_too_large_is_closed():
    closed = []

    async def takes(inbound, _decision):
        with pytest.raises(ClientGone):
            [chunk async for chunk in inbound.body]
        return Reply(200, [], close=close)

    async def close():
        closed.append(True)

    server = BodyLimit(Scripted(takes), lambda: 4)

    assert asyncio.run(server.serve(upload(b"abcde"), None)).status == 413
    assert closed == [True]
