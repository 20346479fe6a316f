"""Slow clients of forwarded routes: they leave connections to legacy for others, and get theirs."""

from __future__ import annotations

import hashlib
import resource
import select
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.story.front import eventually, running_front
from tests.wire.apps import slow_legacy
from tests.wire.apps.slow_legacy import LARGE_BYTES, PIECE

MB = 1024 * 1024
MOST = 8
FULL_AT_BYTES = 4 * MB  # no file of the worker may grow beyond this: as if the disk were full
TABLE = f"""\
version: 1
legacy:
  url: ${{LEGACY_URL}}
  max_connections: {MOST}
routes: []
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """A worker with few connections to legacy, that calls a client slow after a second."""
    folder = tmp_path_factory.mktemp("slow")
    app = {"OVERGROW_APP": "tests.wire.apps.large_app:create_app", "OVERGROW_SLOW_PERIOD": "1"}
    with (
        slow_legacy.running() as legacy,
        running_front(TABLE, folder, legacy.port, data=folder / "unused", **app) as front,
    ):
        yield front, legacy


@contextmanager
def clients(front, count: int, request: bytes):
    """Clients with small windows that have sent this and read nothing yet."""
    made = []
    try:
        for _ in range(count):
            client = socket.socket()
            made.append(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(60)
            client.connect(("127.0.0.1", front.port))
            client.sendall(request)
        yield made
    finally:
        for client in made:
            client.close()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n".encode()


def post(target: str, length: int, *fields: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: shop.test", f"Content-Length: {length}", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def read_answer(client: socket.socket, size: int) -> bytes:
    """The body of an answer with this many bytes."""
    head, _, body = client.recv(4096).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    while len(body) < size:
        body += client.recv(MB)
    return body


def quick_statuses(front) -> set[int]:
    return {front.get("/quick")[0] for _ in range(20)}


@pytest.mark.parametrize("sent", [10, 70_000, 300_000])
def test_uploads_that_pause_leave_half_of_the_connections_to_others(door, sent):
    front, legacy = door
    target = f"/paused/{sent}"
    with clients(front, 4 * MOST, post(target, MB) + b"x" * sent):
        statuses = quick_statuses(front)

    assert statuses == {200}
    assert legacy.most_arriving[target] <= MOST // 2
    assert eventually(lambda: not legacy.arriving[target])


def test_an_upload_beyond_them_arrives_whole_and_late(door):
    front, legacy = door
    body = PIECE * 20
    expected = f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
    with clients(front, MOST // 2, post("/before/whole", MB) + b"x" * 10):
        eventually(lambda: legacy.arriving["/before/whole"] == MOST // 2)
        with clients(front, 1, post("/whole", len(body)) + body[:500_000]) as (client,):
            assert quick_statuses(front) == {200}
            client.sendall(body[500_000:])
            told = read_answer(client, len(expected))

    assert told == expected


def test_an_upload_beyond_them_gets_its_100_from_the_front_door(door):
    front, legacy = door
    with clients(front, MOST // 2, post("/before/expecting", MB) + b"x" * 10):
        eventually(lambda: legacy.arriving["/before/expecting"] == MOST // 2)
        with clients(front, 1, post("/beyond", 5, "Expect: 100-continue")) as (client,):
            interim = client.recv(4096)
            client.sendall(b"hello")
            final = client.recv(4096)

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert final.startswith(b"HTTP/1.1 200 ")
    assert legacy.expected["/beyond"] == [None]


def test_an_upload_within_them_is_expected_by_legacy(door):
    front, legacy = door
    with clients(front, 1, post("/within", 5, "Expect: 100-continue")) as (client,):
        client.recv(4096)
        client.sendall(b"hello")
        client.recv(4096)

    assert legacy.expected["/within"] == ["100-continue"]


def test_slow_readers_leave_their_connections_to_others_and_get_all(door):
    front, _ = door
    with clients(front, 3 * MOST, get("/large")) as readers:
        statuses = quick_statuses(front)
        bodies = [read_answer(reader, LARGE_BYTES) for reader in readers[:MOST]]

    assert statuses == {200}
    assert all(body == PIECE * (LARGE_BYTES // len(PIECE)) for body in bodies)


def test_endless_answers_to_slow_readers_are_broken_off_while_others_wait(door):
    front, _ = door
    with clients(front, MOST, get("/endless")):
        assert eventually(lambda: front.get("/quick")[0] == 200)


def test_the_slowest_uploads_are_told_408_while_others_wait(door):
    front, _ = door
    half = MOST // 2
    with (
        clients(front, half, post("/slowest", MB) + b"x" * 10) as uploads,
        clients(front, half, get("/endless")),
    ):
        eventually(lambda: front.get("/quick")[0] == 200)
        told = [upload.recv(4096)[:12] for upload in select.select(uploads, [], [], 0)[0]]

    assert set(told) <= {b"HTTP/1.1 408"}


def test_quiet_event_streams_outlive_the_slow_clients_beside_them(door):
    front, legacy = door
    legacy.over.clear()
    with clients(front, 3 * MOST, get("/events")) as streams:
        for stream in streams:
            while b"begun" not in stream.recv(4096):
                pass
        with clients(front, MOST, get("/endless")):
            eventually(lambda: front.get("/quick")[0] == 200)
        legacy.over.set()
        ended = [b"ended" in stream.recv(4096) for stream in streams]

    assert all(ended)


def test_a_full_disk_stops_no_request(door):
    front, _ = door
    (pid,) = front.workers.values()
    body = PIECE * 20
    expected = f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_AT_BYTES, before[1]))
    try:
        # They read on: who takes nothing for a second while others wait is rightly broken off.
        with clients(front, MOST, get("/large")) as readers, ThreadPoolExecutor(MOST) as pool:
            reading = [pool.submit(read_answer, reader, LARGE_BYTES) for reader in readers]
            statuses = quick_statuses(front) - {503}
            whole = [each.result() for each in reading]
        with clients(front, 1, post("/full", len(body)) + body) as (client,):
            told = read_answer(client, len(expected))
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    assert statuses <= {200}
    assert all(body == PIECE * (LARGE_BYTES // len(PIECE)) for body in whole)
    assert told == expected
