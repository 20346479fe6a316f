"""Reads the entries under `routes`: it turns fields into Routes, and reports fields that do not fit together.

grammar.py defines single fields, and crosschecks.py checks routes against each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from overgrow.http import SAFE_METHODS
from overgrow.routing.model import Route, Timeouts
from overgrow.routing.rules import derived_name, parse_rule
from overgrow.table.reading import values as v
from overgrow.table.reading.app_rules import AppRules
from overgrow.table.reading.foreign_spelling import (
    HTTP_METHODS,
    find_invisible,
    may_be_foreign,
    suggest_method,
    suggest_spelling,
)
from overgrow.table.reading.gc_pause import freeze_table, gc_paused
from overgrow.table.reading.grammar import ROUTE, TIMEOUTS, TOP, FallbackField, ShadowField
from overgrow.table.reading.table_file import parse_tree
from overgrow.yaml_file.fields import Fields, FileReading, require_list
from overgrow.yaml_file.scalars import FieldError
from overgrow.yaml_file.tree import Node

_NO_SHADOW = ShadowField(0)
_NO_FALLBACK = FallbackField(on=False)


class Surroundings(NamedTuple):
    """What a route depends on outside its own fields: timeouts of legacy, rules of the app, whether the table has `identity`."""

    inherited: Timeouts
    rules: AppRules
    has_identity: bool = False


class Draft(NamedTuple):
    """One entry under `routes`: its name, its fields, and the route made from them.

    The route is None if something is wrong.
    """

    name: str | None
    node: Node
    fields: Fields
    route: Route | None

    @property
    def group(self) -> str | None:
        """The group that the entry names; None if it names no valid group."""
        group: str | None = self.fields.values.get("group")
        return group


@gc_paused()
def parse_drafts(text: str, env: Mapping[str, str]) -> list[Draft]:
    """Return the entries under `routes`, valid or not. If the YAML is invalid, raise YamlSyntaxError."""
    reading = FileReading("", env)
    top = reading.read_fields(parse_tree(text), "", TOP)
    drafts = read_drafts(reading, top, Surroundings(Timeouts(), AppRules(None)))
    freeze_table(len(drafts))
    return drafts


def read_drafts(reading: FileReading, top: Fields, around: Surroundings) -> list[Draft]:
    """Return the entries under `routes`, and report what is wrong with each.

    The top fields of the file are read already.
    """
    node = top.nodes.get("routes")
    if node is None:
        return []
    try:
        return [_read_draft(reading, entry, around) for entry in require_list(node, "routes")]
    except FieldError:
        fix = "Write - path: ... lines below it, or routes: [] for none."
        reading.report(node, FieldError("list-expected", "routes must be a list", fix))
        return []


def timeouts_from(values: Mapping[str, Any], inherited: Timeouts) -> Timeouts:
    """Return the timeouts that the fields set. Timeouts without a field are inherited."""
    if values.keys().isdisjoint(TIMEOUTS):
        return inherited
    return Timeouts(
        connect_s=values.get("connect_timeout", inherited.connect_s),
        response_s=values.get("response_timeout", inherited.response_s),
        idle_s=values.get("idle_timeout", inherited.idle_s),
        stream_idle_s=values.get("stream_idle_timeout", inherited.stream_idle_s),
    )


def _read_draft(reading: FileReading, node: Node, around: Surroundings) -> Draft:
    rules = around.rules
    since = len(reading.problems)
    if node.kind != "mapping":
        what = f"a route must be a mapping, not {_describe_node(node)}"
        reading.report(
            node, FieldError("mapping-expected", what, "Write path: ... and target: ...")
        )
        return Draft(None, node, Fields({}, {}), None)
    fields = reading.read_fields(node, "", ROUTE)
    values = fields.values
    path, prefix, methods = values.get("path"), values.get("prefix"), values.get("methods")
    name = values.get("name")
    if name is None and (path is None) != (prefix is None):
        name = derived_name(path=path, prefix=prefix, methods=methods)
        if name == v.RESERVED_NAME and "name" not in fields.nodes:
            reading.report(node, v.reserved_name_error("the derived name"))
    route = None
    for place, bad in _find_conflicts(node, fields):
        reading.report(place, bad)
    lacking = rules.find_missing(path, prefix, methods) if path or prefix else None
    if lacking and (sender := _field_that_needs_app(values)):
        reading.report(fields.nodes[sender], lacking)
    if len(reading.problems) == since:
        timeouts = timeouts_from(values, around.inherited)
        route = _build_route(str(name), node.line, values, timeouts, servable=lacking is None)
        if around.has_identity and values.get("identity", True):
            route = replace(route, identifies=True, asks_identity=_may_use_migrated(route))
        route = replace(route, asgi=True) if rules.is_asgi(path, prefix) else route
        _add_notes(reading, fields, route)
    else:
        reading.name_route(since, name)
    return Draft(name, node, fields, route)


def _may_use_migrated(route: Route) -> bool:
    """Return whether migrated may get requests of the route: as its target, its canary or its shadow."""
    return route.target == "migrated" or (
        route.target == "legacy" and (route.canary > 0 or route.shadow > 0)
    )


def _describe_node(node: Node) -> str:
    """Return in words what the file has where a route is expected."""
    return "a list" if node.kind == "list" else node.text or "empty"


def _field_that_needs_app(values: Mapping[str, Any]) -> str | None:
    """Return the field that sends clients to migrated, so that the app must serve the route.

    Return None if there is no such field.
    """
    target = values.get("target")
    if target == "migrated":
        return "target"
    if target != "legacy":
        return None
    if values.get("canary", 0) > 0:
        return "canary"
    return "shadow" if values.get("shadow", _NO_SHADOW).percent > 0 else None


def _find_conflicts(node: Node, fields: Fields) -> Iterator[tuple[Node, FieldError]]:
    """Yield (node, error) for fields of a route that are valid by themselves but not together."""
    nodes, values = fields.nodes, fields.values
    if ("path" in nodes) == ("prefix" in nodes):
        both = "path" in nodes
        what = "a route has path or prefix, not both" if both else "a route needs path or prefix"
        fix = "Remove one of the two." if both else "Write path: /... or prefix: /..."
        yield nodes.get("prefix", node), FieldError("path-and-prefix", what, fix)
    if "target" not in nodes:
        fix = "Write target: legacy, migrated or gone."
        yield node, FieldError("required", "target is missing", fix)
    if "shadow" in values and values["shadow"].percent and _takes_every_path(values):
        what = "shadow is set on a route that takes every path, so it would copy requests that nobody chose"
        fix = "Remove the shadow line, and add a route for each path to compare."
        yield nodes["shadow"], FieldError("shadow-too-wide", what, fix)
    if values.get("reversible") is False:
        yield from _find_irreversible_conflicts(fields)


def _takes_every_path(values: Mapping[str, Any]) -> bool:
    """Return whether the route matches every path: its prefix is `/`, or its path is a single `<path:...>` converter."""
    if values.get("prefix") == "/":
        return True
    rule = parse_rule(values["path"]) if "path" in values else None
    return rule is not None and rule.tail == 0 and len(rule.segments[0]) == len(rule.segments) == 1


def _find_irreversible_conflicts(fields: Fields) -> Iterator[tuple[Node, FieldError]]:
    """Yield (node, error) for fields that an irreversible route cannot have."""
    nodes, values = fields.nodes, fields.values
    if values.get("target") == "legacy":
        what = "reversible: false means that the data has left legacy, but target is legacy"
        fix = "Write target: migrated or gone, or remove reversible."
        yield nodes["target"], FieldError("irreversible", what, fix)
    for name in ("canary", "shadow", "fallback"):
        if name in nodes and values.get(name) != _NO_FALLBACK:
            what = f"reversible: false allows no {name}"
            yield nodes[name], FieldError("irreversible", what, f"Remove the {name} line.")


def _build_route(
    name: str, line: int, values: Mapping[str, Any], timeouts: Timeouts, *, servable: bool
) -> Route:
    get = values.get
    shadow: ShadowField = get("shadow", _NO_SHADOW)
    fallback: FallbackField = get("fallback", _NO_FALLBACK)
    return Route(
        name=name,
        path=get("path"),
        prefix=get("prefix"),
        methods=get("methods"),
        host=get("host"),
        predicates=(*get("headers", ()), *get("query", ()), *get("cookies", ())),
        target=values["target"],
        canary=get("canary", 0),
        priority=get("priority", 0),
        reversible=get("reversible", True),
        timeouts=timeouts,
        line=line,
        servable=servable,
        shadow=shadow.percent,
        shadow_unsafe=shadow.unsafe,
        shadow_noise=shadow.noise,
        shadow_compare=shadow.compare,
        shadow_session=shadow.session,
        shadow_max_answer=shadow.max_answer,
        fallback=fallback.on,
        fallback_unsafe=fallback.unsafe,
        group=get("group"),
        require_clean=get("require", 0),
        stream=get("stream", False),
    )


def _add_notes(reading: FileReading, fields: Fields, route: Route) -> None:
    if route.target != "legacy" and "canary" in fields.nodes:
        what = f"canary has no effect while target is {route.target}"
        bad = FieldError(
            "canary-dormant", what, "It takes effect again when target becomes legacy."
        )
        reading.note(fields.nodes["canary"], route.name, bad)
    methods = route.methods or ()
    if route.shadow and (idle := _dormant_shadow(route)) is not None:
        reading.note(fields.nodes["shadow"], route.name, idle)
    field = "prefix" if route.path is None else "path"
    written = route.path or route.prefix or ""
    if ";" in written and ";" in _VARIABLE.sub("", written) and _takes_from_legacy(route):
        what = f'{field} "{written}" has ;parameters, which other servers drop'
        fix = "Its requests never reach this route: take them with a variable, as in <name>."
        reading.note(fields.nodes[field], route.name, FieldError("path-parameters", what, fix))
    if may_be_foreign(written) or not HTTP_METHODS.issuperset(methods):
        for name, bad in _find_foreign_spelling(route, field, written):
            reading.note(fields.nodes[name], route.name, bad)


def _find_foreign_spelling(
    route: Route, field: str, written: str
) -> Iterator[tuple[str, FieldError]]:
    """Yield (field, note) for valid text that was probably meant differently."""
    meant = suggest_spelling(written, field)
    if meant is not None:
        what = f'{field} "{written}" is taken as it is written, so hardly any request has it'
        yield field, FieldError("foreign-spelling", what, f"Write {meant}, if that is meant.")
    if (invisible := find_invisible(written)) is not None:
        what = f"{field} contains {invisible}, which cannot be seen"
        yield field, FieldError("invisible-character", what, "Remove it, unless requests have it.")
    for method in route.methods or ():
        if (near := suggest_method(method)) is not None:
            fix = f"Did you mean {near}?" if near else "It is taken as it is written."
            what = f"methods contains {method}, which is no registered method of HTTP"
            yield "methods", FieldError("method-unusual", what, fix)


_VARIABLE = re.compile(r"<[^<>]*>")


def _takes_from_legacy(route: Route) -> bool:
    """Return whether anything except legacy can answer a request of the route."""
    return route.target != "legacy" or route.canary > 0


def _dormant_shadow(route: Route) -> FieldError | None:
    """Return why the shadow of this route never copies requests; None if it can copy requests."""
    if route.target == "gone":
        what = "shadow has no effect while target is gone"
        return FieldError(
            "shadow-dormant", what, "It takes effect again when target becomes legacy or migrated."
        )
    if route.methods and not route.shadow_unsafe and SAFE_METHODS.isdisjoint(route.methods):
        what = f"shadow copies safe methods only, and this route takes {', '.join(route.methods)}"
        fix = "Write shadow: {percent: ..., unsafe: true} if both sides may do it, or remove the line."
        return FieldError("shadow-dormant", what, fix)
    return None
