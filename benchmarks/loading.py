"""Loading a table of 10,000 routes: how long it takes, and how long it stops a busy event loop.

Goals: text to ready Matcher in 1 s at most; the loop's longest pause while a thread reloads 50 ms.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

from proxy.loading.judging import compiled_from
from proxy.loading.parse import AppRule

ROUTES = 10_000
ROUNDS = 5
FILE = Path("routes.yaml")


def table_text(routes):
    head = "version: 1\nlegacy:\n  url: http://127.0.0.1:9000\nroutes:\n"
    entry = (
        "  - name: orders-{0}\n    path: /orders{0}/<int:id>\n    methods: [GET, POST]\n"
        "    target: legacy\n    canary: 10%\n"
    )
    return (head + "".join(entry.format(number) for number in range(routes))).encode()


def load_s(data, rules, clock=time.perf_counter):
    begun = clock()
    loaded, matcher = compiled_from(data, FILE, {}, rules)
    assert matcher is not None, loaded.problems[:3]
    return clock() - begun


async def longest_pause_s(work, clock=time.perf_counter):
    """The longest time between two turns of a loop that asks for one each millisecond.

    By the process's own clock (time.process_time), what other programs take does not count.
    """
    task = asyncio.create_task(asyncio.to_thread(work))
    longest = 0.0
    while not task.done():
        begun = clock()
        await asyncio.sleep(0.001)
        longest = max(longest, clock() - begun)
    await task
    return longest


def run():
    data = table_text(ROUTES)
    rules = [AppRule(f"/orders{number}/<int:id>", None) for number in range(ROUTES)]
    # Processor time beside wall time: on a busy machine the one says what the code costs.
    cpu = [load_s(data, rules, time.thread_time) for _ in range(ROUNDS)]
    times = [load_s(data, rules) for _ in range(ROUNDS)]
    pauses, held = (
        [asyncio.run(longest_pause_s(lambda: load_s(data, rules), clock)) for _ in range(ROUNDS)]
        for clock in (time.perf_counter, time.process_time)
    )
    return {
        "routes": ROUTES,
        "load_s": round(statistics.median(times), 3),
        "load_cpu_s": round(statistics.median(cpu), 3),
        "longest_pause_ms": round(statistics.median(pauses) * 1000, 1),
        "longest_pause_cpu_ms": round(statistics.median(held) * 1000, 1),
        "goals": {"load_s": 1.0, "longest_pause_ms": 50},
    }


if __name__ == "__main__":
    print(run())
