"""Load on 127.0.0.1: rates by wrk or by a client of our own, latency one by one, bodies, streams.

Rule: every call is bounded by a count or a time, and closes what it opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import uvloop

from benchmarks.processes import cores, on_cores
from benchmarks.upstream import BIG_BYTES, PIECE

HOST = "127.0.0.1"
TIMEOUT_S = 30.0
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Cookie: theme=dark; overgrow_id=0123456789abcdef0123456789abcdef; session=0123456789abcdef",
    "Referer: http://shop.example/",
    "Cache-Control: no-cache",
    "DNT: 1",
)
CONNECTS_AT_ONCE = 100  # below the front door's default of 256 connections to legacy


@dataclass(frozen=True, slots=True)
class Rate:
    """What a rate run saw."""

    requests: int
    failed: int
    per_s: float


def rate(
    port: int,
    path: str,
    *,
    connections: int,
    seconds: int,
    headers: Sequence[str] = (),
) -> Rate:
    """Requests a second of keep-alive connections that ask again at once."""
    _, others = cores()
    if shutil.which("wrk"):
        with on_cores(others):
            return by_wrk(port, path, connections, seconds, headers)
    with on_cores(others):
        return uvloop.run(by_asyncio(port, path, connections, seconds, headers))


def by_wrk(port: int, path: str, connections: int, seconds: int, headers: Sequence[str]) -> Rate:
    lines = [word for line in headers for word in ("-H", line)]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", *lines]
    ran = subprocess.run(
        [*command, f"http://{HOST}:{port}{path}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + TIMEOUT_S,
    )
    return wrk_rate(ran.stdout)


def wrk_rate(text: str) -> Rate:
    """Read what wrk printed."""
    total = re.search(r"(\d+) requests in", text)
    speed = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if total is None or speed is None:
        raise ValueError(f"wrk said: {text}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed = (int(bad[1]) if bad else 0) + sum(map(int, sockets.groups() if sockets else ()))
    return Rate(int(total[1]), failed, float(speed[1]))


class Asking(asyncio.Protocol):
    """One connection that asks again whenever an answer is whole, until `until`."""

    def __init__(self, request: bytes, until: float) -> None:
        self.request, self.until = request, until
        self.answered = self.failed = 0
        self.held = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        self.held += data
        head, end, body = self.held.partition(b"\r\n\r\n")
        if not end or len(body) < length_of(head):
            return
        self.held = b""
        self.answered += 1
        self.failed += head[9:10] not in b"23"
        if time.monotonic() < self.until:
            self.transport.write(self.request)
        else:
            self.transport.close()

    def connection_lost(self, _error):
        self.failed += time.monotonic() < self.until
        if not self.ended.done():
            self.ended.set_result(None)


async def by_asyncio(
    port: int, path: str, connections: int, seconds: int, headers: Sequence[str]
) -> Rate:
    """Say what wrk would, where it is missing: slower, so it understates quick servers."""
    loop = asyncio.get_running_loop()
    begun = time.monotonic()
    request = get(path, *headers)
    made = [
        (await loop.create_connection(lambda: Asking(request, begun + seconds), HOST, port))[1]
        for _ in range(connections)
    ]
    await asyncio.wait([each.ended for each in made], timeout=seconds + 5)
    took_s = time.monotonic() - begun
    for each in made:
        each.transport.abort()
    answered = sum(each.answered for each in made)
    return Rate(answered, sum(each.failed for each in made), answered / took_s)


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: shop.example", *headers, "", ""]).encode()


def length_of(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(found[1]) if found else 0


def connected(port: int) -> socket.socket:
    sock = socket.create_connection((HOST, port), TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def latencies_s(port: int, path: str, count: int) -> list[float]:
    """How long each of `count` requests takes over one connection, one after the other."""
    request = get(path)
    _, others = cores()
    with on_cores(others), connected(port) as sock:
        for _ in range(min(50, count)):
            ask(sock, request)
        return [ask(sock, request) for _ in range(count)]


def open_loops_s(
    ports: Mapping[str, int], path: str, *, per_s: int, seconds: int
) -> dict[str, list[float]]:
    """Do as open_loop_s for several servers at once, each asked in turn between two of another's.

    So a noisy moment meets them all. One client each: what one holds up is nobody else's.
    """
    _, others = cores()
    offsets = {name: at / (per_s * len(ports)) for at, name in enumerate(ports)}
    begun = time.perf_counter() + 0.05

    def taken_s(name: str) -> list[float]:
        with on_cores(others):
            due = begun + offsets[name]
            return open_loop_s(ports[name], path, per_s=per_s, seconds=seconds, begun=due)

    with ThreadPoolExecutor(len(ports)) as clients:
        return dict(zip(ports, clients.map(taken_s, ports), strict=True))


def open_loop_s(
    port: int, path: str, *, per_s: int, seconds: int, begun: float | None = None
) -> list[float]:
    """How long each request takes that is sent at a fixed rate, whatever became of those before it.

    Counted from the moment it was due: what a late answer holds up is late as well.
    """
    request = get(path)
    taken_s: list[float] = []
    with connected(port) as sock:
        begun = time.perf_counter() if begun is None else begun
        for at in range(per_s * seconds):
            due = begun + at / per_s
            if (early_s := due - time.perf_counter()) > 0:
                time.sleep(early_s)
                due = time.perf_counter()
            ask(sock, request)
            taken_s.append(time.perf_counter() - due)
    return taken_s


def ask(sock: socket.socket, request: bytes) -> float:
    """Send a request and read its answer; the seconds it took.

    Raises:
        ConnectionError: if there is no whole answer, or it is no success.

    """
    begun = time.perf_counter()
    sock.sendall(request)
    data = b""
    while not is_whole(data):
        piece = sock.recv(65_536)
        if not piece:
            raise ConnectionError("the connection ended before the answer did")
        data += piece
    took_s = time.perf_counter() - begun
    if data[9:12] != b"200":
        raise ConnectionError(f"the answer is {data[:40]!r}")
    return took_s


def is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    return bool(end) and len(body) >= length_of(head)


def download_s(port: int) -> float:
    """Seconds for 100 MB from upstream to client."""
    buffer = bytearray(1 << 20)
    _, others = cores()
    with on_cores(others), connected(port) as sock:
        begun = time.perf_counter()
        sock.sendall(get("/files/big"))
        taken = 0
        while taken < BIG_BYTES and (count := sock.recv_into(buffer)):
            taken += count
        took_s = time.perf_counter() - begun
    if taken < BIG_BYTES:
        raise ConnectionError(f"only {taken} bytes came")
    return took_s


def upload_s(port: int) -> float:
    """Seconds for 100 MB from client to upstream, its answer included."""
    head = f"PUT /files/big HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {BIG_BYTES}\r\n\r\n"
    _, others = cores()
    with on_cores(others), connected(port) as sock:
        begun = time.perf_counter()
        sock.sendall(head.encode())
        for _ in range(BIG_BYTES // len(PIECE)):
            sock.sendall(PIECE)
        ask(sock, b"")
        return time.perf_counter() - begun


SSE = get("/events", "Accept: text/event-stream")
WEBSOCKET = get(
    "/ws",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SIGNS = {SSE: b"data: 1", WEBSOCKET: b"101"}


@contextlib.contextmanager
def idle_streams(port: int, request: bytes, count: int) -> Iterator[list[socket.socket]]:
    """`count` open streams that have had their first byte and hear nothing more.

    Raises:
        ConnectionError: one of them ended before its time.

    """
    with contextlib.ExitStack() as opened:
        streams: list[socket.socket] = []
        while len(streams) < count:
            batch = [
                opened.enter_context(connected(port))
                for _ in range(min(CONNECTS_AT_ONCE, count - len(streams)))
            ]
            for sock in batch:
                sock.sendall(request)
            for sock in batch:
                await_sign(sock, SIGNS[request])
            streams += batch
        yield streams
        if ended := ended_among(streams):
            raise ConnectionError(f"{ended} of {count} idle streams ended by themselves")


def ended_among(streams: Sequence[socket.socket]) -> int:
    """How many of the streams the other end has ended."""
    poll = select.poll()
    by_number = {sock.fileno(): sock for sock in streams}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return sum(has_ended(by_number[number]) for number, _ in poll.poll(0))


def has_ended(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except ConnectionError:
        return True


def hearing(streams: Sequence[socket.socket], sign: bytes) -> int:
    """How many of the streams are told this."""
    heard = 0
    for sock in streams:
        with contextlib.suppress(OSError):  # silent, or at an end
            await_sign(sock, sign)
            heard += 1
    return heard


def await_sign(sock: socket.socket, sign: bytes) -> None:
    data = b""
    while sign not in data:
        piece = sock.recv(4096)
        if not piece:
            raise ConnectionError(f"no stream: {data[:60]!r}")
        data += piece
