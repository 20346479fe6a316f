"""Loading a table of 10,000 routes: how long it takes, and how long it stops a busy event loop.

Goals: text to ready Matcher in 1 s at most; the loop's longest pause while a thread reloads 50 ms. The same
with the comparison of a reload: the running table has irreversible routes, and they are as they were ("same"), or
all have another priority ("moved"), or all became reversible ("weakened", which is refused).
"""

from __future__ import annotations

import asyncio
import statistics
import time
from functools import partial
from pathlib import Path

from overgrow.table.judging import TableContext, compile_table, judge_table
from overgrow.table.reading.parse import AppRule, parse

ROUTES = 10_000
ROUNDS = 5
RELOADS_ROUNDS = 3
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
    loaded, matcher = compile_table(data, TableContext(FILE, {}, rules))
    assert matcher is not None, loaded.problems[:3]
    return clock() - begun


def irreversible_text(routes, *, priority=0, reversible="false"):
    head = "version: 1\nlegacy:\n  url: http://127.0.0.1:9000\nroutes:\n"
    entry = (
        "  - name: orders-{0}\n    path: /orders{0}/<int:id>\n    methods: [GET, POST]\n"
        f"    target: migrated\n    priority: {priority}\n    reversible: {reversible}\n"
    )
    return (head + "".join(entry.format(number) for number in range(routes))).encode()


RELOADS = {
    "same": irreversible_text(ROUTES) + b"# another revision\n",
    "moved": irreversible_text(ROUTES, priority=1),
    "weakened": irreversible_text(ROUTES, reversible="true"),
}


def judged_s(data, rules, running, clock=time.perf_counter):
    begun = clock()
    found = judge_table(data, TableContext(FILE, {}, rules), running)
    took = clock() - begun
    assert (
        found.loaded.table is not None or found.loaded.problems[0].code == "irreversible-weakened"
    )
    return took


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


def reload_figures(rules):
    """What a reload beside irreversible routes costs, and how long it stops the loop."""
    running = parse(irreversible_text(ROUTES), file=str(FILE), env={}, rules=rules).table
    figures = {}
    for name, data in RELOADS.items():
        work = partial(judged_s, data, rules, running)
        cpu = [work(time.thread_time) for _ in range(RELOADS_ROUNDS)]
        held = [
            asyncio.run(longest_pause_s(work, time.process_time)) for _ in range(RELOADS_ROUNDS)
        ]
        figures[name] = {
            "load_cpu_s": round(statistics.median(cpu), 3),
            "longest_pause_cpu_ms": round(statistics.median(held) * 1000, 1),
        }
    return figures


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
        "beside_irreversible": reload_figures(rules),
        "goals": {"load_s": 1.0, "longest_pause_ms": 50},
    }


if __name__ == "__main__":
    print(run())
