"""What matching and deciding cost with 10 and with 10,000 routes.

Pure functions in one process, no sockets: the best of many rounds, so that a busy machine disturbs
as little as can be. The goal is that 10,000 routes cost at most 1.2 times what 10 do.

A matcher remembers the paths of late. So each case asks for more paths than it remembers, round
and round: every one is looked up.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial

from overgrow.routing.conflicts import find_ties, find_unreachable
from overgrow.routing.decide import decide
from overgrow.routing.facts import Facts, Head, head_of
from overgrow.routing.match import MAX_KNOWN_PATHS, Matcher
from overgrow.routing.model import Cohort, Decision, Legacy, Route, RouteTable, TrustedProxies
from overgrow.routing.order import sort_routes
from overgrow.routing.ranking import rank_routes

SIZES = (10, 10_000)
ROUNDS = 12
PATHS = MAX_KNOWN_PATHS + 200
GOAL_RATIO = 1.2
NOBODY = TrustedProxies()
HEADERS = (
    (b"host", b"shop.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    (b"accept", b"text/html,application/xhtml+xml"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"accept-language", b"en"),
    (b"cookie", b"theme=dark; overgrow_id=0123456789abcdef0123456789abcdef; session=abc"),
    (b"referer", b"https://shop.example.com/"),
    (b"cache-control", b"no-cache"),
)


def _routes(size: int) -> list[Route]:
    """Return exact paths, templates that share their first segment, mixed text and prefixes."""
    makers: tuple[Callable[[int], Route], ...] = (
        lambda at: Route(f"exact{at}", path=f"/shop/exact/page{at}"),
        lambda at: Route(f"template{at}", path=f"/shop/<int:id>/thing{at}", methods=("GET",)),
        lambda at: Route(f"canary{at}", path=f"/shop/canary{at}/<int:id>", canary=1_000),
        lambda at: Route(f"mixed{at}", path=f"/shop/item{at % 10}-<int:id>-{at}.html"),
        lambda at: Route(f"prefix{at}", prefix=f"/area{at}/admin"),
    )
    return [makers[at % 5](at) for at in range(size)]


def _matcher(size: int) -> Matcher:
    cohort = Cohort(("cookie:overgrow_id",), "salt")
    return Matcher(
        RouteTable("0123456789ab", Legacy("http://l"), sort_routes(_routes(size)), cohort)
    )


def _head(target: bytes) -> Head:
    return head_of("GET", target, HEADERS, peer="192.0.2.1", scheme="http", trusted=NOBODY)


TARGETS = {
    "no match": b"/static/site%d.css?v=12",
    "late miss": b"/shop/%d/thing?page=2",
    "literal": b"/shop/exact/page0?%d",
    "template": b"/shop/%d/thing6",
    "mixed": b"/shop/item8-%d-8.html",
    "prefix": b"/area4/admin/users%d",
    "canary by cookie": b"/shop/canary7/%d",
}


def _heads(target: bytes) -> list[Head]:
    return [_head(target % number) for number in range(10_000, 10_000 + PATHS)]


def _best_us(call: Callable[[Head], object], heads: list[Head], rounds: int = ROUNDS) -> float:
    """Return the microseconds one call takes in the quickest round over all heads."""
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        for head in heads:
            call(head)
        best = min(best, time.perf_counter() - started)
    return best / len(heads) * 1e6


def _best_of_both(small: Matcher, large: Matcher, heads: list[Head]) -> tuple[float, float]:
    """Return the microseconds of both, measured in turn so that noise meets them alike."""
    pairs = [
        (_best_us(small.match, heads, 2), _best_us(large.match, heads, 2))
        for _ in range(ROUNDS // 2)
    ]
    return min(one for one, _ in pairs), min(other for _, other in pairs)


def _ms(call: Callable[[], object]) -> float:
    """Return the milliseconds of the quickest of three calls."""
    times = []
    for _ in range(3):
        gc.collect()
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


def run() -> dict[str, object]:
    """Return the microseconds of each step, their ratios and the milliseconds of building."""
    matchers = {size: _matcher(size) for size in SIZES}
    facts = Facts(now_s=1.7e9)
    cases: dict[str, dict[str, float]] = {}
    for name, target in TARGETS.items():
        heads = _heads(target)
        small, large = _best_of_both(*(matchers[size] for size in SIZES), heads)
        cases[name] = {
            "match_10_us": small,
            "match_10000_us": large,
            "ratio": large / small,
            "decide_10000_us": _best_us(partial(_decided, matchers[SIZES[1]], facts), heads),
        }
    ranking = rank_routes(_routes(SIZES[1]))
    table = matchers[SIZES[1]].table
    return {
        "head_of_us": _best_us(lambda head: _head(head.target), _heads(TARGETS["literal"])),
        "cases": cases,
        "worst_ratio": max(case["ratio"] for case in cases.values()),
        "build_10000_ms": _ms(lambda: Matcher(table)),
        "check_10000_ms": _ms(lambda: (find_ties(ranking), find_unreachable(ranking))),
    }


def _decided(matcher: Matcher, facts: Facts, head: Head) -> Decision:
    return decide(matcher, head, facts)


def main() -> None:
    """Print the figures as a table."""
    figures = run()
    print(f"head_of {figures['head_of_us']:.2f} us")
    print(f"{'':18}{'match, 10':>12}{'10,000':>10}{'ratio':>8}{'decide':>10}")
    for name, case in figures["cases"].items():
        print(
            f"{name:18}{case['match_10_us']:>9.2f} us{case['match_10000_us']:>7.2f} us"
            f"{case['ratio']:>8.2f}{case['decide_10000_us']:>7.2f} us"
        )
    print(f"worst ratio {figures['worst_ratio']:.2f} (goal <= {GOAL_RATIO})")
    print(f"building 10,000: {figures['build_10000_ms']:.0f} ms", end=", ")
    print(f"ties and unreachable: {figures['check_10000_ms']:.0f} ms")


if __name__ == "__main__":
    main()
