"""Compares two content security policies, directive by directive.

Pure. CSP Level 3, 2.2: the order of directives and of their sources has no meaning. If a directive occurs
twice, the first one counts. A directive's path is `header:content-security-policy;script-src`. A rule for the
whole header covers its directives, too. Several policies in one header are compared as one text.
"""

from __future__ import annotations

from overgrow.shadow.compare.findings import DifferencePaths, Findings
from overgrow.shadow.values.difference import ABSENT, escape_unprintable

POLICIES = frozenset({"content-security-policy", "content-security-policy-report-only"})


class _DirectivePathNaming:
    """Lets rules for the whole header cover its directives."""

    def __init__(self, path: str) -> None:
        self._path = path

    def paths_of_difference(self, kind: str, path: str) -> DifferencePaths:  # noqa: ARG002  a protocol's
        """Return the path of a directive, and the path of the whole header."""
        return DifferencePaths(path, self._path)


def parse_policy_directives(values: list[str]) -> dict[str, str] | None:
    """Return the sorted sources of each directive; None if there are several policies."""
    if len(values) != 1 or "," in values[0]:
        return None
    found: dict[str, str] = {}
    for each in values[0].split(";"):
        name, *allowed = each.split() or [""]
        if name:
            found.setdefault(name.lower(), " ".join(sorted(allowed)))
    return found


def policy_directive_paths(name: str, values: list[str]) -> list[str]:
    """Return the paths of a header's directives; an empty list if the header is not a policy."""
    found = parse_policy_directives(values) if name in POLICIES else None
    return [f"header:{name};{escape_unprintable(each)}" for each in found or ()]


def try_compare_policies(
    path: str, control: list[str], candidate: list[str], findings: Findings
) -> bool:
    """Report the directives that differ. If one side has several policies, report nothing and return False."""
    first, second = parse_policy_directives(control), parse_policy_directives(candidate)
    if first is None or second is None:
        return False
    findings.naming = _DirectivePathNaming(path)
    try:
        for name in first | second:
            _compare_directive(
                f"{path};{escape_unprintable(name)}", first.get(name), second.get(name), findings
            )
    finally:
        findings.naming = None
    return True


def _compare_directive(
    path: str, control: str | None, candidate: str | None, findings: Findings
) -> None:
    if candidate is None:
        findings.add_difference("header-missing", path, control, ABSENT)
    elif control is None:
        findings.add_difference("header-extra", path, ABSENT, candidate)
    elif control != candidate:
        findings.add_difference("header-value", path, control, candidate)
