"""Where the worker's time goes during small GETs: samples of its stacks, shared out by part.

Rule: a sample belongs to the innermost frame that one of PARTS knows; what libraries and the
standard library do counts for the part that called them. A sample that ends where bytes are handed
to uvloop counts as a socket's. Shares are of samples of the loop's thread, microseconds are shares of the
processor time of one request, from /proc.

The samples are our own (benchmarks.sampler); --spy takes py-spy's, which favour system calls.

    python -m benchmarks profile [--seconds 20] [--browser] [--record] [--spy]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import load
from benchmarks.processes import TICKS_A_SECOND, Running, cores, on_cores
from benchmarks.results import PAGE, machine, put
from benchmarks.sampler import BEGUN
from benchmarks.servers import Place, place_in, start_front

PATH = "/items/7?page=2"
SAMPLES_A_SECOND = 400
LOOP = "loop: polling, reading (uvloop, kernel)"
SOCKETS = "sockets: writing (uvloop, kernel)"
SERVING = "serving: connection, request cycle, response's head"
CONNECTIONS = ("HttpConnection", "UpstreamConnection", "Connection")
WRITERS = tuple(f"{name}.{at} " for name in CONNECTIONS for at in ("write", "write_all", "start"))
CALLED_BY_THE_LOOP = tuple(f"{name}.data_received " for name in CONNECTIONS)
PARTS = (
    ("reading the request's head", r"gunicorn/asgi/parser\.py|overgrow/server/request_parser\.py"),
    (SERVING, r"overgrow/server/\w+\.py"),
    ("front door: stations, passage", r"overgrow/(path/\w+|app|exchange)\.py"),
    ("routing: head, match, decide", r"overgrow/routing/"),
    (
        "forwarding: header rules, mapping",
        r"overgrow/forwarding/\w+\.py",
    ),
    ("httpx objects", r"httpx/"),
    ("transport: pool, request, answer", r"overgrow/forwarding/"),
    ("breakers", r"overgrow/resilience/"),
    ("metrics", r"overgrow/observe/(metrics|mapped_counters|recent_counts)\.py"),
    ("access log: the line", r"overgrow/observe/access_log/"),
    ("asyncio", r"asyncio/|gunicorn/workers/"),
)
KNOWN = [(name, re.compile(pattern)) for name, pattern in PARTS]


def part_of(stack: Sequence[str]) -> str:
    """The part that a sample of the loop's thread belongs to; frames outermost first."""
    leaf = stack[-1]
    if leaf.startswith(WRITERS):
        return SOCKETS
    if leaf == BEGUN and stack[-2].startswith(CALLED_BY_THE_LOOP):
        return LOOP
    if "gunicorn/workers/gasgi.py" in leaf:
        return LOOP
    for frame in reversed(stack):
        for name, pattern in KNOWN:
            if pattern.search(frame):
                return name
    return "other"


def is_of_the_loop(stack: Sequence[str]) -> bool:
    """Whether a sample is of the thread that serves: the access log has one of its own."""
    return any("FrontWorker.run " in frame for frame in stack)


def samples_of(lines: Iterable[str]) -> Iterable[tuple[list[str], int]]:
    """py-spy's raw format: frames with `;` between them, a space, a count."""
    for line in lines:
        frames, _, count = line.rpartition(" ")
        if frames:
            yield frames.split(";"), int(count)


def shares_of(lines: Iterable[str]) -> dict[str, float]:
    """The share of each part, largest first."""
    found: Counter[str] = Counter()
    for stack, count in samples_of(lines):
        if is_of_the_loop(stack):
            found[part_of(stack)] += count
    total = found.total()
    return {name: count / total for name, count in found.most_common()}


def times_of(pid: int) -> tuple[float, float, float]:
    """Processor seconds of a process: user, kernel, and both of its first thread."""
    whole = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    first = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    user, kernel, *_ = (int(field) / TICKS_A_SECOND for field in whole[11:13])
    return user, kernel, (int(first[11]) + int(first[12])) / TICKS_A_SECOND


def rates(running: Running, seconds: int, headers: Sequence[str]) -> list[float]:
    """Load without a profiler; microseconds a request: all, kernel, other threads, and the rate."""
    pid = running.pids[0]
    user, kernel, first = times_of(pid)
    rate = load.rate(running.port, PATH, connections=32, seconds=seconds, headers=headers)
    then_user, then_kernel, then_first = times_of(pid)
    spent, in_kernel = then_user + then_kernel - user - kernel, then_kernel - kernel
    beside = spent - (then_first - first)
    return [each / rate.requests * 1e6 for each in (spent, in_kernel, beside)] + [rate.per_s]


def sampled(place: Place, seconds: int, headers: Sequence[str], folder: Path) -> list[str]:
    """Load on a front door of its own that is sampled; the samples as lines."""
    raw = folder / "samples"
    front = start_front(place, name="sampled", sampled=raw)
    load.rate(front.port, PATH, connections=32, seconds=seconds, headers=headers)
    place.stop()
    files = sorted(folder.glob("samples.*"))
    return [line for file in files for line in file.read_text("utf-8").splitlines()]


def spied(running: Running, seconds: int, headers: Sequence[str], folder: Path) -> list[str]:
    """Load with py-spy attached; its samples as lines."""
    raw = folder / "profile.raw"
    loading = threading.Thread(
        target=load.rate,
        args=(running.port, PATH),
        kwargs={"connections": 32, "seconds": seconds + 1, "headers": headers},
    )
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or "py-spy"
    words = ["record", "--rate", str(SAMPLES_A_SECOND), "--duration", str(seconds)]
    words += ["--format", "raw", "--output", str(raw), "--pid", str(running.pids[0])]
    loading.start()
    _, others = cores()
    try:
        with on_cores(others):
            subprocess.run([spy, *words], check=True, capture_output=True, timeout=seconds + 30)
    finally:
        loading.join()
    return raw.read_text("utf-8").splitlines()


def table(shares: dict[str, float], spent_us: float) -> str:
    """The profile as a Markdown table."""
    rows = [f"| {name} | {share:.1%} | {share * spent_us:.1f} |" for name, share in shares.items()]
    return "\n".join(["| part | share | us |", "|---|---:|---:|", *rows]) + "\n"


def main(argv: Sequence[str]) -> int:
    """Profile and print."""
    parser = argparse.ArgumentParser("python -m benchmarks profile")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--browser", action="store_true", help="with the headers of a browser")
    parser.add_argument("--record", action="store_true", help="keep it in docs/performance.md")
    parser.add_argument("--spy", action="store_true", help="with py-spy's samples")
    parser.add_argument("--lines", type=int, default=0, help="also the hottest lines")
    asked = parser.parse_args(argv)
    headers = load.BROWSER if asked.browser else ()
    with (
        tempfile.TemporaryDirectory(prefix="overgrow-bench-") as folder,
        place_in(Path(folder)) as place,
    ):
        front = start_front(place)
        load.rate(front.port, PATH, connections=32, seconds=1, headers=headers)
        spent_us, kernel_us, beside_us, per_s = rates(front, asked.seconds, headers)
        if asked.spy:
            lines = spied(front, asked.seconds, headers, Path(folder))
        else:
            front.stop()
            lines = sampled(place, asked.seconds, headers, Path(folder))
    text = (
        f"A request costs the worker {spent_us:.0f} us of processor time at {per_s:,.0f} requests/s: "
        f"{kernel_us:.0f} us of it in the kernel, {beside_us:.0f} us in other threads (access log). "
        "Of the rest, by part:\n\n" + table(shares_of(lines), spent_us - beside_us)
    )
    print(text)
    for place_in_code, share in hottest(lines, asked.lines):
        print(f"{share:6.1%}  {place_in_code}")
    if asked.record:
        put(PAGE, "profile", f"{text}\nMeasured with {'; '.join(machine())}.\n")
    return 0


def hottest(lines: Iterable[str], most: int) -> list[tuple[str, float]]:
    """The lines of code where most samples of the loop's thread end."""
    found: Counter[str] = Counter()
    for stack, count in samples_of(lines):
        if is_of_the_loop(stack):
            found[stack[-2] if stack[-1] == BEGUN else stack[-1]] += count
    return [(place, count / found.total()) for place, count in found.most_common(most)]
