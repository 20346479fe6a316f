"""Text of routes.yaml -> RouteTable, or every problem in file order.

What single fields mean stands in grammar.py; here they are put together and compared. No files, no
clock; variables and the app's rules come in by argument.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from proxy.loading import values as v
from proxy.loading.app_rules import AppRule, AppRules
from proxy.loading.fields import (
    Fields,
    Reading,
    list_of,
    scalar_of,
)
from proxy.loading.grammar import COHORT, LEGACY, ROUTE, TIMEOUTS, TOP
from proxy.loading.problems import Problem
from proxy.loading.tree import Broken, Node, decoded, tree_of
from proxy.loading.values import Bad
from proxy.routing.conflicts import ties, unreachable
from proxy.routing.model import (
    Cohort,
    Legacy,
    Route,
    RouteTable,
    Timeouts,
    TrustedProxies,
)
from proxy.routing.order import ordered
from proxy.routing.rules import derived_name

__all__ = ["AppRule", "Draft", "Loaded", "app_named_in", "drafts_of", "parse", "revision_of"]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Loaded(NamedTuple):
    """What a text means: a table, or problems; notes either way. All in file order."""

    table: RouteTable | None
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]


class Draft(NamedTuple):
    """One entry under `routes`: its name, its fields, and the route it makes if nothing is wrong."""

    name: str | None
    node: Node
    fields: Fields
    route: Route | None


def revision_of(data: bytes) -> str:
    """The first 12 hex digits of the SHA-256 of the file."""
    return hashlib.sha256(data).hexdigest()[:12]


def parse(
    text: bytes,
    *,
    file: str,
    env: Mapping[str, str],
    rules: Sequence[AppRule] | None,
    app_in_use: str | None = None,
) -> Loaded:
    """Read and validate a table. `rules` None skips the check against the Flask app.

    `app_in_use` is the app that runs, if known; another one in the file is worth a note.
    """
    reading = Reading(file, env)
    try:
        root = tree_of(decoded(text))
    except Broken as broken:
        return Loaded(None, (_of_broken(file, broken),), ())
    table = _table(reading, root, AppRules(rules), app_in_use)
    problems = tuple(sorted(reading.problems, key=_place))
    notes = tuple(sorted(reading.notes, key=_place))
    if problems or table is None:
        return Loaded(None, problems, notes)
    return Loaded(replace(table, revision=revision_of(text)), (), notes)


def drafts_of(text: str, env: Mapping[str, str]) -> list[Draft]:
    """The routes as they are written, valid or not; raises Broken where the text is no YAML."""
    reading = Reading("", env)
    top = reading.fields(tree_of(text), "", TOP)
    return _drafts(reading, top, Timeouts(), AppRules(None))


def app_named_in(text: bytes, env: Mapping[str, str]) -> str | None:
    """The value of `app`, whatever else is wrong with the file."""
    try:
        root = tree_of(decoded(text))
        pairs = root.children if root.kind == "mapping" else []
        for key, value in pairs:
            if key.text == "app":
                return v.app_name(scalar_of(Reading("", env), value, "app"), "app")
    except (Broken, Bad):
        pass
    return None


def _of_broken(file: str, broken: Broken) -> Problem:
    return Problem(broken.code, file, *broken.at, None, broken.message, broken.fix)


def _place(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


# --- the table ------------------------------------------------------------------------------------


def _table(
    reading: Reading, root: Node, rules: AppRules, app_in_use: str | None
) -> RouteTable | None:
    top = reading.fields(root, "", TOP)
    if root.kind != "mapping":
        return None
    cohort = _cohort(reading, top.nodes.get("cohort"))
    legacy = _legacy(reading, root, top.nodes, cohort.salt)
    if "version" not in top.nodes:
        reading.report(root, Bad("version", "version is absent", "Write version: 1 at the top."))
    inherited = legacy.timeouts if legacy else Timeouts()
    drafts = _drafts(reading, top, inherited, rules)
    routes = _checked(reading, drafts)
    app = top.values.get("app")
    if app_in_use is not None and app is not None and app != app_in_use:
        what = f"app is {app}, but {app_in_use} runs; the app is read at start only"
        reading.note(top.nodes["app"], None, Bad("app-needs-restart", what, "Restart to use it."))
    proxies = top.values.get("trusted_proxies", ())
    trusted = TrustedProxies(tuple(one for one in proxies if one != "unix"), "unix" in proxies)
    if reading.problems or legacy is None:
        return None
    return RouteTable("", legacy, ordered(routes), cohort, trusted, app)


def _cohort(reading: Reading, node: Node | None) -> Cohort:
    if node is None:
        return Cohort()
    values = dict(_salted(reading, node))
    by = values.get("by", Cohort().by)
    return Cohort(by, values.get("salt", ""))


def _salted(reading: Reading, node: Node) -> dict[str, Any]:
    fields = reading.fields(node, "cohort.", COHORT)
    if fields.values.get("by") == ():
        fix = "Name at least one source, or remove the line."
        reading.report(fields.nodes["by"], Bad("value-missing", "cohort.by is empty", fix))
    return fields.values


def _legacy(reading: Reading, root: Node, nodes: dict[str, Node], salt: str) -> Legacy | None:
    node = nodes.get("legacy")
    if node is None:
        what = "legacy is absent, so there is nowhere to send what no route takes"
        reading.report(
            root, Bad("required", what, "Write legacy: and below it url: http://HOST:PORT.")
        )
        return None
    fields = reading.fields(node, "legacy.", LEGACY)
    if node.kind == "mapping" and "url" not in fields.nodes:
        reading.report(
            node, Bad("required", "legacy.url is absent", "Write url: http://HOST:PORT.")
        )
    values = fields.values
    if "url" not in values:
        return None
    url = values["url"]
    ca = values.get("tls_ca")
    return Legacy(
        url=url,
        host=values.get("host", "preserve"),
        timeouts=_timeouts(values, Timeouts()),
        max_connections=values.get("max_connections", 256),
        tls_ca=posixpath.join(posixpath.dirname(reading.file), ca) if ca else None,
        via=values.get("via")
        or f"overgrow-{hashlib.sha256((salt + url).encode()).hexdigest()[:8]}",
        forwarded=values.get("forwarded", False),
        max_body=values.get("max_body"),
        leniencies=frozenset(values.get("lenient", ())),
    )


def _timeouts(values: Mapping[str, Any], inherited: Timeouts) -> Timeouts:
    if values.keys().isdisjoint(TIMEOUTS):
        return inherited
    return Timeouts(
        values.get("connect_timeout", inherited.connect_s),
        values.get("response_timeout", inherited.response_s),
        values.get("idle_timeout", inherited.idle_s),
        values.get("stream_idle_timeout", inherited.stream_idle_s),
    )


def _drafts(reading: Reading, top: Fields, inherited: Timeouts, rules: AppRules) -> list[Draft]:
    node = top.nodes.get("routes")
    if node is None:
        return []
    try:
        return [_draft(reading, entry, inherited, rules) for entry in list_of(node, "routes")]
    except Bad:
        fix = "Write - path: ... lines below it, or routes: [] for none."
        reading.report(node, Bad("list-expected", "routes must be a list", fix))
        return []


def _draft(reading: Reading, node: Node, inherited: Timeouts, rules: AppRules) -> Draft:
    since = len(reading.problems)
    if node.kind != "mapping":
        what = f"a route must be a mapping, not {node.text or 'empty'}"
        reading.report(node, Bad("mapping-expected", what, "Write path: ... and target: ..."))
        return Draft(None, node, Fields({}, {}), None)
    fields = reading.fields(node, "", ROUTE)
    values = fields.values
    path, prefix, methods = values.get("path"), values.get("prefix"), values.get("methods")
    name = values.get("name")
    if name is None and (path is None) != (prefix is None):
        name = derived_name(path=path, prefix=prefix, methods=methods)
    route = None
    for place, bad in _wrong_together(node, fields):
        reading.report(place, bad)
    lacking = rules.missing(path, prefix, methods) if path or prefix else None
    if lacking and _sends_to_migrated(values):
        place = fields.nodes["canary" if values["target"] == "legacy" else "target"]
        reading.report(place, lacking)
    if len(reading.problems) == since:
        timeouts = _timeouts(values, inherited)
        route = _route(str(name), node.line, values, timeouts, servable=lacking is None)
        _note(reading, fields, route)
    if len(reading.problems) > since:
        reading.name_route(since, name)
    return Draft(name, node, fields, route)


def _sends_to_migrated(values: Mapping[str, Any]) -> bool:
    target = values.get("target")
    return target == "migrated" or (target == "legacy" and values.get("canary", 0) > 0)


def _wrong_together(node: Node, fields: Fields) -> list[tuple[Node, Bad]]:
    """What is wrong with the fields of a route that are right one by one."""
    found = []
    nodes, values = fields.nodes, fields.values
    if ("path" in nodes) == ("prefix" in nodes):
        both = "path" in nodes
        what = "a route has path or prefix, not both" if both else "a route needs path or prefix"
        fix = "Remove one of the two." if both else "Write path: /... or prefix: /..."
        found.append((nodes.get("prefix", node), Bad("path-and-prefix", what, fix)))
    if "target" not in nodes:
        fix = "Write target: legacy, migrated or gone."
        found.append((node, Bad("required", "target is absent", fix)))
    if values.get("reversible") is False:
        if values.get("target") == "legacy":
            what = "reversible: false says that the data left legacy, yet target is legacy"
            fix = "Write target: migrated or gone, or remove reversible."
            found.append((nodes["target"], Bad("irreversible", what, fix)))
        if "canary" in nodes:
            what = "reversible: false allows no canary"
            found.append((nodes["canary"], Bad("irreversible", what, "Remove the canary line.")))
    return found


def _route(
    name: str, line: int, values: Mapping[str, Any], timeouts: Timeouts, *, servable: bool
) -> Route:
    get = values.get
    return Route(
        name,
        get("path"),
        get("prefix"),
        get("methods"),
        get("host"),
        (*get("headers", ()), *get("query", ()), *get("cookies", ())),
        values["target"],
        get("canary", 0),
        get("priority", 0),
        get("reversible", True),
        timeouts,
        line,
        servable,
    )


def _note(reading: Reading, fields: Fields, route: Route) -> None:
    if route.target != "legacy" and "canary" in fields.nodes:
        what = f"canary has no effect while target is {route.target}"
        bad = Bad("canary-dormant", what, "It counts again when target becomes legacy.")
        reading.note(fields.nodes["canary"], route.name, bad)
    methods = route.methods or ()
    if (
        route.target == "migrated"
        and "OPTIONS" not in methods
        and not SAFE_METHODS.issuperset(methods)
    ):
        what = "OPTIONS is not listed, so preflight requests go to legacy unless another route takes them"
        bad = Bad("options-not-listed", what, "Add OPTIONS if browsers of other sites use it.")
        reading.note(fields.nodes["methods"], route.name, bad)


# --- the routes among each other ------------------------------------------------------------------


def _checked(reading: Reading, drafts: Sequence[Draft]) -> list[Route]:
    """The good routes, after reporting equal names, ties and routes that nothing can reach."""
    _report_equal_names(reading, drafts)
    drafted = {id(draft.route): draft for draft in drafts if draft.route}
    routes = [draft.route for draft in drafts if draft.route]
    for tie in ties(routes):
        draft = drafted[id(tie.second)]
        since = len(reading.problems)
        what = (
            f'both this route and "{tie.first.name}" on line {tie.first.line} would take '
            f"{tie.example}, and nothing says which comes first"
        )
        fix = "Give one of them a priority, or make their predicates differ."
        reading.report(draft.node, Bad("route-tie", what, fix))
        reading.name_route(since, draft.name)
    for hidden, by in unreachable(routes):
        since = len(reading.problems)
        what = f'"{by.name}" on line {by.line} takes every request that this route could match'
        fix = "Remove one of the two, or give this one a higher priority."
        reading.report(drafted[id(hidden)].node, Bad("route-unreachable", what, fix))
        reading.name_route(since, hidden.name)
    return routes


def _report_equal_names(reading: Reading, drafts: Sequence[Draft]) -> None:
    first: dict[str, Draft] = {}
    for draft in drafts:
        if draft.name is None or first.setdefault(draft.name, draft) is draft:
            continue
        since = len(reading.problems)
        derived = "" if "name" in draft.fields.values else " (derived, as no name is written)"
        what = f"the route on line {first[draft.name].node.line} has the same name{derived}"
        place = draft.fields.nodes.get("name", draft.node)
        reading.report(place, Bad("duplicate-name", what, "Write another name: here."))
        reading.name_route(since, draft.name)
