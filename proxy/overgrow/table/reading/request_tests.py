"""`tests:` of routes.yaml: requests, each with the route or side that the author expects.

The code that decides real requests decides each test by the table in the same file, without kill file, breakers
and overrides. Rule: a test that fails makes the table invalid. There is one exception: if the test expects
migrated or gone, and the route's own target is legacy, there is only a note. Therefore a test never blocks the
way back to legacy.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

from overgrow.routing.decide import decide
from overgrow.routing.facts import Facts, Head, head_of
from overgrow.routing.match import Matcher
from overgrow.routing.model import Decision
from overgrow.table.reading.grammar import word_reader
from overgrow.table.reading.values import TOKEN, parse_name
from overgrow.yaml_file.fields import (
    AlreadyReported,
    FileReading,
    Reader,
    free_text_of,
    require_list,
    text_reader,
)
from overgrow.yaml_file.scalars import FieldError
from overgrow.yaml_file.tree import Node

_REQUEST = re.compile(r"(?P<method>\S+) (?P<target>(?:/|https?://)\S*|\*)")
_FATES = {"gone": "is answered 410", "refused": "is refused with 400"}
_SAFE = "".join(map(chr, range(0x21, 0x7F)))


class RequestTest(NamedTuple):
    """One request, with the expected route or side. A `route` of "default" means that no route matches the request."""

    node: Node
    request: str  # METHOD and target, as written
    headers: tuple[tuple[bytes, bytes], ...]
    route: str | None
    side: str | None


def read_request_tests(reading: FileReading, node: Node | None) -> list[RequestTest]:
    """Return the valid tests of a list, and report the problems of the invalid ones."""
    if node is None:
        return []
    try:
        items = require_list(node, "tests")
    except FieldError as bad:
        reading.report(node, bad)
        return []
    found = (_read_request_test(reading, item) for item in items)
    return [test for test in found if test is not None]


def _read_request_test(reading: FileReading, node: Node) -> RequestTest | None:
    since = len(reading.problems)
    fields = reading.read_fields(node, "test.", REQUEST_TEST)
    if node.kind == "mapping" and "request" not in fields.nodes:
        what = "test.request is missing"
        reading.report(node, FieldError("required", what, "Write request: GET /PATH."))
    if node.kind == "mapping" and not {"route", "side"} & set(fields.nodes):
        what = "a test expects neither a route nor a side"
        reading.report(node, FieldError("required", what, "Write route: NAME or side: legacy."))
    if len(reading.problems) > since:
        return None
    values = fields.values
    return RequestTest(
        node,
        values["request"],
        values.get("headers", ()),
        values.get("route"),
        values.get("side"),
    )


def check_request_tests(reading: FileReading, tests: list[RequestTest], matcher: Matcher) -> None:
    """Decide the request of each test by the table. Report each test whose expectation fails."""
    for test in tests:
        decision = decide(matcher, _head(test, matcher), Facts(subject=None))
        failure = _describe_failure(test, decision)
        if failure is None:
            continue
        if _leads_back_to_legacy(test, decision):
            fix = "The table is used all the same; flip the route forward, or change the test."
            reading.note(
                test.node, decision.route_name, FieldError("request-test-legacy", failure, fix)
            )
        else:
            fix = "Change the routes, or what the test expects; overgrow explain shows why."
            reading.report(test.node, FieldError("request-test", failure, fix))


def _head(test: RequestTest, matcher: Matcher) -> Head:
    method, _, target = test.request.partition(" ")
    return head_of(
        method,
        quote(target, safe=_SAFE).encode(),
        list(test.headers),
        peer="",
        scheme="https" if target.startswith("https:") else "http",
        trusted=matcher.table.trusted_proxies,
    )


def _describe_failure(test: RequestTest, decision: Decision) -> str | None:
    """Describe how a decision differs from the expectation of the test; None if they agree."""
    if test.route is not None and test.route != decision.route_name:
        taker = f"route {decision.route_name}" if decision.route else "no route"
        return f"test {test.request} expects route {test.route}, but {taker} takes it"
    if test.side is not None and test.side != decision.side:
        where = f" by route {decision.route.name}" if decision.route else ""
        fate = _FATES.get(decision.side, f"goes to {decision.side}")
        return f"test {test.request} expects side {test.side}, but it {fate}{where}"
    return None


def _leads_back_to_legacy(test: RequestTest, decision: Decision) -> bool:
    """Return whether the test fails only because the target of its route is legacy: the route itself is right."""
    right_route = test.route in {None, decision.route_name}
    return right_route and (decision.side, decision.reason) == ("legacy", "target")


def _parse_request(text: str, label: str) -> str:
    """Read METHOD and a path, a URL or `*`, with one blank between."""
    found = _REQUEST.fullmatch(text)
    if found is None:
        what = f"{label} is {text!r}, which is not a method and a path"
        raise FieldError("request-syntax", what, "Write request: GET /PATH.")
    method = found["method"]
    if not TOKEN.fullmatch(method) or method != method.upper():
        what = f"{label} begins with {method!r}, which is not a method in upper case"
        raise FieldError("request-syntax", what, "Write request: GET /PATH.")
    return text


def _read_headers(reading: FileReading, node: Node, label: str) -> tuple[tuple[bytes, bytes], ...]:
    if node.kind != "mapping":
        what = f"{label} must be a mapping"
        raise FieldError("mapping-expected", what, "Write {NAME: value}.")
    found: list[tuple[bytes, bytes]] = []
    for key, value in node.children:
        try:
            name = _parse_header_name(key.text, label)
            text = free_text_of(reading, value, f"{label}.{key.text}")
            found.append((name.encode(), text.encode("utf-8")))
        except FieldError as bad:
            reading.report(value, bad)
    if len(found) < len(node.children):
        raise AlreadyReported
    return tuple(found)


def _parse_header_name(text: str, label: str) -> str:
    if TOKEN.fullmatch(text):
        return text.lower()
    what = f"{label} has {text!r}, which is not a header name"
    raise FieldError("predicate-syntax", what, "Write {NAME: value}.")


REQUEST_TEST: dict[str, Reader] = {
    "request": text_reader(_parse_request),
    "headers": _read_headers,
    "route": text_reader(parse_name),
    "side": word_reader("legacy", "migrated", "gone", "refused"),
}
