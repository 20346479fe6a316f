"""Turns the rules of a Flask app into routes of a table. Pure, except that it reads the app's URL map.

A rule that a table cannot express is left out with a reason, so that one odd rule does not stop a migration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from overgrow.http import SAFE_METHODS
from overgrow.routing.match import RuleError, derived_name, shape_of

NOTHING: Mapping[str, str] = {}
FLASKS_OWN = frozenset({"HEAD", "OPTIONS"})  # Flask adds them by itself
TAKEN = "earlier rules match all its requests"
_PLAIN = re.compile(r"[\w/<>:.,()=*-]+")


class FoundRule(NamedTuple):
    """One URL rule of the app: its text, its methods (None stands for all), and its host."""

    rule: str
    methods: frozenset[str] | None
    host: str | None = None


class SkippedRule(NamedTuple):
    """A rule without a route, and the reason."""

    rule: str
    why: str


class FirstTable(NamedTuple):
    """The `routes:` part of a table, and the rules that were left out."""

    text: str
    skipped: tuple[SkippedRule, ...]


def rules_in(app: Any) -> list[FoundRule]:
    """Return the rules of a Flask app in its order, without Flask's static files."""
    return [
        FoundRule(rule.rule, frozenset(rule.methods) if rule.methods else None, _host(app, rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static" and not rule.build_only and not rule.websocket
    ]


def _host(app: Any, rule: Any) -> str | None:
    """Return the host of a rule. It comes from host matching or from a subdomain of SERVER_NAME."""
    if app.url_map.host_matching:
        return rule.host or None
    server = (app.config["SERVER_NAME"] or "").partition(":")[0]
    return f"{rule.subdomain}.{server}" if rule.subdomain and server else None


class NewRoutes(NamedTuple):
    """The lines of new routes, each with its dash in the first column, and the rules that got no route."""

    names: tuple[str, ...]
    lines: tuple[str, ...]
    skipped: tuple[SkippedRule, ...]


def first_table(rules: Iterable[FoundRule], without: Mapping[str, str] = NOTHING) -> FirstTable:
    """Return the part `routes:` of a table: a route with target legacy for each rule that a table can express.

    `without` maps the names of routes to leave out to the reasons why an earlier attempt with them failed.
    """
    found = new_routes(rules, without, taken={}, names=set())
    lines = [f"  {line}" for line in found.lines]
    text = "\n".join(["routes:", *lines, ""]) if lines else "routes: []\n"
    return FirstTable(text, found.skipped)


def new_routes(
    rules: Iterable[FoundRule],
    without: Mapping[str, str],
    *,
    taken: dict[Any, set[str]],
    names: set[str],
) -> NewRoutes:
    """Return new entries for `routes`, one for each rule without a route in the table.

    `taken` holds the methods of existing routes by shape and host, and `names` holds their names. Both get the
    new entries too. Routes named in `without` are left out: it maps a name to the reason.
    """
    lines: list[str] = []
    made: list[str] = []
    skipped: list[SkippedRule] = []
    for found in rules:
        why = _skip_reason(found)
        methods = () if why else _free_methods(found, taken)
        if why or methods is None:
            skipped.append(SkippedRule(found.rule, why or TAKEN))
            continue
        name = _name(found, methods, names)
        if name in without:
            skipped.append(SkippedRule(found.rule, without[name]))
            continue
        made.append(name)
        lines += _route(name, found, _with_preflight(found, methods, taken))
    return NewRoutes(tuple(made), tuple(lines), tuple(skipped))


def _skip_reason(found: FoundRule) -> str | None:
    if found.host and "<" in found.host:
        return f"its host {found.host} is a pattern; the host of a route is a name or *.NAME"
    try:
        shape_of(found.rule)
    except RuleError as error:
        return f"{error.message}; leave it to legacy, or cover it with a prefix route"
    return None


def _free_methods(found: FoundRule, taken: dict[Any, set[str]]) -> tuple[str, ...] | None:
    """Return the methods of a rule that are still free: no route and no earlier rule of this shape has them.

    Return () if all methods are free, and None if none is free.
    """
    before = taken.setdefault((shape_of(found.rule), found.host), set())
    methods = _own_methods(found)
    left = tuple(method for method in methods if method not in before)
    if "*" in before or (methods and not left):
        return None
    before.update(left or ("*",))
    return left


def _own_methods(found: FoundRule) -> tuple[str, ...]:
    """Return the rule's methods without those that Flask adds; () stands for all methods."""
    methods = found.methods or frozenset()
    return tuple(sorted(methods - FLASKS_OWN or methods))


def _with_preflight(
    found: FoundRule, methods: tuple[str, ...], taken: dict[Any, set[str]]
) -> tuple[str, ...]:
    """Return the methods of a route. Add OPTIONS if Flask serves OPTIONS there and the route has unsafe methods.

    A browser that asks for permission (CORS preflight) then asks the side that will answer. If several routes
    of a path have unsafe methods, the first one gets OPTIONS.
    """
    before = taken[(shape_of(found.rule), found.host)]
    if (
        "OPTIONS" not in (found.methods or ())
        or "OPTIONS" in before
        or SAFE_METHODS.issuperset(methods)
    ):
        return methods
    before.add("OPTIONS")
    return (*methods, "OPTIONS")


def _route(name: str, found: FoundRule, methods: Sequence[str]) -> Iterator[str]:
    yield f"- name: {name}"
    yield f"  path: {_scalar(found.rule)}"
    if methods:
        yield f"  methods: [{', '.join(methods)}]"
    if found.host:
        yield f"  host: {_scalar(found.host)}"
    yield "  target: legacy"


def _name(found: FoundRule, methods: Sequence[str], names: set[str]) -> str:
    """Return a route name made from methods and path, and add it to `names`.

    If it is used already, append -2, -3 and so on.
    """
    name = derived = derived_name(methods, found.rule)
    number = 1
    while name in names:
        number += 1
        name = f"{derived}-{number}"
    names.add(name)
    return name


def _scalar(text: str) -> str:
    """Return the text as a YAML scalar; `${` is doubled, since it would begin a variable."""
    text = text.replace("${", "$${")
    is_plain = _PLAIN.fullmatch(text) and text[0] not in "*-=<>,:" and not text.endswith(":")
    return text if is_plain else "'" + text.replace("'", "''") + "'"
