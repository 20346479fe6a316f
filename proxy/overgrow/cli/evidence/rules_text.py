"""Turns what a person types or accepts into rules, and writes them into compare/NAME.yaml.

Rule: a rule is appended to the text; the rest of the file stays as it is, comments included.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from overgrow.cli.evidence.store import read_rules, rules_failure, unreadable
from overgrow.cli.failures import Failed
from overgrow.evidence import SEVERAL
from overgrow.files import replace_file
from overgrow.shadow.rules.comparators import (
    Comparator,
    Ignore,
    describe_comparators,
    narrowest_comparator,
    parse_comparator,
)
from overgrow.shadow.rules.file import overlaps, parse_rules_file
from overgrow.shadow.rules.rejudge import rule_kind_of_part
from overgrow.shadow.rules.rules import Rule
from overgrow.shadow.rules.writing import CannotAddRule, file_text_with_rule
from overgrow.shadow.values.path_syntax import reason_not_a_path

if TYPE_CHECKING:
    from overgrow.evidence import Part


class Terms(NamedTuple):
    """The author of a rule, the reason, and the day on which it expires."""

    author: str
    reason: str
    expires: date

    @classmethod
    def nobody(cls) -> Terms:
        """Return placeholder terms for a rule that is only shown."""
        return cls("-", "-", date.max)


HOW = describe_comparators("'{word} {argument}'")


def comparator(text: str) -> Comparator | None:
    """Parse a comparator as a rules file writes it; None for anything else."""
    word, _, argument = text.strip().partition(" ")
    return parse_comparator(word, argument.strip())


def draft_rules(
    parts: Iterable[Part],
    terms: Terms | None = None,
    how: Comparator | None = None,
    at: str | None = None,
) -> list[Rule]:
    """Return a rule for each place: the narrowest one that covers all differences found there, and no other kinds.

    `how` is the comparator that a person chose, None for the narrowest; `at` is the path that a person wrote, None for the
    places of the parts. A path that is partly hidden or cut off gets no rule.
    """
    by_path: dict[str, list[Part]] = {}
    for part in parts:
        by_path.setdefault(at or place_of(part), []).append(part)
    return [
        _draft_rule(path, how or narrowest_comparator(found), found, terms or Terms.nobody())
        for path, found in by_path.items()
        if found[0].kind != "untold" and not reason_not_a_path(path)
    ]


def place_of(part: Part) -> str:
    """Return the path of the place at which all pairs differ; if they differ at several places, the path with `[*]`."""
    is_one = part.place not in {"", SEVERAL} and not reason_not_a_path(part.place)
    return part.place if is_one else part.path


def _draft_rule(path: str, how: Comparator, found: Iterable[Part], terms: Terms) -> Rule:
    # Comparators other than ignore define which kinds they cover.
    kinds: tuple[Any, ...] = tuple(sorted({rule_kind_of_part(part) for part in found}))
    return Rule(path, how, *terms, kinds=kinds if isinstance(how, Ignore) else ())


def rule_json(rule: Rule) -> dict[str, Any]:
    """Return a rule as --json prints it; `kinds` only if the rule names some."""
    payload = {"path": rule.path, "how": str(rule.how)}
    return {**payload, "kinds": list(rule.kinds)} if rule.kinds else payload


def accept_rules(path: Path, route: str, rules: Sequence[Rule]) -> None:
    """Append rules to a file, or create it; exit 1 and change nothing if that fails."""
    before = read_rules(path)
    if before.problems:
        raise rules_failure(path, before, route)
    try:
        found = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        found = None
    except OSError as error:
        raise unreadable(path, error) from error
    _refuse_second(path, found, rules)
    text = found
    try:
        for rule in rules:
            text = file_text_with_rule(text, rule)
        _replace(path, text or b"")
    except CannotAddRule as error:
        raise Failed("rules-unusable", f"{path}: {error}", "Write the rule by hand.") from error
    except OSError as error:
        what = f"{error.filename or path} cannot be written: {error.strerror}."
        raise Failed("rules-unusable", what, "Give this user the right to write it.") from error


def _refuse_second(path: Path, text: bytes | None, rules: Sequence[Rule]) -> None:
    """Exit 1 if the file already has a rule that covers the same as one of these, and say where that rule is."""
    for rule in rules:
        there = _existing_rule_in(path, text, rule)
        if there:
            fix = "Change that rule in your editor: widen it, or renew its expiry date."
            raise Failed("rule-exists", f"{there}.", fix)


def find_existing_rule(path: Path, rule: Rule) -> str:
    """Describe the rule of a file, in force or expired, that covers the same as the given rule; empty if none does."""
    try:
        return _existing_rule_in(path, path.read_bytes(), rule)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise unreadable(path, error) from error


def _existing_rule_in(path: Path, text: bytes | None, rule: Rule) -> str:
    known = all_rules(text) if text is not None else ()
    same = (each for each in known if each.path == rule.path and overlaps(each, rule))
    there = next(same, None)
    if there is None:
        return ""
    return f"{path}:{there.line} already has a rule for {rule.path}: {there.comparator_and_kinds}, valid until {there.expires}"


def all_rules(text: bytes) -> tuple[Rule, ...]:
    """Return the rules of a file, expired rules included."""
    return parse_rules_file(text, file="", today=date.min).rules.rules


def _replace(path: Path, text: bytes) -> None:
    """Replace the whole file by a new one with the same mode; a symlink stays a symlink."""
    real = path.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    keep = None
    if real.exists():
        keep = partial(os.fchmod, mode=stat.S_IMODE(real.stat().st_mode))
    replace_file(real, text, mode=0o666, prepare=keep)
