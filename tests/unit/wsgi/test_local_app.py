"""WsgiServer as a Server: threads, queue, back-pressure, time, disconnects and the end."""

from __future__ import annotations

import asyncio
import contextvars
import io
import subprocess
import sys
import threading

import flask
import pytest

from overgrow.exchange import BodyBroken, ClientGone, Inbound
from overgrow.wsgi.response_stream import ResponseStream
from overgrow.wsgi.server import WsgiServer
from overgrow.wsgi.unsent_memory import UnsentMemory

WAIT_S = 60  # a bound on a wait that succeeds costs nothing


class Gate:
    """An app whose calls wait until the test opens it."""

    def __init__(self):
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.calls = 0

    def __call__(self, environ, start_response):
        self.calls += 1
        self.entered.release()
        assert self.opened.wait(WAIT_S)
        start_response("200 OK", [])
        return [b"done"]

    async def has_entered(self):
        assert await asyncio.to_thread(self.entered.acquire, timeout=WAIT_S)


async def until(condition):
    """Let the loop and the threads go on until something they do is seen."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - a thread cannot set an asyncio.Event
            await asyncio.sleep(0.002)


@pytest.fixture
def serve(head_with, decided):
    """Start a request: `serve(local, body=..., timeouts=..., **head)`."""

    def start(local, body=None, timeouts=None, **head):
        inbound = Inbound(head_with(**head), body)
        return asyncio.ensure_future(local.serve(inbound, decided(**(timeouts or {}))))

    return start


def test_nothing_starts_before_the_first_call():
    before = threading.active_count()

    WsgiServer(lambda environ, start_response: [])

    assert threading.active_count() == before


def test_calls_run_side_by_side_up_to_the_number_of_threads(serve):
    both = threading.Barrier(2, timeout=WAIT_S)

    def app(environ, start_response):
        both.wait()
        start_response("200 OK", [])
        return [b""]

    async def run():
        local = WsgiServer(app, threads=2)
        replies = await asyncio.gather(serve(local), serve(local))
        await local.aclose()
        return [reply.status for reply in replies]

    assert asyncio.run(run()) == [200, 200]


def test_more_calls_than_threads_and_queue_are_told_to_come_back(serve):
    async def run():
        gate = Gate()
        local = WsgiServer(gate, threads=1, queue=1)
        served, queued = serve(local), serve(local)
        await gate.has_entered()

        refused = await serve(local)

        gate.opened.set()
        statuses = [(await served).status, (await queued).status]
        await local.aclose()
        return refused, statuses

    refused, statuses = asyncio.run(run())
    assert (refused.status, refused.failure.code) == (503, "local-busy")
    assert (b"retry-after", b"1") in refused.headers
    assert statuses == [200, 200]


def test_a_call_and_its_iteration_and_close_share_one_thread_and_context(serve, read):
    name = contextvars.ContextVar("name", default="unset")
    seen = []

    def look(where):
        seen.append((where, threading.get_ident(), name.get()))

    class Body:
        def __iter__(self):
            look("iteration")
            name.set("app")
            yield b"a"
            yield b"b"

        def close(self):
            look("close")

    def app(environ, start_response):
        look("call")
        start_response("200 OK", [])
        return Body()

    async def run():
        name.set("request")
        local = WsgiServer(app)
        await read(await serve(local))
        await local.aclose()
        return name.get()

    outside = asyncio.run(run())

    assert [(where, value) for where, _, value in seen] == [
        ("call", "request"),
        ("iteration", "request"),
        ("close", "app"),
    ]
    assert len({thread for _, thread, _ in seen}) == 1
    assert outside == "request"


def test_a_thread_is_taken_only_when_the_first_64_kib_are_here(serve, read):
    called = threading.Event()

    def app(environ, start_response):
        called.set()
        start_response("200 OK", [])
        return [b"%d" % len(environ["wsgi.input"].read())]

    async def run():
        more = asyncio.Event()

        async def body():
            yield b"x" * 65_535
            await more.wait()
            yield b"y"
            yield b"z" * 1000

        local = WsgiServer(app)
        reply = serve(local, body())
        await until(lambda: True)
        idle = not called.is_set() and local.active_calls == 0
        more.set()
        found = await read(await reply)
        await local.aclose()
        return idle, found.body

    assert asyncio.run(run()) == (True, b"66536")


def test_an_upload_is_not_read_faster_than_the_app_takes_it(serve, read):
    taken = []
    go = threading.Event()

    def app(environ, start_response):
        assert go.wait(WAIT_S)
        size = sum(len(line) for line in iter(lambda: environ["wsgi.input"].read(50_000), b""))
        start_response("200 OK", [])
        return [b"%d" % size]

    async def run():
        async def body():
            for _ in range(100):
                taken.append(1)
                yield b"x" * 65_536

        local = WsgiServer(app)
        reply = serve(local, body())
        await until(lambda: local.active_calls)
        for _ in range(20):
            await asyncio.sleep(0)
        ahead = len(taken)
        go.set()
        found = await read(await reply)
        await local.aclose()
        return ahead, found.body

    ahead, body = asyncio.run(run())
    assert body == b"6553600"
    assert ahead <= 6  # the first 64 KiB, 256 KiB in the buffer, one being read


@pytest.mark.parametrize("size", [10, 200_000])
def test_wsgi_input_reads_like_a_file(answered, size):
    body = b"first\nsecond\r\nthird" + b"!" * size

    def app(environ, start_response):
        source = environ["wsgi.input"]
        found = [source.readline(), source.readline(3), *source.readlines(4)]
        rest = b"".join(source)
        start_response("200 OK", [])
        return [b"|".join([*found, b"%d" % len(rest), b"%d" % len(source.read())])]

    found = answered(app, method="POST", body=[body[:7], body[7:]])

    assert found.body == b"first\n|sec|ond\r\n|%d|0" % (size + 5)


def test_a_chunked_upload_reaches_flask_whole(answered):
    app = flask.Flask(__name__)

    @app.post("/")
    def count():
        return str(len(flask.request.get_data()))

    headers = [(b"transfer-encoding", b"chunked")]

    found = answered(
        app.wsgi_app, method="POST", headers=headers, body=[b"a" * 50_000, b"b" * 50_000]
    )

    assert found.body == b"100000"


def test_an_answer_runs_ahead_of_the_client_by_256_kib_at_most(serve):
    made = []

    def app(environ, start_response):
        start_response("200 OK", [])
        for number in range(100):
            made.append(number)
            yield b"x" * 65_536

    async def run():
        local = WsgiServer(app)
        reply = await serve(local)
        await until(lambda: len(made) >= 5)
        before = len(made)
        first = await anext(reply.body)
        ahead = len(made)
        rest = sum([len(chunk) async for chunk in reply.body])
        await reply.close()
        await local.aclose()
        return before, ahead, len(first) + rest

    before, ahead, total = asyncio.run(run())
    assert before == 5  # four blocks wait, the fifth is made and has no room
    assert ahead == 5  # taken is not sent: only asking again makes room
    assert total == 100 * 65_536


def test_a_stream_closed_early_ends_the_iteration_and_closes_the_app(serve):
    closed = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    async def run():
        local = WsgiServer(app)
        reply = await serve(local)
        await anext(reply.body)
        await reply.close()
        await until(lambda: not local.active_calls)
        await local.aclose()

    asyncio.run(run())

    assert closed.is_set()


def test_a_request_that_is_cancelled_lets_its_app_finish_and_close(serve):
    closed = threading.Event()
    gate = Gate()

    class Body(list):
        def close(self):
            closed.set()

    def app(environ, start_response):
        return Body(gate(environ, start_response))

    async def run():
        local = WsgiServer(app)
        reply = serve(local)
        await gate.has_entered()
        reply.cancel()
        gate.opened.set()
        await until(lambda: not local.active_calls)
        await local.aclose()
        return reply.cancelled()

    assert asyncio.run(run())
    assert closed.is_set()


def test_a_request_that_is_cancelled_in_the_queue_is_never_started(serve):
    async def run():
        gate = Gate()
        local = WsgiServer(gate, threads=1)
        first = serve(local)
        await gate.has_entered()
        second = serve(local)
        await until(lambda: local.active_calls == 2)
        second.cancel()
        await until(lambda: local.active_calls == 1)
        gate.opened.set()
        await first
        await local.aclose()
        return gate.calls

    assert asyncio.run(run()) == 1


def test_an_upload_that_breaks_off_early_never_reaches_the_app(serve):
    gate = Gate()

    async def body():
        yield b"half"
        raise ClientGone

    async def run():
        local = WsgiServer(gate)
        reply = await serve(local, body())
        await local.aclose()
        return reply

    reply = asyncio.run(run())
    assert (reply.failure.party, reply.failure.stage) == ("client", "read")
    assert gate.calls == 0


def test_an_upload_that_breaks_off_later_fails_in_wsgi_input(serve):
    raised = []
    called = threading.Event()

    def app(environ, start_response):
        called.set()
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            raised.append(error)
        start_response("200 OK", [])
        return [b"as if nothing had happened"]

    async def body():
        yield b"x" * 100_000
        await until(called.is_set)
        raise ClientGone

    async def run():
        local = WsgiServer(app)
        reply = await serve(local, body())
        await until(lambda: not local.active_calls)
        await local.aclose()
        return reply

    reply = asyncio.run(run())
    assert reply.failure.party == "client"
    assert [type(error).__name__ for error in raised] == ["WsgiClientDisconnected"]


def test_flask_sees_a_broken_upload_as_its_own_client_disconnected(serve):
    app = flask.Flask(__name__)
    seen = []

    @app.post("/")
    def form():
        return dict(flask.request.form)

    @app.errorhandler(400)
    def refused(error):
        seen.append(type(error).__name__)
        return "refused", 400

    app.config["MAX_CONTENT_LENGTH"] = 10**7
    called = threading.Event()
    app.before_request(called.set)

    async def body():
        yield b"a=" + b"x" * 100_000
        await until(called.is_set)
        raise ClientGone

    async def run():
        local = WsgiServer(app.wsgi_app)
        headers = [
            (b"content-type", b"application/x-www-form-urlencoded"),
            (b"content-length", b"200000"),
        ]
        await serve(local, body(), method="POST", headers=headers)
        await until(lambda: not local.active_calls)
        await local.aclose()

    asyncio.run(run())

    assert seen == ["ClientDisconnected"]


def test_an_upload_that_pauses_too_long_is_a_client_timeout(serve):
    async def body():
        yield b"half"
        await asyncio.Event().wait()

    async def run():
        local = WsgiServer(Gate())
        reply = await serve(local, body(), {"idle_s": 0.02})
        await local.aclose()
        return reply

    assert asyncio.run(run()).failure.code == "client-timeout"


def test_a_late_upload_that_pauses_too_long_is_a_client_timeout_too(serve):
    def app(environ, start_response):
        environ["wsgi.input"].read()

    async def body():
        yield b"x" * 100_000
        await asyncio.Event().wait()

    async def run():
        local = WsgiServer(app)
        reply = await serve(local, body(), {"idle_s": 0.02})
        await until(lambda: not local.active_calls)
        await local.aclose()
        return reply

    assert asyncio.run(run()).failure.code == "client-timeout"


def test_the_response_timeout_does_not_run_while_the_client_still_sends(serve, read):
    def app(environ, start_response):
        size = len(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b"%d" % size]

    async def body():
        yield b"x" * 65_536
        await asyncio.sleep(0.8)  # longer than the limit
        yield b"y"

    async def run():
        local = WsgiServer(app)
        found = await read(await serve(local, body(), {"response_s": 0.6}))
        await local.aclose()
        return found

    assert asyncio.run(run()).body == b"65537"


def test_a_late_call_answers_504_and_keeps_its_thread_until_it_returns(serve):
    async def run():
        gate = Gate()
        local = WsgiServer(gate, threads=2)
        reply = await serve(local, timeouts={"response_s": 0.02})
        while_stuck = (local.stuck_threads, local.active_calls)
        gate.opened.set()
        await until(lambda: not local.active_calls)
        await local.aclose()
        return reply, while_stuck, local.stuck_threads

    reply, while_stuck, afterwards = asyncio.run(run())
    assert (reply.status, reply.failure.code) == (504, "migrated-timeout")
    assert while_stuck == (1, 1)
    assert afterwards == 0


def test_a_late_call_is_abandoned_with_its_504(serve):
    """Else its iteration, and its wait for the upload, would go on for nobody."""
    seen = []

    def app(environ, start_response):
        gate()
        try:
            start_response("200 OK", [])
            for number in range(3):
                seen.append(number)
                yield b"x"
        finally:
            seen.append("closed")

    def gate():
        entered.set()
        opened.wait(60)

    async def run():
        local = WsgiServer(app)
        reply = await serve(local, timeouts={"response_s": 0.02})
        opened.set()
        await until(lambda: not local.active_calls)
        await local.aclose()
        return reply.failure.code

    entered, opened = threading.Event(), threading.Event()
    assert asyncio.run(run()) == "migrated-timeout"
    assert seen == [0, "closed"]  # it notices at its first block that nobody waits


def test_a_call_that_never_got_a_thread_is_busy_not_late(serve):
    async def run():
        gate = Gate()
        local = WsgiServer(gate, threads=1)
        first = serve(local)
        await gate.has_entered()
        late = await serve(local, timeouts={"response_s": 0.02})
        gate.opened.set()
        await first
        await local.aclose()
        return late, gate.calls

    late, calls = asyncio.run(run())
    assert (late.failure.code, late.failure.stage) == ("local-busy", "queue")
    assert calls == 1


def test_it_tells_since_when_more_than_half_of_the_threads_are_stuck(serve):
    times = iter([11.5])

    async def run():
        gate = Gate()
        local = WsgiServer(gate, threads=2, clock=lambda: next(times))
        await serve(local, timeouts={"response_s": 0.01})
        half = local.mostly_stuck_since
        await serve(local, timeouts={"response_s": 0.01})
        most = local.mostly_stuck_since
        gate.opened.set()
        await until(lambda: not local.active_calls)
        await local.aclose()
        return half, most, local.mostly_stuck_since

    assert asyncio.run(run()) == (None, 11.5, None)


def test_a_thread_that_outlives_its_client_counts_as_stuck(serve):
    gate = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"first"
        assert gate.wait(WAIT_S)

    async def run():
        local = WsgiServer(app)
        reply = await serve(local, timeouts={"response_s": 0.05})
        await reply.close()
        await until(lambda: local.stuck_threads == 1)
        gate.set()
        await until(lambda: not local.active_calls)
        await local.aclose()
        return local.stuck_threads

    assert asyncio.run(run()) == 0


@pytest.mark.parametrize(
    ("kind", "timeouts"),
    [
        pytest.param("text/plain", {"idle_s": 0.02}, id="any answer"),
        pytest.param("text/event-stream", {"stream_idle_s": 0.02}, id="an event stream"),
    ],
)
def test_a_stream_that_falls_silent_is_broken(serve, kind, timeouts):
    gate = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", kind)])
        yield b"first"
        gate.wait(WAIT_S)

    async def run():
        local = WsgiServer(app)
        reply = await serve(local, timeouts=timeouts)
        with pytest.raises(BodyBroken) as caught:
            async for _ in reply.body:
                pass
        await reply.close()
        gate.set()
        await local.aclose()
        return caught.value.failure

    failure = asyncio.run(run())
    assert (failure.code, failure.stage) == ("migrated-timeout", "body")


def test_closing_waits_for_running_calls_and_refuses_new_ones(serve):
    async def run():
        gate = Gate()
        local = WsgiServer(gate)
        running = serve(local)
        await gate.has_entered()
        closing = asyncio.ensure_future(local.aclose(WAIT_S))
        await until(lambda: local._closing)
        refused = await serve(local)
        waits = not closing.done()
        gate.opened.set()
        await closing
        return waits, refused.failure.code, (await running).status

    assert asyncio.run(run()) == (True, "draining", 200)


def test_closing_gives_up_at_the_end_of_the_grace(serve):
    async def run():
        gate = Gate()
        local = WsgiServer(gate)
        running = serve(local)
        await gate.has_entered()
        await local.aclose(0.01)
        still = local.active_calls
        gate.opened.set()
        await running
        return still

    assert asyncio.run(run()) == 1


def test_closing_what_was_never_used_does_nothing():
    assert asyncio.run(WsgiServer(Gate()).aclose()) is None


def test_another_event_loop_gets_threads_of_its_own(serve, read):
    local = WsgiServer(lambda environ, start_response: start_response("200 OK", []) and [b"x"])

    async def run():
        return (await read(await serve(local))).status

    assert [asyncio.run(run()), asyncio.run(run())] == [200, 200]


def test_threads_that_are_not_needed_any_more_end(serve, monkeypatch):
    monkeypatch.setattr("overgrow.wsgi.thread_pool.IDLE_S", 0.01)

    async def run():
        gate = Gate()
        local = WsgiServer(gate, threads=4, name="reaped")
        calls = [serve(local) for _ in range(4)]
        for _ in calls:
            await gate.has_entered()
        gate.opened.set()
        await asyncio.gather(*calls)
        await until(lambda: not [t for t in threading.enumerate() if t.name.startswith("reaped")])
        again = (await serve(local)).status
        await local.aclose()
        return again

    assert asyncio.run(run()) == 200


def test_threads_are_not_daemons_and_do_not_hold_up_the_end_of_the_program():
    program = """
import asyncio, threading
from overgrow.exchange import Inbound
from overgrow.wsgi.server import WsgiServer
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % threading.current_thread().daemon]

async def main():
    head = Head("GET", b"/", [], "", "", "http", "")
    reply = await WsgiServer(app).serve(Inbound(head), Decision(None, "migrated", "target", ""))
    print(reply.body)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "b'0'\n"


def test_a_call_that_returns_after_its_loop_has_closed_harms_nobody(serve, caplog):
    gate = Gate()

    async def run():
        call = serve(WsgiServer(gate))
        await gate.has_entered()
        call.cancel()

    asyncio.run(run())
    gate.opened.set()

    assert caplog.records == []


def test_a_file_is_sent_through_the_file_wrapper(answered):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "200000")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 200_000))

    assert len(answered(app).body) == 200_000


def test_blocks_that_wait_are_taken_as_one_chunk():
    async def run():
        flow = ResponseStream(UnsentMemory(), asyncio.get_running_loop(), WAIT_S)
        for block in (b"a", b"b", b"c"):
            flow.put(block)
        flow.end()
        return [chunk async for chunk in flow]

    assert asyncio.run(run()) == [b"abc"]
