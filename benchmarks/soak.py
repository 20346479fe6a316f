"""Mixed load for ten minutes, with a legacy app that is restarted every minute.

Small and large requests, event streams, WebSockets and clients that go away, all at once. Checked:
nothing fails but with 502, 503 or 504 while legacy is down, every answer that looks whole is whole,
and afterwards the worker has the memory and the open files that it had before.

    python -m benchmarks soak [--minutes 10] [--restart-s 60] [--record]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import os
import random
import signal
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.load import HOST, get, length_of
from benchmarks.processes import Running, cores, free_port, on_cores, python, started
from benchmarks.results import PAGE
from benchmarks.servers import Place, start_front

WARM_S = 15.0
SETTLE_S = 45.0  # longer than idle connections to legacy are kept (30 s)
DOWN_S = 2.0  # how long a restarted legacy app stays away
AFTERMATH_S = 1.0  # after it is back, for answers on their way
LARGE_BYTES = 20_000_000
LARGE_PIECE = b"soak" * 16_384
ALLOWED = {502, 503, 504}
RSS_SLACK = 0.10  # of the start, for the allocator
RSS_SLACK_BYTES = 8_000_000
OPEN_FILES_SLACK = 2
CLIENTS = {"small": 8, "large up": 1, "large down": 1, "SSE": 40, "WebSocket": 40, "aborting": 4}

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Broken(Exception):
    """An exchange that did not end as it should; the text says how."""


@dataclass(slots=True)
class Tally:
    """What the clients saw."""

    done: Counter[str] = field(default_factory=Counter)
    refused_while_down: Counter[str] = field(default_factory=Counter)
    broken_while_down: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Legacy:
    """The legacy app of the soak, and when it was last away (monotonic seconds)."""

    port: int
    folder: Path
    running: Running | None = None
    away_since: float = 0.0
    back_at: float = 0.0
    restarts: int = 0

    def start(self) -> None:
        _, others = cores()
        words = ["-m", "legacy_stub", "--port", str(self.port), "--frozen"]
        words += ["--data", str(self.folder / "shop.sqlite3")]
        self.running = started("legacy", python(*words), self.port, self.folder, where=others)

    def stop(self) -> None:
        if self.running is not None:
            self.running.process.send_signal(signal.SIGTERM)
            try:
                self.running.process.wait(3)
            except subprocess.TimeoutExpired:
                self.running.process.kill()
                self.running.process.wait()
            self.running = None

    async def restart(self) -> None:
        """Stop, stay away for a while, come back."""
        self.away_since = time.monotonic()
        self.back_at = float("inf")
        await asyncio.to_thread(self.stop)
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(self.start)
        self.back_at = time.monotonic()
        self.restarts += 1

    def was_away(self, since: float) -> bool:
        """Whether legacy was away at any time since then, the aftermath included."""
        return self.back_at + AFTERMATH_S > since and self.away_since > 0.0


@dataclass(slots=True)
class Soak:
    """One soak: where it runs, what it saw, and until when."""

    port: int
    legacy: Legacy
    until: float = 0.0
    tally: Tally = field(default_factory=Tally)
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
        if not self.legacy.was_away(began):
            self.tally.wrong.append(f"{kind}: {type(error).__name__}: {error}")
        elif isinstance(error, Broken) and str(error) in {str(status) for status in ALLOWED}:
            self.tally.refused_while_down[str(error)] += 1
        elif isinstance(error, Broken) and str(error).isdigit():
            self.tally.wrong.append(f"{kind}: status {error} while legacy was away")
        else:
            self.tally.broken_while_down[kind] += 1

    # The exchanges.

    async def small(self) -> None:
        """Twenty small requests over one connection."""
        reader, writer = await opened(self.port)
        try:
            for _ in range(20):
                path = self.chance.choice(("/api/products/1", "/products", "/whoami", "/chunked"))
                writer.write(get(path))
                await whole_answer(reader)
                await asyncio.sleep(0.005)
        finally:
            writer.close()

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
    return await asyncio.open_connection(HOST, port, limit=1 << 20)


def put_head(path: str, length: int) -> bytes:
    return f"PUT {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {length}\r\n\r\n".encode()


def masked(text: bytes) -> bytes:
    """A WebSocket text frame of at most 125 bytes, as a client sends it (RFC 6455 5.2)."""
    mask = os.urandom(4)
    hidden = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    return struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + hidden


async def good_head(reader: asyncio.StreamReader, status: int = 200) -> bytes:
    """An answer's head; Broken with the status if it is another one."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = int(head[9:12])
    if found != status:
        raise Broken(str(found))
    return head.removesuffix(b"\r\n\r\n")


async def whole_answer(reader: asyncio.StreamReader) -> bytes:
    """The body of a 200 that is whole by its own framing."""
    head = await good_head(reader)
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
    """What the worker holds."""

    rss_bytes: int
    open_files: int

    def __str__(self) -> str:
        return f"{self.rss_bytes / 1e6:.1f} MB, {self.open_files} open files"


def held_by(front: Running) -> Held:
    return Held(front.rss_bytes(), front.open_files())


async def soaked(soak: Soak, front: Running, minutes: float, restart_s: float) -> list[str]:
    """Warm up, measure, soak, let settle, measure; the summary's lines."""
    pids = front.pids
    await soak.run_for(WARM_S)
    await asyncio.sleep(SETTLE_S)
    before = held_by(front)
    print(f"before: {before}", flush=True)
    restarting = asyncio.create_task(restarts(soak.legacy, front, restart_s))
    try:
        await soak.run_for(minutes * 60)
    finally:
        restarting.cancel()
    await asyncio.sleep(SETTLE_S)
    after = held_by(front)
    same = "the same worker" if front.pids == pids else f"ANOTHER WORKER: {front.pids}"
    leaks = leaks_of(before, after)
    soak.tally.wrong += leaks if front.pids == pids else [*leaks, "the worker was replaced"]
    return summary(soak, before, after, same)


async def restarts(legacy: Legacy, front: Running, every_s: float) -> None:
    """Restart legacy again and again, and say what the worker holds."""
    while True:
        await asyncio.sleep(max(0.0, every_s - DOWN_S))
        await legacy.restart()
        print(f"restart {legacy.restarts}: {held_by(front)}", flush=True)


def leaks_of(before: Held, after: Held) -> list[str]:
    """What did not return to the start."""
    most = before.rss_bytes * (1 + RSS_SLACK) + RSS_SLACK_BYTES
    leaks = [f"memory grew: {before} to {after}"] if after.rss_bytes > most else []
    if after.open_files > before.open_files + OPEN_FILES_SLACK:
        leaks.append(f"open files grew: {before} to {after}")
    return leaks


def summary(soak: Soak, before: Held, after: Held, same: str) -> list[str]:
    tally = soak.tally
    refused, cut = counted(tally.refused_while_down), counted(tally.broken_while_down)
    lines = [
        f"exchanges done: {counted(tally.done)}",
        f"legacy restarted {soak.legacy.restarts} times; errors meanwhile: {refused}; cut: {cut}",
        f"before: {before}; after: {after}; {same}",
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
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="overgrow-soak-") as name:
        folder = Path(name)
        legacy = Legacy(free_port(), folder)
        place = Place(legacy.port, folder)
        try:
            legacy.start()
            front = start_front(place)
            soak = Soak(front.port, legacy)
            _, others = cores()
            with on_cores(others):
                lines = asyncio.run(soaked(soak, front, asked.minutes, asked.restart_s))
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
