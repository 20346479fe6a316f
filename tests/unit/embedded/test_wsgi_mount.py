"""The mount: migrated requests are plain Flask, the others go through the ASGI front door."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import flask
import pytest

from overgrow.embedded.background_loop import background_loop
from overgrow.embedded.mount import WsgiMount
from overgrow.embedded.relay import ResponseBroken
from overgrow.routing.model import TrustedProxies

WAIT_S = 60  # a bound on a wait that succeeds costs nothing


def shop():
    app = flask.Flask(__name__)

    @app.get("/m/hello")
    def hello():
        return flask.request.args.get("name", "nobody")

    @app.get("/m/boom")
    def boom():
        raise RuntimeError("view")

    return app


async def echo(scope, receive, send):
    """Answer with what came: one chunk per message of the body, or `broken`."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1")]})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        body = message.get("body", b"broken")
        await send({"type": "http.response.body", "body": body, "more_body": more})


def test_a_migrated_request_runs_in_the_callers_thread_with_its_environ(mounted, environ, call):
    seen = []

    def app(environ, start_response):
        seen.append((threading.get_ident(), environ))
        start_response("200 OK", [("X-App", "1")])
        return [b"a", b"b"]

    mount, _ = mounted(app)
    keys = environ("/m")

    with call(mount, keys) as caller:
        body = caller.body()

    assert (caller.status, body) == ("200 OK", b"ab")
    assert seen[0][0] == threading.get_ident()
    assert seen[0][1] is keys


def test_a_migrated_response_has_the_front_doors_headers_and_none_forged(mounted, environ, call):
    def app(environ, start_response):
        forged = [("X-Overgrow-Error", "gone"), ("x-OVERGROW", "route=evil")]
        start_response("200 OK", [*forged, ("X-Overgrowth", "1")])
        return [b""]

    mount, _ = mounted(app)

    with call(mount, environ("/m")) as caller:
        pass

    assert caller.headers == [("X-Overgrowth", "1"), ("x-overgrow", "migrated")]


def test_a_migrated_request_is_recorded_once(mounted, environ, call):
    def app(environ, start_response):
        start_response("201 Created", [])
        return [b"abc", b"de"]

    times = iter([10.0, 11.0, 13.0])
    _, door = mounted()
    mount = WsgiMount(app, door, clock=lambda: 1000.0, stopwatch=lambda: next(times))

    with call(mount, environ("/m", method="POST", body=b"1234")) as caller:
        caller.body()
    mount.close()

    (exchange,) = door.recorded
    assert (exchange.status, exchange.failure, exchange.decision.side) == (201, None, "migrated")
    assert (exchange.request_bytes, exchange.response_bytes) == (4, 5)
    assert (exchange.started_at, exchange.first_byte_s, exchange.duration_s) == (1000.0, 1.0, 3.0)


def test_a_request_whose_close_fails_is_recorded_all_the_same(mounted, environ, call):
    class Failing(list):
        def close(self):
            raise RuntimeError("teardown")

    def app(environ, start_response):
        start_response("200 OK", [])
        return Failing([b"a"])

    mount, door = mounted(app)
    caller = call(mount, environ("/m"))
    with pytest.raises(RuntimeError, match="teardown"):
        caller.answer.close()

    assert len(door.recorded) == 1


def test_a_crash_before_the_head_is_recorded_as_the_500_that_servers_make(mounted, environ, call):
    def app(environ, start_response):
        raise ZeroDivisionError

    mount, door = mounted(app)
    with pytest.raises(ZeroDivisionError):
        call(mount, environ("/m"))

    (exchange,) = door.recorded
    assert (exchange.status, exchange.failure.code) == (500, "migrated-crash")


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda body: body.read(), id="read"),
        pytest.param(lambda body: body.read(3) + body.readline() + body.readline(2), id="lines"),
        pytest.param(b"".join, id="iteration"),
        pytest.param(lambda body: b"".join(body.readlines()), id="readlines"),
        pytest.param(lambda body: io.BufferedReader(body).read(), id="a buffer around it"),
    ],
)
def test_the_size_of_a_chunked_body_is_what_the_app_read_of_it(mounted, environ, call, read):
    found = []

    def app(environ, start_response):
        found.append(read(environ["wsgi.input"]))
        start_response("200 OK", [])
        return [b""]

    mount, door = mounted(app)
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    keys = environ("/m", method="POST", **chunked) | {"wsgi.input": io.BytesIO(b"one\ntwo\nxy")}
    with call(mount, keys) as caller:
        caller.body()

    assert b"one\ntwo\nxy".startswith(found[0])
    assert len(found[0]) == door.recorded[0].request_bytes > 5


def test_a_chunked_body_is_read_no_further_than_the_app_asks(mounted, environ, call):
    source = io.BytesIO(b"x" * 9)

    def app(environ, start_response):
        environ["wsgi.input"].read(4)
        start_response("200 OK", [])
        return [b""]

    mount, _ = mounted(app)
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    with call(mount, environ("/m", method="POST", **chunked) | {"wsgi.input": source}):
        pass

    assert source.tell() == 4


def test_a_migrated_response_not_read_to_its_end_is_blamed_on_the_client(mounted, environ, call):
    closed = []

    class EnvironBody:
        def __iter__(self):
            yield b"a"
            yield b"b"

        def close(self):
            closed.append(True)

    def app(environ, start_response):
        start_response("200 OK", [])
        return EnvironBody()

    mount, door = mounted(app)

    with call(mount, environ("/m")) as caller:
        next(iter(caller.answer))

    assert door.recorded[0].failure.party == "client"
    assert closed == [True]


def test_a_migrated_app_that_breaks_in_its_body_is_recorded_and_raises(mounted, environ, call):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"a"
        raise RuntimeError("late")

    mount, door = mounted(app)

    with call(mount, environ("/m")) as caller, pytest.raises(RuntimeError, match="late"):
        caller.body()

    assert (door.recorded[0].failure.code, door.recorded[0].failure.stage) == (
        "migrated-crash",
        "body",
    )


def test_exceptions_propagate_to_the_flask_test_client(mounted):
    app = shop()
    app.testing = True
    app.wsgi_app, door = mounted(app.wsgi_app)

    with pytest.raises(RuntimeError, match="view"):
        app.test_client().get("/m/boom")

    assert [(each.status, each.failure.code) for each in door.recorded] == [(500, "migrated-crash")]


def test_the_request_context_stays_open_inside_with_client(mounted):
    app = shop()
    app.wsgi_app, _ = mounted(app.wsgi_app)

    with app.test_client() as client:
        client.get("/m/hello?name=Ada")
        name = flask.request.args["name"]

    assert name == "Ada"
    assert not flask.has_request_context()


def test_the_flask_test_client_records_without_closing(mounted):
    app = shop()
    app.wsgi_app, door = mounted(app.wsgi_app)

    response = app.test_client().get("/m/hello")

    assert response.text == "nobody"
    assert [each.status for each in door.recorded] == [200]


def test_a_trusted_proxy_tells_the_app_its_client(mounted, environ, call):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["REMOTE_ADDR"].encode(), environ["wsgi.url_scheme"].encode()]

    mount, _ = mounted(app, trusted=TrustedProxies(unix=True))
    forwarded = {"HTTP_X_FORWARDED_FOR": "203.0.113.5", "HTTP_X_FORWARDED_PROTO": "https"}

    with call(mount, environ("/m", REMOTE_ADDR="", **forwarded)) as caller:
        assert caller.body() == b"203.0.113.5https"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        pytest.param(b"whole body", b"whole body", id="whole"),
        pytest.param(b"half", OSError, id="broken off"),
        pytest.param(b"whole body and the next request", b"whole body", id="nothing beyond it"),
    ],
)
def test_a_migrated_app_reads_its_body_whole_or_not_at_all(mounted, environ, call, sent, read):
    seen = []

    def app(environ, start_response):
        try:
            seen.append(environ["wsgi.input"].read())
        except OSError:
            seen.append(OSError)
        start_response("200 OK", [])
        return []

    mount, _ = mounted(app)
    keys = environ("/m", method="POST") | {
        "CONTENT_LENGTH": str(len(b"whole body")),
        "wsgi.input": io.BytesIO(sent),
        "wsgi.input_terminated": True,
    }

    with call(mount, keys):
        pass

    assert seen == [read]


def test_any_other_request_is_answered_on_the_background_loop(mounted, environ, call):
    threads = []

    async def asgi(scope, receive, send):
        threads.append(threading.current_thread().name)
        await echo(scope, receive, send)

    mount, door = mounted(asgi=asgi)

    with call(mount, environ("/legacy")) as caller:
        body = caller.body()

    assert (caller.status, caller.headers, body) == ("200 OK", [("x-a", "1")], b"")
    assert threads == ["overgrow-wsgi"]
    assert door.recorded == []  # the front door files its own


def test_what_the_mount_decided_is_not_decided_again(mounted, environ, call):
    told = []

    async def asgi(scope, receive, send):
        told.append(scope["overgrow"].decision)
        await echo(scope, receive, send)

    mount, door = mounted(asgi=asgi)
    with call(mount, environ("/legacy")) as caller:
        caller.body()

    assert [door.decide(door.head_of(door.scope))] == told


def test_a_body_with_a_length_is_passed_on_whole(mounted, environ, call):
    mount, _ = mounted(asgi=echo)
    body = bytes(range(256)) * 1000

    with call(mount, environ("/l", method="POST", body=body)) as caller:
        assert caller.body() == body


def test_a_chunked_body_is_passed_on_whole(mounted, environ, call):
    mount, _ = mounted(asgi=echo)
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    keys = environ("/l", method="POST", **chunked) | {"wsgi.input": io.BytesIO(b"x" * 200_000)}

    with call(mount, keys) as caller:
        assert caller.body() == b"x" * 200_000


class Failing(io.BytesIO):
    def read(self, size=-1):
        return super().read(size) or self.fail()

    def fail(self):
        raise OSError("connection reset")


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"CONTENT_LENGTH": "9", "wsgi.input": io.BytesIO(b"half")}, id="too short"),
        pytest.param({"CONTENT_LENGTH": "9", "wsgi.input": Failing(b"half")}, id="the read fails"),
        pytest.param(
            {
                "HTTP_TRANSFER_ENCODING": "chunked",
                "wsgi.input_terminated": True,
                "wsgi.input": Failing(b"half"),
            },
            id="chunks that end early",
        ),
    ],
)
def test_a_body_that_breaks_off_is_a_disconnect_and_never_looks_whole(mounted, environ, call, keys):
    mount, _ = mounted(asgi=echo)

    with call(mount, environ("/l", method="POST") | keys) as caller:
        assert caller.body() == b"halfbroken"


def test_chunks_that_the_server_does_not_decode_are_a_disconnect(mounted, environ, call):
    mount, _ = mounted(asgi=echo)

    with call(mount, environ("/l", method="POST", HTTP_TRANSFER_ENCODING="chunked")) as caller:
        assert caller.body() == b"broken"


def test_a_client_that_broke_off_and_got_no_answer_is_told_so(mounted, environ, call):
    async def asgi(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        assert (await receive())["type"] == "http.disconnect"

    mount, _ = mounted(asgi=asgi)

    with call(mount, environ("/l", method="POST", CONTENT_LENGTH="9")) as caller:
        caller.body()

    assert caller.status == "400 Bad Request"
    assert ("x-overgrow-error", "bad-request") in caller.headers


def test_an_error_before_the_head_is_raised_in_the_callers_thread(mounted, environ, call):
    async def asgi(scope, receive, send):
        raise RuntimeError("front")

    mount, _ = mounted(asgi=asgi)

    with pytest.raises(RuntimeError, match="front"):
        call(mount, environ("/l"))


@pytest.mark.parametrize("end", ["returns", "raises"])
def test_an_answer_that_breaks_off_raises_into_the_server(mounted, environ, call, end):
    async def asgi(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if end == "raises":
            raise RuntimeError("front")

    mount, _ = mounted(asgi=asgi)

    with call(mount, environ("/l")) as caller, pytest.raises(ResponseBroken):
        caller.body()


def test_a_head_without_a_body_yet_is_flushed(mounted, environ, call):
    go = threading.Event()

    async def asgi(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.to_thread(go.wait, WAIT_S)
        await send({"type": "http.response.body", "body": b"late"})

    mount, _ = mounted(asgi=asgi)

    with call(mount, environ("/l")) as caller:
        first = next(caller.answer)
        go.set()
        assert (first, caller.body()) == (b"", b"late")


def test_framing_is_left_to_the_server_and_odd_statuses_get_a_reason(mounted, environ, call):
    async def asgi(scope, receive, send):
        headers = [(b"transfer-encoding", b"chunked"), (b"connection", b"close"), (b"x", b"\xff")]
        await send({"type": "http.response.start", "status": 299, "headers": headers})
        await send({"type": "http.response.body"})

    mount, _ = mounted(asgi=asgi)

    with call(mount, environ("/l")) as caller:
        caller.body()

    assert (caller.status, caller.headers) == ("299 Unknown", [("x", "\xff")])


@pytest.mark.parametrize(
    ("own", "status"), [(b"All Is Well", "200 All Is Well"), (b"\xe8", "200 \xe8"), (b"", "200 OK")]
)
def test_a_reason_phrase_of_legacys_own_is_kept(mounted, environ, call, own, status):
    async def asgi(scope, receive, send):
        start = {"type": "http.response.start", "status": 200, "headers": [], "reason": own}
        await send(start)
        await send({"type": "http.response.body"})

    mount, _ = mounted(asgi=asgi)

    with call(mount, environ("/l")) as caller:
        caller.body()

    assert caller.status == status


def test_the_loop_runs_ahead_of_the_server_by_256_kib_at_most(mounted, environ, call):
    sent = []
    waits = threading.Event()

    async def asgi(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(50):
            sent.append(number)
            if number == 3:
                asyncio.get_running_loop().call_soon(waits.set)
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        await send({"type": "http.response.body"})

    mount, _ = mounted(asgi=asgi)

    with call(mount, environ("/l")) as caller:
        assert waits.wait(WAIT_S)
        ahead = len(sent)
        total = len(caller.body())

    assert (ahead, total) == (4, 50 * 65_536)


def endless(cancelled):
    async def asgi(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 70_000, "more_body": True})
        except asyncio.CancelledError:
            cancelled.set()
            raise

    return asgi


def test_closing_an_answer_early_cancels_what_still_runs(mounted, environ, call):
    cancelled = threading.Event()
    mount, _ = mounted(asgi=endless(cancelled))

    with call(mount, environ("/l")) as caller:
        next(caller.answer)

    assert cancelled.wait(WAIT_S)


def test_closing_an_answer_early_takes_the_way_the_front_door_asked_for(mounted, environ, call):
    told = threading.Event()
    cancelled = threading.Event()

    async def asgi(scope, receive, send):
        task = asyncio.current_task()
        scope["overgrow"].on_disconnect(lambda: (told.set(), task.cancel()))
        await endless(cancelled)(scope, receive, send)

    mount, _ = mounted(asgi=asgi)

    with call(mount, environ("/l")) as caller:
        next(caller.answer)

    assert cancelled.wait(WAIT_S)
    assert told.is_set()


def test_a_listener_for_disconnects_hears_of_one(mounted, environ, call):
    heard = threading.Event()

    async def asgi(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        scope["overgrow"].on_disconnect(lambda: None)
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        heard.set()

    mount, _ = mounted(asgi=asgi)

    with call(mount, environ("/l")) as caller:
        next(caller.answer)

    assert heard.wait(WAIT_S)


def test_the_lifespan_runs_once_and_begins_with_a_migrated_request_too(mounted, environ, call):
    def app(environ, start_response):
        start_response("200 OK", [])
        return []

    mount, door = mounted(app, echo)
    for target in ("/m", "/l", "/m"):
        with call(mount, environ(target)) as caller:
            caller.body()

    assert door.start_lifespan == ["startup"]


def test_first_requests_that_come_at_once_begin_one_lifespan(mounted, monkeypatch):
    all_looked, one_at_a_time = threading.Barrier(4), threading.Lock()

    @contextmanager
    def process_lock():
        all_looked.wait(60)  # each of them has found that there is none
        with one_at_a_time:
            entered.append(True)
            yield

    entered = []
    mount, door = mounted(asgi=echo)
    monkeypatch.setattr("overgrow.embedded.mount.process_lock", process_lock)
    first = [threading.Thread(target=mount._ensure_started) for _ in range(4)]
    for thread in first:
        thread.start()
    for thread in first:
        thread.join(60)
    monkeypatch.undo()

    assert (len(entered), door.start_lifespan) == (4, ["startup"])


def test_closing_the_mount_ends_the_lifespan_and_a_request_starts_another(mounted, environ, call):
    mount, door = mounted(asgi=echo)
    ended = threading.Event()
    door.start_lifespan = Ended(ended)
    with call(mount, environ("/l")) as caller:
        caller.body()

    mount.close()

    assert ended.wait(WAIT_S)
    with call(mount, environ("/l")) as caller:
        caller.body()
    assert door.start_lifespan == ["startup", "shutdown", "startup"]


class Ended(list):
    """A list that sets an event at `shutdown`."""

    def __init__(self, event):
        super().__init__()
        self._event = event

    def append(self, item):
        super().append(item)
        if item == "shutdown":
            self._event.set()


def test_a_mount_that_is_forgotten_ends_its_lifespan(door, environ, call):
    ended = threading.Event()
    mine = door(echo)
    mine.start_lifespan = Ended(ended)
    mount = WsgiMount(None, mine)
    with call(mount, environ("/l")) as caller:
        caller.body()

    del mount

    assert ended.wait(WAIT_S)


def test_an_asgi_app_without_a_lifespan_serves_all_the_same(environ, call, door):
    class Bare(door):
        async def __call__(self, scope, receive, send):
            assert scope["type"] == "http"
            await echo(scope, receive, send)

    mount = WsgiMount(None, Bare())

    with call(mount, environ("/l", method="POST", body=b"x")) as caller:
        assert caller.body() == b"x"


def test_mounts_share_the_one_loop_of_the_process(mounted, environ, call):
    loops = []

    async def asgi(scope, receive, send):
        loops.append(asyncio.get_running_loop())
        await echo(scope, receive, send)

    for _ in range(2):
        mount, _ = mounted(asgi=asgi)
        with call(mount, environ("/l")) as caller:
            caller.body()

    assert loops == [background_loop().loop] * 2


def run_alone(program):
    program = f"import sys; sys.path[:0] = {sys.path!r}\n{PREAMBLE}\n{program}"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout


PREAMBLE = """
import os, threading
from overgrow.routing.facts import head_of
from overgrow.routing.model import Decision
from overgrow.embedded.mount import WsgiMount

class Door:
    def head_of(self, scope):
        return head_of("GET", b"/", [], peer="", scheme="http")
    def decide(self, head):
        return Decision(None, "legacy", "target", "")
    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                print(kind, flush=True)
                await send({"type": f"lifespan.{kind}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answer"})

mount = WsgiMount(None, Door())
print(threading.active_count(), "thread", flush=True)

def request():
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "x", "SERVER_PORT": "80",
               "wsgi.url_scheme": "http", "wsgi.input": None}
    print(b"".join(mount(environ, lambda *_: None)).decode(), flush=True)
"""


def test_nothing_starts_before_the_first_request_and_all_is_closed_at_exit():
    assert run_alone("request()").split() == ["1", "thread", "startup", "answer", "shutdown"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_makes_a_loop_of_its_own():
    found = run_alone(
        """
request()
pid = os.fork()
if not pid:
    request()
    sys.exit()
os.waitpid(pid, 0)
request()
"""
    )

    assert found.split() == [
        *("1", "thread", "startup", "answer"),
        *("startup", "answer", "shutdown"),  # the child
        *("answer", "shutdown"),
    ]


def test_a_trusted_unix_peer_tells_the_app_its_user(mounted, environ, call):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ.get("HTTP_X_FORWARDED_USER", "nobody").encode()]

    said = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_USER": "alice"}
    answers = []
    for trusted in (TrustedProxies(unix=True), TrustedProxies()):
        mount, _ = mounted(app, trusted=trusted)
        with call(mount, environ("/m", **said)) as caller:
            answers.append(caller.body())

    assert answers == [b"alice", b"nobody"]
