"""`overgrow explain`: what would happen to one request, by the request's own code path."""

from __future__ import annotations

import os
import time
from typing import Any
from urllib.parse import quote, urlsplit

import click

from proxy.cli.context import Call, Problems, columns, loaded_table, shared_options
from proxy.loading.holder import is_killed, last_good
from proxy.routing.decide import decide
from proxy.routing.facts import Facts, Head, head_of
from proxy.routing.match import Candidate, Matcher
from proxy.routing.model import Decision

WHY = {
    "ambiguous-path": "the path can be read in more than one way",
    "breaker": "the breaker of the migrated side is open",
    "canary": "the client is in the canary",
    "default": "no route takes it",
    "gone": "the route is gone: 410",
    "killed": "a kill file exists",
    "override": "the request carries a valid override",
    "target": "it is the route's target",
    "upgrade": "upgrades go to legacy",
}


def header(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> Any:
    """Read -H 'Name: value' as a pair of bytes, the name in lower case."""
    pairs = []
    for value in values:
        name, colon, rest = value.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"{value!r} is no header. Write 'Name: value'.")
        pairs.append((name.strip().lower().encode(), rest.strip().encode()))
    return pairs


@click.command(short_help="Say who would answer a request, and why.")
@click.argument("target", metavar="PATH|URL")
@click.option("-X", "--request", "method", default="GET", help="Method. [GET]")
@click.option("-H", "--header", "headers", multiple=True, callback=header, help="'Name: value'")
@click.option("--ip", default="127.0.0.1", help="The client's address. [127.0.0.1]")
@shared_options
def explain(
    call: Call, target: str, method: str, headers: list[tuple[bytes, bytes]], ip: str
) -> None:
    """Say who would answer a request to PATH or URL, and which route failed where.

    The decision is made by the code that decides real requests; the kill file is read too.
    """
    matcher = _matcher(call)
    head = _head(target, method, headers, ip, matcher)
    secret = call.settings.secret
    facts = Facts(
        killed=is_killed(call.config, call.state),
        secret=secret.encode() if secret else None,
        now_s=time.time(),
    )
    decision = decide(matcher, head, facts)
    candidates = matcher.candidates(head)
    call.answer(
        _as_json(head, decision, candidates, killed=facts.killed),
        _as_text(head, decision, candidates, killed=facts.killed),
    )


def _matcher(call: Call) -> Matcher:
    """The table's matcher; with a kill file and a broken table the last good one, as in serving."""
    loaded = loaded_table(call, None)
    if loaded.table is not None:
        return Matcher(loaded.table)
    if is_killed(call.config, call.state):
        former = last_good(call.config, call.state, env=os.environ, rules=None)
        if former is not None:
            return former
    raise Problems(loaded.problems)


def _head(
    target: str, method: str, headers: list[tuple[bytes, bytes]], ip: str, matcher: Matcher
) -> Head:
    parts = urlsplit(target) if "://" in target else None
    scheme = parts.scheme if parts else "http"
    pairs = list(headers)
    if parts:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not any(name == b"host" for name, _ in pairs):
            pairs.insert(0, (b"host", parts.netloc.encode()))
    return head_of(
        method,
        _on_the_wire(target),
        pairs,
        peer=ip,
        scheme=scheme,
        trusted=matcher.table.trusted_proxies,
    )


def _on_the_wire(target: str) -> bytes:
    """The bytes a browser would send: characters beyond ASCII as percent-encoded UTF-8."""
    return quote(target, safe="".join(map(chr, range(0x21, 0x7F)))).encode()


def _as_json(
    head: Head, decision: Decision, candidates: tuple[Candidate, ...], *, killed: bool
) -> dict[str, Any]:
    return {
        "method": head.method,
        "target": head.target.decode("latin-1"),
        "route": decision.route.name if decision.route else None,
        "side": decision.side,
        "reason": decision.reason,
        "bucket": decision.bucket,
        "cohort": decision.cohort,
        "revision": decision.revision,
        "killed": killed,
        "candidates": [
            {"route": each.route.name, "matched": each.matched, "failed": each.failed}
            for each in candidates
        ],
    }


def _as_text(
    head: Head, decision: Decision, candidates: tuple[Candidate, ...], *, killed: bool
) -> str:
    lines = [
        f"{head.method} {head.target.decode('latin-1')} -> {decision.side}",
        f"  route     {decision.route_name}",
        f"  reason    {decision.reason}: {WHY[decision.reason]}",
    ]
    if decision.bucket is not None:
        share = decision.bucket / 2**32
        lines.append(
            f"  bucket    {decision.bucket} ({share:.2%} of the way), by {decision.cohort}"
        )
    lines.append(f"  revision  {decision.revision}{', killed' if killed else ''}")
    rows = [(f"  {each.route.name}", _verdict(each)) for each in candidates]
    return "\n".join([*lines, "candidates, in order:", columns(rows)] if rows else lines)


def _verdict(candidate: Candidate) -> str:
    return "takes it" if candidate.matched else f"no: {candidate.failed}"
