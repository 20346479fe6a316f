"""Put one plausible mistake at a time into the code and see whether the tests notice.

    python -m tests.mutants                    every list
    python -m tests.mutants loading store      the lists of these names
    python -m tests.mutants --share 10 --seed HASH   a tenth, drawn by a text

The mistakes are written by hand, one a line, in `tests/mutants/lists/`. Nothing in the checkout is
changed: each mistake is made in a copy of the tree. Exit 1: a mistake went unnoticed that is not
marked as `unnoticed`, or a line no longer fits the code.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.listing import ListError, Mutant, drawn, read_lists
from tests.mutants.running import Outcome, TreeCopy

ROOT = Path(__file__).resolve().parents[2]
LISTS = Path(__file__).resolve().parent / "lists"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen mistakes and report each one that no test noticed."""
    asked = _parser().parse_args(arguments)
    try:
        listed = [one for one in read_lists(LISTS, asked.names) if asked.only in one.title]
        mutants = drawn(listed, percent=asked.share, seed=asked.seed)
    except ListError as error:
        sys.exit(f"{error}")
    began = time.monotonic()
    outcomes = []
    for outcome in run(mutants, jobs=asked.jobs, are_sound=asked.sound):
        outcomes.append(outcome)
        print(outcome.line(), flush=True)
    failed = [outcome for outcome in outcomes if not outcome.is_as_expected]
    print(_summary(outcomes, time.monotonic() - began))
    return 1 if failed else 0


def run(mutants: Sequence[Mutant], *, jobs: int, are_sound: bool = False) -> Iterator[Outcome]:
    """The outcome of each mistake, in the order in which they end."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ExitStack() as open_copies:
        copies: SimpleQueue[TreeCopy] = SimpleQueue()
        for number in range(jobs):
            copy = TreeCopy.of(ROOT, Path(folder) / str(number), are_sound=are_sound)
            copies.put(open_copies.enter_context(copy))

        def judge(mutant: Mutant) -> Outcome:
            with _borrowed(copies) as copy:
                return copy.judge(mutant)

        with ThreadPoolExecutor(jobs) as pool:
            longest_first = sorted(mutants, key=is_quick)
            for future in as_completed([pool.submit(judge, mutant) for mutant in longest_first]):
                yield future.result()


def is_quick(mutant: Mutant) -> bool:
    """Whether no test of a mistake starts servers of its own: those are begun first."""
    return all(test.startswith("tests/unit/") for test in mutant.tests)


@contextmanager
def _borrowed(copies: SimpleQueue[TreeCopy]) -> Iterator[TreeCopy]:
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def _summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    noticed = sum(outcome.is_noticed for outcome in outcomes)
    return f"{noticed} of {len(outcomes)} mistakes noticed in {seconds:.0f} s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make mutants", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("names", nargs="*", help="lists to run, such as loading; all by default")
    parser.add_argument("--only", default="", metavar="TEXT", help="those with TEXT in their title")
    parser.add_argument("--share", type=int, default=100, metavar="N", help="run N percent of them")
    parser.add_argument("--seed", default="", help="the text that draws the share")
    parser.add_argument(
        "--sound", action="store_true", help="the tests are known to pass without a mistake"
    )
    parser.add_argument(
        "--jobs", type=int, default=2 * (os.cpu_count() or 1), help="how many at once"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
