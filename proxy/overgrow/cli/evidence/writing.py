"""Writes accepted rules into compare/NAME.yaml, and records that in the history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from overgrow.cli.context import Invocation
from overgrow.cli.failures import Failed
from overgrow.cli.output import echo_safe
from overgrow.shadow.review.refusal import ReviewRefused
from overgrow.table.editing.accepted_rules import AcceptedRules, lock_for_accept
from overgrow.table.file_lock import LockHeld

if TYPE_CHECKING:
    from overgrow.shadow.review.drafting import Terms
    from overgrow.shadow.review.preview import RulePreview
    from overgrow.shadow.rules.rules import Rule

ATTEMPTS = 5  # while others write to the same file


def write_preview(
    call: Invocation, preview_again: Callable[[], RulePreview], terms: Terms
) -> RulePreview:
    """Write the rules of a preview.

    If somebody else changed the file meanwhile, make a new preview and write its rules.
    """
    for left in reversed(range(ATTEMPTS)):
        preview = preview_again()
        try:
            with _recording(call, terms) as record:
                preview.write()
                record(preview.target.route, preview.target.key, preview.path, preview.rules)
        except ReviewRefused as refused:
            if refused.code != "changed-meanwhile" or not left:
                raise
        else:
            break
    return preview


def write_rules(
    call: Invocation, path: Path, route: str, rules: Sequence[Rule], terms: Terms
) -> None:
    """Append rules to a file, and record this in the history. `route` is empty if the rules are for several routes."""
    from overgrow.shadow.review.rules_text import append_rules  # noqa: PLC0415  reads YAML

    with _recording(call, terms) as record:
        append_rules(path, route, rules)
        record(route or "all routes", None, path, rules)


Recorder = Callable[[str, str | None, Path, Sequence["Rule"]], None]


@contextmanager
def _recording(call: Invocation, terms: Terms) -> Iterator[Recorder]:
    """Hold the lock for writing rules inside the block. If another process holds the lock for too long, exit 1."""
    try:
        with lock_for_accept(call.state) as record_in_history:

            def record(route: str, group: str | None, path: Path, rules: Sequence[Rule]) -> None:
                names = [rule.name for rule in rules]
                done = AcceptedRules(terms.author, route, group, path, names, terms.reason)
                if why_not := record_in_history(done):
                    echo_safe(f"note: the history does not show this: {why_not}", err=True)

            yield record
    except LockHeld as held:
        what = f"{held.filename} cannot be locked: {held.strerror}."
        raise Failed("locked", what, "Nothing was changed. Try again.") from held
