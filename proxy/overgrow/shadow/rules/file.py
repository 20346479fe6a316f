"""Parses the text of compare/<route>.yaml into rules.

Pure: text and today's date are arguments. Every problem has a line, a column and a fix, and problems are in
file order. If a file has problems, none of its rules apply, because a misread rule could hide a difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import TypeVar

from overgrow.shadow.redact.paths import reason_not_to_show
from overgrow.shadow.rules.comparators import Comparator, describe_comparators, parse_comparator
from overgrow.shadow.rules.rules import Rule, Rules, ShownPath
from overgrow.shadow.values.kinds import RULE_KINDS, RuleKind
from overgrow.shadow.values.path_syntax import reason_not_a_path
from overgrow.yaml_file.fields import AlreadyReported, Fields, FileReading, Reader, is_null
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.scalars import FieldError, nearest_word
from overgrow.yaml_file.tree import MAX_DEPTH, Node, YamlSyntaxError, decode_text, parse_tree

Entry = TypeVar("Entry", Rule, ShownPath)
EVERYWHERE = "_all"  # the file whose rules apply to every route; no route can be called so
MAX_BYTES = 256 * 1024
OPTIONAL = frozenset({"kinds"})

CODES: Mapping[str, str] = MappingProxyType(
    {
        "date-syntax": "expires is a date that exists, written YYYY-MM-DD.",
        "duplicate-key": "A key is given twice in one mapping.",
        "duplicate-rule": "Two rules cover the same kind at one path, or two entries of show have the same path.",
        "file-empty": "The file holds no YAML.",
        "file-too-large": "The file is larger than 256 KiB.",
        "how-misplaced": "The comparator can never allow a difference at this path.",
        "how-syntax": "how is not one of the comparators.",
        "kinds-syntax": "kinds is not a list of kinds of differences, each once.",
        "list-expected": "The value must be a list.",
        "mapping-expected": "The value must be a mapping of names to values.",
        "not-utf-8": "The file is not UTF-8 text.",
        "path-syntax": "No difference can have this path.",
        "required": "A required key is missing.",
        "show-misplaced": "Values at this path are never shown: the path is not in JSON, or it looks like data or a secret.",
        "text-expected": "The value must be text, and not empty.",
        "unknown-key": "The key does not exist in this version.",
        "version": "The file must say exactly version: 1.",
        "yaml-syntax": "The file is not well-formed YAML.",
    }
)


# Codes of problems that any YAML file may have, and the code of this table that includes them.
_CODES_OF_YAML: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("alias-bomb", "alias-cycle", "alias-unknown"), "yaml-syntax"),
        **dict.fromkeys(("multiple-documents", "tab", "tag", "too-deep"), "yaml-syntax"),
        **dict.fromkeys(("merge-key", "yaml-trap"), "unknown-key"),
    }
)


@dataclass(frozen=True, slots=True)
class RulesFile:
    """The content of a file: the rules that apply today, the problems, the expired entries.

    With problems, there are no rules.
    """

    rules: Rules
    problems: tuple[Problem, ...] = ()
    expired: tuple[Rule | ShownPath, ...] = ()
    shown: tuple[ShownPath, ...] = ()


def parse_rules_file(text: bytes, *, file: str, today: date) -> RulesFile:
    """Return the rules of a file as they apply on a day."""
    reading = FileReading(file, None, _CODES_OF_YAML)
    root = _read_root(reading, text)
    rules, shown = _read_entries(reading, root) if root is not None else ([], [])
    if reading.problems:
        problems = sorted(reading.problems, key=lambda each: (each.line, each.column))
        return RulesFile(Rules(is_broken=True), tuple(problems))
    applying = tuple(rule for rule in rules if rule.applies(today))
    showing = tuple(each for each in shown if each.applies(today))
    show = frozenset(each.path for each in showing)
    both: list[Rule | ShownPath] = [*rules, *shown]
    expired = [each for each in both if not each.applies(today)]
    in_order = tuple(sorted(expired, key=lambda each: each.line))
    return RulesFile(Rules(applying, show), (), in_order, showing)


def parse_rules_tree(text: str) -> Node:
    """Return the root of a rules file. If the text is not one well-formed document, raise YamlSyntaxError."""
    return parse_tree(text, fix_if_empty="Write version: 1 and rules.", takes_tags=True)


def _read_root(reading: FileReading, text: bytes) -> Node | None:
    if len(text) > MAX_BYTES:
        what = "the file is larger than 256 KiB"
        reading.report_at((1, 1), FieldError("file-too-large", what, "Remove rules."))
        return None
    try:
        return parse_rules_tree(decode_text(text))
    except YamlSyntaxError as error:
        if error.code == "too-deep":
            what = f"values are nested more than {MAX_DEPTH} deep"
            reading.report_at((1, 1), FieldError(error.code, what, "A rule needs three levels."))
        else:
            reading.report_at(error.at, error)
    return None


def _read_entries(reading: FileReading, root: Node) -> tuple[list[Rule], list[ShownPath]]:
    """Return all valid rules and all valid shown paths."""
    fields = _read_mapping(reading, root, _TOP)
    if fields is None:
        return [], []
    if "version" not in fields.nodes:
        reading.report(root, FieldError("version", "version is missing", "Write version: 1."))
    if "rules" not in fields.nodes:
        fix = "Write rules: [] for none."
        reading.report(root, FieldError("required", "rules is missing", fix))
    return fields.values.get("rules", []), fields.values.get("show", [])


def _read_mapping(reading: FileReading, node: Node, readers: Mapping[str, Reader]) -> Fields | None:
    if node.kind != "mapping":
        fix = f"Write KEY: VALUE lines: {', '.join(readers)}."
        reading.report(node, FieldError("mapping-expected", "the value is not a mapping", fix))
        return None
    return reading.read_fields(node, "", readers)


def _read_version(reading: FileReading, node: Node, label: str) -> None:  # noqa: ARG001  a Reader
    if node.kind != "scalar" or node.text != "1":
        raise FieldError("version", "version is not 1", "Write version: 1.")


def _build_list_reader(read_one: Callable[[FileReading, Node], Entry | None]) -> Reader:
    """Return a reader for a list of entries. The reader drops and reports an entry that repeats an earlier one."""

    def read_list(reading: FileReading, node: Node, label: str) -> list[Entry]:
        if node.kind != "list":
            raise FieldError("list-expected", f"{label} is not a list", "Begin each entry with - .")
        return list(_read_unrepeated_entries(reading, node.children, read_one))

    return read_list


def _read_unrepeated_entries(
    reading: FileReading,
    nodes: Iterable[Node],
    read_one: Callable[[FileReading, Node], Entry | None],
) -> Iterator[Entry]:
    earlier: dict[str, list[Entry]] = {}
    for node in nodes:
        entry = read_one(reading, node)
        if entry is None:
            continue
        alike = next((each for each in earlier.get(entry.path, ()) if overlaps(each, entry)), None)
        if alike is not None:
            what = f"line {alike.line} has an entry for {entry.path} already"
            reading.report(node, FieldError("duplicate-rule", what, "Keep one of the two."))
        else:
            earlier.setdefault(entry.path, []).append(entry)
            yield entry


def _read_rule(reading: FileReading, node: Node) -> Rule | None:
    """Return the rule at a node. If it is invalid, report its problems and return None."""
    before = len(reading.problems)
    values, nodes = _read_entry(reading, node, _RULE)
    if "path" in values and "how" in values:
        reason_and_fix = values["how"].why_misplaced_at(values["path"])
        if reason_and_fix:
            reading.report(nodes["how"], FieldError("how-misplaced", *reason_and_fix))
    return Rule(**values, line=node.line) if len(reading.problems) == before else None


def _read_shown_path(reading: FileReading, node: Node) -> ShownPath | None:
    """Return the path in one item of the list `show`. If the item is invalid, report why and return None."""
    before = len(reading.problems)
    values, nodes = _read_entry(reading, node, _SHOWN)
    path = values.get("path", "")
    if path and (reason := reason_not_to_show(path)):
        fix = "Remove the entry: these values stay hidden."
        error = FieldError("show-misplaced", f"{path[:80]} {reason}", fix)
        reading.report(nodes["path"], error)
    return ShownPath(**values, line=node.line) if len(reading.problems) == before else None


def _read_entry(reading: FileReading, node: Node, readers: Mapping[str, Reader]) -> Fields:
    """Return the fields of an entry. Report each missing field."""
    fields = _read_mapping(reading, node, readers)
    if fields is None:
        return Fields({}, {})
    for name in readers:
        if name not in fields.nodes and name not in OPTIONAL:
            reading.report(node, FieldError("required", f"the entry has no {name}", _WANTED[name]))
    return fields


def _read_text(reading: FileReading, node: Node, label: str) -> str:  # noqa: ARG001  a Reader
    """Return the text of a scalar, which must not be empty."""
    text = node.text.strip() if node.kind == "scalar" and not is_null(node) else ""
    if not text:
        raise FieldError("text-expected", f"{label} is not text", _WANTED[label])
    return text


def _read_path(reading: FileReading, node: Node, label: str) -> str:
    """Return the path of a difference, in its canonical form."""
    text = _read_text(reading, node, label)
    if reason := reason_not_a_path(text):
        raise FieldError("path-syntax", f"{text[:80]} {reason}", _WANTED[label])
    return text


def _read_date(reading: FileReading, node: Node, label: str) -> date:
    text = _read_text(reading, node, label)
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:  # the 31st of February
        pass
    raise FieldError("date-syntax", f"{label} is {text[:40]}, which is not a date", _WANTED[label])


def _read_comparator(reading: FileReading, node: Node, label: str) -> Comparator:  # noqa: ARG001  a Reader
    """Return the comparator of a rule, written as a word or as a mapping of one word to its argument."""
    found: Comparator | None = None
    if node.kind == "scalar":
        found = parse_comparator(node.text)
    elif node.kind == "mapping" and len(node.children) == 1:
        [(key, value)] = node.children
        if value.kind == "scalar" and value.text:
            found = parse_comparator(key.text, value.text)
    if found is None:
        raise FieldError("how-syntax", "how is not a comparator", _WANTED[label])
    return found


def _read_kinds(reading: FileReading, node: Node, label: str) -> tuple[RuleKind, ...]:
    """Return the kinds of differences that a rule names."""
    before = len(reading.problems)
    listed = node.children if node.kind == "list" else ()
    names = [each.text for each in listed if each.kind == "scalar"]
    if len(names) < len(listed) or not names or len({*names}) < len(names):
        what = "kinds is not a list of kinds"
        reading.report(node, FieldError("kinds-syntax", what, _WANTED[label]))
    for each in listed:
        if each.kind == "scalar" and each.text not in RULE_KINDS:
            near = nearest_word(each.text, RULE_KINDS)
            fix = f"Did you mean {near}?" if near else _WANTED[label]
            error = FieldError("kinds-syntax", f'unknown kind "{each.text[:40]}"', fix)
            reading.report(each, error)
    if len(reading.problems) > before:
        raise AlreadyReported
    return tuple(names)


def overlaps(one: Rule | ShownPath, other: Rule | ShownPath) -> bool:
    """Return whether two entries for one path could both apply to one difference.

    Rules without a common kind cannot.
    """
    if isinstance(one, Rule) and isinstance(other, Rule) and one.kinds and other.kinds:
        return not {*one.kinds}.isdisjoint(other.kinds)
    return True


_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WANTED = {
    "path": "Copy it from a difference; [*] stands for any index.",
    "how": f"Write {describe_comparators('{{{word}: {argument}}}')}.",
    "kinds": "Write kinds of differences, such as [value, missing], or leave kinds out.",
    "author": "Write who is responsible for it.",
    "reason": "Write why the difference is harmless.",
    "expires": "Write the last day on which it applies as YYYY-MM-DD.",
}
_SHOWN: Mapping[str, Reader] = {
    "path": _read_path,
    "author": _read_text,
    "reason": _read_text,
    "expires": _read_date,
}
_RULE: Mapping[str, Reader] = {
    "path": _read_path,
    "how": _read_comparator,
    "kinds": _read_kinds,
    "author": _read_text,
    "reason": _read_text,
    "expires": _read_date,
}
_TOP: Mapping[str, Reader] = {
    "version": _read_version,
    "rules": _build_list_reader(_read_rule),
    "show": _build_list_reader(_read_shown_path),
}
TOP, FIELDS, SHOWN_FIELDS = tuple(_TOP), tuple(_RULE), tuple(_SHOWN)
