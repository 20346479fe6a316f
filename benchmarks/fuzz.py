"""Bytes that nobody thought of, at the parsers: a bounded search for a broken promise.

    python -m benchmarks fuzz [--seconds 60] [--runs 1000000] [--seed 1] [TARGET ...]

What must hold stands in fuzz_targets.py. With atheris (Linux on x86-64) mutations are led by
coverage, else they are blind. Each target runs in a process of its own, with `--seconds` each.
The status is 1 if a promise broke: the bytes are printed, and break it again.
"""

from __future__ import annotations

import argparse
import importlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.fuzz_seeds import SEEDS, WORDS

MOST_BYTES = 2048
ROOT = Path(__file__).resolve().parents[1]
PARSERS = [
    "overgrow.server.request_parser",
    "gunicorn.asgi.parser",
    "overgrow.forwarding",
    "overgrow.path.in_flight",
    "overgrow.shadow",
]


class Bounds(NamedTuple):
    """Where a search ends, whichever comes first, and where chance begins."""

    seconds: int
    runs: int
    seed: int


def main(argv: Sequence[str]) -> int:
    """Search each target in turn; 1 if any promise broke."""
    parser = argparse.ArgumentParser("python -m benchmarks fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = ", ".join(SEEDS)
    parser.add_argument("targets", nargs="*", choices=[[], *SEEDS], metavar="TARGET", help=names)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--runs", type=int, default=1_000_000, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(argv)
    bounds = Bounds(asked.seconds, asked.runs, asked.seed)
    return max([searched(name, bounds) for name in asked.targets or SEEDS])


def searched(name: str, bounds: Bounds) -> int:
    """Search one target in a process of its own; what it says goes to our output."""
    print(f"\n-- {name}", flush=True)
    with tempfile.TemporaryDirectory(prefix="overgrow-fuzz-") as folder:
        command = [sys.executable, "-m", "benchmarks.fuzz", name, folder, *map(str, bounds)]
        return int(subprocess.run(command, cwd=ROOT, check=False).returncode != 0)


def search(name: str, folder: Path, bounds: Bounds) -> int:
    """Search here: with atheris, which ends the process, or without."""
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        print("(atheris is not installed: mutations are blind)")
        return search_blindly(name, bounds)
    with atheris.instrument_imports(include=PARSERS):
        targets = importlib.import_module("benchmarks.fuzz_targets")
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS))
    options = [
        f"-max_total_time={bounds.seconds}",
        f"-runs={bounds.runs}",
        f"-seed={bounds.seed}",
        f"-max_len={MOST_BYTES}",
        f"-dict={words}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-verbosity=0",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *options], told(targets.TARGETS[name]))
    atheris.Fuzz()
    return 0


def told(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The target, with the bytes printed that break it."""

    def run(data: bytes) -> None:
        try:
            target(data)
        except BaseException:
            print(f"broken by {data!r}", flush=True)
            raise

    return run


def search_blindly(name: str, bounds: Bounds) -> int:
    """Mutate the seeds at random until a promise breaks or a bound is met."""
    targets = importlib.import_module("benchmarks.fuzz_targets")
    chance = random.Random(bounds.seed)
    target, seeds = told(targets.TARGETS[name]), SEEDS[name]
    until_s, runs = time.monotonic() + bounds.seconds, 0
    while runs < bounds.runs and time.monotonic() < until_s:
        target(mutated(chance.choice(seeds), seeds, WORDS, chance))
        runs += 1
    targets.close()
    print(f"{runs} runs, no promise broke")
    return 0


def mutated(
    data: bytes, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random
) -> bytes:
    """The data with up to five changes: a word put in or over, a byte, a cut, a splice."""
    for _ in range(chance.randrange(6)):
        at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        kind = chance.randrange(5)
        if kind == 0:
            data = data[:at] + chance.choice(words) + data[at:]
        elif kind == 1:
            word = chance.choice(words)
            data = data[:at] + word + data[at + len(word) :]
        elif kind == 2:
            data = data[:at] + chance.randbytes(1) + data[at + 1 :]
        elif kind == 3:
            data = data[:at] + data[min(end, at + 8) :]
        else:
            data = data[:at] + chance.choice(seeds)[at:]
    return data[:MOST_BYTES]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    _, target_name, place, *numbers = sys.argv
    sys.exit(search(target_name, Path(place), Bounds(*map(int, numbers))))
