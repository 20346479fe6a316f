"""The syntax of the paths of differences, and which paths lie in a body.

Pure. `$...` is the path of a JSON value. If the bodies of a family are trees of named elements, a path begins
with the name of the family: `html:/body/p[2]/@class`.
"""

from __future__ import annotations

import json
import re

from overgrow.shadow.values.difference import KEYED_STEP, MAX_PATH, member_path

TREE_FAMILIES = ("html",)
TREE_PREFIXES = tuple(f"{each}:" for each in TREE_FAMILIES)
BODY_PREFIXES = ("$", "text:", *TREE_PREFIXES)

# A JSON path step by step: .name, ["any key"], [3], [*], [key=name].
_STEP = re.compile(
    r'\.([A-Za-z_][A-Za-z0-9_-]*)|\[("(?:[^"\\]|\\.)*")\]|\[(?:\d+|\*)\]|' + KEYED_STEP, re.ASCII
)
_OTHER_PATHS = re.compile(
    r"status|body|bytes(?:\[(?:\d+|\*)\])?|text:line\[(?:\d+|\*)\]"
    r"|header:[!-:<-@\[-~]+(?:;[!-:<-@\[-~]+)?|cookie:[^;\s]+(?:;[!-:<-@\[-~]+)?"
    rf"|(?:{'|'.join(TREE_FAMILIES)}):(?:/(?!@)[^/\s]+)*(?:/@[^/\s]+)?",
    re.ASCII,
)


def reason_not_a_path(path: str) -> str:
    """Return why a text cannot be the path of a difference; empty if it can."""
    if len(path) >= MAX_PATH:
        return f"is longer than {MAX_PATH - 1} characters"
    if not path.startswith("$"):
        return "" if _OTHER_PATHS.fullmatch(path) else "is not the path of a difference"
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return f"cannot be read from character {at + 1} on"
        if step[2] and (canonical := _canonical_member_step(step[2])) != step[0]:
            return f"has {step[0]}, which is written {canonical}"
        at = step.end()
    return ""


def _canonical_member_step(key: str) -> str:
    try:
        return member_path("", json.loads(key))
    except ValueError:
        return "otherwise"
