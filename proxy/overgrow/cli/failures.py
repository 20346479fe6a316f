"""How a command fails: a code, what, where, why and the fix; exit 1.

Standard error always gets the text for people. With --json standard output gets one object,
{"error": {code, message, fix, problems}}, unless the command documents a shape of its own.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from overgrow.cli.output import echo_safe
from overgrow.table.reading.problems import EditRefused, Problem
from overgrow.text import count_text, join_or

# Beside CODES (problems of a table) and REFUSALS (flips that would not be right).
FAILURES: dict[str, str] = {
    "app-import": "The Flask app cannot be imported.",
    "app-missing": "No app is named, neither in the table nor by --app or OVERGROW_APP.",
    "file-exists": "init found a file where it would write the table.",
    "file-missing": "The table cannot be found or read.",
    "file-silent": "A file system does not answer; the message names the path.",
    "file-unusable": "The system refuses a file that the command needs; the message names it.",
    "history-broken": "A line of the history was changed or removed after it was written.",
    "invalid-table": "The table has problems; each is listed.",
    "no-evidence": "The evidence store is not there yet, or cannot be read.",
    "no-rule": "There is no rule to be written for what was asked.",
    "no-secret": "OVERGROW_SECRET is not set, so an override cannot be signed.",
    "not-accepted": "Nobody agreed to the rules that were shown; nothing was written.",
    "rule-exists": "The path has a rule already.",
    "rules-unusable": "The rules of a route cannot be read or written, or have problems.",
    "state-unwritable": "The state folder cannot be written.",
    "traffic-unreadable": "A file of --traffic cannot be read, or no line of it is a request.",
    "unconfirmed": "The change was made, but not every worker confirmed it in time.",
    "unknown-mismatch": "No group of mismatches has this id, or more than one begins so.",
    "unreachable": "The admin listener gave no usable answer.",
    "usage": "The command line or a setting cannot be used (exit 2).",
}


class Failed(click.ClickException):
    """A command that did not do what was asked."""

    exit_code = 1

    def __init__(
        self, code: str, message: str, fix: str = "", problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message)
        self.code, self.fix, self.problems = code, fix, tuple(problems)

    def show(self, file: Any = None) -> None:  # noqa: ARG002  click's signature
        """Print the reason, then the problems below it."""
        text = " ".join(filter(None, [self.message, self.fix]))
        echo_safe(f"Error: {text} [{self.code}]", err=True)
        for problem in self.problems:
            echo_safe(f"  {problem}", err=True)

    def as_json(self) -> dict[str, Any]:
        """The failure as --json prints it below "error"."""
        problems = [problem.as_json() for problem in self.problems]
        return {"code": self.code, "message": self.message, "fix": self.fix, "problems": problems}


class BadUsage(Failed):
    """A failure of the words given, whatever the table says: bad usage."""

    exit_code = 2


class AlreadyPrinted(Failed):
    """A failure whose JSON, in the command's own shape, is printed already."""


class InvalidTable(Failed):
    """Problems of a table, printed one a line: their own beginning says where they stand."""

    def __init__(self, config: Path, problems: Sequence[Problem]) -> None:
        count = count_text(len(problems), "problem")
        super().__init__("invalid-table", f"{config} has {count}.", "Mend them all.", problems)

    def show(self, file: Any = None) -> None:  # noqa: ARG002  click's signature
        """Print the problems as they are."""
        for problem in self.problems:
            echo_safe(str(problem), err=True)


def failure_of(refused: EditRefused) -> Failed:
    """What the loading part refused, as a failure of the command."""
    what = f"{refused.message}."
    return Failed(refused.code, what, refused.fix, refused.problems)


def print_as_json(failure: Failed) -> None:
    """Print the failure for a machine; the text for people follows on standard error."""
    if not isinstance(failure, AlreadyPrinted):
        echo_safe(json.dumps({"error": failure.as_json()}, indent=2))


def unknown_route(config: Path, name: str, names: Iterable[str]) -> Failed:
    """The failure of a name that no route has, with the nearest ones."""
    near = difflib.get_close_matches(name.lower(), list(names), 3, cutoff=0.5)
    fix = f"Did you mean {join_or(near)}?" if near else "overgrow routes lists the names."
    return Failed("unknown-route", f"{config} has no route named {name}.", fix)
