"""Legacy dies and comes back: every worker, the page, `status` and the metrics say so."""

import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from tests.ports import free_port
from tests.story.front import eventually, running_front

TABLE = """\
version: 1
legacy: {url: "${LEGACY_URL}", response_timeout: 1s%s}
"""
UP = {"up": True, "error": None}


class Legacy:
    """A legacy app that counts connections and requests for each path."""

    def __init__(self, port):
        self.paths, self.connections = [], 0
        self._socket = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            while data := connection.recv(65536):
                self.paths.append(data.split(b" ")[1].decode())
                status = b"503 No" if self.paths[-1] == "/health" else b"200 OK"
                connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nok" % status)

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def living_legacy(port):
    legacy = Legacy(port)
    try:
        yield legacy
    finally:
        legacy.close()


@pytest.fixture
def port():
    return free_port()


def upstream(front):
    told = front.readyz()
    return told.get("upstream", {})


def is_up(front, expected):
    return eventually(lambda: (found := upstream(front)).get("up") is expected and found)


def test_a_dead_legacy_is_told_everywhere_until_it_is_back(tmp_path, port):
    with running_front(TABLE % "", tmp_path, port, data=tmp_path / "d", workers=2) as front:
        assert upstream(front) == {"up": True, "since": None, "error": None}
        assert front.get("/")[0] == 502

        down = is_up(front, False)
        status, page = front.overgrow("status"), front.get("/", admin=True)[2].decode()
        assert (down["error"], front.get("/readyz", admin=True)[0]) == ("legacy-connect", 200)
        since = down["since"][11:16]
        assert f"legacy does not answer since {since} (legacy-connect)" in status.stdout
        assert (status.returncode, str(port) in str(down)) == (1, False)
        assert "Legacy does not answer (legacy-connect)." in page
        assert '<strong class="good">' not in page
        assert "overgrow_upstream_up 0.0" in front.get("/metrics", admin=True)[2].decode()

        with living_legacy(port):
            began = time.monotonic()
            found = is_up(front, True)
            assert (found["error"], time.monotonic() - began < 30) == (None, True)
            assert front.overgrow("status").returncode == 0
            assert "overgrow_upstream_up 1.0" in front.get("/metrics", admin=True)[2].decode()


def test_new_workers_know_that_legacy_is_down(tmp_path, port):
    with running_front(TABLE % "", tmp_path, port, data=tmp_path / "d", workers=2) as front:
        front.get("/")
        down, before = is_up(front, False), set(front.workers.values())
        front.overgrow("reload")
        eventually(lambda: front.workers and not before & set(front.workers.values()))

        assert upstream(front) == down


def test_a_probe_is_asked_once_for_all_workers_and_any_answer_counts(tmp_path, port):
    with (
        living_legacy(port) as legacy,
        running_front(
            TABLE % ", probe: /health", tmp_path, port, data=tmp_path / "d", workers=3
        ) as front,
    ):
        found = eventually(lambda: upstream(front).get("since") and upstream(front))

        assert (found["up"], legacy.paths) == (True, ["/health"])


def test_a_legacy_that_accepts_and_never_answers_is_down(tmp_path, port):
    with (
        socket.create_server(("127.0.0.1", port)),
        running_front(TABLE % "", tmp_path, port, data=tmp_path / "d") as front,
    ):
        assert [front.get("/")[0] for _ in range(3)] == [504] * 3

        assert is_up(front, False)["error"] == "legacy-timeout"


def test_status_shows_the_last_minute_of_requests_without_a_route(tmp_path, port):
    with (
        living_legacy(port),
        running_front(TABLE % "", tmp_path, port, data=tmp_path / "d", workers=2) as front,
    ):
        for _ in range(10):
            front.get("/")

        def last_minute():
            [default] = json.loads(front.get("/api/status", admin=True)[2])["routes"]
            return default["legacy"].get("last_minute", {})

        found = eventually(lambda: last_minute().get("requests") == 10 and last_minute())

        assert (found["errors"], found["error_percent"]) == (0, 0.0)
        assert 0 < found["window_s"] <= 60  # no longer than the front door has run
        assert 0 < found["p50_s"] <= found["p95_s"] <= found["p99_s"]
