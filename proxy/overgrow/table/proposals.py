"""Asks the running workers, through files, whether they would accept a table, before routes.yaml is written.

Whoever wants to send clients to migrated puts the text into `<state>/proposals/`; each worker judges the text with the code
that judges a changed routes.yaml, by the worker's own app, environment and running table, and writes its answer to a
file beside it. No port, no token, no lock is needed. Rule: a proposal changes nothing, and workers ignore a
proposal that is older than a minute.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.files import replace_file
from overgrow.table.reading.table_file import read_table_file
from overgrow.yaml_file.problem import Problem

FOLDER = "proposals"
POLL_S = 0.25  # how often workers look
KEPT_S = 60.0
_ASKED = ".yaml"
_MOST_BYTES = 16 * 1024 * 1024


class ProposalAnswer(NamedTuple):
    """One worker's answer to a proposal.

    `problems` is empty if the worker would accept the table. `stale` says how the sources of the worker's app differ from
    the code that the worker imported, None if they do not.
    """

    slot: int
    pid: int
    problems: tuple[Problem, ...]
    stale: str | None = None  # since when its app is older than its sources


Judge = Callable[[bytes], tuple[Sequence[Problem], str | None]]


class ProposalAnswerer:
    """Answers proposals for one worker; `check` runs a few times a second, in a thread beside the event loop."""

    def __init__(self, state: Path, judge: Judge) -> None:
        self._folder = state / FOLDER
        self._judge = judge
        self._answered: set[str] = set()

    def check(self, slot: int) -> None:
        """Answer the proposals that are new."""
        try:
            names = {name for name in os.listdir(self._folder) if name.endswith(_ASKED)}  # noqa: PTH208  much faster
        except OSError:
            names = set()
        for name in sorted(names - self._answered):
            if _age_s(self._folder / name) < KEPT_S:
                self._answer(name, slot)
        self._answered = names

    def _answer(self, name: str, slot: int) -> None:
        with suppress(
            OSError
        ):  # whoever asked has gone, or the disk is full: then nobody is answered
            data = read_table_file(self._folder / name)
            problems, stale = self._judge(data)
            answer = {
                "slot": slot,
                "pid": os.getpid(),
                "problems": [problem.as_json() for problem in problems],
                "stale": stale,
            }
            target = self._folder / f"{name.removesuffix(_ASKED)}.{slot}-{os.getpid()}.json"
            replace_file(target, json.dumps(answer).encode())


class Proposal:
    """A text of the table that the workers are asked to judge."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder, key

    def answers(self) -> dict[tuple[int, int], ProposalAnswer]:
        """The answers so far, by slot and process id."""
        found = [_read_answer(path) for path in self._folder.glob(f"{self._key}.*.json")]
        return {(each.slot, each.pid): each for each in found if each is not None}


@contextmanager
def propose_table(state: Path, data: bytes) -> Iterator[Proposal]:
    """Ask every worker about a text, and remove the proposal at the end.

    Raises:
        OSError: if the state folder cannot be written.

    """
    folder = state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    _remove_old(folder)
    key = secrets.token_hex(8)
    replace_file(folder / f"{key}{_ASKED}", data)
    try:
        yield Proposal(folder, key)
    finally:
        for path in folder.glob(f"{key}.*"):
            with suppress(OSError):
                path.unlink()


def _read_answer(path: Path) -> ProposalAnswer | None:
    try:
        answer: Mapping[str, Any] = json.loads(path.read_bytes()[:_MOST_BYTES])
        problems = tuple(Problem(**each) for each in answer["problems"])
        return ProposalAnswer(int(answer["slot"]), int(answer["pid"]), problems, answer["stale"])
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _remove_old(folder: Path) -> None:
    """Remove old proposals, which commands left behind when they were killed."""
    for path in folder.iterdir():
        if _age_s(path) >= KEPT_S:
            with suppress(OSError):
                path.unlink()


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return KEPT_S
