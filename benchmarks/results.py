"""results.md: what a run found, on what machine, with which versions. No paths and no host names."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sysconfig
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Section, as_markdown, goals_markdown
from benchmarks.servers import lacks_program, peers

HERE = Path(__file__).parent
RESULTS = HERE / "results.md"
PAGE = HERE.parent / "docs" / "performance.md"
PROGRAMS = {
    "nginx": ["nginx", "-v"],
    "Caddy": ["caddy", "version"],
    "HAProxy": ["haproxy", "-v"],
    "wrk": ["wrk", "-v"],
}
PACKAGES = ("gunicorn", "uvloop", "httptools", "httpx", "aiohttp", "flask", "werkzeug")


def machine() -> list[str]:
    """What the run ran on, line by line."""
    cores = len(os.sched_getaffinity(0))
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    programs = [f"{name} {version_of(name)}" for name in PROGRAMS if not lacks(name)]
    packages = [f"{name} {package}" for name in PACKAGES if (package := package_version(name))]
    linux = platform.release().partition("-")[0]
    about = f"{cores} cores, {platform.machine()}, Linux {linux}"
    return [
        f"{about}, Python {platform.python_version()} ({optimised()})",
        f"load average at the start: {load}",
        ", ".join([*programs, *packages]),
    ]


def optimised() -> str:
    """Whether this Python says it was built with profile-guided optimisation, worth a quarter. Debian does not say."""
    built = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return "optimised build" if "--enable-optimizations" in built else "no --enable-optimizations"


def lacks(name: str) -> str:
    return lacks_program(PROGRAMS[name][0])


def version_of(name: str) -> str:
    """The first number with dots that a program says of itself."""
    said = subprocess.run(PROGRAMS[name], capture_output=True, text=True, check=False, timeout=20)
    found = re.search(r"\d+\.\d+[\d.]*", said.stdout + said.stderr)
    return found[0] if found else "?"


def package_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def missing() -> list[str]:
    """Who is not here, and how to get it."""
    lines = [
        f"{peer.name} is not installed and left out: {peer.lacks}" for peer in peers() if peer.lacks
    ]
    if lacks("wrk"):
        lines.append("wrk is not installed; our own slower client loads: apt-get install -y wrk")
    return lines


def written(sections: Sequence[Section], about: Sequence[str]) -> str:
    """Return the text of results.md."""
    goals = [goal for section in sections for goal in section.goals]
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    head = f"# Results\n\nWritten by `make bench` on {at}. Only the ratios travel to other machines.\n\n"
    tables = "\n".join(as_markdown(section) for section in sections if section.rows)
    facts = "".join(f"- {line}\n" for line in about)
    return f"{head}{facts}\n## Goals\n\n{goals_markdown(goals)}\n## Figures\n\n{tables}"


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- measured: NAME -->` and `<!-- end -->` on a page."""
    marked = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    before = page.read_text("utf-8")
    page.write_text(marked.sub(lambda found: found[1] + text + found[2], before), "utf-8")


def keep(sections: Sequence[Section], about: Sequence[str]) -> None:
    """Write results.md, and its figures into docs/performance.md."""
    text = written(sections, about)
    RESULTS.write_text(text, "utf-8")
    if PAGE.exists():
        put(PAGE, "results", re.sub(r"^#", "##", text.partition("\n\n")[2], flags=re.MULTILINE))
