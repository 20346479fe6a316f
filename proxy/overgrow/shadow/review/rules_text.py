"""Adds rules to the text of a rules file, and writes the file.

Rule: a rule is appended to the text. The rest of the file, including comments, stays unchanged. If the file
cannot be read, has problems, or has such a rule already, the edit is refused. If the file changed meanwhile, it
is not overwritten.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

from overgrow.files import replace_file
from overgrow.shadow.review.refusal import ReviewRefused
from overgrow.shadow.review.rules_folder import unreadable
from overgrow.shadow.rules.cache import read_rules_bytes
from overgrow.shadow.rules.file import overlaps, parse_rules_file
from overgrow.shadow.rules.rules import Rule
from overgrow.shadow.rules.writing import CannotAddRule, file_text_with_rule
from overgrow.text import count_text

UNUSABLE = "rules-unusable"


def read_rules_text(path: Path) -> bytes | None:
    """Return the bytes of a rules file; None if the file does not exist."""
    try:
        return read_rules_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def text_with_rules(path: Path, text: bytes | None, route: str, rules: Sequence[Rule]) -> bytes:
    """Return the text of a file with rules added. Problems of the file name `route`."""
    if text is not None:
        _require_valid(path, text, route)
    for rule in rules:
        if there := _existing_rule_in(path, text, rule):
            fix = "Change that rule in your editor: widen it, or renew its expiry date."
            raise ReviewRefused("rule-exists", f"{there}.", fix)
    try:
        for rule in rules:
            text = file_text_with_rule(text, rule)
    except CannotAddRule as error:
        raise ReviewRefused(UNUSABLE, f"{path}: {error}", "Write the rule by hand.") from error
    return text or b""


def _require_valid(path: Path, text: bytes, route: str) -> None:
    read = parse_rules_file(text, file=str(path), today=date.min)
    if read.problems:
        problems = [replace(problem, route=route) for problem in read.problems]
        count = count_text(len(problems), "problem")
        raise ReviewRefused(UNUSABLE, f"{path} has {count}.", "Fix them first.", problems)


def find_existing_rule(path: Path, rule: Rule) -> str:
    """Describe the rule of a file, in force or expired, that covers the same as the given rule; "" if there is none."""
    return _existing_rule_in(path, read_rules_text(path), rule)


def _existing_rule_in(path: Path, text: bytes | None, rule: Rule) -> str:
    known = all_rules(text) if text is not None else ()
    same = (each for each in known if each.path == rule.path and overlaps(each, rule))
    there = next(same, None)
    if there is None:
        return ""
    return f"{path}:{there.line} already has a rule for {rule.path}: {there.comparator_and_kinds}, valid until {there.expires}"


def all_rules(text: bytes) -> tuple[Rule, ...]:
    """Return the rules of a file, including expired rules."""
    return parse_rules_file(text, file="", today=date.min).rules.rules


def append_rules(path: Path, route: str, rules: Sequence[Rule]) -> None:
    """Append rules to a file, or create the file. If that fails, refuse and change nothing."""
    before = read_rules_text(path)
    write_rules_text(path, before, text_with_rules(path, before, route, rules))


def write_rules_text(path: Path, before: bytes | None, text: bytes) -> None:
    """Replace a rules file by a new text. If the file has changed since it was read, refuse."""
    if read_rules_text(path) != before:
        what = f"{path} was changed by somebody else in the meantime."
        raise ReviewRefused("changed-meanwhile", what, "Nothing was changed. Look again.")
    try:
        _replace(path, text)
    except OSError as error:
        what = f"{error.filename or path} cannot be written: {error.strerror}."
        raise ReviewRefused(UNUSABLE, what, "Give this user the right to write it.") from error


def is_writable(path: Path) -> bool:
    """Return whether this process may write the file, as far as permissions and mounts tell."""
    folder = path.resolve().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def _replace(path: Path, text: bytes) -> None:
    """Replace the whole file by a new one with the same mode. A symlink remains a symlink."""
    real = path.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    keep = None
    if real.exists():
        keep = partial(os.fchmod, mode=stat.S_IMODE(real.stat().st_mode))
    replace_file(real, text, mode=0o666, prepare=keep)
