"""Whether the Flask app has what a route needs before it may send clients there.

Knows the app only as plain data: rule texts and methods, handed in by the composition root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from proxy.loading.values import Bad, nearest
from proxy.routing.converters import RuleError
from proxy.routing.rules import shape_of, stands_below

MAX_COMPARED = 200  # looking for the most similar of thousands of rules would take seconds


class AppRule(NamedTuple):
    """One URL rule of the Flask app; `methods` is None for all.

    With `asgi` it is the prefix of an ASGI app mounted there: that app takes every path at or
    below it.
    """

    rule: str
    methods: frozenset[str] | None
    asgi: bool = False


class AppRules:
    """The app's rules by shape; None instead of rules says nothing is known, so nothing is missing."""

    def __init__(self, rules: Sequence[AppRule] | None) -> None:
        self._rules = rules
        self._mounts = [one.rule for one in rules or () if one.asgi]
        self._methods: dict[tuple[Any, ...], list[frozenset[str] | None]] = {}
        for one in rules or ():
            try:
                shape = shape_of(one.rule)
            except RuleError:  # a converter of the app's own: no route can have this shape
                continue
            self._methods.setdefault(shape, []).append(one.methods)

    def is_asgi(self, path: str | None, prefix: str | None) -> bool:
        """Whether all that such a route takes lies at or below a mounted ASGI app."""
        if not self._mounts:
            return False
        taken = f"{path or prefix}".rstrip("/") + "/"
        return any(taken.startswith(mount.rstrip("/") + "/") for mount in self._mounts)

    def missing(
        self, path: str | None, prefix: str | None, methods: tuple[str, ...] | None
    ) -> Bad | None:
        """What the app lacks for such a route; None if it can serve it."""
        if self._rules is None or self.is_asgi(path, prefix):
            return None
        found = self._for_path(path) if path is not None else self._below(prefix or "/")
        if not found:
            return self._no_rule(path, prefix)
        taken = _together(found)
        lacking = [] if taken is None else [m for m in methods or () if m not in taken]
        if not lacking:
            return None
        what = f"the app's rule for {path or prefix} does not take {', '.join(lacking)}"
        fix = "Add the methods to the view, or list here only those it takes."
        return Bad("app-rule-missing", what, fix)

    def _for_path(self, path: str) -> list[frozenset[str] | None]:
        return self._methods.get(shape_of(path), [])

    def _below(self, prefix: str) -> list[frozenset[str] | None]:
        return [one.methods for one in self._rules or () if _is_below(one.rule, prefix)]

    def _no_rule(self, path: str | None, prefix: str | None) -> Bad:
        texts = [one.rule for one in self._rules or ()]
        close = nearest(path or prefix or "", texts) if len(texts) <= MAX_COMPARED else None
        hint = f"Its most similar rule is {close}; converters" if close else "Converters"
        if prefix is not None:
            what = f"the app has no rule at or below {prefix}"
            return Bad("app-rule-missing", what, "Add one, or send the route to legacy.")
        fix = f"{hint} and literal text must be equal, names need not. Add a rule or use legacy."
        return Bad("app-rule-missing", f"the app has no rule of the shape {path}", fix)


def _is_below(rule: str, prefix: str) -> bool:
    try:
        return stands_below(rule, prefix)
    except RuleError:  # a converter of the app's own; its literal beginning still tells
        return f"{rule}/".startswith(prefix.rstrip("/") + "/")


def _together(found: list[frozenset[str] | None]) -> frozenset[str] | None:
    """The methods that any of the rules takes; None if one takes all."""
    if len(found) == 1:  # nearly always
        return found[0]
    if None in found:
        return None
    return frozenset[str]().union(*(methods for methods in found if methods is not None))
