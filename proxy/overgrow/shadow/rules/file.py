"""compare/<route>.yaml read into Rules.

Pure: text and today's date come in by argument. Every problem is told with line, column and fix, in
file order. A file with problems gives no rules at all: what is not understood must not hide anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from difflib import get_close_matches
from types import MappingProxyType
from typing import TypeVar

import yaml

from overgrow.shadow.redact.paths import reason_not_to_show
from overgrow.shadow.rules.comparators import Comparator, parse_comparator, usage_of_comparators
from overgrow.shadow.rules.rules import Rule, Rules, ShownPath
from overgrow.shadow.values.kinds import RULE_KINDS, RuleKind
from overgrow.shadow.values.path_syntax import reason_not_a_path

T = TypeVar("T", Rule, ShownPath)
EVERYWHERE = "_all"  # the file whose rules apply to every route; no route can be called so
MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
TOP = ("version", "rules", "show")
FIELDS = ("path", "how", "kinds", "author", "reason", "expires")
OPTIONAL = frozenset({"kinds"})
SHOWN_FIELDS = ("path", "author", "reason", "expires")

CODES: Mapping[str, str] = MappingProxyType(
    {
        "date-syntax": "expires is a date that exists, written YYYY-MM-DD.",
        "duplicate-key": "A key stands twice in one mapping.",
        "duplicate-rule": "Two rules cover the same kind at one path, or two entries of show are alike.",
        "file-empty": "The file holds no YAML.",
        "file-too-large": "The file is larger than 256 KiB.",
        "how-misplaced": "The comparator says nothing about what stands at this path.",
        "how-syntax": "how is not one of the comparators.",
        "kinds-syntax": "kinds is not a list of kinds of differences, each once.",
        "list-expected": "The value must be a list.",
        "mapping-expected": "The value must be a mapping of names to values.",
        "not-utf-8": "The file is not UTF-8 text.",
        "path-syntax": "The path is not one that a difference could have.",
        "required": "A required key is absent.",
        "show-misplaced": "Values at this path are never shown: it is not of JSON, reads like data, or like a secret.",
        "text-expected": "The value must be text, and not empty.",
        "unknown-key": "The key does not exist in this version.",
        "version": "version: 1 must be there, exactly so.",
        "yaml-syntax": "The file is not well-formed YAML.",
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at one place; `line` and `column` count from 1."""

    code: str
    file: str
    line: int
    column: int
    message: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {self.message}. {self.fix} [{self.code}]"

    def as_json(self) -> dict[str, object]:
        """The problem as the command line prints it with --json."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RulesFile:
    """What a file holds: what applies today, or problems; and what has expired."""

    rules: Rules
    problems: tuple[Problem, ...] = ()
    expired: tuple[Rule | ShownPath, ...] = ()
    shown: tuple[ShownPath, ...] = ()


def read(text: bytes, *, file: str, today: date) -> RulesFile:
    """Return the rules of a file as they stand on a day."""
    reader = FileReader(file)
    rules, shown = reader.all_of(reader.root(text))
    if reader.problems:
        problems = sorted(reader.problems, key=lambda each: (each.line, each.column))
        return RulesFile(Rules(is_broken=True), tuple(problems))
    applying = tuple(rule for rule in rules if rule.applies(today))
    showing = tuple(each for each in shown if each.applies(today))
    show = frozenset(each.path for each in showing)
    both: list[Rule | ShownPath] = [*rules, *shown]
    expired = [each for each in both if not each.applies(today)]
    in_order = tuple(sorted(expired, key=lambda each: each.line))
    return RulesFile(Rules(applying, show), (), in_order, showing)


def is_deep(text: str) -> bool:
    """Return whether the text nests beyond MAX_DEPTH; the C composer would not survive it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return True
    return False


@dataclass(slots=True)
class FileReader:
    """One pass over a file; a value that is wrong is told of and read as None."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, code: str, node: yaml.Node | None, message: str, fix: str) -> None:
        """Take note of a problem at a node, or at the start of the file."""
        line = node.start_mark.line + 1 if node else 1
        column = node.start_mark.column + 1 if node else 1
        self.problems.append(Problem(code, self.file, line, column, message, fix))

    def root(self, text: bytes) -> yaml.Node | None:
        """Return the document's node; None with a problem."""
        if len(text) > MAX_BYTES:
            self.wrong("file-too-large", None, "the file is larger than 256 KiB", "Remove rules.")
            return None
        try:
            decoded = text.decode("utf-8")
        except UnicodeDecodeError as error:
            what = f"byte {error.start} is not UTF-8"
            self.wrong("not-utf-8", None, what, "Save the file as UTF-8.")
            return None
        return self.document(decoded)

    def document(self, text: str) -> yaml.Node | None:
        """Return the one document of a YAML text."""
        try:
            if is_deep(text):
                what = f"values are nested more than {MAX_DEPTH} deep"
                self.wrong("yaml-syntax", None, what, "A rule needs three levels.")
                return None
            node: yaml.Node | None = yaml.compose(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError as error:
            self.problems.append(self.syntax(error))
            return None
        if node is None:
            self.wrong("file-empty", None, "the file is empty", "Write version: 1 and rules.")
        return node

    def syntax(self, error: yaml.YAMLError) -> Problem:
        """Return the problem that a YAML error tells of."""
        mark = getattr(error, "problem_mark", None)
        told = getattr(error, "problem", None) or getattr(error, "reason", "")
        what = str(told or "the text is no YAML")
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        fix = "Check indentation, quotes and brackets there."
        return Problem("yaml-syntax", self.file, line, column, what, fix)

    def all_of(self, root: yaml.Node | None) -> tuple[list[Rule], list[ShownPath]]:
        """Return all rules, and all that may be shown, as far as they could be read."""
        fields = self.fields(root, TOP) if root is not None else None
        if root is None or fields is None:
            return [], []
        version = fields.get("version")
        if not isinstance(version, yaml.ScalarNode) or version.value != "1":
            what = "version is not 1" if version else "version is missing"
            self.wrong("version", version or root, what, "Write version: 1.")
        if "rules" not in fields:
            self.wrong("required", root, "rules is missing", "Write rules: [] for none.")
        rules = self.entries(fields.get("rules"), "rules", self.rule)
        return rules, self.entries(fields.get("show"), "show", self.shown)

    def entries(
        self, listed: yaml.Node | None, name: str, one: Callable[[yaml.Node], T | None]
    ) -> list[T]:
        """Return the entries of a list that could be read, each path once."""
        if listed is None:
            return []
        if not isinstance(listed, yaml.SequenceNode):
            self.wrong(
                "list-expected", listed, f"{name} is not a list", "Begin each entry with - ."
            )
            return []
        return list(self.different(listed.value, one))

    def different(
        self, nodes: Iterable[yaml.Node], one: Callable[[yaml.Node], T | None]
    ) -> Iterator[T]:
        """Yield the entries that cover what no earlier one of their path does."""
        earlier: dict[str, list[T]] = {}
        for node in nodes:
            entry = one(node)
            if entry is None:
                continue
            alike = next(
                (each for each in earlier.get(entry.path, ()) if overlap(each, entry)), None
            )
            if alike is not None:
                what = f"line {alike.line} has {entry.path} already"
                self.wrong("duplicate-rule", node, what, "Keep one of the two.")
            else:
                earlier.setdefault(entry.path, []).append(entry)
                yield entry

    def fields(self, node: yaml.Node, known: tuple[str, ...]) -> dict[str, yaml.Node] | None:
        """Return the values of a mapping by key; None if it is none."""
        if not isinstance(node, yaml.MappingNode):
            fix = f"Write KEY: VALUE lines: {', '.join(known)}."
            self.wrong("mapping-expected", node, "the value is not a mapping", fix)
            return None
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name not in known:
                near = get_close_matches(name, known, 1)
                fix = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
                self.wrong("unknown-key", key, f'there is no key "{name}"', fix)
            elif name in found:
                self.wrong("duplicate-key", key, f"{name} stands twice", "Remove one.")
            else:
                found[name] = value
        return found

    def rule(self, node: yaml.Node) -> Rule | None:
        """Return the rule at a node, or None with its problems."""
        before = len(self.problems)
        fields = self.complete(node, FIELDS)
        path = self.path(fields["path"]) if "path" in fields else None
        how = self.how(fields["how"]) if "how" in fields else None
        kinds = self.kinds(fields["kinds"]) if "kinds" in fields else ()
        author, reason, expires = self.terms(fields)
        if path and how and (trouble := how.misplacement_at(path)):
            self.wrong("how-misplaced", fields["how"], *trouble)
        if len(self.problems) > before or not (path and how and expires):
            return None
        return Rule(path, how, author, reason, expires, node.start_mark.line + 1, kinds)

    def shown(self, node: yaml.Node) -> ShownPath | None:
        """Return the entry of show at a node, or None with its problems."""
        before = len(self.problems)
        fields = self.complete(node, SHOWN_FIELDS)
        path = self.path(fields["path"]) if "path" in fields else None
        author, reason, expires = self.terms(fields)
        if path and (trouble := reason_not_to_show(path)):
            fix = "Remove it: its values stay hidden."
            self.wrong("show-misplaced", fields["path"], f"{path[:80]} {trouble}", fix)
        if len(self.problems) > before or not (path and expires):
            return None
        return ShownPath(path, author, reason, expires, node.start_mark.line + 1)

    def complete(self, node: yaml.Node, wanted: tuple[str, ...]) -> dict[str, yaml.Node]:
        """Return the values of a mapping by key, with a problem for each that is missing."""
        fields = self.fields(node, wanted)
        for name in wanted if fields is not None else ():
            if name not in (fields or {}) and name not in OPTIONAL:
                self.wrong("required", node, f"the entry has no {name}", _WANTED[name])
        return fields or {}

    def terms(self, fields: Mapping[str, yaml.Node]) -> tuple[str, str, date | None]:
        """Return who answers for an entry, why, and until when."""
        author, reason = (
            self.text(fields[name], name) if name in fields else "" for name in ("author", "reason")
        )
        return author, reason, self.day(fields["expires"]) if "expires" in fields else None

    def text(self, node: yaml.Node, name: str) -> str:
        """Return the text of a scalar that is not empty."""
        is_text = isinstance(node, yaml.ScalarNode) and not node.tag.endswith(":null")
        value = node.value.strip() if is_text else ""
        if not value:
            self.wrong("text-expected", node, f"{name} is not text", _WANTED[name])
        return str(value)

    def path(self, node: yaml.Node) -> str | None:
        """Return a path in the one way it is written."""
        text = self.text(node, "path")
        if text and (trouble := reason_not_a_path(text)):
            self.wrong("path-syntax", node, f"{text[:80]} {trouble}", _WANTED["path"])
            return None
        return text or None

    def day(self, node: yaml.Node) -> date | None:
        """Return a date."""
        text = self.text(node, "expires")
        try:
            if _DATE.fullmatch(text):
                return date.fromisoformat(text)
        except ValueError:  # the 31st of February
            pass
        if text:
            what = f"expires is {text[:40]}, which is no date"
            self.wrong("date-syntax", node, what, _WANTED["expires"])
        return None

    def how(self, node: yaml.Node) -> Comparator | None:
        """Return the comparator that a rule names."""
        found: Comparator | None = None
        if isinstance(node, yaml.ScalarNode):
            found = parse_comparator(node.value)
        elif isinstance(node, yaml.MappingNode) and len(node.value) == 1:
            [(key, value)] = node.value
            if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode):
                found = parse_comparator(key.value, value.value) if value.value else None
        if found is None:
            self.wrong("how-syntax", node, "how is not a comparator", _WANTED["how"])
        return found

    def kinds(self, node: yaml.Node) -> tuple[RuleKind, ...]:
        """Return the kinds of differences that a rule names."""
        listed = node.value if isinstance(node, yaml.SequenceNode) else []
        names = [each.value for each in listed if isinstance(each, yaml.ScalarNode)]
        if len(names) < len(listed) or not names or len({*names}) < len(names):
            self.wrong("kinds-syntax", node, "kinds is not a list of kinds", _WANTED["kinds"])
        for each in listed:
            if isinstance(each, yaml.ScalarNode) and each.value not in RULE_KINDS:
                near = get_close_matches(each.value, RULE_KINDS, 1)
                fix = f"Did you mean {near[0]}?" if near else _WANTED["kinds"]
                self.wrong("kinds-syntax", each, f'there is no kind "{each.value[:40]}"', fix)
        return tuple(names)


def overlap(one: Rule | ShownPath, other: Rule | ShownPath) -> bool:
    """Return whether two entries of one path cover the same: only rules of other kinds do not."""
    if isinstance(one, Rule) and isinstance(other, Rule) and one.kinds and other.kinds:
        return not {*one.kinds}.isdisjoint(other.kinds)
    return True


_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WANTED = {
    "path": "Copy it from a difference; [*] stands for any index.",
    "how": f"Write {usage_of_comparators('{{{word}: {argument}}}')}.",
    "kinds": "Write kinds as differences have them, such as [value, missing]; or leave it out.",
    "author": "Write who answers for it.",
    "reason": "Write why it does no harm.",
    "expires": "Write the day it ends as YYYY-MM-DD.",
}
