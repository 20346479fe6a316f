"""Reads the store and the current rules, for `diff`, `shadow`, `gate` and `flip`.

It never creates a store. Rules are in compare/NAME.yaml beside the table.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from overgrow.cli.context import Invocation, drafts
from overgrow.cli.failures import Failed
from overgrow.cli.output import echo_safe
from overgrow.text import ago, rfc3339

if TYPE_CHECKING:
    from overgrow.shadow.review.review import DifferenceReview
    from overgrow.shadow.review.rules_folder import RulesFolder
    from overgrow.store.reader import Reader


class NoEvidence(Failed):
    """The store does not exist yet, or cannot be read."""

    def __init__(self, why: object) -> None:
        super().__init__("no-evidence", str(why))


def open_store(call: Invocation) -> Reader:
    """Open the evidence store for reading. If there is no store, exit 1 with the reason."""
    from overgrow.store.engine import StoreError, store_url  # noqa: PLC0415  SQLAlchemy is slow
    from overgrow.store.reader import open_reader  # noqa: PLC0415  as above

    try:
        return open_reader(store_url(call.state_to_read, call.settings.store_url))
    except StoreError as error:
        raise NoEvidence(error) from error
    except PermissionError as error:
        why = f"The evidence in {error.filename} cannot be read: {error.strerror}."
        raise NoEvidence(why) from error


def current_rules(call: Invocation) -> RulesFolder:
    """Return the current rules of each route, and print notes on the rules files that were read."""
    from overgrow.shadow.review.rules_folder import FOLDER, RulesFolder, compare_names  # noqa: PLC0415  reads YAML: not for --help

    names = compare_names(draft.route for draft in drafts(call) if draft.route)
    today = datetime.now(UTC).date()
    return RulesFolder(call.config.parent / FOLDER, names, today, _print_note)


def _print_note(note: str) -> None:
    echo_safe(f"note: {note}", err=True)


def review_of(call: Invocation, rules: RulesFolder) -> DifferenceReview:
    """Return the review of the stored differences under the current rules."""
    from overgrow.shadow.review.review import DifferenceReview  # noqa: PLC0415  only where there is evidence

    return DifferenceReview(partial(open_store, call), rules)


def time_json(at: float | None) -> str | None:
    """Return a unix time as RFC 3339. None stands for "never", and the result is None then, too."""
    return None if at is None else rfc3339(at)


def ago_text(at: float | None) -> str:
    """Return how long ago a unix time was, for people. The time None stands for "never" and gives `-`."""
    return "-" if at is None else ago(time.time() - at)
