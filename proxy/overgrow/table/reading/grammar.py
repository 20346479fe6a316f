"""The fields of this version of routes.yaml. Each field has a reader that turns its node into a value.

routes.schema.json and docs/routes-yaml.md repeat the tables TOP, LEGACY, COHORT and ROUTE, and the tables of a route's
mappings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from overgrow.routing.converters import RuleError
from overgrow.routing.model import Predicate, PredicateKind
from overgrow.routing.readings import FOLDS
from overgrow.routing.rules import parse_rule, segments_of_prefix
from overgrow.table.reading import values as v
from overgrow.table.reading.foreign_spelling import may_be_foreign, suggest_spelling
from overgrow.yaml_file.fields import (
    AlreadyReported,
    FileReading,
    Reader,
    duplicate_key_error,
    free_text_of,
    plain_reader,
    require_list,
    scalar_of,
    scalar_reader,
    text_reader,
)
from overgrow.yaml_file.scalars import FieldError, yaml_trap
from overgrow.yaml_file.tree import Node

MAX_CONNECTIONS = 100_000
MAX_PRIORITY = 1_000_000
MAX_CLEAN = 1_000_000
USUAL_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _read_version(_: FileReading, node: Node, label: str) -> int:
    if node.kind == "scalar" and not node.style and node.text == "1":
        return 1
    written = f'"{node.text}" in quotes' if node.style else node.text or f"a {node.kind}"
    what = f"{label} is {written}; this release reads version 1"
    raise FieldError("version", what, "Write version: 1.")


def _read_boolean(reading: FileReading, node: Node, label: str) -> bool:
    text = scalar_of(reading, node, label)
    if node.style and "${" not in node.text:
        what = f"{label} is text; it must be true or false without quotes"
        raise FieldError("boolean-expected", what, f"Write {v.meant_boolean(text)}.")
    return v.parse_boolean(text, label)


def _read_probe(reading: FileReading, node: Node, label: str) -> str | None:
    """Return the path to probe; None if the value is false."""
    text = scalar_of(reading, node, label)
    return None if text == "false" and not node.style else v.parse_probe_path(text, label)


def _read_target(reading: FileReading, node: Node, label: str) -> str:
    text = node.text
    return text if text in v.TARGETS else v.parse_target(scalar_of(reading, node, label), label)


def _keep_node(_: FileReading, node: Node, __: str) -> Node:
    return node


def list_reader(one: Callable[[str, str], Any]) -> Reader:
    """Return a reader for a list of texts; the function `one` parses each text."""
    return lambda reading, node, label: reading.read_items(node, label, one)


def word_reader(*words: str) -> Reader:
    """Return a reader for a field whose value must be one of these words."""

    def read(reading: FileReading, node: Node, label: str) -> str:
        if node.text in words:
            return node.text
        return v.parse_word(scalar_of(reading, node, label), label, words)

    return read


def _rule_reader(reader: Callable[[str], object]) -> Reader:
    def read(reading: FileReading, node: Node, label: str) -> str:
        text = free_text_of(reading, node, label)
        try:
            reader(text)
        except RuleError as error:
            is_foreign = may_be_foreign(text) or "<" in text or "://" in text
            meant = suggest_spelling(text, label.rpartition(".")[2]) if is_foreign else None
            fix = f"Write {meant}." if meant else error.fix
            raise FieldError("path-syntax", error.message, fix) from None
        return text

    return read


def _read_methods(reading: FileReading, node: Node, label: str) -> tuple[str, ...]:
    if not require_list(node, label):
        raise FieldError(
            "value-missing", f"{label} is empty", "List methods, or remove the line for all."
        )
    usual = [item.text for item in node.children]
    if USUAL_METHODS.issuperset(usual) and len(set(usual)) == len(usual):
        return tuple(usual)
    found: tuple[str, ...] = reading.read_items(node, label, v.parse_method)
    for index, name in enumerate(found):
        if name in found[:index]:
            what = f"{label} lists {name} twice"
            reading.report(node.children[index], FieldError("duplicate-method", what, "Keep one."))
            raise AlreadyReported
    return found


def _read_predicates(
    kind: PredicateKind, reading: FileReading, node: Node, label: str
) -> tuple[Predicate, ...]:
    if node.kind != "mapping":
        raise FieldError("mapping-expected", f"{label} must be a mapping", "Write {NAME: value}.")
    found: dict[str, Predicate | None] = {}
    lines: dict[str, int] = {}
    for key, value in node.children:
        name = key.text.lower() if kind == "header" else key.text
        if name in lines:
            reading.report(key, duplicate_key_error(f"{label}.{key.text}", lines[name]))
            found[f"{name} again"] = None
            continue
        lines[name] = key.line
        try:
            found[name] = _read_predicate(reading, kind, key, value)
        except FieldError as bad:
            reading.report(value if bad.code != "predicate-syntax" else key, bad)
            found[name] = None
        except AlreadyReported:
            found[name] = None
    if not node.children:
        raise FieldError(
            "value-missing", f"{label} is empty", "Add a condition, or remove the line."
        )
    good = tuple(one for one in found.values() if one is not None)
    if len(good) < len(found):
        raise AlreadyReported
    return good


def _read_predicate(reading: FileReading, kind: PredicateKind, key: Node, value: Node) -> Predicate:
    label = f"{kind} {key.text}"
    if key.kind != "scalar" or not (v.TOKEN.fullmatch(key.text) or (kind == "query" and key.text)):
        what = f"a {kind} condition is on {key.text!r}, which is not a {kind} name"
        raise FieldError("predicate-syntax", what, "Write {NAME: value}.")
    if not key.style and (caught := yaml_trap(key.text, f"a {kind} condition's name")) is not None:
        raise caught
    name = key.text.lower() if kind == "header" else key.text
    if value.kind == "mapping":
        return Predicate(kind, name, None, _read_presence(reading, value, label))
    if value.kind == "list":
        what = f"{label} must be one value or {{present: true|false}}"
        raise FieldError("text-expected", what, "Write two routes for two values.")
    return Predicate(kind, name, free_text_of(reading, value, label))


def _read_presence(reading: FileReading, node: Node, label: str) -> bool:
    fields = reading.read_fields(node, f"{label}.", {"present": _read_boolean})
    if "present" in fields.values and len(node.children) == 1:
        return bool(fields.values["present"])
    if not node.children:
        raise FieldError("value-missing", f"{label} has no condition", "Write {present: true}.")
    raise AlreadyReported


def _read_canary(reading: FileReading, node: Node, label: str) -> int:
    return v.parse_hundredths(scalar_of(reading, node, label), label, "canary-out-of-range")


def _parse_duration(text: str, label: str) -> float:
    return v.parse_duration_s(text, label)


class ShadowField(NamedTuple):
    """The value of `shadow`: shares in hundredths of a percent."""

    percent: int
    unsafe: bool = False
    noise: int = 1_000
    compare: str | None = None
    session: str | None = None
    max_answer: int | None = None


class FallbackField(NamedTuple):
    """The value of `fallback`."""

    on: bool
    unsafe: bool = False


def _read_shadow(reading: FileReading, node: Node, label: str) -> ShadowField:
    if node.kind != "mapping":
        return ShadowField(v.parse_hundredths(scalar_of(reading, node, label), label))
    return ShadowField(**_read_inner(reading, node, label, SHADOW, "percent: 5%"))


def _read_fallback(reading: FileReading, node: Node, label: str) -> FallbackField:
    if node.kind != "mapping":
        return FallbackField(_read_boolean(reading, node, label))
    return FallbackField(on=True, **_read_inner(reading, node, label, FALLBACK, "unsafe: true"))


def _read_require(reading: FileReading, node: Node, label: str) -> int:
    return int(_read_inner(reading, node, label, REQUIRE, "clean: 299")["clean"])


def _read_inner(
    reading: FileReading, node: Node, label: str, readers: Mapping[str, Reader], needed: str
) -> dict[str, Any]:
    """Return the fields of a mapping inside a route.

    `needed` is an example of the required field, such as `percent: 10`.
    """
    since = len(reading.problems)
    fields = reading.read_fields(node, f"{label}.", readers)
    name = needed.partition(":")[0]
    if node.kind == "mapping" and name not in fields.nodes:
        reading.report(
            node, FieldError("required", f"{label}.{name} is missing", f"Write {needed}.")
        )
    if len(reading.problems) > since:
        raise AlreadyReported
    return fields.values


TIMEOUTS: dict[str, Reader] = {
    "connect_timeout": scalar_reader(_parse_duration),
    "response_timeout": scalar_reader(_parse_duration),
    "idle_timeout": scalar_reader(_parse_duration),
    "stream_idle_timeout": scalar_reader(_parse_duration),
}
LEGACY: dict[str, Reader] = {
    "url": text_reader(v.parse_legacy_url),
    "host": word_reader("preserve", "upstream"),
    **TIMEOUTS,
    "max_connections": plain_reader(
        partial(v.parse_whole_number, minimum=1, maximum=MAX_CONNECTIONS)
    ),
    "max_age": scalar_reader(_parse_duration),
    "tls_ca": text_reader(lambda text, _: text),
    "tls_name": text_reader(v.parse_tls_name),
    "via": text_reader(v.parse_via_name),
    "forwarded": _read_boolean,
    "max_body": scalar_reader(v.parse_size_bytes),
    "folds": list_reader(lambda text, label: v.parse_word(text, f"a name in {label}", FOLDS)),
    "rewrite_headers": _read_boolean,
    "breaker": _read_boolean,
    "probe": _read_probe,
    "lenient": list_reader(
        lambda text, label: v.parse_word(text, f"a name in {label}", v.LENIENCIES)
    ),
}
COHORT: dict[str, Reader] = {
    "by": list_reader(v.parse_cohort_source),
    "salt": text_reader(lambda text, _: text),
}
SHADOW: dict[str, Reader] = {
    "percent": scalar_reader(v.parse_hundredths),
    "unsafe": _read_boolean,
    "noise": scalar_reader(v.parse_hundredths),
    "compare": text_reader(v.parse_name),
    "session": text_reader(v.parse_cookie_name),
    "max_answer": scalar_reader(v.parse_answer_bytes),
}
FALLBACK: dict[str, Reader] = {"unsafe": _read_boolean}
REQUIRE: dict[str, Reader] = {
    "clean": plain_reader(partial(v.parse_whole_number, minimum=1, maximum=MAX_CLEAN)),
}
ROUTE: dict[str, Reader] = {
    "name": text_reader(v.parse_route_name),
    "path": _rule_reader(parse_rule),
    "prefix": _rule_reader(segments_of_prefix),
    "methods": _read_methods,
    "host": text_reader(v.parse_host_pattern),
    "headers": partial(_read_predicates, "header"),
    "query": partial(_read_predicates, "query"),
    "cookies": partial(_read_predicates, "cookie"),
    "target": _read_target,
    "canary": _read_canary,
    "shadow": _read_shadow,
    "fallback": _read_fallback,
    "group": text_reader(v.parse_name),
    "require": _read_require,
    **TIMEOUTS,
    "priority": plain_reader(
        partial(v.parse_whole_number, minimum=-MAX_PRIORITY, maximum=MAX_PRIORITY)
    ),
    "reversible": _read_boolean,
    "stream": _read_boolean,
    "identity": _read_boolean,
}
DEV: dict[str, Reader] = {"legacy": text_reader(v.parse_command)}


def _read_dev(reading: FileReading, node: Node, label: str) -> dict[str, Any]:
    """Read the field `dev`. Only `overgrow dev` uses it; `serve` never runs its command."""
    since = len(reading.problems)
    fields = reading.read_fields(node, f"{label}.", DEV)
    if len(reading.problems) > since:
        raise AlreadyReported
    return fields.values


TOP: dict[str, Reader] = {
    "version": _read_version,
    "app": text_reader(v.parse_app_name),
    "allow": list_reader(v.parse_allowance),
    "legacy": _keep_node,
    "trusted_proxies": list_reader(
        lambda text, label: text if text == "unix" else v.parse_network(text, label)
    ),
    "cohort": _keep_node,
    "identity": _keep_node,
    "routes": _keep_node,
    "tests": _keep_node,
    "dev": _read_dev,
    "history_max": scalar_reader(v.parse_size_bytes),
}
