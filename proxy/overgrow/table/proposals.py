"""Asks the running workers, through files, whether they would accept a table, before routes.yaml is written.

Before clients are sent to migrated, the text goes into `<state>/proposals/`. Each worker judges the text with
the code that judges a changed routes.yaml, against its own app, environment and running table. Then the worker
writes its answer to a file beside the text. This works without a port, token or lock. Rule: a proposal changes
nothing, and workers ignore a proposal that is older than a minute.
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
from overgrow.table.reading.problems import EditRefused
from overgrow.table.reading.table_file import read_table_file
from overgrow.yaml_file.problem import Problem

FOLDER = "proposals"
POLL_S = 0.25  # how often workers look
KEPT_S = 60.0
LOOK_S = 0.05  # how often whoever asks looks for answers
_ASKED = ".yaml"
_MOST_BYTES = 16 * 1024 * 1024


class ProposalAnswer(NamedTuple):
    """One worker's answer to a proposal.

    `problems` is empty if the worker would accept the table. `stale` says how the sources of the worker's app
    differ from the code that the worker imported; None if they are equal.
    """

    slot: int
    pid: int
    problems: tuple[Problem, ...]
    stale: str | None = None  # since when its app is older than its sources


Worker = Mapping[str, Any]  # what a worker reports on the board
Judge = Callable[[bytes], tuple[Sequence[Problem], str | None]]


class ProposalAnswerer:
    """The part of one worker that judges each new proposal and writes the answer.

    The worker calls `check` a few times a second, in a thread beside the event loop.
    """

    def __init__(self, state: Path, judge: Judge) -> None:
        self._folder = state / FOLDER
        self._judge = judge
        self._answered: set[str] = set()

    def check(self, slot: int) -> None:
        """Answer all new proposals."""
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
    """A text of the table that the workers must judge."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder, key

    def answers(self) -> dict[tuple[int, int], ProposalAnswer]:
        """The answers so far, by slot and process id."""
        found = [_read_answer(path) for path in self._folder.glob(f"{self._key}.*.json")]
        return {(each.slot, each.pid): each for each in found if each is not None}


@contextmanager
def propose_table(state: Path, data: bytes) -> Iterator[Proposal]:
    """Ask every worker about a text inside the block, and remove the proposal at its end.

    Raises: OSError: if the state folder cannot be written.
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


def ask_workers(
    state: Path, data: bytes, living: Callable[[], Sequence[Worker]], limit_s: float
) -> None:
    """Ask each running worker whether it would accept a table. `living` returns the reports of the living workers.

    Raises:
        EditRefused: if a worker would reject it, or did not respond in time.
        OSError: if the state folder cannot be written.

    """
    deadline = time.monotonic() + limit_s
    with propose_table(state, data) as proposal:
        while True:
            answers = proposal.answers()
            # Workers that are leaving keep their old app and accept no new clients.
            asked = [each for each in living() if not each.get("leaving")]
            silent = [each for each in asked if (each["slot"], each["pid"]) not in answers]
            refusing = [each for each in answers.values() if each.problems]
            if refusing:
                raise _refusal(refusing[0])
            if asked and not silent:
                return
            if time.monotonic() >= deadline:
                raise _no_response_refusal(silent, limit_s)
            time.sleep(LOOK_S)


def _refusal(refusing: ProposalAnswer) -> EditRefused:
    what = f"worker {refusing.slot} (pid {refusing.pid}) would reject the table"
    stale = refusing.stale
    if stale is None:
        fix = "Nothing was changed. Fix this first."
        return EditRefused("workers-refuse", what, fix, refusing.problems)
    fix = f"Nothing was changed. {stale[:1].upper()}{stale[1:]}: overgrow reload."
    return EditRefused("workers-refuse", what, fix, refusing.problems, ["overgrow reload"])


def _no_response_refusal(silent: Sequence[Worker], limit_s: float) -> EditRefused:
    names = (
        ", ".join(map(name_worker, silent)) or "the front door, whose workers are not running yet,"
    )
    what = f"{names} did not say within {limit_s:g} s whether it would accept the table"
    return EditRefused(
        "workers-silent", what, "Nothing was changed. See overgrow status whether it hangs."
    )


def name_worker(worker: Worker) -> str:
    """Return the name of a worker for messages."""
    return f"worker {worker['slot']} (pid {worker['pid']})"


def _read_answer(path: Path) -> ProposalAnswer | None:
    try:
        answer: Mapping[str, Any] = json.loads(path.read_bytes()[:_MOST_BYTES])
        problems = tuple(Problem(**each) for each in answer["problems"])
        return ProposalAnswer(int(answer["slot"]), int(answer["pid"]), problems, answer["stale"])
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _remove_old(folder: Path) -> None:
    """Remove old proposals of commands that were killed."""
    for path in folder.iterdir():
        if _age_s(path) >= KEPT_S:
            with suppress(OSError):
                path.unlink()


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return KEPT_S
