"""Mixed load for ten minutes, and meanwhile what production does to a front door.

Small and large requests, event streams, WebSockets and clients that go away, all at once; benchmarks/disturbances.py
restarts and moves legacy, flips a route, lets slow clients dawdle, keeps workers from booting, replaces them, and drains
the server. StartCheck: nothing fails but with 502, 503 or 504 while legacy is down, every answer that looks whole is whole,
streams end early only where workers are replaced, and afterwards workers and master have the memory and the open files
that they had before. The first part leaves the worker alone, so that it shows a leak; the second one replaces it.

    python -m benchmarks soak [--minutes 10] [--restart-s 60] [--record]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import os
import random
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.disturbances import DRAIN_DELAY_S, Front, Legacy, again_and_again, started_front
from benchmarks.load import HOST, get, length_of
from benchmarks.processes import Running, cores, free_port, on_cores, rss_bytes_of
from benchmarks.results import PAGE
from benchmarks.servers import Place

WARM_S = 15.0
SETTLE_S = 45.0  # longer than idle connections to legacy are kept (30 s)
LARGE_BYTES = 20_000_000
LARGE_PIECE = b"soak" * 16_384
ALLOWED = {502, 503, 504}
RSS_SLACK = 0.10  # of the start, for the allocator
RSS_SLACK_BYTES = 8_000_000
# Two, and those that the recorder of the history reads: two files, each opened twice, of the second slot, which is used
# while a reload replaces the worker.
OPEN_FILES_SLACK = 2 + 4
STREAMS = {"SSE", "WebSocket", "large up", "large down"}  # may be open longer than the grace time
FIRST_PART = 0.6  # of the time: the worker stays
SLOW_CLIENTS = 10  # of each of four kinds
PATIENT_SMALL = 4  # clients that go on until the last server drains
CLIENTS = {"small": 8, "large up": 1, "large down": 1, "SSE": 40, "WebSocket": 40, "aborting": 4}

Disturbance = Callable[[], Awaitable[object]]


class CountingReader(asyncio.StreamReader):
    """A reader that knows how many bytes came."""

    received = 0

    def feed_data(self, data: bytes) -> None:
        """Count, and take as usual."""
        self.received += len(data)
        super().feed_data(data)


Streams = tuple[CountingReader, asyncio.StreamWriter]


class Broken(Exception):
    """An exchange that did not end as it should; the text says how."""


class Refused(Broken):
    """Another status than expected; the front door's error code says why."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code or 'without a code'}")
        self.status = status


@dataclass(slots=True)
class Tally:
    """What the clients saw."""

    done: Counter[str] = field(default_factory=Counter)
    refused_while_down: Counter[str] = field(default_factory=Counter)
    broken_while_down: Counter[str] = field(default_factory=Counter)
    ended_with_workers: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Soak:
    """One soak: where it runs, what it saw, and until when."""

    port: int
    legacy: Legacy
    until: float = 0.0
    tally: Tally = field(default_factory=Tally)
    front: Front | None = None
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until

    async def run_for(self, seconds: float) -> None:
        """Run all clients for so long; returns when the last has ended."""
        self.until = time.monotonic() + seconds
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "small": self.small,
            "large up": self.large_up,
            "large down": self.large_down,
            "SSE": self.events,
            "WebSocket": self.websocket,
            "aborting": self.aborting,
        }
        clients = [
            self.client(kind, kinds[kind]) for kind, count in CLIENTS.items() for _ in range(count)
        ]
        await asyncio.gather(*clients)

    async def client(self, kind: str, exchange: Callable[[], Awaitable[None]]) -> None:
        """One client that repeats its exchange until the end, and judges what goes wrong."""
        while not self.is_over:
            began = time.monotonic()
            try:
                async with asyncio.timeout(90):
                    await exchange()
                self.tally.done[kind] += 1
            except (OSError, Broken, asyncio.IncompleteReadError, TimeoutError) as error:
                self.judge(kind, began, error)
                await asyncio.sleep(0.2)

    def judge(self, kind: str, began: float, error: BaseException) -> None:
        is_cut = not isinstance(error, Refused)
        if is_cut and kind in STREAMS and self.front and began < self.front.replaced_until:
            self.tally.ended_with_workers[kind] += 1
        elif not self.legacy.was_away(began):
            self.tally.wrong.append(f"{kind}: {type(error).__name__}: {error}")
        elif isinstance(error, Refused) and error.status in ALLOWED:
            self.tally.refused_while_down[str(error)] += 1
        elif isinstance(error, Refused):
            self.tally.wrong.append(f"{kind}: status {error} while legacy was away")
        else:
            self.tally.broken_while_down[kind] += 1

    # The exchanges.

    async def small(self) -> None:
        """Twenty small requests over one connection, or over as many as the answers ask for."""
        streams = await opened(self.port)
        try:
            for _ in range(20):
                path = self.chance.choice(("/api/products/1", "/products", "/whoami", "/chunked"))
                streams, head = await self.head_of(get(path), streams)
                await body_after(head, streams[0])
                if b"\r\nconnection: close" in head.lower():
                    streams[1].close()
                    streams = await opened(self.port)
                await asyncio.sleep(0.005)
        finally:
            streams[1].close()

    async def head_of(self, request: bytes, streams: Streams) -> tuple[Streams, bytes]:
        """The head of the answer to a GET, and the connection on which it came.

        A worker that leaves closes idle connections, and a request may be under way then. RFC 9112 9.3.1
        has clients repeat it: if it is idempotent, the connection was kept, and no byte of an answer came.
        """
        reader, writer = streams
        received = reader.received
        try:
            writer.write(request)
            return streams, await good_head(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            is_untouched = reader.received == received > 0
            if not (is_untouched and self.front and self.front.has_leaving_workers):
                raise
        writer.close()
        self.tally.repeated["small"] += 1
        streams = await opened(self.port)
        streams[1].write(request)
        return streams, await good_head(streams[0])

    async def large_up(self) -> None:
        """20 MB up; legacy tells the hash of what it got."""
        reader, writer = await opened(self.port)
        try:
            writer.write(put_head("/echo", LARGE_BYTES))
            digest = hashlib.sha256()
            for at in range(0, LARGE_BYTES, len(LARGE_PIECE)):
                piece = LARGE_PIECE[: LARGE_BYTES - at]
                digest.update(piece)
                writer.write(piece)
                await writer.drain()
            body = await whole_answer(reader)
            if digest.hexdigest().encode() not in body:
                raise Broken("the upload arrived changed")
        finally:
            writer.close()

    async def large_down(self) -> None:
        """Some megabytes down in chunks; the trailer's work is done by the framing."""
        reader, writer = await opened(self.port)
        try:
            writer.write(get("/chunked?count=30000"))
            body = await whole_answer(reader)
            if not body.endswith(b"chunk 29999\n"):
                raise Broken("the download ended early, and looked whole")
        finally:
            writer.close()

    async def events(self) -> None:
        """An event stream, left after a while; it may only end by legacy's restart."""
        reader, writer = await opened(self.port)
        try:
            writer.write(get("/events?every_ms=500", "Accept: text/event-stream"))
            await good_head(reader)
            leaving = min(self.until, time.monotonic() + self.chance.uniform(5, 40))
            while time.monotonic() < leaving:
                if not await reader.read(65_536):
                    raise Broken("the stream ended")
        finally:
            writer.close()

    async def websocket(self) -> None:
        """A WebSocket whose messages come back as they went."""
        reader, writer = await opened(self.port)
        try:
            key = base64.b64encode(os.urandom(16)).decode()
            fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
            writer.write(get("/ws", *fields, f"Sec-WebSocket-Key: {key}"))
            await good_head(reader, 101)
            leaving = min(self.until, time.monotonic() + self.chance.uniform(5, 40))
            while time.monotonic() < leaving:
                text = b"m" * self.chance.randrange(1, 120)
                writer.write(masked(text))
                if await reader.readexactly(2 + len(text)) != bytes((0x81, len(text))) + text:
                    raise Broken("the message came back changed")
                await asyncio.sleep(0.5)
        finally:
            writer.close()

    async def aborting(self) -> None:
        """Clients that go away: in the head, in a body, before and in the answer."""
        _, writer = await opened(self.port)
        request = self.chance.choice(
            (
                get("/slow?ms=2000"),
                get("/chunked?count=100000"),
                get("/events?every_ms=100"),
                put_head("/echo", LARGE_BYTES) + LARGE_PIECE,
                b"GET /products HTT",
            )
        )
        writer.write(request)
        await asyncio.sleep(self.chance.uniform(0.0, 0.3))
        if self.chance.random() < 0.5:
            writer.transport.abort()
        writer.close()


async def opened(port: int) -> Streams:
    loop = asyncio.get_running_loop()
    reader = CountingReader(limit=1 << 20, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, HOST, port)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def put_head(path: str, length: int) -> bytes:
    return f"PUT {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {length}\r\n\r\n".encode()


def masked(text: bytes) -> bytes:
    """A WebSocket text frame of at most 125 bytes, as a client sends it (RFC 6455 5.2)."""
    mask = os.urandom(4)
    hidden = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    return struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + hidden


async def good_head(reader: asyncio.StreamReader, status: int = 200) -> bytes:
    """An answer's head; Refused if it is another one."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = int(head[9:12])
    if found != status:
        code = head.lower().partition(b"\r\nx-overgrow-error: ")[2].partition(b"\r\n")[0]
        raise Refused(found, code.decode("ascii"))
    return head.removesuffix(b"\r\n\r\n")


async def whole_answer(reader: asyncio.StreamReader) -> bytes:
    """The body of a 200 that is whole by its own framing."""
    return await body_after(await good_head(reader), reader)


async def body_after(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """The body of an answer that is whole by its own framing."""
    if b"transfer-encoding: chunked" not in head.lower():
        return await reader.readexactly(length_of(head))
    body = bytearray()
    while size := int(await reader.readuntil(b"\n"), 16):  # raises where the answer breaks off
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readline() != b"\r\n":
        pass
    return bytes(body)


@dataclass(frozen=True, slots=True)
class Held:
    """What the workers and their master hold."""

    rss_bytes: int
    open_files: int
    master_rss_bytes: int = 0
    master_files: int = 0

    def __str__(self) -> str:
        workers = f"{self.rss_bytes / 1e6:.1f} MB, {self.open_files} open files"
        return f"{workers}; master {self.master_rss_bytes / 1e6:.1f} MB, {self.master_files}"


def held_by(front: Running) -> Held:
    master = front.process.pid
    files = len(list(Path(f"/proc/{master}/fd").iterdir()))
    return Held(front.rss_bytes(), front.open_files(), rss_bytes_of(master), files)


@dataclass(frozen=True, slots=True)
class Times:
    """How long everything takes, and how often what happens, in seconds."""

    soak_s: float
    restart_s: float = 60.0
    warm_s: float = WARM_S
    settle_s: float = SETTLE_S


async def soaked(soak: Soak, front: Front, times: Times) -> list[str]:
    """Warm up, measure, soak in two parts with a measurement after each, drain; the summary's lines."""
    soak.front = front
    slow = front.dawdle(
        times.warm_s / 2, SLOW_CLIENTS
    )  # what they take at most belongs to the start
    await asyncio.gather(soak.run_for(times.warm_s), slow)
    await asyncio.sleep(times.settle_s)
    before, pids = held_by(front.running), front.running.pids
    print(f"before: {before}", flush=True)
    await disturbed(soak, times.soak_s * FIRST_PART, first_part(front, times.restart_s))
    await asyncio.sleep(times.settle_s)
    between = held_by(front.running)
    if front.running.pids != pids:
        soak.tally.wrong.append(f"the worker was replaced: {pids}, {front.running.pids}")
    await disturbed(soak, times.soak_s * (1 - FIRST_PART), second_part(front, times.restart_s))
    await asyncio.sleep(times.settle_s)
    after = held_by(front.running)
    soak.tally.wrong += [*leaks_of(before, between), *leaks_of(before, after)]
    await drained(soak, front)
    return summary(soak, [before, between, after])


def first_part(front: Front, every_s: float) -> list[tuple[float, Disturbance]]:
    """What leaves the worker where it is, and how often."""
    return [
        (every_s, front.legacy.restart),
        (every_s * 0.7, front.legacy.move),
        (every_s / 12, front.flip),
        (every_s / 2, front.fail_to_boot),
        (every_s / 6, lambda: front.dawdle(every_s / 3, SLOW_CLIENTS)),
    ]


def second_part(front: Front, every_s: float) -> list[tuple[float, Disturbance]]:
    """What replaces it."""
    return [
        (every_s / 3, front.fail_to_reload),
        (every_s * 0.7, front.legacy.move),
        (every_s / 12, front.flip),
        (every_s / 6, lambda: front.dawdle(every_s / 3, SLOW_CLIENTS)),
    ]


async def disturbed(
    soak: Soak, seconds: float, disturbances: Sequence[tuple[float, Disturbance]]
) -> None:
    """Run the clients beside the disturbances; one that fails is wrong, too."""
    soak.until = time.monotonic() + seconds
    tasks = [again_and_again(*each, lambda: soak.is_over) for each in disturbances]
    found = await asyncio.gather(soak.run_for(seconds), *tasks, return_exceptions=True)
    for error in found:
        if isinstance(error, BaseException):
            soak.tally.wrong.append(f"disturbance: {type(error).__name__}: {error}")


async def drained(soak: Soak, front: Front) -> None:
    """TERM under load: until the delay is over every request is answered, then the server ends with 0."""
    began = time.monotonic()
    ending = asyncio.create_task(front.drain())
    soak.until = began + 0.6 * DRAIN_DELAY_S
    await asyncio.gather(*(soak.client("small", soak.small) for _ in range(PATIENT_SMALL)))
    if code := await ending:
        soak.tally.wrong.append(f"the drained server ended with {code}")
    front.count("drains")


def leaks_of(before: Held, after: Held) -> list[str]:
    """What did not return to the start."""
    most = before.rss_bytes * (1 + RSS_SLACK) + RSS_SLACK_BYTES
    leaks = [f"memory grew: {before} to {after}"] if after.rss_bytes > most else []
    if after.open_files > before.open_files + OPEN_FILES_SLACK:
        leaks.append(f"open files grew: {before} to {after}")
    if after.master_files > before.master_files or after.master_rss_bytes > (
        before.master_rss_bytes + RSS_SLACK_BYTES
    ):
        leaks.append(f"the master grew: {before} to {after}")
    return leaks


def summary(soak: Soak, held: Sequence[Held]) -> list[str]:
    tally, legacy = soak.tally, soak.legacy
    refused, cut = counted(tally.refused_while_down), counted(tally.broken_while_down)
    did = Counter(soak.front.counts if soak.front else {})
    lines = [
        f"exchanges done: {counted(tally.done)}",
        f"legacy restarted {legacy.restarts} times, moved {legacy.moves} times; errors meanwhile: {refused}; cut: {cut}",
        f"beside: {counted(did)}; streams that ended with workers: {counted(tally.ended_with_workers)}; requests repeated because they crossed the close of a leaving worker: {counted(tally.repeated)}",
        *(
            f"{when}: {each}"
            for when, each in zip(("before", "between", "after"), held, strict=True)
        ),
        f"wrong: {len(tally.wrong)}",
    ]
    return [*lines, *(f"  {line}" for line in tally.wrong[:20])]


def counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"


def main(argv: Sequence[str]) -> int:
    """Soak; 1 if anything was wrong."""
    parser = argparse.ArgumentParser("python -m benchmarks soak")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--restart-s", type=float, default=60.0)
    parser.add_argument("--record", action="store_true", help="append to docs/performance.md")
    parser.add_argument("--warm-s", type=float, default=WARM_S)
    parser.add_argument("--settle-s", type=float, default=SETTLE_S)
    asked = parser.parse_args(argv)
    times = Times(asked.minutes * 60, asked.restart_s, asked.warm_s, asked.settle_s)
    with tempfile.TemporaryDirectory(prefix="overgrow-soak-") as name:
        folder = Path(name)
        legacy = Legacy(free_port(), folder)
        place = Place(legacy.port, folder)
        try:
            legacy.start()
            front = started_front(place, legacy)
            soak = Soak(front.running.port, legacy)
            _, others = cores()
            with on_cores(others):
                lines = asyncio.run(soaked(soak, front, times))
        finally:
            place.stop()
            legacy.stop()
    print("\n".join(lines))
    if asked.record:
        record(lines, asked.minutes)
    return 1 if soak.tally.wrong else 0


def record(lines: Sequence[str], minutes: float) -> None:
    """Append to the page's last part, which is the place for soaks."""
    at = datetime.now(UTC).strftime("%Y-%m-%d")
    told = "\n".join(f"- {line.strip()}" for line in lines)
    with PAGE.open("a", encoding="utf-8") as page:
        page.write(
            f"\n{at}, {minutes:g} minutes, {', '.join(f'{n} {k}' for k, n in CLIENTS.items())}:\n\n{told}\n"
        )
