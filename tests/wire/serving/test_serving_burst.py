"""Many connections at once, over several workers."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.wire.serving.test_serving_answers import get
from tests.wire.serving.test_serving_drain import wait_until

BURST = 200
WORKERS = 4


async def ask(host: str, port: int) -> tuple[int, Callable[[], Awaitable[None]]]:
    """Connect and ask who answers; the connection stays open until what is returned is called."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(get("/told"))
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    pid = json.loads(await reader.readexactly(length))["pid"]

    async def end() -> None:
        writer.write_eof()
        await reader.read()  # until the worker has noticed: the next burst counts connections
        writer.close()

    return pid, end


async def burst(address: str) -> Counter[int]:
    """How many of the connections of a burst each worker took."""
    host, port = address.removeprefix("http://").rsplit(":", 1)
    found = await asyncio.gather(*(ask(host, int(port)) for _ in range(BURST)))
    await asyncio.gather(*(end() for _, end in found))
    return Counter(pid for pid, _ in found)


def test_a_burst_lands_on_all_workers_about_evenly(start):
    server = start(workers=WORKERS)
    seen = set()
    wait_until(lambda: seen.add(server.told()["pid"]) or len(seen) == WORKERS)
    bursts = [asyncio.run(burst(server.public)) for _ in range(7)]
    smallest = [min(counts[pid] for pid in seen) for counts in bursts]

    assert statistics.median(smallest) >= 20, bursts  # 50 would be even; 0 to 10 without balancing
