"""Many connections at once, over several workers."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections import Counter

from tests.wire.serving.test_serving_answers import get
from tests.wire.serving.test_serving_drain import wait_until

BURST = 200
WORKERS = 4


async def ask(host: str, port: int) -> tuple[int, asyncio.StreamWriter]:
    """Connect and ask who answers; the connection stays open."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(get("/told"))
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return json.loads(await reader.readexactly(length))["pid"], writer


async def burst(address: str) -> Counter[int]:
    """How many of the connections of a burst each worker took."""
    host, port = address.removeprefix("http://").rsplit(":", 1)
    found = await asyncio.gather(*(ask(host, int(port)) for _ in range(BURST)))
    for _, writer in found:
        writer.close()
    await asyncio.sleep(0.3)  # for the workers to notice
    return Counter(pid for pid, _ in found)


def test_a_burst_lands_on_all_workers_about_evenly(start):
    server = start(workers=WORKERS)
    seen = set()
    wait_until(lambda: seen.add(server.told()["pid"]) or len(seen) == WORKERS)
    bursts = [asyncio.run(burst(server.public)) for _ in range(7)]
    smallest = [min(counts[pid] for pid in seen) for counts in bursts]

    assert statistics.median(smallest) >= 20, bursts  # 50 would be even; 0 to 10 without balancing
