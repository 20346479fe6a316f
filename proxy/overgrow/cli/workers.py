"""Gives commands access to the running workers through the state folder, without a port or a token.

A command asks them whether they would accept a table (table/proposals.py), and reads the board until they
follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from overgrow.cli.context import Invocation
from overgrow.files import ANSWER_S, within
from overgrow.table import proposals
from overgrow.table.proposals import name_worker
from overgrow.table.reading.problems import EditRefused
from overgrow.table.running import find_master
from overgrow.yaml_file.problem import Problem

ASKED_S = 2.0
Worker = Mapping[str, Any]


def living_workers(state: Path) -> Sequence[Worker]:
    """Return the reports of the living workers; an empty list if the folder does not respond in time."""
    from overgrow.observe.board import workers  # noqa: PLC0415  only where somebody asks

    board = state / "board"
    try:
        return within(ANSWER_S, board, partial(workers, board))
    except OSError:
        return ()


def is_door_running(state: Path) -> bool:
    """Whether a front door runs on the state folder: a master holds the lock of the folder, or the board has living workers."""
    try:
        if within(ANSWER_S, state, partial(find_master, state)) is not None:
            return True
    except OSError:
        return False
    return bool(living_workers(state))


def ask_workers(call: Invocation, data: bytes, limit_s: float) -> None:
    """Ask each running worker whether it would accept a table.

    Raises:
        EditRefused: if a worker would reject it, or did not respond in time.

    """
    try:
        proposals.ask_workers(call.state, data, partial(living_workers, call.state), limit_s)
    except EditRefused as refused:
        refused.problems = tuple(_with_given_path(each, call.config) for each in refused.problems)
        raise


def find_refusal(call: Invocation, data: bytes, limit_s: float = ASKED_S) -> str | None:
    """Return why the running workers would reject a table.

    Return None if they would accept it, or if no worker runs.
    """
    if not is_door_running(call.state_to_read):
        return None
    try:
        ask_workers(call, data, limit_s)
    except EditRefused as refused:
        first = f": {refused.problems[0]}" if refused.problems else ""
        return f"{refused.message}{first}"
    except OSError:  # a state folder that this user may not write
        return None
    return None


def _with_given_path(problem: Problem, config: Path) -> Problem:
    """Return the problem with the path as the user gave it. Workers report an absolute path."""
    is_of_table = problem.file == str(config.absolute())
    return replace(problem, file=str(config)) if is_of_table else problem


def note_other_table(state: Path, revision: str) -> str | None:
    """If the running workers run another table than the one that a command has read, return a note."""
    others = [each for each in living_workers(state) if each.get("revision") != revision]
    if not others:
        return None
    error = next((each["reload_error"] for each in others if each.get("reload_error")), None)
    runs = f"{name_worker(others[0])} runs revision {others[0].get('revision')}, not this table"
    return f"{runs}: it rejected this table, see overgrow status" if error else runs
