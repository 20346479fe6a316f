"""Adds one rule to the text of compare/<route>.yaml. Pure: text in, text out.

Rule: the new rule is appended. The rest of the file, including comments, stays unchanged.
"""

from __future__ import annotations

import json
import re
from datetime import date

from overgrow.shadow.rules.file import parse_rules_file, parse_rules_tree
from overgrow.shadow.rules.rules import Rule
from overgrow.shadow.values.difference import escape_unprintable
from overgrow.shadow.values.path_syntax import TREE_PREFIXES
from overgrow.yaml_file.tree import Node, YamlSyntaxError


class CannotAddRule(Exception):
    """A rule cannot be added to a file. The text says why, and how to fix it."""


def file_text_with_rule(text: bytes | None, rule: Rule) -> bytes:
    """Return a file with one rule added at the end of its list.

    `text` is None for a file that does not exist yet. If the result would be invalid, CannotAddRule is raised.
    """
    before = "version: 1\nrules: []\n" if text is None else text.decode("utf-8", "replace")
    after = _append_rule(before, rule).encode("utf-8")
    again = parse_rules_file(after, file="the new file", today=date.min)
    if again.problems:
        raise CannotAddRule("\n".join(str(problem) for problem in again.problems))
    return after


def _append_rule(text: str, rule: Rule) -> str:
    listed = _find_rules_node(text)
    if listed is None or listed.kind != "list":
        raise CannotAddRule("The file has no list of rules. Fix it first.")
    if not listed.children:
        start, stop = listed.start, listed.end + len("]")
        return (
            text[:start].rstrip(" ")
            + "\n"
            + render_rule_as_yaml(rule, "  ")
            + text[stop:].lstrip(" \n")
        )
    if listed.style == "flow":
        raise CannotAddRule(
            "The rules are written in [ ]. Write each on a line of its own that begins with -."
        )
    end = text.find("\n", _last_leaf_node(listed).end)
    head, tail = (text + "\n", "") if end < 0 else (text[: end + 1], text[end + 1 :])
    return head + render_rule_as_yaml(rule, " " * (listed.column - 1)) + tail


def _find_rules_node(text: str) -> Node | None:
    """Return the value of the key `rules`; None if a file lacks this key."""
    try:
        root = parse_rules_tree(text)
    except YamlSyntaxError:
        return None
    pairs = root.children if root.kind == "mapping" else ()
    return next((value for key, value in pairs if key.text == "rules"), None)


def _last_leaf_node(node: Node) -> Node:
    """Return the last scalar, or the last flow collection, within a node."""
    while node.kind != "scalar" and node.style != "flow":
        last = node.children[-1]
        node = last[1] if node.kind == "mapping" else last
    return node


def render_rule_as_yaml(rule: Rule, indent: str = "") -> str:
    """Return a rule as YAML, one line for each field. A value that YAML could misread is quoted."""
    how = str(rule.how).split(" ", 1)
    value = how[0] if len(how) == 1 else f"{{{how[0]}: {_quote_if_needed(how[1])}}}"
    lines = (
        f"- path: {_quote_if_needed(rule.path)}",
        f"  how: {value}",
        *([f"  kinds: [{', '.join(rule.kinds)}]"] if rule.kinds else []),
        f"  author: {_quote_if_needed(rule.author)}",
        f"  reason: {_quote_if_needed(rule.reason)}",
        f"  expires: {rule.expires.isoformat()}",
    )
    return "".join(f"{indent}{line}\n" for line in lines)


def _quote_if_needed(text: str) -> str:
    plain = re.fullmatch(r"[A-Za-z$0-9][A-Za-z0-9$._/@;()*\[\]:' -]*", text, re.ASCII)
    risky = re.search(r": |:$| #|^-| $", text)
    flow = re.search(r"[\[\]]", text) and not text.startswith(("$", *TREE_PREFIXES))
    is_null = text.lower() in {"null", "~"}
    if plain and not (risky or flow or is_null):
        return text
    return json.dumps(escape_unprintable(text), ensure_ascii=False)
