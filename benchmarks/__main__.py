"""`python -m benchmarks`: measure the front door beside its peers and say which goals are met.

python -m benchmarks                     everything, some 8 minutes; writes results.md
python -m benchmarks --quick             everything shortly; writes nothing
python -m benchmarks small-gets bodies   these scenarios; writes nothing
python -m benchmarks profile             where the worker's time goes
python -m benchmarks soak                ten minutes of mixed load
python -m benchmarks fuzz                bytes nobody thought of, at the parsers: three minutes
python -m benchmarks comparing           processor time of comparing pages: seconds
python -m benchmarks reads               a read of the demo's app on SQLAlchemy and on sqlite3: seconds
python -m benchmarks backfill            copying a million rows beside writers, SQLite and PostgreSQL: minutes
python -m benchmarks history             size of a week of history, and the time of its charts: minutes
python -m benchmarks inventory           access logs: templates found, lines a second: minutes; --lines 1000000
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import backfill, comparing, fuzz, history, hotpath, inventory, migrated_reads, soak
from benchmarks.figures import Section, as_text, goals_text
from benchmarks.results import keep, machine, missing
from benchmarks.scenarios import FULL, QUICK, SCENARIOS, Plan
from benchmarks.servers import place_in

OTHERS = {
    "profile": hotpath.main,
    "soak": soak.main,
    "fuzz": fuzz.main,
    "comparing": comparing.main,
    "history": history.main,
    "inventory": inventory.main,
    "reads": migrated_reads.main,
    "backfill": backfill.main,
}


def main(argv: Sequence[str]) -> int:
    """Run what was asked for: 0 if all of it could be measured, whatever the goals say."""
    if argv and argv[0] in OTHERS:
        return OTHERS[argv[0]](argv[1:])
    asked = parsed(argv)
    plan, names = QUICK if asked.quick else FULL, asked.scenarios or list(SCENARIOS)
    about = [*machine(), *missing()]
    print("\n".join(about))
    sections = measured(names, plan)
    print("\n" + goals_text([goal for section in sections for goal in section.goals]))
    is_whole = list(names) == list(SCENARIOS) and len(sections) == len(names)
    if is_whole and not asked.quick:
        keep(sections, about)
        print("\nwrote benchmarks/results.md and its part of docs/performance.md")
    return 0 if len(sections) == len(names) else 1


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "scenarios",
        nargs="*",
        choices=[[], *SCENARIOS],
        metavar="SCENARIO",
        help=f"one of {', '.join(SCENARIOS)}; or first: {', '.join(OTHERS)}",
    )
    parser.add_argument("--quick", action="store_true", help="short rounds, 1,000 streams")
    return parser.parse_args(argv)


def measured(names: Sequence[str], plan: Plan) -> list[Section]:
    """Run the scenarios one by one, each in a place of its own; one that breaks is told of."""
    sections = []
    for name in names:
        begun = time.monotonic()
        print(f"\n-- {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="overgrow-bench-") as folder:
            try:
                with place_in(Path(folder)) as place:
                    section = SCENARIOS[name](place, plan)
            except Exception as error:  # noqa: BLE001 - the other scenarios are worth measuring
                print(f"{name} could not be measured: {type(error).__name__}: {error}")
                continue
        sections.append(section)
        print(as_text(section))
        print(f"({time.monotonic() - begun:.0f} s)", flush=True)
    return sections


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
