"""Clients that are slow, absent or too many. Real servers with short limits."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from tests.story.front import eventually
from tests.wire.serving.servers import PATIENCE_S, Client, code_in, status_of
from tests.wire.serving.test_serving_answers import get
from tests.wire.serving.test_serving_drain import wait_until


def test_half_a_head_is_answered_408(hasty):
    answer = hasty.exchange(b"GET / HTTP/1.1\r\nHost: sh")

    assert (status_of(answer), code_in(answer)) == (408, "client-timeout")


def test_a_head_that_drips_is_answered_408(hasty):
    with hasty.client() as client:
        started = time.monotonic()
        answer = b""
        client.socket.settimeout(0.05)
        while not answer and time.monotonic() - started < PATIENCE_S:
            client.send(b"a")
            try:
                answer = client.socket.recv(9999)
            except TimeoutError:
                continue

    assert status_of(answer) == 408


def test_a_second_head_is_timed_too(hasty):
    with hasty.client() as client:
        client.send(get("/") + b"GET /second")
        client.read_answer()

        assert status_of(client.read_to_end()) == 408


def test_a_connection_without_a_request_is_closed_silently(hasty):
    assert hasty.exchange(b"") == b""


def test_a_kept_alive_connection_is_closed_silently(hasty):
    with hasty.client() as client:
        client.send(get("/"))
        client.read_answer()

        assert client.read_to_end() == b""


def test_a_body_that_stops_is_answered_408(hasty):
    answer = hasty.exchange(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")

    assert (status_of(answer), code_in(answer)) == (408, "client-timeout")


def test_a_body_may_take_longer_than_the_limit_as_long_as_it_moves(hasty):
    with hasty.client() as client:
        client.send(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")
        for _ in range(12):
            time.sleep(0.1)  # all together are longer than the limit of 1 s
            client.send(b"x")

        assert client.read_answer()[1] == b"12"


def test_the_app_sets_how_long_a_body_may_pause(hasty):
    with hasty.client() as client:
        client.send(b"POST /count?idle=30 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        time.sleep(1.5)  # longer than the limit of the server
        client.send(b"cd")

        assert client.read_answer()[1] == b"4"


def test_an_answer_may_take_its_time(hasty):
    assert hasty.exchange(get("/wait?s=1.2", "Connection: close")).endswith(b"waited")


def test_a_client_that_takes_nothing_is_cut_off(hasty):
    with hasty.client() as client:
        client.send(get("/endless"))
        client.read_until(b"\r\n\r\n")
        hasty.told_until(lambda found: "ClientDisconnected" in found["events"])

        assert client.was_reset()


def test_a_client_that_leaves_is_told_to_the_app_once(start):
    server = start()
    with server.client() as client:
        client.send(get("/wait"))
        server.told_until(lambda found: "waiting" in found["events"])
    server.told_until(lambda found: "callback" in found["events"])

    assert server.told()["events"].count("callback") == 1


def test_a_client_that_only_stops_sending_gets_a_prompt_answer(server):
    """RFC 9112 9.6: it may, though nothing on the wire tells it from one that left."""
    with server.client() as client:
        client.send(get("/wait?s=0.05"))
        client.socket.shutdown(socket.SHUT_WR)

        assert client.read_to_end().endswith(b"waited")


def test_a_client_that_only_stops_sending_is_not_waited_for(start):
    server = start()
    with server.client() as client:
        client.send(get("/wait"))
        server.told_until(lambda found: "waiting" in found["events"])
        client.socket.shutdown(socket.SHUT_WR)

        assert client.read_to_end() == b""  # long before /wait has its answer
    server.told_until(lambda found: "callback" in found["events"])


def test_tiny_chunks_hold_nobody_else_up(server):
    """A chunk costs the same whatever its size: 200,000 of one byte took seconds at a stretch."""
    tiny = b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n"
    counted = []

    def upload():
        with server.client() as client:
            client.send(b"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.send(tiny)
            counted.append(client.read_answer()[1])

    uploading = threading.Thread(target=upload)
    uploading.start()
    waits_s = []
    with server.client() as other:
        while uploading.is_alive():
            asked = time.monotonic()
            other.send(get("/"))
            other.read_answer()
            waits_s.append(time.monotonic() - asked)

    assert counted == [b"200000"]
    assert len(waits_s) > 10
    assert max(waits_s) < sum(waits_s) / 4  # in one go the chunks take nearly all of that


def test_a_client_that_leaves_in_the_middle_of_its_body_is_told_to_the_app(start):
    server = start()
    with server.client() as client:
        client.send(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")

    server.told_until(lambda found: "count saw http.disconnect" in found["events"])


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize(
    ("method", "length", "sent"),
    [
        pytest.param("POST", 900_000, 500_000, id="a body that nobody takes"),
        pytest.param("GET", 0, 180_000, id="requests that wait for their turn"),
    ],
)
def test_a_client_that_leaves_behind_unread_bytes_is_told_to_the_app(
    start, method, length, sent, ending
):
    """RFC 9112 9.6: its end stands behind what is not read from the socket, and shows all the same."""
    server = start()
    with server.client() as client:
        client.send(get("/wait", f"Content-Length: {length}", method=method) + b"x" * sent)
        server.told_until(lambda found: "waiting" in found["events"])
        time.sleep(0.1)  # most of it is here by then, and more than is read
        if ending == "reset":
            linger = struct.pack("ii", 1, 0)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    server.told_until(lambda found: "callback" in found["events"])  # else after the idle limit


def test_an_app_that_takes_no_note_of_its_clients_leaving_is_cancelled(start):
    server = start(limits={"cancel_s": 0.1})
    with server.client() as client:
        client.send(get("/deaf"))
        server.told_until(lambda found: "waiting" in found["events"])

    server.told_until(lambda found: "cancelled" in found["events"])


def test_a_finished_answer_is_no_disconnect(start):
    server = start()
    with server.client() as client:
        client.send(get("/wait?s=0"))
        client.read_answer()

    assert "callback" not in server.told()["events"]


def test_connections_beyond_the_limit_are_answered_503_with_retry_after(start):
    server = start(limits={"connections": 2, "linger_s": 0.2})
    with server.client() as first, server.client() as second:
        for client in (first, second):
            client.send(get("/"))
            client.read_answer()
        answer = server.exchange(get("/"))
        first.send(get("/"))

        assert (status_of(answer), code_in(answer)) == (503, "front-busy")
        assert b"retry-after: 1\r\n" in answer
        assert first.read_answer()[1] == b"hello"
    server.told_until(lambda found: found["pid"])  # there is room again


def test_clients_turned_away_take_no_room(start):
    """docs/operations.md#what-runs: a cap on connections; those it refused and that linger are not served, nor counted."""
    server = start(limits={"connections": 1, "linger_s": 60})
    with ExitStack() as turned_away:
        with server.client() as client:
            client.send(get("/"))
            client.read_answer()
            for _ in range(5):
                refused = turned_away.enter_context(server.client())
                assert code_in(refused.read_answer()[0]) == "front-busy"
        # They linger for a minute; only the one that was let in has gone, which takes a moment.
        wait_until(lambda: status_of(server.exchange(get("/", "Connection: close"))) == 200)


def fill_up(server, crowd, count):
    """Keep so many clients that the server serves; who asked before may count for a moment longer."""
    for _ in range(count):
        crowd.enter_context(eventually(lambda: served_client(server)))


def served_client(server):
    client = server.client()
    with suppress(ConnectionError):
        client.send(get("/"))
        if status_of(client.read_answer()[0]) == 200:
            return client
    client.close()
    return None


def client_turned_away_early(server):
    """A client that may be turned away before its call to connect returns: its response is here."""
    host, _, port = server.public.removeprefix("http://").rpartition(":")
    connecting = socket.socket()
    connecting.settimeout(PATIENCE_S)
    with suppress(ConnectionError):
        connecting.connect((host, int(port)))
    return Client(connecting)


def test_every_client_of_a_crowd_beyond_the_limit_gets_its_503(start):
    """Of those that linger the oldest make room, so that the latest are not reset."""
    server = start(limits={"connections": 2, "linger_s": 5})
    with ExitStack() as crowd:
        fill_up(server, crowd, 2)
        turned_away = [crowd.enter_context(client_turned_away_early(server)) for _ in range(200)]
        for client in turned_away:
            with suppress(ConnectionError):  # it may be gone already, its answer is here
                client.send(get("/"))
        codes = [code_in(client.read_to_end()) for client in turned_away]

    assert codes == ["front-busy"] * 200


def is_reset_when_it_sends(client):
    """Whether the server has closed: what is sent then is answered by a reset."""
    with suppress(ConnectionError):
        client.send(b"more")
    poll = select.poll()
    poll.register(client.socket, select.POLLERR)
    return bool(poll.poll(30))


def test_no_client_of_a_crowd_beyond_the_limit_is_reset_while_it_sends(start):
    """A reset takes an answer along that waits to be read, wherever a network lies between."""
    server = start(limits={"connections": 2, "linger_s": 5})
    with ExitStack() as crowd:
        fill_up(server, crowd, 2)
        were_reset = []
        for _ in range(60):
            client = crowd.enter_context(server.client())
            answered = client.read_answer()[0]
            were_reset.append((code_in(answered), is_reset_when_it_sends(client)))

    assert were_reset == [("front-busy", False)] * 60


def test_the_public_limit_leaves_room_for_the_admin_listener(start):
    server = start(limits={"connections": 1})
    with server.client() as client, Client(server.admin) as admin:
        client.send(get("/"))
        client.read_answer()
        admin.send(get("/"))

        assert admin.read_answer()[1] == b"hello"


UPLOAD = b"POST /ignore-body HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n"


def sent_in_drips(client, seconds):
    """Send some of a body every 50 ms; how long the server let us."""
    began = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() - began < seconds:
            client.send(b"x" * 1000)
            time.sleep(0.05)
    return time.monotonic() - began


def test_a_client_that_reads_after_its_whole_upload_gets_the_early_answer(hasty):
    """RFC 9112 9.6: a reset would overtake the answer; most clients send first, then read."""
    with hasty.client() as client:
        client.send(UPLOAD)

        assert sent_in_drips(client, 1.2) >= 1.2  # a pause of 0.3 s would have ended it
        assert client.read_answer()[1] == b"enough"


def test_a_client_that_never_stops_sending_is_not_listened_to_for_ever(start):
    server = start(limits={"linger_s": 0.3, "linger_max_s": 0.6})
    with server.client() as client:
        client.send(UPLOAD)

        assert 0.6 <= sent_in_drips(client, 20) < 20  # the whole body takes 45 s


def test_pipelined_requests_are_held_only_so_far(server):
    """A client that never reads its answers is not read from either, beyond the held bytes."""
    with server.client() as client:
        client.send(get("/wait?s=3"))
        client.socket.settimeout(1.0)
        sent = 0
        try:
            while sent < 50_000_000:
                sent += client.socket.send(get("/") * 2000)
        except TimeoutError:
            pass

    assert sent < 50_000_000
