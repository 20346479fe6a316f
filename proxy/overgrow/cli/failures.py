"""How a command fails: it reports a code, what happened, where, why, and the fix, and exits with 1.

Standard error always gets text for people. With --json, standard output gets one object,
{"error": {code, message, fix, problems}}, unless the command documents another shape.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from overgrow.cli.output import echo_safe
from overgrow.shadow.review.refusal import ReviewRefused
from overgrow.table.reading.problems import NEXT_COMMANDS, REFUSALS, EditRefused
from overgrow.text import count_text, join_or
from overgrow.yaml_file.problem import Problem

if TYPE_CHECKING:
    from overgrow.cli.admin_client import Unreachable

# CODES and REFUSALS in table/reading/problems.py have the codes of table problems and refused flips.
FAILURES: dict[str, str] = {
    "app-import": "The Flask app cannot be imported.",
    "app-missing": "No app is named, neither in the table nor by --app or OVERGROW_APP.",
    "backfill-missing": "No backfill of the table runs.",
    "backfill-running": "Another process copies the table, or has taken over.",
    "backfill-stopped": "The backfill was stopped before all rows were copied; the message has the line that resumes it.",
    "contract-unconfirmed": "The drop of a legacy table needs --yes; nothing was dropped.",
    "data-differs": "Rows of the two tables differ; the first ones are listed.",
    "mapping-changed": "A mapping was edited while triggers or a backfill carry out the former one.",
    "data-away": "The database of data.yaml cannot be reached, or went away.",
    "data-locked": "A lock in the database was not free in time; nothing was changed.",
    "data-refused": "The database refused a statement; the message has its reason.",
    "data-url": "data.yaml names no database that can be used.",
    "data-missing": "data.yaml does not exist beside the route table.",
    "ended": "A process that dev started ended by itself; the other was stopped.",
    "file-exists": "init would write the table to a path where a file already exists.",
    "file-missing": "The table cannot be found or read.",
    "file-silent": "A file system does not respond; the message names the path.",
    "file-unusable": "The operating system refuses access to a file that the command needs; the message names it.",
    "history-broken": "A line of the history was changed or removed after it was written.",
    "invalid-table": "The table has problems; each is listed.",
    "log-unreadable": "A log of inventory scan cannot be read, or no line of it is a request.",
    "migrations-unusable": "The Alembic environment cannot be found, read or guarded.",
    "no-evidence": "The evidence store does not exist yet, or cannot be read.",
    "no-rule": "No rule can be written for this group or proposal.",
    "no-secret": "OVERGROW_SECRET is not set, so an override cannot be signed.",
    "not-running": "No front door runs on the state folder, or none that this process may reach.",
    "not-accepted": "Nobody confirmed the rules that were shown; nothing was written.",
    "rule-exists": "The path already has a rule.",
    "rules-unusable": "The rules of a route cannot be read or written, or have problems.",
    "state-unwritable": "The state folder cannot be written.",
    "traffic-unreadable": "A file of --traffic cannot be read, or no line of it is a request.",
    "unconfirmed": "The change was made, but not every worker confirmed it in time.",
    "unknown-table": "data.yaml has no such table, or the table does not come from another one.",
    "unknown-endpoint": "The inventory has no such endpoint, or the text is not a template.",
    "unknown-mismatch": "The beginning of an id fits no group of mismatches, or more than one.",
    "unreachable": "The admin listener gave no usable response.",
    "usage": "The command line or a setting cannot be used (exit 2).",
}


# What to run next after a failure of a command; those of refused edits stand with their codes.
_NEXT: dict[str, tuple[str, ...]] = NEXT_COMMANDS | {
    "app-import": ("overgrow check",),
    "app-missing": ("overgrow init --add --app MODULE:FACTORY",),
    "backfill-missing": ("overgrow data status",),
    "backfill-running": ("overgrow data status",),
    "backfill-stopped": ("overgrow data status",),
    "contract-unconfirmed": ("overgrow data status",),
    "data-differs": ("overgrow data status",),
    "mapping-changed": ("overgrow data check",),
    "data-away": ("overgrow data check",),
    "data-locked": ("overgrow data status",),
    "data-missing": ("overgrow data check",),
    "data-refused": ("overgrow data check",),
    "data-url": ("overgrow data check",),
    "ended": ("overgrow dev",),
    "file-exists": ("overgrow init --add",),
    "file-missing": ("overgrow init --legacy URL",),
    "file-silent": ("overgrow history", "overgrow rollback --all"),
    "file-unusable": ("overgrow status",),
    "history-broken": ("overgrow history",),
    "invalid-table": ("overgrow check",),
    "migrations-unusable": ("overgrow data check",),
    "no-evidence": ("overgrow shadow status",),
    "no-rule": ("overgrow diff",),
    "no-secret": ("overgrow override --help",),
    "not-running": ("overgrow serve",),
    "not-accepted": ("overgrow diff",),
    "rule-exists": ("overgrow diff rules",),
    "rules-unusable": ("overgrow diff rules",),
    "state-unwritable": ("overgrow status",),
    "traffic-unreadable": ("overgrow check",),
    "log-unreadable": ("overgrow inventory list",),
    "unknown-endpoint": ("overgrow inventory list",),
    "unconfirmed": ("overgrow status",),
    "unknown-mismatch": ("overgrow diff",),
    "unknown-table": ("overgrow data status",),
    "unreachable": ("overgrow serve",),
    "usage": ("overgrow --help",),
}


class Failed(click.ClickException):
    """A command failed: its code, message, fix and problems."""

    exit_code = 1

    def __init__(
        self,
        code: str,
        message: str,
        fix: str = "",
        problems: Sequence[Problem] = (),
        next_commands: Sequence[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.fix, self.problems = code, fix, tuple(problems)
        known = _NEXT.get(code, ()) if next_commands is None else next_commands
        self.next_commands = tuple(known)

    def show(self, file: Any = None) -> None:  # noqa: ARG002  click's signature
        """Print the reason, then the problems below it."""
        text = " ".join(filter(None, [self.message, self.fix]))
        echo_safe(f"Error: {text} [{self.code}]", err=True)
        for problem in self.problems:
            echo_safe(f"  {problem}", err=True)

    def as_json(self) -> dict[str, Any]:
        """Return the failure as --json prints it under "error"."""
        problems = [problem.as_json() for problem in self.problems]
        return {
            "code": self.code,
            "message": self.message,
            "fix": self.fix,
            "problems": problems,
            "next": list(self.next_commands),
        }


class BadUsage(Failed):
    """The command's arguments are invalid for every table; exit 2."""

    exit_code = 2


class AlreadyPrinted(Failed):
    """A failure whose JSON is already printed, in the command's own shape."""


class InvalidTable(Failed):
    """A table is invalid; its problems are printed one per line, each with its place first."""

    def __init__(self, config: Path, problems: Sequence[Problem]) -> None:
        count = count_text(len(problems), "problem")
        super().__init__("invalid-table", f"{config} has {count}.", "Fix them all.", problems)

    def show(self, file: Any = None) -> None:  # noqa: ARG002  click's signature
        """Print only the problems, and no sentence before them."""
        for problem in self.problems:
            echo_safe(str(problem), err=True)


def failure_of(refused: EditRefused) -> Failed:
    """Return a refused edit of the table as a failure of the command."""
    what = f"{refused.message}."
    return Failed(refused.code, what, refused.fix, refused.problems, refused.next_commands)


def failure_of_client(error: Unreachable) -> Failed:
    """Return an exception of the admin client as a failure of the command.

    Codes that only the API has become `unreachable`.
    """
    code = error.code if error.code in FAILURES or error.code in REFUSALS else "unreachable"
    return Failed(code, error.message, error.fix)


def failure_of_review(refused: ReviewRefused) -> Failed:
    """Return a refusal about stored differences as a failure of the command."""
    return Failed(refused.code, refused.message, refused.fix, refused.problems)


def print_as_json(failure: Failed) -> None:
    """Print the failure as JSON; the text for people follows on standard error."""
    if not isinstance(failure, AlreadyPrinted):
        echo_safe(json.dumps({"error": failure.as_json()}, indent=2))


def unknown_route(config: Path, name: str, names: Iterable[str]) -> Failed:
    """Return the failure for a name that no route has, with the nearest names."""
    near = difflib.get_close_matches(name.lower(), list(names), 3, cutoff=0.5)
    fix = f"Did you mean {join_or(near)}?" if near else "overgrow routes lists the names."
    return Failed("unknown-route", f"{config} has no route named {name}.", fix)
