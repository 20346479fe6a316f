"""Sixteen routes at twenty requests a second, all copied, noise as usual: which share of each is lost.

One of the routes loses more than one copy in twenty: that is a failure.

The mirror is the real one, with its clocks and its budget; the two sides answer at once, from memory. Half of
the routes are pages, one of 100 KB; the others are small JSON. In every answer a token differs.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

from benchmarks.comparing import page
from overgrow.evidence import Record, Served
from overgrow.exchange import Inbound, Reply
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Route
from overgrow.shadow.judge import Judgement
from overgrow.shadow.mirror import Mirror
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.shadowing_server import ShadowingServer

PAGES_KB = (3, 3, 8, 8, 20, 20, 20, 100)
JSON_ROUTES = 8
MOST_LOST = 0.05
HEAD = Head("GET", b"/", [(b"host", b"a.example")], "", "", "http", "a.example")


class Here:
    """The clocks of this process; chance by a seed, so that each run draws alike."""

    clock = staticmethod(time.time)
    stopwatch = staticmethod(time.monotonic)
    cpu_s = staticmethod(time.thread_time)
    chance = staticmethod(random.Random(7).random)

    def is_killed(self) -> bool:
        return False

    async def rules_of(self, _route: Route) -> Rules:
        return Rules.none


class Counts:
    """What became of the copies, by route."""

    def __init__(self) -> None:
        self.compared_of: Counter[str] = Counter()
        self.lost_of: Counter[str] = Counter()

    def store_record(self, _record: Record) -> None:
        pass

    def record_comparison(self, judgement: Judgement) -> None:
        self.compared_of[judgement.compared.route] += 1

    def record_unanswered_copy(self, served: Served) -> None:
        self.lost_of[served.route] += 1

    def record_dropped_request(self, _reason: str, served: Served | None = None) -> None:
        if served is not None:
            self.lost_of[served.route] += 1


class Side:
    """Answers each route with its page or document, and a token of its own."""

    def __init__(self, routes: dict[str, int]) -> None:
        self._sizes_kb = routes

    async def serve(self, _inbound: Inbound, decision: Decision) -> Reply:
        size_kb = self._sizes_kb[decision.route_name]
        token = f"{random.getrandbits(256):064x}"
        if size_kb:
            headers = [(b"content-type", b"text/html; charset=utf-8")]
            return Reply(200, headers, page(size_kb, token, 12))
        body = f'{{"id": 7, "token": "{token}", "items": [1, 2, 3]}}'.encode()
        return Reply(200, [(b"content-type", b"application/json")], body)


async def run(requests_per_s: float, seconds: float) -> Counts:
    """Ask the routes in turns at a steady rate."""
    sizes = {f"page{at}-{kb}kb": kb for at, kb in enumerate(PAGES_KB)}
    sizes |= {f"json{at}": 0 for at in range(JSON_ROUTES)}
    side: Any = Side(sizes)
    counts: Any = Counts()
    mirror = Mirror({"legacy": side, "migrated": side}, counts, Here())
    front = ShadowingServer(side, mirror)
    routes = [Route(name, path="/", shadow=10_000) for name in sizes]
    began_s = time.monotonic()
    for at in range(int(requests_per_s * seconds)):
        await asyncio.sleep(max(0.0, began_s + at / requests_per_s - time.monotonic()))
        decision = Decision(routes[at % len(routes)], "legacy", "target", "bench")
        reply = await front.serve(Inbound(HEAD, None), decision)
        await reply.close()
    await asyncio.sleep(0.5)
    await mirror.aclose()
    return counts


def measured(requests_per_s: float, seconds: float) -> int:
    """Print the share of each route that was lost; 1 if one lost more than it may."""
    counts = asyncio.run(run(requests_per_s, seconds))
    worst = 0.0
    for route in sorted({*counts.compared_of, *counts.lost_of}):
        drawn = counts.compared_of[route] + counts.lost_of[route]
        share = counts.lost_of[route] / drawn
        worst = max(worst, share)
        print(f"{route}: {drawn} drawn, {share:.1%} lost")
    return int(worst > MOST_LOST)
