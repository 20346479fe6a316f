"""How well and how fast the inventory reads logs: templates found, lines a second, memory.

    python -m benchmarks inventory [--lines 10000000] [--seeds 3]

Accuracy: traffic is made from the templates of six published APIs (benchmarks/path_templates/), with weights by
Zipf's law and values by what a parameter's name says: UUIDs, hashes, numbers, slugs. A request counts as right only
if its template's group is exactly the set of requests of the true template. Values are drawn anew for each
request, from 200 values for each name, or from 200 for all names that are slugs. Speed: `overgrow inventory scan`
reads a log of 1,000 templates and 50,000 paths, as a process of its own.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from overgrow.inventory.tally import template_of_raw
from overgrow.inventory.templating import templates_of

FOLDER = Path(__file__).with_name("path_templates")
REQUESTS = 10_000
VALUES = 200
MODES = ("new values", "200 for each name", "200 for all slugs")
LEAST, LEAST_MEAN = 0.80, 0.87
LEAST_LINES_PER_S, MOST_MB = 30_000, 200
BLOCK = 500_000  # lines that are made; a longer log repeats them
TEMPLATES, PATHS = 1_000, 50_000
WORDS = [
    "amber",
    "river",
    "stone",
    "cloud",
    "maple",
    "tiger",
    "delta",
    "nova",
    "pixel",
    "rocket",
    "alpha",
    "harbor",
    "cedar",
    "falcon",
    "ember",
    "lotus",
    "orbit",
    "prism",
    "quartz",
    "raven",
    "solar",
    "tundra",
    "umbra",
    "vertex",
    "willow",
    "zenith",
    "coral",
    "dune",
    "fern",
    "grove",
]
AGENTS = ["Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "curl/8.5.0", "Googlebot/2.1"]


def slug(chance: random.Random) -> str:
    """A name as people give it: one to three words, or a word with a number."""
    first, second, third = chance.choices(WORDS, k=3)
    forms = (
        first + second,
        f"{first}-{second}",
        f"{first}-{second}-{third}",
        f"{first}{chance.randrange(999)}",
    )
    return chance.choices(forms, (3, 3, 2, 2))[0]


def value_of(name: str, chance: random.Random) -> str:
    """A value of a parameter, by what its name says."""
    word = name.lower()
    if "uuid" in word:
        return str(uuid.UUID(int=chance.getrandbits(128)))
    if any(each in word for each in ("sha", "hash", "digest", "fingerprint")):
        return f"{chance.getrandbits(160):040x}"
    if is_number(word):
        return str(chance.randrange(1, 10 ** chance.randrange(1, 8)))
    return slug(chance)


def is_number(word: str) -> bool:
    return word in {"id", "n"} or word.endswith(("id", "number", "index", "num"))


def valued(mode: str, chance: random.Random) -> Callable[[str], str]:
    """Return what gives a parameter a value in a mode."""
    pools: dict[str, list[str]] = {}

    def draw(name: str) -> str:
        if mode == MODES[0]:
            return value_of(name, chance)
        key = name if mode == MODES[1] or is_number(name.lower()) else "slug"
        if key not in pools:
            pools[key] = [value_of(name, chance) for _ in range(VALUES)]
        pool = pools[key]
        return pool[min(int(chance.paretovariate(0.7)) - 1, VALUES - 1)]

    return draw


def traffic(templates: Sequence[str], mode: str, seed: str) -> list[tuple[str, str]]:
    """Requests: pairs of the true template and a path."""
    chance = random.Random(seed)
    order = chance.sample(templates, len(templates))
    weights = [1 / rank for rank in range(1, len(order) + 1)]
    draw = valued(mode, chance)
    chosen = chance.choices(order, weights, k=REQUESTS)
    return [(each, re.sub(r"\{(.*?)\}", lambda found: draw(found[1]), each)) for each in chosen]


def accuracy(requests: Sequence[tuple[str, str]]) -> float:
    """The share of the requests whose group is exactly that of their true template."""
    masked = {path: template_of_raw(path.encode())[0] for _, path in requests}
    found = templates_of(Counter(masked[path] for _, path in requests))
    pairs = Counter((template, found[masked[path]]) for template, path in requests)
    groups_of = Counter(template for template, _ in pairs)
    templates_in = Counter(group for _, group in pairs)
    right = (
        times
        for (template, group), times in pairs.items()
        if groups_of[template] == templates_in[group] == 1
    )
    return sum(right) / len(requests)


def measure_accuracy(seeds: int) -> dict[str, dict[str, float]]:
    """Return the mean accuracy of each mode and API over the seeds."""
    figures: dict[str, dict[str, float]] = {}
    for mode in MODES:
        figures[mode] = {}
        for file in sorted(FOLDER.glob("*.txt")):
            templates = file.read_text("utf-8").split()
            each = (accuracy(traffic(templates, mode, f"{file.stem} {n}")) for n in range(seeds))
            figures[mode][file.stem] = statistics.mean(each)
    return figures


def write_log(path: Path, lines: int) -> None:
    """Write a log of TEMPLATES templates and PATHS paths in combined format, with durations."""
    chance = random.Random(1)
    words = [f"{a}{b}" for a in WORDS for b in WORDS]
    shapes = [f"/api/{chance.choice(words)}/{chance.choice(words)}" for _ in range(TEMPLATES)]
    paths = [f"{shapes[n % TEMPLATES]}/{chance.randrange(10**7)}" for n in range(PATHS)]
    block = "".join(
        f"10.{n % 90}.{n % 250}.7 - - [30/Nov/2026:{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02} +0000] "
        f'"GET {paths[min(int(chance.paretovariate(0.4)), PATHS) - 1]}?page=2 HTTP/1.1" 200 {n % 9000} '
        f'"https://shop.example/" "{AGENTS[n % 3]}" {n % 700 / 1000:.3f}\n'
        for n in range(min(lines, BLOCK))
    ).encode()
    with path.open("wb") as stream:
        for _ in range(max(lines // BLOCK, 1)):
            stream.write(block)


def measure_speed(lines: int) -> tuple[float, float]:
    """Return lines a second of processor time, and the peak of memory in MB, of a scan."""
    with tempfile.TemporaryDirectory(prefix="overgrow-bench-") as folder:
        # In a process of its own: the peak of a child's memory includes that of the process that forked it.
        code = f"import sys; from benchmarks.inventory import write_log, Path; write_log(Path(sys.argv[1]), {lines})"
        subprocess.run([sys.executable, "-c", code, f"{folder}/access.log"], check=True)
        command = [sys.executable, "-m", "overgrow", "inventory", "scan", "access.log"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as child:
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"the scan failed with {child.returncode}")
    return lines / (used.ru_utime + used.ru_stime), used.ru_maxrss / 1024


def main(argv: Sequence[str]) -> int:
    """Print the figures and whether the goals are met."""
    parser = argparse.ArgumentParser("python -m benchmarks inventory", description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args(argv)
    for mode, figures in measure_accuracy(asked.seeds).items():
        mean = statistics.mean(figures.values())
        is_met = min(figures.values()) >= LEAST and mean >= LEAST_MEAN
        shown = ", ".join(f"{name} {share:.3f}" for name, share in figures.items())
        print(f"templates, {mode}: {shown}; mean {mean:.3f}: {'met' if is_met else 'MISSED'}")
    rate, memory_mb = measure_speed(asked.lines)
    is_met = rate >= LEAST_LINES_PER_S and memory_mb <= MOST_MB
    print(
        f"{asked.lines:,} lines: {rate:,.0f} lines a second of one core, {memory_mb:.0f} MB: "
        f"{'met' if is_met else 'MISSED'}"
    )
    return 0
