"""Clients that leave or dawdle in the middle of large answers, before one real worker."""

from __future__ import annotations

import json
import resource
import select
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.story.front import eventually, running_front

MB = 1024 * 1024
BOUND_MB = 64
TABLE = """\
version: 1
legacy:
  url: ${LEGACY_URL}
routes:
  - {name: whole, path: /whole, target: migrated}
  - {name: blocks, path: /blocks, target: migrated}
  - {name: file, path: /file, target: migrated}
  - {name: written, path: /written, target: migrated}
  - {name: endless, path: /endless, target: migrated}
  - {name: events, path: /events, target: migrated}
  - {name: streamed, path: /streamed, target: migrated, stream: true}
  - {name: small, path: /small, target: migrated}
  - {name: upload, path: /upload, target: migrated}
  - {name: asgi, prefix: /asgi, target: migrated}
"""


@pytest.fixture
def front(tmp_path):
    app = {"OVERGROW_APP": "tests.wire.apps.large_app:create_app"}
    with running_front(TABLE, tmp_path, 1, data=tmp_path / "unused", **app) as front:
        for _ in range(3):
            front.get("/small")
        eventually(lambda: has_history(front))  # what the store takes is no answer's memory
        yield front


def has_history(front) -> bool:
    """Whether the worker has written the requests so far into its store."""
    return bool(json.loads(front.get("/api/history", admin=True)[2])["series"])


@pytest.fixture
def hasty(tmp_path):
    """A worker of four threads that calls a client slow after a second."""
    given = {
        "OVERGROW_APP": "tests.wire.apps.large_app:create_app",
        "OVERGROW_THREADS": "4",
        "OVERGROW_SLOW_PERIOD": "1",
    }
    with running_front(TABLE, tmp_path, 1, data=tmp_path / "unused", **given) as front:
        yield front


def metric(front, name: str) -> float:
    """The sum of a metric's samples."""
    lines = front.get("/metrics", admin=True)[2].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))


def resident_mb(front) -> float:
    """The memory of the only worker."""
    (pid,) = front.workers.values()
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return int(fields["VmRSS"].split()[0]) / 1024


def ask(front, method: str, path: str) -> socket.socket:
    """A client with a small window that has asked and reads nothing yet."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    client.connect(("127.0.0.1", front.port))
    client.sendall(f"{method} {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n".encode())
    return client


@contextmanager
def dawdling(front, path: str, count: int):
    clients = [ask(front, "GET", path) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("path", ["/whole", "/blocks", "/file", "/written", "/asgi/whole"])
def test_a_client_that_leaves_frees_what_its_answer_held(front, path):
    before = resident_mb(front)
    most = before
    for _ in range(40):
        with ask(front, "GET", path) as client:
            client.recv(1000)
        most = max(most, resident_mb(front))

    assert most - before < BOUND_MB + 32
    assert eventually(lambda: resident_mb(front) - before < 20)


def test_a_large_answer_to_head_holds_nothing(front):
    before = resident_mb(front)
    for _ in range(20):
        with ask(front, "HEAD", "/whole") as client:
            assert client.recv(1000).startswith(b"HTTP/1.1 200")

    assert eventually(lambda: resident_mb(front) - before < 20)


def statuses_so_far(clients) -> list[bytes]:
    """The status of each answer that has begun to come, which stays unread."""
    answered = select.select(clients, [], [], 0)[0]
    return [client.recv(12, socket.MSG_PEEK)[9:] for client in answered]


def test_slow_readers_cost_the_worker_its_bound_and_nobody_else_anything(front):
    for _ in range(2):
        front.get("/whole")
    before = resident_mb(front)
    with dawdling(front, "/whole", 100) as clients:
        most, began, heads = before, time.monotonic(), []
        while (took_s := time.monotonic() - began) < 3 or (
            heads.count(b"200") <= 40 and took_s < 60
        ):
            most = max(most, resident_mb(front))
            assert front.get("/small")[0] == 200
            heads = statuses_so_far(clients)

    assert heads.count(b"200") > 40
    assert set(heads) <= {b"200", b"503"}  # a hundred at once are more than queue and threads
    assert most - before < BOUND_MB + 32
    assert eventually(lambda: resident_mb(front) - before < 20)


def test_a_slow_reader_gets_the_whole_answer_in_the_end(front):
    with dawdling(front, "/whole", 12) as clients:
        eventually(lambda: front.get("/small")[0] == 200)
        found = []
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MB)
            head, _, body = client.recv(4096).partition(b"\r\n\r\n")
            while len(body) < 20 * MB:
                body += client.recv(MB)
            found.append(
                (b"content-length: %d" % (20 * MB) in head.lower(), body == b"x" * 20 * MB)
            )

    assert found == [(True, True)] * 12


def paused_upload(front, path: str, sent: int) -> socket.socket:
    """A client that stops in the middle of its body."""
    client = socket.create_connection(("127.0.0.1", front.port), 60)
    head = f"POST {path} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {MB}\r\n\r\n"
    client.sendall(head.encode() + b"x" * sent)
    return client


@pytest.mark.parametrize("path", ["/upload", "/streamed"])
def test_uploads_that_pause_stop_no_migrated_route(hasty, path):
    paused = [paused_upload(hasty, path, 70_000) for _ in range(16)]
    answers = [hasty.get("/small")[0] for _ in range(20)]
    for client in paused:
        client.close()

    assert answers == [200] * 20


def test_slow_readers_of_streams_stop_no_migrated_route(hasty):
    with dawdling(hasty, "/blocks", 16):
        assert [hasty.get("/small")[0] for _ in range(20)] == [200] * 20


def test_while_others_wait_the_slowest_readers_are_broken_off_and_counted(hasty):
    with dawdling(hasty, "/endless", 8):
        answer = eventually(lambda: hasty.get("/small"), within_s=30)

        assert answer[0] == 200
        assert eventually(lambda: metric(hasty, "overgrow_client_timeouts_total"))


def test_while_others_wait_the_slowest_uploads_are_told_408(hasty):
    paused = [paused_upload(hasty, "/streamed", 70_000) for _ in range(4)]
    answered = eventually(lambda: select.select(paused, [], [], 0)[0])
    heads = {client.recv(4096).partition(b"\r\n")[0] for client in answered}
    for client in paused:
        client.close()

    assert heads == {b"HTTP/1.1 408 Request Timeout"}


def test_a_client_is_slow_for_nobody_while_nobody_waits(hasty):
    with (
        dawdling(hasty, "/endless", 1) as (client,),
        ask(hasty, "GET", "/events?quiet_s=3") as events,
    ):
        while b"ended" not in events.recv(4096):
            pass

        assert len(client.recv(100_000)) > 0
        assert metric(hasty, "overgrow_client_timeouts_total") == 0


def test_an_event_stream_outlives_the_slow_clients_beside_it(hasty):
    with ask(hasty, "GET", "/events?quiet_s=4") as events, dawdling(hasty, "/endless", 8):
        eventually(lambda: metric(hasty, "overgrow_client_timeouts_total"), within_s=30)
        heard = b""
        while b"ended" not in heard:
            heard += events.recv(4096)


def test_a_full_disk_stops_no_upload_and_no_answer(hasty):
    (pid,) = hasty.workers.values()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4 * MB, resource.RLIM_INFINITY))
    size = 8 * MB
    head = f"POST /upload HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {size}\r\n\r\n"
    with dawdling(hasty, "/whole", 6) as readers:
        with socket.create_connection(("127.0.0.1", hasty.port), 60) as client:
            client.sendall(head.encode() + b"x" * size)
            answer = client.recv(4096)
        for reader in readers:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MB)
        whole = read_at_once(readers, 20 * MB)

    assert answer.endswith(str(size).encode())
    assert whole == [20 * MB] * 6


def read_at_once(clients: list[socket.socket], size: int) -> list[int]:
    """The sizes of answers' bodies, all read as they come: whose is first is the front door's choice."""
    heard = dict.fromkeys(clients, b"")
    sizes = dict.fromkeys(clients, 0)
    while waiting := [client for client in clients if sizes[client] < size]:
        readable = select.select(waiting, [], [], 60)[0]
        assert readable, list(sizes.values())
        for client in readable:
            data = client.recv(MB)
            assert data, list(sizes.values())
            if not sizes[client] and b"\r\n\r\n" not in heard[client]:
                heard[client] += data
                data = heard[client].partition(b"\r\n\r\n")[2]
            sizes[client] += len(data)
    return list(sizes.values())
