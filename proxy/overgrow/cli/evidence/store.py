"""Reads the store and the current rules, for `diff`, `shadow`, `gate` and `flip`.

It never creates a store. Rules are in compare/NAME.yaml beside the table. A file with problems gives
no rules, so that a mistake in the file cannot hide a difference.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from overgrow.cli.context import Invocation, drafts
from overgrow.cli.failures import Failed
from overgrow.cli.output import echo_safe
from overgrow.text import ago, count_text, rfc3339

if TYPE_CHECKING:
    from overgrow.evidence import Group, Part
    from overgrow.shadow.rules.file import RulesFile
    from overgrow.shadow.rules.rules import Rule, Rules
    from overgrow.store.reader import Reader

FOLDER = "compare"
SHORT = 8  # characters of a group's id that are shown; any unique beginning will do
_ID = re.compile(r"[0-9a-f]{4,16}")


class NoEvidence(Failed):
    """The store does not exist yet, or cannot be read."""

    def __init__(self, why: object) -> None:
        super().__init__("no-evidence", str(why))


def open_store(call: Invocation) -> Reader:
    """Open the evidence store for reading; exit 1 with the reason if there is none."""
    from overgrow.store.engine import StoreError, store_url  # noqa: PLC0415  SQLAlchemy is slow
    from overgrow.store.reader import open_reader  # noqa: PLC0415  as above

    try:
        return open_reader(store_url(call.state_to_read, call.settings.store_url))
    except StoreError as error:
        raise NoEvidence(error) from error
    except PermissionError as error:
        why = f"The evidence in {error.filename} cannot be read: {error.strerror}."
        raise NoEvidence(why) from error


class CurrentRules:
    """The current rules of each route; a problem of a file is printed once."""

    def __init__(self, call: Invocation) -> None:
        self._folder = call.config.parent / FOLDER
        self._names = _compare_names(call)
        self._read: dict[Path, RulesFile] = {}

    def path(self, route: str) -> Path:
        """Return the path of the file with a route's rules; several routes may share a file."""
        return self._folder / f"{self._names.get(route, route)}.yaml"

    def explains(self, route: str) -> Callable[[Part], bool]:
        """Return a function that says whether the route's current rules cover a difference."""
        from overgrow.shadow.rules.rejudge import build_coverage_check  # noqa: PLC0415  only where there is evidence

        return build_coverage_check(self.rules(route))

    def rules(self, route: str) -> Rules:
        """Return the rules that apply today, with the rules for every route last. A file with problems gives no rules."""
        return self.file(route).rules.with_shared_rules(self.everywhere().rules)

    def file(self, route: str) -> RulesFile:
        """Return the content of the route's file; print its problems and expired rules."""
        return self._file(self.path(route))

    @property
    def path_everywhere(self) -> Path:
        """The file of the rules that apply to every route."""
        from overgrow.shadow.rules.file import EVERYWHERE  # noqa: PLC0415  only where there is evidence

        return self._folder / f"{EVERYWHERE}.yaml"

    def everywhere(self) -> RulesFile:
        """Return the content of the file whose rules apply to every route."""
        return self._file(self.path_everywhere)

    def location(self, route: str, rule: Rule) -> str:
        """Return the file and line of a rule that applies to a route."""
        is_own = rule in self.file(route).rules.rules
        return f"{self.path(route) if is_own else self.path_everywhere}:{rule.line}"

    def _file(self, path: Path) -> RulesFile:
        if path not in self._read:
            self._read[path] = read_rules(path)
            self._print_notes(path)
        return self._read[path]

    def _print_notes(self, path: Path) -> None:
        read = self._read[path]
        for problem in read.problems:
            echo_safe(f"note: {problem}", err=True)
        if read.problems:
            echo_safe(f"note: until that is fixed no rule in {path} applies", err=True)
        for each in read.expired:
            what = f"{each.title} expired on {each.expires} and no longer applies"
            echo_safe(f"note: {path}:{each.line}: {what}", err=True)


def _compare_names(call: Invocation) -> dict[str, str]:
    """Return {route: NAME} for routes with `shadow: {compare: NAME}`, whose rules file has this name and not the route's."""
    routes = [draft.route for draft in drafts(call) if draft.route]
    return {each.name: each.shadow_compare for each in routes if each.shadow_compare}


def read_rules(path: Path) -> RulesFile:
    """Return the current rules of a file; none if it does not exist."""
    from overgrow.shadow.rules.cache import read_rules_bytes  # noqa: PLC0415  only where there is evidence
    from overgrow.shadow.rules.file import RulesFile, parse_rules_file  # noqa: PLC0415  as above
    from overgrow.shadow.rules.rules import Rules  # noqa: PLC0415  as above

    try:
        text = read_rules_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return RulesFile(Rules.none)
    except OSError as error:
        raise unreadable(path, error) from error
    return parse_rules_file(text, file=str(path), today=datetime.now(UTC).date())


def unreadable(path: Path, error: OSError) -> Failed:
    """Return the failure for a rules file that cannot be read."""
    what = f"{path} cannot be read: {error.strerror or error}."
    return Failed("rules-unusable", what, "Give this user the right to read it.")


def rules_failure(path: Path, read: RulesFile, route: str) -> Failed:
    """Return the failure for a rules file with problems."""
    problems = [replace(problem, route=route) for problem in read.problems]
    count = count_text(len(problems), "problem")
    return Failed("rules-unusable", f"{path} has {count}.", "Fix them first.", problems)


class JudgedGroup(NamedTuple):
    """A group judged by the current rules; `open_parts` are the parts that no rule covers.

    `undecided` are rules that may cover an open part, but the store has too little data to decide that.
    """

    group: Group
    open_parts: tuple[Part, ...]
    undecided: tuple[Rule, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the group is open: it has a part that no rule covers."""
        return bool(self.open_parts)


def judge_groups(groups: Sequence[Group], rules: CurrentRules) -> list[JudgedGroup]:
    """Return the groups under the current rules."""
    return [_judge_group(group, rules) for group in groups]


def _judge_group(group: Group, rules: CurrentRules) -> JudgedGroup:
    from overgrow.shadow.rules.rejudge import build_coverage_check, build_undecided_rule_finder  # noqa: PLC0415  only where there is evidence

    today = rules.rules(group.route)
    explained, rule_of = build_coverage_check(today), build_undecided_rule_finder(today)
    open_parts = tuple(part for part in group.parts if not explained(part))
    doubted = dict.fromkeys(filter(None, map(rule_of, open_parts)))
    return JudgedGroup(group, open_parts, tuple(doubted))


def find_groups(call: Invocation, text: str, rules: CurrentRules) -> list[JudgedGroup]:
    """Return the groups of the one id that begins with `text`; exit 1 if no id or more than one begins with it.

    These are two groups if the difference occurred both while legacy and while migrated served users; otherwise one.
    """
    with open_store(call) as reader:
        found = reader.group(text) if _ID.fullmatch(text) else ()
        ids = sorted({each.key for each in found or reader.groups()})
    if found and len(ids) == 1:
        return judge_groups(found, rules)
    if found:
        what = f"{text} is the beginning of the ids of {len(ids)} groups: {', '.join(ids[:5])}."
        raise Failed("unknown-mismatch", what, "Write more characters of the id.")
    near = difflib.get_close_matches(text[:SHORT], [each[:SHORT] for each in ids], 3, cutoff=0.5)
    fix = f"Did you mean {' or '.join(near)}?" if near else "overgrow diff top --all lists them."
    raise Failed("unknown-mismatch", f"There is no group of mismatches {text}.", fix)


def time_json(at: float | None) -> str | None:
    """Return a unix time as RFC 3339; None for never."""
    return None if at is None else rfc3339(at)


def ago_text(at: float | None) -> str:
    """Return how long ago a unix time was, for people; `-` for never."""
    return "-" if at is None else ago(time.time() - at)
