"""Parses the text of routes.yaml into a RouteTable, or reports every problem in file order.

grammar.py defines single fields, routes.py defines a route, and crosschecks.py checks routes against each
other. This module uses no files and no clock. Variables and the app's rules come in by argument.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from overgrow.routing.cohort import IDENTITY_SOURCE
from overgrow.routing.identity import names_for_proxies
from overgrow.routing.index import PathIndex
from overgrow.routing.match import Matcher
from overgrow.routing.model import (
    HISTORY_MAX_BYTES,
    Cohort,
    Legacy,
    RouteTable,
    Timeouts,
    TrustedProxies,
)
from overgrow.table.reading import values as v
from overgrow.table.reading.app_rules import AppRule, AppRules
from overgrow.table.reading.crosschecks import crosscheck
from overgrow.table.reading.foreign_spelling import find_invisible_structure
from overgrow.table.reading.gc_pause import freeze_table, gc_paused
from overgrow.table.reading.grammar import COHORT, DEV, LEGACY, TOP
from overgrow.table.reading.identity import read_identity
from overgrow.table.reading.request_tests import check_request_tests, read_request_tests
from overgrow.table.reading.routes import (
    Draft,
    Surroundings,
    parse_drafts,
    read_drafts,
    timeouts_from,
)
from overgrow.table.reading.settling import extent_of
from overgrow.table.reading.table_file import decode_text, parse_tree
from overgrow.yaml_file.fields import Fields, FileReading, scalar_of
from overgrow.yaml_file.problem import Problem
from overgrow.yaml_file.scalars import FieldError
from overgrow.yaml_file.tree import Node, YamlSyntaxError, free_gradually

__all__ = [
    "AppRule",
    "Draft",
    "ParsedTable",
    "find_app_name",
    "find_dev_legacy",
    "parse",
    "parse_drafts",
    "revision_of",
]


class ParsedTable(NamedTuple):
    """The meaning of a text: a table, or problems. Both may come with notes. Problems and notes are in file order.

    `paths` is the index of the table's routes. The checks need this index, and a Matcher can reuse it.
    """

    table: RouteTable | None
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    paths: PathIndex[int] | None = None


def revision_of(data: bytes) -> str:
    """Return the first 12 hex digits of the SHA-256 of the file."""
    return hashlib.sha256(data).hexdigest()[:12]


@gc_paused()
def parse(
    text: bytes,
    *,
    file: str,
    env: Mapping[str, str],
    rules: Sequence[AppRule] | None,
    app_in_use: str | None = None,
) -> ParsedTable:
    """Read and validate a table. If `rules` is None, the check against the Flask app is skipped.

    `app_in_use` is the name of the running app, if known. If the file names another app, there is a note.
    """
    reading = FileReading(file, env)
    try:
        characters = decode_text(text)
        root = parse_tree(characters)
    except YamlSyntaxError as broken:
        return ParsedTable(None, _syntax_problems(file, text, broken), ())
    if invisible := tuple(_invisible_problems(file, characters)):
        return ParsedTable(None, invisible, ())
    extent = extent_of(root, characters)
    found = _build_table(reading, root, rules, app_in_use)
    problems = tuple(sorted(reading.problems, key=_position))
    notes = tuple(sorted(reading.notes, key=_position))
    if problems or found is None:
        return ParsedTable(None, problems, notes)
    table, paths = found
    freeze_table(len(table.routes))
    return ParsedTable(replace(table, revision=revision_of(text), extent=extent), (), notes, paths)


def find_app_name(text: bytes, env: Mapping[str, str]) -> str | None:
    """Return the value of `app`, even if other fields are wrong. Return None if there is no `app`.

    The text before the routes is parsed first, because `app` is usually there, and routes are long.
    """
    return _find_app(text.partition(b"\nroutes:")[0], env) or _find_app(text, env)


def _find_app(text: bytes, env: Mapping[str, str]) -> str | None:
    node = _find_top_node(text, "app")
    try:
        if node is not None:
            return v.parse_app_name(scalar_of(FileReading("", env), node, "app"), "app")
    except FieldError:
        pass
    return None


def find_dev_legacy(text: bytes, env: Mapping[str, str]) -> str | None:
    """Return the command of `dev.legacy`, even if other fields are wrong. Return None if there is no such command."""
    node = _find_top_node(text, "dev")
    if node is None:
        return None
    command: str | None = FileReading("", env).read_fields(node, "dev.", DEV).values.get("legacy")
    return command


def _find_top_node(text: bytes, name: str) -> Node | None:
    try:
        root = parse_tree(decode_text(text))
    except (YamlSyntaxError, FieldError):
        return None
    pairs = root.children if root.kind == "mapping" else []
    return next((value for key, value in pairs if key.text == name), None)


def _syntax_problems(file: str, text: bytes, broken: YamlSyntaxError) -> tuple[Problem, ...]:
    """Return problems for the invisible characters that may cause a syntax error.

    If there are none, return the syntax error.
    """
    syntax = Problem(broken.code, file, *broken.at, None, broken.message, broken.fix)
    if broken.code == "not-utf-8":  # what such bytes look like explains nothing
        return (syntax,)
    invisible = tuple(_invisible_problems(file, text.decode("utf-8", "replace")))
    return invisible or (syntax,)


def _invisible_problems(file: str, characters: str) -> Iterator[Problem]:
    for found in find_invisible_structure(characters.removeprefix("\ufeff")):
        what = f"{found.name} is in a place where YAML requires a blank"
        fix = "Replace it by a plain space, or remove it."
        yield Problem("invisible-character", file, found.line, found.column, None, what, fix)


def _position(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


# --- the table ------------------------------------------------------------------------------------


def _build_table(
    reading: FileReading, root: Node, rules: Sequence[AppRule] | None, app_in_use: str | None
) -> tuple[RouteTable, PathIndex[int]] | None:
    top = reading.read_fields(root, "", TOP)
    if root.kind != "mapping":
        return None
    identity = read_identity(reading, top.nodes.get("identity"))
    cohort = _read_cohort(reading, top)
    legacy = _read_legacy(reading, root, top.nodes, cohort.salt)
    if "version" not in top.nodes:
        reading.report(
            root, FieldError("version", "version is missing", "Write version: 1 at the top.")
        )
    inherited = legacy.timeouts if legacy else Timeouts()
    app = top.values.get("app")
    surroundings = Surroundings(inherited, AppRules(rules, app), bool(identity))
    drafts = read_drafts(reading, top, surroundings)
    ranking = crosscheck(reading, drafts)
    free_gradually(drafts)
    free_gradually(top.nodes["routes"].children if "routes" in top.nodes else ())
    _note_changed_app(reading, top.nodes.get("app"), app, app_in_use)
    trusted = _read_trusted_proxies(reading, top)
    tests = read_request_tests(reading, top.nodes.get("tests"))
    if reading.problems or legacy is None:
        return None
    allow = frozenset(top.values.get("allow", ()))
    table = RouteTable(
        revision="",  # set by parse, from the bytes of the file
        legacy=legacy,
        routes=ranking.routes,
        cohort=cohort,
        trusted_proxies=replace(trusted, names=names_for_proxies(identity)),
        app=app,
        allow=allow,
        identity=identity,
        history_max=top.values.get("history_max", HISTORY_MAX_BYTES),
    )
    if tests:
        check_request_tests(reading, tests, Matcher(table, ranking.paths))
    return None if reading.problems else (table, ranking.paths)


def _note_changed_app(
    reading: FileReading, node: Node | None, app: str | None, app_in_use: str | None
) -> None:
    """Add a note that the file names another app than the running one: `app` takes effect only when workers start."""
    if node is None or app_in_use is None or app is None or app == app_in_use:
        return
    what = f"app is {app}, but {app_in_use or 'no app'} runs; the app is read when workers start"
    fix = "Run overgrow reload to use it."
    reading.note(node, None, FieldError("app-needs-restart", what, fix))


def _read_trusted_proxies(reading: FileReading, top: Fields) -> TrustedProxies:
    """Return the proxies whose claims about clients are trusted.

    Add a note on a network that includes every address.
    """
    proxies = top.values.get("trusted_proxies", ())
    trusted = TrustedProxies(tuple(one for one in proxies if one != "unix"), "unix" in proxies)
    if any(network.prefixlen == 0 for network in trusted.networks):
        what = "trusted_proxies includes every address, so clients can choose theirs with X-Forwarded-For"
        bad = FieldError("trusts-everybody", what, "Name the networks of the proxies in front.")
        reading.note(top.nodes["trusted_proxies"], None, bad)
    return trusted


def _read_cohort(reading: FileReading, top: Fields) -> Cohort:
    node = top.nodes.get("cohort")
    if node is None:
        return Cohort()
    values = _read_cohort_fields(reading, node, has_identity="identity" in top.nodes)
    by = values.get("by", Cohort().by)
    return Cohort(by, values.get("salt", ""))


def _read_cohort_fields(reading: FileReading, node: Node, *, has_identity: bool) -> dict[str, Any]:
    fields = reading.read_fields(node, "cohort.", COHORT)
    by = fields.values.get("by")
    if by is not None and IDENTITY_SOURCE in by:
        if len(by) > 1:
            what = "cohort.by lists identity beside another source, so a client's cohort would change when it logs in"
            bad = FieldError(
                "cohort-moves-at-login", what, "Write by: [identity], or leave identity out."
            )
            reading.report(fields.nodes["by"], bad)
        elif not has_identity:
            what = "cohort.by is identity, but the table does not say how users are identified"
            bad = FieldError("required", what, "Add identity: at the top, or name another source.")
            reading.report(fields.nodes["by"], bad)
    if by == ():
        fix = "Name at least one source, or remove the line."
        reading.report(fields.nodes["by"], FieldError("value-missing", "cohort.by is empty", fix))
    return fields.values


def _read_legacy(
    reading: FileReading, root: Node, nodes: dict[str, Node], salt: str
) -> Legacy | None:
    node = nodes.get("legacy")
    if node is None:
        what = "legacy is missing, so there is nowhere to send requests that no route takes"
        reading.report(
            root, FieldError("required", what, "Write legacy: and below it url: http://HOST:PORT.")
        )
        return None
    fields = reading.read_fields(node, "legacy.", LEGACY)
    if node.kind == "mapping" and "url" not in fields.nodes:
        reading.report(
            node, FieldError("required", "legacy.url is missing", "Write url: http://HOST:PORT.")
        )
    values = fields.values
    if "url" not in values:
        return None
    url = values["url"]
    ca = values.get("tls_ca")
    return Legacy(
        url=url,
        host=values.get("host", "preserve"),
        timeouts=timeouts_from(values, Timeouts()),
        max_connections=values.get("max_connections", 256),
        tls_ca=posixpath.join(posixpath.dirname(reading.file), ca) if ca else None,
        tls_name=values.get("tls_name"),
        max_age_s=values.get("max_age", 300.0),
        via=values.get("via")
        or f"overgrow-{hashlib.sha256((salt + url).encode()).hexdigest()[:8]}",
        forwarded=values.get("forwarded", False),
        max_body=values.get("max_body"),
        leniencies=frozenset(values.get("lenient", ())),
        folds=frozenset(values.get("folds", ())),
        are_folds_known="folds" in values,
        rewrite_headers=values.get("rewrite_headers", False),
        breaker=values.get("breaker", False),
        probe=values.get("probe"),
    )
