"""The scenarios: each measures one thing, the front door and its peers in turns, and returns a Section.

Rule: rounds go round: every peer is measured once before any is measured again, so that a noisy
minute meets them all alike. A scenario starts what it needs and leaves the ending to its Place.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import first_paint, load, loading, routing, slow, watching
from benchmarks import otel as tracing
from benchmarks.figures import (
    Goal,
    Section,
    at_least,
    at_most,
    number,
    quantile,
    ratio,
    ratios,
    spread,
)
from benchmarks.processes import ROOT, Peak, Running, python
from benchmarks.servers import (
    FRONT,
    THREADS,
    Place,
    front_folder,
    start_front,
    start_shop,
    started_peers,
)
from overgrow.slow_clients.spool import MAX_BYTES

SMALL = "/items/7?page=2"
MOVED = "/moved/7"
TURNS = "/turns/7"
COPIED = "/copied/7"
PER_S = 100  # the open loop of the shadow scenario
WITHOUT, AGAIN, WITH = "without shadow", "without, again", "100% shadow"
SHARES = {WITHOUT: "", AGAIN: "", WITH: "100%"}
PLAIN = str.maketrans("", "", "%,")  # for names of files
MOST_SHADOW = 1.05
MEGABYTE = 1e6
VIEWERS = 5
MOST_WATCHING = {20: 1.0, 1_000: 5.0}  # routes: percent of a core that the viewers may take
FILES_BESIDE_STREAMS = 200  # what a process has open beside its streams


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure. A round of rates lasts `seconds`; a round of latencies `requests`."""

    rounds: int = 5
    seconds: int = 3
    connections: int = 32
    requests: int = 1000
    body_rounds: int = 3
    streams: int = 5000
    stream_requests: int = 1000
    flips: int = 6
    routing_rounds: int = 12
    load_rounds: int = 5
    shadow_rounds: int = 5
    shadow_seconds: int = 8
    shadow_warm_s: int = 2
    slow_clients: int = 1000
    slow_rounds: int = 3
    slow_seconds: int = 8
    slow_streams: int = 100  # of events, quiet for so long beside slow clients:
    slow_streams_s: int = 60
    watch_seconds: int = 60
    watch_rounds: int = 6


FULL = Plan()
QUICK = Plan(
    rounds=1,
    seconds=1,
    requests=200,
    body_rounds=1,
    streams=1000,
    stream_requests=200,
    flips=2,
    routing_rounds=2,
    load_rounds=1,
    shadow_rounds=1,
    shadow_seconds=3,
    shadow_warm_s=1,
    slow_rounds=1,
    slow_seconds=3,
    slow_streams_s=8,
    watch_seconds=8,
    watch_rounds=2,
)


def small_gets(place: Place, plan: Plan) -> Section:
    """Requests a second of small GETs at 32 connections."""
    rates, cpu_us = rates_of(started_peers(place), plan, SMALL)
    rows = [
        [name, spread(values), number(statistics.median(cpu_us[name])), against(rates, name)]
        for name, values in rates.items()
    ]
    wanted = {"Caddy": 1.0, "nginx": 0.4, "aiohttp by hand": 2.0, "Flask + httpx": 20.0}
    goals = [
        at_least(
            f"small GETs, {plan.connections} connections, to {peer}",
            ratio(rates, FRONT, peer),
            least,
        )
        for peer, least in wanted.items()
        if peer in rates
    ]
    return Section(
        f"Small GETs, {plan.connections} connections",
        f"300 bytes, keep-alive, {plan.rounds} rounds of {plan.seconds} s each: the median and, "
        "in brackets, the least and the most; processor time of the worker for one request.",
        ["", "requests/s", "CPU us", f"{FRONT} / it"],
        rows,
        goals,
    )


def browser_gets(place: Place, plan: Plan) -> Section:
    """The same with the headers of a browser: each costs a proxy written in Python something."""
    running = started_peers(place, (FRONT, "nginx", "Caddy", "HAProxy", "aiohttp by hand"))
    rates, cpu_us = rates_of(running, plan, SMALL, load.BROWSER)
    rows = [
        [name, spread(values), number(statistics.median(cpu_us[name])), against(rates, name)]
        for name, values in rates.items()
    ]
    return Section(
        "Small GETs with a browser's headers",
        f"As above, with {len(load.BROWSER)} more request headers. No goal of its own.",
        ["", "requests/s", "CPU us", f"{FRONT} / it"],
        rows,
    )


def rates_of(
    running: Sequence[Running], plan: Plan, path: str, headers: Sequence[str] = ()
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Requests a second and microseconds of worker a request: {name: one value a round}."""
    rates: dict[str, list[float]] = {each.name: [] for each in running}
    cpu_us: dict[str, list[float]] = {each.name: [] for each in running}
    for each in running:
        load.latencies_s(each.port, path, 20)
    for _ in range(plan.rounds):
        for each in running:
            rate, spent_us = rate_of(each, plan, path, headers)
            rates[each.name].append(rate.per_s)
            cpu_us[each.name].append(spent_us)
    return rates, cpu_us


def rate_of(
    running: Running, plan: Plan, path: str, headers: Sequence[str] = ()
) -> tuple[load.Rate, float]:
    before_s = running.cpu_s()
    rate = load.rate(
        running.port, path, connections=plan.connections, seconds=plan.seconds, headers=headers
    )
    if not rate.requests or (rate.failed and running.name == FRONT):
        raise ConnectionError(f"{running.name}: {rate.failed} of {rate.requests} requests failed")
    return rate, (running.cpu_s() - before_s) / rate.requests * 1e6


def against(found: Mapping[str, Sequence[float]], name: str) -> str:
    """The ratio of the front door to a peer; a dash for itself."""
    if name == FRONT or FRONT not in found:
        return "-"
    return spread(ratios(found[FRONT], found[name]))


def latency(place: Place, plan: Plan) -> Section:
    """What a proxy adds to one request at one connection."""
    running = started_peers(place)
    ports = {"direct": place.upstream, **{each.name: each.port for each in running}}
    medians: dict[str, list[float]] = {name: [] for name in ports}
    tails: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(plan.rounds):
        for name, port in ports.items():
            count = plan.requests if name != "Flask + httpx" else plan.requests // 4
            taken_s = load.latencies_s(port, SMALL, count)
            medians[name].append(statistics.median(taken_s) * 1e3)
            tails[name].append(quantile(taken_s, 0.99) * 1e3)
    added = {name: added_ms(values, medians["direct"]) for name, values in medians.items()}
    rows = [
        [name, spread(medians[name]), spread(tails[name]), spread(added[name])] for name in ports
    ]
    rows[0][3] = "-"
    found_ms = statistics.median(added[FRONT])
    return Section(
        "Small GETs, 1 connection",
        f"{plan.rounds} rounds of {plan.requests} requests one after the other, in milliseconds.",
        ["", "median", "p99", "median added"],
        rows,
        [at_most("latency added at 1 connection, median", found_ms, 0.2, "ms")],
    )


def added_ms(through: Sequence[float], direct: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(through, direct, strict=True)]


def bodies(place: Place, plan: Plan) -> Section:
    """100 MB down and up: speed, and how far the worker grows."""
    running = started_peers(place)
    ways = {"down": load.download_s, "up": load.upload_s}
    speeds: dict[str, dict[str, list[float]]] = {
        way: {each.name: [] for each in running} for way in ways
    }
    growth: dict[str, dict[str, float]] = {
        way: {each.name: 0.0 for each in running} for way in ways
    }
    for _ in range(plan.body_rounds):
        for each in running:
            for way, transfer_s in ways.items():
                peak = Peak(each)
                with peak.watched():
                    took_s = transfer_s(each.port)
                speeds[way][each.name].append(100 / took_s)
                most = max(growth[way][each.name], peak.growth_bytes / MEGABYTE)
                growth[way][each.name] = most
    rows = [
        [each.name]
        + [
            cell
            for way in ways
            for cell in (spread(speeds[way][each.name]), number(growth[way][each.name]))
        ]
        for each in running
    ]
    goals = []
    for way in ways:
        if "nginx" in speeds[way]:
            found = ratio(speeds[way], FRONT, "nginx")
            goals.append(at_least(f"100 MB {way}, to nginx", found, 0.5))
        goals.append(at_most(f"100 MB {way}: the worker grows", growth[way][FRONT], 32, "MB"))
    return Section(
        "100 MB bodies",
        f"One connection, {plan.body_rounds} rounds, MB/s; growth is the most that the worker's "
        "resident memory rose during one.",
        ["", "down MB/s", "grows MB", "up MB/s", "grows MB"],
        rows,
        goals,
    )


def sse(place: Place, plan: Plan) -> Section:
    """Idle server-sent-event streams."""
    return streams(place, plan, "SSE", load.SSE)


def websockets(place: Place, plan: Plan) -> Section:
    """Idle WebSocket tunnels."""
    return streams(place, plan, "WebSocket", load.WEBSOCKET)


def streams(place: Place, plan: Plan, kind: str, request: bytes) -> Section:
    """The memory of idle streams in one worker, and quick GETs beside them."""
    count = open_files_for(plan.streams)
    rows, goals = [], []
    for each in started_peers(place, (FRONT, "nginx")):
        load.latencies_s(each.port, SMALL, 200)
        before = each.rss_bytes()
        with load.idle_streams(each.port, request, count):
            load.latencies_s(each.port, SMALL, 200)  # the first after so much opening are slow
            kilobytes = (each.rss_bytes() - before) / count / 1000
            taken_ms = [s * 1e3 for s in load.latencies_s(each.port, SMALL, plan.stream_requests)]
        tail_ms = quantile(taken_ms, 0.99)
        rows.append(
            [each.name, number(kilobytes), number(statistics.median(taken_ms)), number(tail_ms)]
        )
        if each.name == FRONT:
            goals = [
                at_most(f"{count:,} idle {kind} streams, each", kilobytes, 25, "KB"),
                at_most(f"a quick GET beside {count:,} {kind}, p99", tail_ms, 20, "ms"),
            ]
    return Section(
        f"{count:,} idle {kind} streams in one worker",
        "Resident memory of the worker for each stream, and milliseconds of small GETs beside them.",
        ["", "KB each", "GET median", "GET p99"],
        rows,
        goals,
    )


def open_files_for(wanted: int) -> int:
    """Raise the limit of open files; return how many streams fit, and say so if they are fewer.

    The worker needs two files for each stream, one to the client and one to the upstream.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * wanted + FILES_BESIDE_STREAMS
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < needed:
            fitting = (most - FILES_BESIDE_STREAMS) // 2
            print(
                f"{wanted:,} streams need {needed:,} open files and the limit is {most:,}: only "
                f"{fitting:,} streams. Raise it with: ulimit -Hn {needed}"
            )
            return fitting
    return wanted


def tables(place: Place, plan: Plan) -> Section:  # noqa: ARG001 - a scenario's signature
    """Route tables of 10 and 10,000: matching, loading, and the pause while it reloads."""
    with (
        halved(routing, "ROUNDS", plan.routing_rounds),
        halved(loading, "ROUNDS", plan.load_rounds),
    ):
        matching, loaded = routing.run(), loading.run()
    cases = matching["cases"]
    rows = [
        [
            f"match, {name}",
            f"{case['match_10_us']:.2f} us",
            f"{case['match_10000_us']:.2f} us",
            f"{case['ratio']:.2f}",
        ]
        for name, case in cases.items()
    ]
    rows.append(["text to table", "-", f"{loaded['load_s']:.2f} s", "-"])
    rows.append(["longest pause of the loop", "-", f"{loaded['longest_pause_ms']:.0f} ms", "-"])
    worst = matching["worst_ratio"]
    return Section(
        "Route tables of 10 and of 10,000",
        "Pure functions in one process, the best of many rounds for matching, medians for loading.",
        ["", "10 routes", "10,000 routes", "ratio"],
        rows,
        [
            Goal("matching, 10,000 routes to 10", f"x{worst:.2f}", "<= 1.2", worst <= 1.2),
            at_most("loading 10,000 routes", loaded["load_s"], 1, "s"),
            at_most("the loop's pause meanwhile", loaded["longest_pause_ms"], 50, "ms"),
        ],
    )


@contextlib.contextmanager
def halved(module: object, name: str, value: int) -> Iterator[None]:
    """Let a module measure fewer rounds for a while."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def migrated(place: Place, plan: Plan) -> Section:
    """A migrated endpoint against the same Flask app under plain gunicorn gthread."""
    running = [start_front(place), start_shop(place)]
    rates, cpu_us = rates_of(running, plan, MOVED)
    rows = [
        [name, spread(values), number(statistics.median(cpu_us[name])), against(rates, name)]
        for name, values in rates.items()
    ]
    found = ratio(rates, FRONT, "plain gthread")
    return Section(
        "A migrated endpoint",
        f"The same Flask view, one worker of {THREADS} threads, {plan.connections} connections.",
        ["", "requests/s", "CPU us", f"{FRONT} / it"],
        rows,
        [at_least("a migrated endpoint, to plain gunicorn gthread", found, 1.0)],
    )


def flip(place: Place, plan: Plan) -> Section:
    """Flips under full load: nothing may fail, and all workers follow."""
    workers = max(2, min(4, len(os.sched_getaffinity(0))))
    front = start_front(place, workers=workers, name="flipped front door")
    folder = front_folder(place, workers=workers, name="flipped front door")
    seen: list[load.Rate] = []
    seconds = max(plan.seconds, 2 * plan.flips)
    under_load = threading.Thread(
        target=lambda: seen.append(
            load.rate(front.port, TURNS, connections=plan.connections, seconds=seconds)
        )
    )
    under_load.start()
    try:
        taken_s = [flipped_s(folder, side) for side in turns(plan.flips)]
    finally:
        under_load.join()
    failed = seen[0].failed
    return Section(
        "Flips under full load",
        f"{workers} workers, {plan.connections} connections that ask again at once; seconds from "
        "the written file to the last worker that runs it.",
        ["", "flips", "requests", "failed", "seconds"],
        [[FRONT, str(plan.flips), f"{seen[0].requests:,}", str(failed), spread(taken_s)]],
        [
            Goal("failed requests while flipping", str(failed), "0", failed == 0),
            at_most("a flip reaches all workers", max(taken_s), 1, "s"),
        ],
    )


def turns(count: int) -> list[str]:
    return ["migrated" if at % 2 == 0 else "legacy" for at in range(count)]


def flipped_s(folder: Path, side: str) -> float:
    """Flip the route; the seconds from the file's time to all workers running it."""
    config = folder / "routes.yaml"
    ran = subprocess.run(
        python("-m", "overgrow.cli.main", "flip", "turns", side, "--config", str(config), "--json"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if ran.returncode:
        raise ConnectionError(f"the flip was refused: {ran.stderr.strip() or ran.stdout.strip()}")
    revision = json.loads(ran.stdout)["revision"]
    admin = int((folder / "admin").read_text())
    deadline = time.monotonic() + 10
    while not runs(admin, revision):
        if time.monotonic() > deadline:
            raise ConnectionError("not all workers run the flip after 10 s")
        time.sleep(0.02)
    return time.time() - config.stat().st_mtime


def runs(admin: int, revision: str) -> bool:
    """Whether all workers say that they run a revision."""
    connection = http.client.HTTPConnection(load.HOST, admin, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/readyz")
        told = json.loads(connection.getresponse().read())
    return bool(told["agreed"] and told["revision"] == revision)


def shadow(place: Place, plan: Plan) -> Section:
    """What users pay for copies of all their requests to a side that sleeps: nothing, it should be.

    Two processes are never quite alike, so a front door with a shadow is compared with the middle of
    two without one, and how far those are apart says how much of a ratio is chance. Each round has
    processes of its own.
    """
    medians: dict[str, list[float]] = {name: [] for name in SHARES}
    tails: dict[str, list[float]] = {name: [] for name in SHARES}
    for at in range(plan.shadow_rounds):
        for name, taken_s in beside_a_shadow_s(place, plan, at).items():
            medians[name].append(statistics.median(taken_s) * 1e3)
            tails[name].append(quantile(taken_s, 0.99) * 1e3)
    plain = [(one + other) / 2 for one, other in zip(medians[WITHOUT], medians[AGAIN], strict=True)]
    against_plain = {name: ratios(medians[name], plain) for name in SHARES}
    most = statistics.median(against_plain[WITH])
    rows = [
        [name, spread(medians[name]), spread(tails[name]), spread(against_plain[name])]
        for name in SHARES
    ]
    goal = Goal(
        "100% shadow, users' median latency", f"x{number(most)}", "<= 1.05", most <= MOST_SHADOW
    )
    return Section(
        "Shadowing",
        f"{plan.shadow_rounds} rounds of {plan.shadow_seconds} s at {PER_S} requests/s each, in "
        "turns, in milliseconds; the shadow side sleeps 5 s.",
        ["", "median", "p99", "median / both without"],
        rows,
        [goal],
    )


def beside_a_shadow_s(place: Place, plan: Plan, at: int) -> dict[str, list[float]]:
    """One round: three front doors, warmed up, asked in turns, request by request, and ended."""
    running = {
        name: start_front(place, name=f"{name.translate(PLAIN)} {at}", shadow=share)
        for name, share in SHARES.items()
    }
    ports = {name: each.port for name, each in running.items()}
    load.open_loops_s(ports, COPIED, per_s=PER_S, seconds=plan.shadow_warm_s)
    taken_s = load.open_loops_s(ports, COPIED, per_s=PER_S, seconds=plan.shadow_seconds)
    place.stop()
    return taken_s


def slow_clients(place: Place, plan: Plan) -> Section:
    """What 1,000 slow clients of either kind cost others, event streams among them."""
    count = open_files_for(plan.slow_clients)
    front = start_front(place)
    load.latencies_s(front.port, SMALL, 200)
    load.latencies_s(front.port, MOVED, 200)
    peak = Peak(front, looks_at_spool=True)
    with peak.watched():
        found = slow.beside(front.port, count, plan.slow_seconds, plan.slow_rounds)
        heard = slow.streams_beside(
            front.port, place.upstream, count, plan.slow_streams, plan.slow_streams_s
        )
    grown, spooled = peak.growth_bytes / MEGABYTE, peak.most_spooled_bytes / MEGABYTE
    rows = [
        [name, number(without), number(with_them), number(with_them - without)]
        for name, (without, with_them) in found.items()
    ]
    worst = max(with_them - without for without, with_them in found.values())
    most_mb = count * slow.MOST_BYTES_EACH / MEGABYTE
    streams = f"event streams, quiet for {plan.slow_streams_s} s beside them, that still hear"
    return Section(
        f"{count:,} slow clients in one worker",
        f"p99 of others at {slow.PER_S} requests/s over {plan.slow_seconds} s, in milliseconds, the "
        f"median of {plan.slow_rounds} rounds. All slow clients are served. The worker grows by "
        f"{number(grown)} MB, its spool to {number(spooled)} MB.",
        ["", "without", "beside them", "more"],
        rows,
        [
            at_most(f"others beside {count:,} slow clients, p99 more", worst, 250, "ms"),
            Goal(streams, f"{heard}", f">= {plan.slow_streams}", heard >= plan.slow_streams),
            at_most(f"{count:,} slow clients: the worker grows", grown, most_mb, "MB"),
            at_most(f"{count:,} slow clients: the spool", spooled, MAX_BYTES / MEGABYTE, "MB"),
        ],
    )


def viewers(place: Place, plan: Plan) -> Section:
    """What five people at the admin page cost the workers."""
    rows, goals = [], []
    for routes, most_percent in MOST_WATCHING.items():
        name = f"front door with {routes} routes"
        table = watching.table_text(place.upstream, routes)
        front = start_front(place, workers=4, name=name, table=table)
        admin = int((front_folder(place, workers=4, name=name) / "admin").read_text())
        without, with_them = watching.percents(
            front,
            admin,
            routes=routes,
            viewers=VIEWERS,
            seconds=plan.watch_seconds,
            rounds=plan.watch_rounds,
        )
        more = statistics.mean(with_them) - statistics.mean(without)
        rows.append([f"{routes:,} routes", spread(without), spread(with_them), number(more)])
        what = f"{VIEWERS} viewers, {routes:,} routes"
        goals.append(at_most(what, max(more, 0.0), most_percent, "% of a core"))
        place.stop()
    return Section(
        f"{VIEWERS} viewers of the admin page",
        f"Processor time of all four workers over {plan.watch_seconds} s each, in {plan.watch_rounds} turns, beside "
        f'{watching.PER_S} requests/s, in percent of one core; "more" is of the means.',
        ["", "without", "with viewers", "more"],
        rows,
        goals,
    )


def overview(place: Place, plan: Plan) -> Section:
    """How long the overview of 1,000 routes takes at the server and in a browser."""
    routes, name = 1_000, "front door of the overview"
    table = watching.table_text(place.upstream, routes)
    front = start_front(place, workers=1, name=name, table=table)
    admin = int((front_folder(place, workers=1, name=name) / "admin").read_text())
    first_paint.warm(front.port, routes)
    rows = []
    for label, path in (("the page", first_paint.PAGE), ("its JSON", first_paint.DATA)):
        found = first_paint.answers_of(admin, path, plan.rounds * 4)
        times = [number(found.first_ms), number(first_paint.middle(found.later_ms))]
        rows.append([label, *times, f"{found.length / 1e3:,.0f} KB"])
    if (seen := first_paint.browser_times(admin)) is not None:
        paints, filters = seen
        paint = [number(paints[0]), number(first_paint.middle(paints[1:]))]
        rows.append(["first paint in chromium", *paint, "-"])
        rows.append(
            ["filter by one key", number(filters[0]), number(first_paint.middle(filters)), "-"]
        )
    place.stop()
    return Section(
        "The overview of 1,000 routes",
        "One worker; every route had a request. Milliseconds; the first answer of a worker reads all counters.",
        ["", "first", "median of the others", "length"],
        rows,
        [],
    )


def otel(place: Place, plan: Plan) -> Section:
    """What a request costs more with OpenTelemetry, by the share that is sampled."""
    with tracing.collector() as port:
        shares = (tracing.OFF, tracing.NONE, tracing.ONE, tracing.ALL)
        running = [
            start_front(place, name=share.strip("%"), environ=tracing.settings_for(share, port))
            for share in shares
        ]
        rows, goals = [], []
        for what, path in (("forwarded", SMALL), ("migrated", MOVED)):
            rates, found_us = rates_of(running, plan, path)
            off_us = found_us[tracing.OFF]
            for share, each in zip(shares, running, strict=True):
                spent_us = found_us[each.name]
                more_us = statistics.median(
                    [one - off for one, off in zip(spent_us, off_us, strict=True)]
                )
                cells = [spread(rates[each.name]), spread(spent_us), number(more_us)]
                rows.append([f"{what}, {share}", *cells])
                if share == tracing.NONE:
                    goals.append(
                        at_most(f"unsampled and {what}, more", more_us, tracing.MOST_US, "us")
                    )
        place.stop()
    return Section(
        "Traces by OpenTelemetry",
        f"Small GETs at {plan.connections} connections, by the share that is sampled: microseconds of the worker's processor for "
        f"a request, in {plan.rounds} rounds of {plan.seconds} s; the median of what each round adds to that without OpenTelemetry.",
        ["", "requests/s", "CPU us", "more"],
        rows,
        goals,
    )


SCENARIOS: dict[str, Callable[[Place, Plan], Section]] = {
    "small-gets": small_gets,
    "browser-gets": browser_gets,
    "latency": latency,
    "bodies": bodies,
    "sse": sse,
    "websockets": websockets,
    "tables": tables,
    "migrated": migrated,
    "flip": flip,
    "shadow": shadow,
    "slow-clients": slow_clients,
    "viewers": viewers,
    "overview": overview,
    "otel": otel,
}
