"""Checks whether the Flask app can serve a route that sends clients to the app.

This module knows the app only as plain data: rule texts and methods, which the composition root passes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from overgrow.routing.converters import RuleError
from overgrow.routing.model import RouteTable
from overgrow.routing.rules import is_below_prefix, shape_of
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.scalars import FieldError, nearest_word

MAX_COMPARED = 200  # looking for the most similar of thousands of rules would take seconds


_WRAPPED_APP_HINT = (
    " If what app.wsgi_app is wrapped in serves it, a rule without a view says so: "
    'app.add_url_rule("{path}", "NAME").'
)
_NOT_NAMED = "no app could serve it, as the table names none"
_NAME_ONE = (
    "Add app: MODULE:FACTORY at the top, as in app: shop:create_app, or send the route to legacy."
)
_NOT_LOADED = "no app could serve it, as the front door started before the table named {}"


class AppRule(NamedTuple):
    """One URL rule of the Flask app. `methods` is None if it takes all methods.

    With `asgi`, `rule` is the prefix of a mounted ASGI app, which serves every path at or below this prefix.
    With `open`, `rule` is the prefix of a WSGI app with unknown rules; an empty prefix means that a wrapper
    hides the rules of the whole app. With `loose`, a trailing slash makes no difference. If the constant NO_APP
    is the only rule, there is no app.
    """

    rule: str
    methods: frozenset[str] | None
    asgi: bool = False
    loose: bool = False
    open: bool = False


NO_APP = AppRule("", None)


def blame_stale_app(problems: Sequence[Problem], stale: str | None) -> tuple[Problem, ...]:
    """Return the problems of a table.

    If the app's code has changed since its import, problems about the app get another fix. In this case the
    table may be right, and the fix is `overgrow reload`. `stale` is a sentence about the changed code, or None.
    """
    if stale is None:
        return tuple(problems)
    fix = f"{stale[:1].upper()}{stale[1:]}: run overgrow reload."
    codes = ("app-missing", "app-rule-missing")
    return tuple(replace(one, fix=fix) if one.code in codes else one for one in problems)


class AppRules:
    """The app's rules by shape. If the rules are None, the app is unknown, and no rule counts as missing."""

    def __init__(self, rules: Sequence[AppRule] | None, named: str | None = None) -> None:
        self._named = named  # the app of the table
        self._is_app_there = NO_APP not in (rules or ())
        self._is_wrapped = any(one.open and not one.rule for one in rules or ())
        if rules is not None:
            rules = [one for one in rules if one.rule]
        self._rules = rules
        self._open = [one.rule for one in rules or () if one.open]
        self._mounts = [one.rule for one in rules or () if one.asgi]
        self._methods: dict[tuple[Any, ...], list[frozenset[str] | None]] = {}
        for one in rules or ():
            for text in _rule_spellings(one):
                try:
                    shape = shape_of(text)
                except RuleError:  # a converter of the app's own: no route can have this shape
                    continue
                self._methods.setdefault(shape, []).append(one.methods)

    def is_asgi(self, path: str | None, prefix: str | None) -> bool:
        """Return whether every path of a route with this path or prefix is at or below a mounted ASGI app."""
        return _lies_in(self._mounts, path or prefix)

    def find_missing(
        self, path: str | None, prefix: str | None, methods: tuple[str, ...] | None
    ) -> FieldError | None:
        """Return what the app lacks to serve a route with this path or prefix and these methods.

        Return None if it can serve it.
        """
        if self._rules is None or self.is_asgi(path, prefix):
            return None
        if not self._is_app_there:
            return self._no_app_error()
        if _lies_in(self._open, path or prefix):
            return None
        found = (
            self._methods_for_path(path) if path is not None else self._methods_below(prefix or "/")
        )
        if not found:
            return self._no_rule_error(path, prefix)
        taken = _union_of_methods(found)
        lacking = [] if taken is None else [m for m in methods or () if m not in taken]
        if not lacking:
            return None
        what = f"the app's rule for {path or prefix} does not take {', '.join(lacking)}"
        fix = "Add the methods to the view, or list here only those it takes."
        return FieldError("app-rule-missing", what, fix)

    def _no_app_error(self) -> FieldError:
        if self._named is None:
            return FieldError("app-missing", _NOT_NAMED, _NAME_ONE)
        fix = "Run overgrow reload: app: is read when workers start."
        return FieldError("app-missing", _NOT_LOADED.format(self._named), fix)

    def _methods_for_path(self, path: str) -> list[frozenset[str] | None]:
        return self._methods.get(shape_of(path), [])

    def _methods_below(self, prefix: str) -> list[frozenset[str] | None]:
        return [one.methods for one in self._rules or () if _is_below(one.rule, prefix)]

    def _no_rule_error(self, path: str | None, prefix: str | None) -> FieldError:
        texts = [one.rule for one in self._rules or ()]
        close = nearest_word(path or prefix or "", texts) if len(texts) <= MAX_COMPARED else None
        hint = f"Its most similar rule is {close}; converters" if close else "Converters"
        if prefix is not None:
            what = f"the app has no rule at or below {prefix}"
            return FieldError("app-rule-missing", what, "Add one, or send the route to legacy.")
        wrapped = _WRAPPED_APP_HINT.format(path=path) if self._is_wrapped else ""
        fix = f"{hint} and literal text must be equal; names of variables may differ. Add a rule or use legacy.{wrapped}"
        return FieldError("app-rule-missing", f"the app has no rule of the shape {path}", fix)


def describe_first_missing(table: RouteTable, rules: Sequence[AppRule] | None) -> str:
    """Describe the first route that may send clients to the app and that the app cannot serve; "" if there is none.

    A new table is checked when it is read. A last-good table is used even if the app has lost a rule in the
    meantime.
    """
    known = AppRules(rules)
    for route in table.routes:
        may_need_it = route.target == "legacy" and (route.canary or route.shadow)
        if route.target == "migrated" or may_need_it:
            lacking = known.find_missing(route.path, route.prefix, route.methods)
            if lacking is not None:
                return f'route "{route.name}": {lacking.message}. {lacking.fix}'
    return ""


def _rule_spellings(one: AppRule) -> tuple[str, ...]:
    """Return the rule texts that an app's rule stands for.

    A `loose` rule has two: with and without the trailing slash.
    """
    if not one.loose or one.rule == "/":
        return (one.rule,)
    return (one.rule.removesuffix("/"), f"{one.rule.removesuffix('/')}/")


def _lies_in(mounts: Sequence[str], path: str | None) -> bool:
    if not mounts:
        return False
    taken = f"{path}".rstrip("/") + "/"
    return any(taken.startswith(mount.rstrip("/") + "/") for mount in mounts)


def _is_below(rule: str, prefix: str) -> bool:
    try:
        return is_below_prefix(rule, prefix)
    except RuleError:  # a converter of the app's own; its literal beginning still tells
        return f"{rule}/".startswith(prefix.rstrip("/") + "/")


def _union_of_methods(found: list[frozenset[str] | None]) -> frozenset[str] | None:
    """Return the methods that at least one of the rules takes; None if one of the rules takes all methods."""
    if len(found) == 1:  # nearly always
        return found[0]
    if None in found:
        return None
    return frozenset[str]().union(*(methods for methods in found if methods is not None))
