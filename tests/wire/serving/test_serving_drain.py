"""How a server and a worker end: TERM, INT, HUP, TTIN, TTOU, USR1, kill -9, retire."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from overgrow.server.connection import YOUNG_IDLE_S
from tests.pace import at_this_pace
from tests.wire.serving.servers import PATIENCE_S, Client, ServerUnderTest
from tests.wire.serving.test_serving_answers import get

GET = get("/")


def wait_until(holds) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_refused(address: str) -> bool:
    try:
        Client(address).socket.close()
    except (ConnectionRefusedError, FileNotFoundError, ConnectionResetError):
        return True
    return False


def open_request(server, path: str) -> Client:
    """A client whose request the app is working on."""
    told = server.told()
    before = {**server.waiting, told["pid"]: told["events"].count("waiting")}
    client = server.client()
    client.send(get(path))
    found = server.told_until(  # of several workers any may tell, and any may have it
        lambda found: found["events"].count("waiting") > before.get(found["pid"], 0)
    )
    server.waiting = {**before, found["pid"]: found["events"].count("waiting")}
    return client


def test_term_ends_an_idle_server_at_once(start):
    server = start()
    with server.client() as idle:
        idle.send(get("/"))
        idle.read_answer()
        time.sleep(0.6)  # older than a connection that may have a request under way
        server.signal(signal.SIGTERM)

        assert idle.is_closed_by_server()  # long before its keep-alive would end it
        assert server.exit_code() == 0


def test_term_lets_an_open_request_finish(start):
    server = start()
    with open_request(server, "/wait?s=1") as client:
        server.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(server.public))
        head, body = client.read_answer()

    assert body == b"waited"
    assert b"connection: close" in head
    assert server.exit_code() == 0


def test_a_request_still_open_after_the_grace_time_is_broken(start):
    server = start(grace_s=0.5)
    with open_request(server, "/wait?s=30") as client:
        server.signal(signal.SIGTERM)

        assert client.read_to_end() == b""
    assert server.exit_code() == 0


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_both_listeners_accept_during_the_drain_delay_and_readyz_says_so(
    start, socket_folder, kind
):
    binds = (
        {"bind": f"unix:{socket_folder}/p", "admin": f"unix:{socket_folder}/a"}
        if kind == "unix"
        else {}
    )
    server = start(drain_delay_s=1.0, workers=2, **binds)
    assert server.told()["is_server_stopping"] is False
    server.signal(signal.SIGTERM)
    server.told_until(lambda found: found["is_server_stopping"])

    assert server.told(server.admin)["is_server_stopping"] is True
    wait_until(lambda: is_refused(server.public))
    assert server.exit_code() == 0


KEPT = [
    pytest.param(get("/"), id="small"),
    pytest.param(get("/big?size=300000"), id="chunked"),
    pytest.param(get("/big?size=300000&length=1"), id="large"),
    pytest.param(get("/trailers", "TE: trailers"), id="trailers"),
    pytest.param(get("/status?code=304"), id="not modified"),
    pytest.param(get("/status?code=204"), id="no content"),
    pytest.param(get("/fail"), id="failure"),
    pytest.param(get("/").replace(b"GET", b"HEAD"), id="HEAD"),
    pytest.param(get("/", "Connection: keep-alive").replace(b"1.1", b"1.0"), id="HTTP/1.0"),
    pytest.param(b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", id="POST"),
]


@pytest.fixture(scope="module")
def draining():
    """A server in its drain delay, and connections that were kept from before it."""
    server = ServerUnderTest(drain_delay_s=600, limits={"keepalive_s": 600})
    kept = {"public": [], "admin": []}
    for listener, clients in kept.items():
        for _ in KEPT:
            clients.append(Client(getattr(server, listener)))
            clients[-1].send(get("/"))
            assert b"connection: " not in clients[-1].read_answer()[0]
    server.signal(signal.SIGTERM)
    server.told_until(lambda found: found["is_server_stopping"])
    yield kept
    for client in (*kept["public"], *kept["admin"]):
        client.socket.close()
    server.stop()


@pytest.mark.parametrize("listener", ["public", "admin"])
@pytest.mark.parametrize("request_", KEPT)
def test_during_the_drain_delay_answers_end_kept_connections(draining, listener, request_):
    with draining[listener].pop() as client:
        client.send(request_)
        answer = client.read_to_end()

    assert b"\r\nconnection: close\r\n" in answer.partition(b"\r\n\r\n")[0] + b"\r\n"


def test_idle_kept_connections_last_until_the_end_of_the_delay(start):
    server = start(drain_delay_s=1.5)
    with server.client() as kept, server.client() as other:
        for client in (kept, other):
            client.send(get("/"))
            client.read_answer()
        server.signal(signal.SIGTERM)
        server.told_until(lambda found: found["is_server_stopping"])
        time.sleep(0.7)  # longer than a connection that is leaving may be quiet
        other.send(b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")

        assert other.read_answer()[1] == b"4"
        assert kept.is_closed_by_server()
    assert server.exit_code() == 0


def kept_and_idle(server) -> Client:
    """A kept connection on which a leaving worker expects no request any more."""
    client = server.client()
    client.send(get("/"))
    client.read_answer()
    time.sleep(YOUNG_IDLE_S + 0.1)
    return client


def test_a_request_that_is_there_when_its_worker_leaves_is_answered(start):
    server = start()
    with kept_and_idle(server) as client:
        pid = server.told()["pid"]
        os.kill(pid, signal.SIGSTOP)
        client.send(get("/", "Connection: close"))
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)

        assert client.read_to_end().endswith(b"hello")


def test_a_request_that_comes_after_a_leaving_worker_closed_gets_no_byte(start):
    """RFC 9112 9.3.1: by that a client knows that it may repeat the request."""
    server = start()
    with kept_and_idle(server) as client, open_request(server, "/wait?s=1") as other:
        server.signal(signal.SIGTERM)
        assert client.is_closed_by_server()
        client.send(get("/"))

        assert client.read_to_end() == b""
        assert other.read_answer()[1] == b"waited"


def test_posts_on_kept_connections_are_never_cut_during_the_delay(start):
    server = start(drain_delay_s=1.5, workers=2)
    wait_until(lambda: len(server.workers()) == 2)
    post = b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
    with Traffic(server, clients=8, request=post, answer=b"4") as traffic:
        server.signal(signal.SIGTERM)
        server.told_until(lambda found: found["is_server_stopping"])
        traffic.goes_on()
        traffic.goes_on()

    assert traffic.failures == []


def test_int_during_the_drain_delay_stops_at_once(start):
    server = start(drain_delay_s=30)
    server.signal(signal.SIGTERM)
    server.told_until(lambda found: found["is_server_stopping"])
    began = time.monotonic()
    server.signal(signal.SIGINT)

    assert server.exit_code() == 0
    # docs/operations.md#stopping-and-restarting promises this of INT.
    assert time.monotonic() - began < at_this_pace(2)


def test_int_stops_within_two_seconds_whatever_is_open(start):
    server = start(workers=2)
    with open_request(server, "/wait?s=30"), open_request(server, "/wait?s=30"):
        began = time.monotonic()
        server.signal(signal.SIGINT)

        assert server.exit_code() == 0
    # docs/operations.md#stopping-and-restarting promises this of INT.
    assert time.monotonic() - began < at_this_pace(2)


def test_int_after_term_stops_within_two_seconds(start):
    server = start()
    with open_request(server, "/wait?s=30"):
        server.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(server.public))
        began = time.monotonic()
        server.signal(signal.SIGINT)

        assert server.exit_code() == 0
    # docs/operations.md#stopping-and-restarting promises this of INT.
    assert time.monotonic() - began < at_this_pace(2)


def test_a_killed_worker_is_replaced(start):
    server = start()
    os.kill(server.told()["pid"], signal.SIGKILL)

    with server.client() as client:
        client.send(get("/"))

        assert client.read_answer()[1] == b"hello"


class Traffic:
    """Clients that ask again and again, each on a connection kept while the server keeps it."""

    def __init__(self, server, clients: int, request: bytes = GET, answer=b"hello") -> None:
        self._server = server
        self._request, self._answer = request, answer
        self._stop = threading.Event()
        self.answered = 0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.answered > 50)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _ask(self) -> None:
        client = self._server.client()
        while not self._stop.is_set():
            try:
                client.send(self._request)
                head, body = client.read_answer()
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))
                client = self._server.client()
                continue
            self.answered += body == self._answer
            if b"connection: close" in head:
                client.socket.close()
                client = self._server.client()
        client.socket.close()

    def goes_on(self) -> None:
        """Wait for a few more answers."""
        seen = self.answered
        wait_until(lambda: self.answered > seen + 50)


@pytest.mark.parametrize("workers", [1, 2])
def test_term_of_one_worker_loses_no_request_and_it_is_replaced(start, workers):
    server = start(workers=workers)
    wait_until(lambda: len(server.workers()) == workers)
    gone = server.workers()[0]
    with Traffic(server, clients=4) as traffic:
        os.kill(gone, signal.SIGTERM)
        wait_until(lambda: gone not in server.workers() and len(server.workers()) == workers)
        traffic.goes_on()

    assert traffic.failures == []


def test_a_worker_that_still_boots_does_not_miss_its_term(start):
    """Until it has handlers of its own those of its master stand in it, and would swallow the signal."""
    server = start()
    wait_until(server.workers)
    for _ in range(3):
        (running,) = server.workers()
        os.kill(running, signal.SIGKILL)
        while server.workers() in ([], [running]):  # no pause: it is told in its first milliseconds
            pass
        (booting,) = server.workers()
        os.kill(booting, signal.SIGTERM)
        wait_until(lambda gone=booting: server.workers() not in ([], [gone]))
        wait_until(lambda gone=booting: gone not in server.workers())


def test_hup_replaces_every_worker_and_loses_no_request(start):
    server = start(workers=2)
    wait_until(lambda: len(server.workers()) == 2)
    before = set(server.workers())
    with Traffic(server, clients=4) as traffic:
        server.signal(signal.SIGHUP)
        wait_until(lambda: not before & set(server.workers()) and len(server.workers()) == 2)
        traffic.goes_on()

    assert traffic.failures == []


def test_a_retiring_worker_is_replaced_before_it_has_gone(start):
    server = start()
    with open_request(server, "/wait?s=3") as client:
        with server.client() as other:
            other.send(get("/retire"))
            retired = int(other.read_answer()[1])
        wait_until(lambda: len(server.workers()) == 2)
        found = server.told_until(lambda told: told["pid"] != retired)

        assert client.read_answer()[1] == b"waited"
    assert found["number"] == 2
    wait_until(lambda: server.workers() == [found["pid"]])


def test_a_worker_leaving_alone_does_not_make_the_server_draining(start):
    server = start()
    with open_request(server, "/wait?s=30"), server.client() as other:
        other.send(get("/retire"))
        other.read_answer()
        found = server.told_until(lambda told: told["draining"] or told["number"] == 2)

    assert found["is_server_stopping"] is False


def test_ttin_and_ttou_add_and_remove_a_worker(start):
    server = start()
    wait_until(lambda: len(server.workers()) == 1)
    server.signal(signal.SIGTTIN)
    wait_until(lambda: len(server.workers()) == 2)
    server.signal(signal.SIGTTOU)

    wait_until(lambda: len(server.workers()) == 1)


def test_usr1_disturbs_nobody(start):
    server = start()
    before = server.told()["pid"]
    server.signal(signal.SIGUSR1)

    assert server.told()["pid"] == before


def test_workers_end_when_their_master_is_killed(start):
    server = start()
    worker = server.told()["pid"]
    server.signal(signal.SIGKILL)
    server.exit_code()

    wait_until(lambda: not _is_running(worker))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - a file of the kernel's
        return stat.read().rpartition(")")[2].split()[0] != "Z"


def test_a_thread_that_does_not_return_holds_nobody_up(start):
    server = start()
    server.exchange(get("/stick", "Connection: close"))
    server.signal(signal.SIGTERM)

    assert server.exit_code() == 0
    assert "1 threads that did not return" in server.stop()  # a worker that is killed is silent


def test_an_app_without_a_lifespan_is_served(start):
    server = start(app="without-lifespan")

    assert server.exchange(get("/", "Connection: close")).endswith(b"hello")


def test_an_app_that_fails_to_start_ends_the_server_with_its_reason(start):
    server = start(app="failing")

    assert server.exit_code() == 1
    assert "The application did not start: Lifespan startup failed: no database" in server.stop()


def test_an_app_that_takes_too_long_to_shut_down_is_left(start):
    server = start(app="lingering", grace_s=0)
    server.exchange(get("/", "Connection: close"))
    server.signal(signal.SIGTERM)

    assert server.exit_code() == 0
    assert "The application took too long to shut down" in server.stop()


def test_nothing_is_logged_on_the_way(start):
    server = start(workers=2)
    server.exchange(get("/", "Connection: close"))
    server.signal(signal.SIGTERM)
    server.exit_code()

    assert server.stop() == ""
