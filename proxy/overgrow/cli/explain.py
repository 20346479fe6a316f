"""`overgrow explain`: says which side would serve one request.

The code that decides real requests decides this one too.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any, NamedTuple
from urllib.parse import quote

import click

from overgrow.cli.columns import columns
from overgrow.cli.context import Invocation, load_table, shared_options
from overgrow.cli.failures import InvalidTable
from overgrow.cli.output import echo_safe
from overgrow.cli.team_rules import rules_of
from overgrow.cli.workers import note_other_table
from overgrow.routing.decide import decide
from overgrow.routing.facts import Facts, Head, Headers, head_of
from overgrow.routing.match import Candidate, Matcher
from overgrow.routing.model import FULL_CANARY, Decision, address_of
from overgrow.table.judging import load_last_good
from overgrow.table.live import is_killed
from overgrow.table.reading.parse import AppRule
from overgrow.table.reading.values import TOKEN
from overgrow.text import percent_text

WHY = {
    "ambiguous-path": "the path can be read in more than one way",
    "breaker": "the breaker of the migrated side is open",
    "canary": "the client is in the canary",
    "default": "no route matches it",
    "gone": "the route is gone: 410",
    "identity": "the user cannot be identified now",
    "killed": "a kill file exists",
    "override": "the request carries a valid override",
    "target": "it is the route's target",
    "upgrade": "upgrades go to legacy",
}

_URL = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://(?:[^/?#]*@)?([^/?#]*)([^#]*)(?:#.*)?", re.DOTALL)
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class RequestTarget(NamedTuple):
    """The target of a request, with the scheme and the host of a URL."""

    target: bytes
    scheme: str = "http"
    host: bytes | None = None


class Explanation(NamedTuple):
    """One decision, with the request, the table and the candidates that led to it."""

    head: Head
    matcher: Matcher
    decision: Decision
    candidates: tuple[Candidate, ...]
    killed: bool


def parse_target(_ctx: click.Context, _param: click.Parameter, value: str) -> RequestTarget:
    """Parse the argument, a path or a URL, into the target bytes that a browser would send."""
    raw = os.fsencode(value)
    url = _URL.fullmatch(raw)
    if url is None:
        if raw[:1] != b"/" and raw != b"*":
            raise click.BadParameter(
                f"{value!r} is not a path. Write /PATH, http://HOST/PATH, https://HOST/PATH or *."
            )
        return RequestTarget(_percent_encode(raw))
    scheme, rest = url[1].decode().lower(), url[3]
    if scheme not in ("http", "https"):
        raise click.BadParameter(f"{value!r} is not a web address. Write http:// or https://.")
    return RequestTarget(
        _percent_encode(rest if rest[:1] == b"/" else b"/" + rest), scheme, _host(url[2])
    )


def _host(raw: bytes) -> bytes:
    """Return the host as a browser sends it: IDNA if it is not ASCII."""
    if raw.isascii() and raw:
        return raw
    try:
        return raw.decode().encode("idna")
    except UnicodeError as error:
        raise click.BadParameter(
            f"{os.fsdecode(raw)!r} is not a host name. Write one like shop.example."
        ) from error


def _percent_encode(target: bytes) -> bytes:
    """Percent-encode blanks, control characters and bytes beyond ASCII; leave the rest."""
    return quote(target, safe=_PRINTABLE).encode()


def parse_header(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> Any:
    """Parse each -H 'Name: value' into a pair of bytes, the name in lower case."""
    pairs = []
    for value in values:
        name, colon, rest = value.partition(":")
        if not colon or not TOKEN.fullmatch(name.strip()):
            raise click.BadParameter(f"{value!r} is not a header. Write 'Name: value'.")
        pairs.append((name.strip().lower().encode(), os.fsencode(rest.strip())))
    return pairs


def parse_peer(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Check --ip: an IP address, or the word unix."""
    if value != "unix" and address_of(value) is None:
        raise click.BadParameter(
            f"{value!r} is not an IP address. Write one like 192.0.2.7 or 2001:db8::7."
        )
    return value


def parse_method(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Check -X; methods are case-sensitive (RFC 9110 9.1)."""
    if not TOKEN.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not a method. Write one like GET or POST.")
    return value


@click.command(short_help="Show which side would serve a request, and why.")
@click.argument("target", metavar="PATH|URL", callback=parse_target)
@click.option(
    "-X",
    "--request",
    "method",
    metavar="METHOD",
    default="GET",
    callback=parse_method,
    help="The method, upper case as on the wire. [default: GET]",
)
@click.option(
    "-H",
    "--header",
    "headers",
    metavar="'K: V'",
    multiple=True,
    callback=parse_header,
    help="A header; may be repeated.",
)
@click.option(
    "--ip",
    metavar="ADDR",
    default="127.0.0.1",
    callback=parse_peer,
    help="The client's address, or unix. [default: 127.0.0.1]",
)
@shared_options
def explain(
    call: Invocation,
    target: RequestTarget,
    method: str,
    headers: list[tuple[bytes, bytes]],
    ip: str,
) -> None:
    """Show which side would serve a request to PATH or URL, and why each other route does not match.

    The code that decides real requests decides here too, and reads the kill file. PATH may be *, as in OPTIONS
    *. A URL also determines host and scheme.
    """
    explanation = _explain_request(call, target, method, headers, ip)
    call.print_result(_as_json(explanation), _as_text(explanation))
    if note := note_other_table(call.state_to_read, explanation.decision.revision):
        echo_safe(f"note: {note}", err=True)


def _explain_request(
    call: Invocation,
    target: RequestTarget,
    method: str,
    headers: list[tuple[bytes, bytes]],
    ip: str,
) -> Explanation:
    secret = call.settings.secret
    facts = Facts(
        killed=is_killed(call.config, call.state_to_read),
        secret=secret.encode() if secret else None,
        now_s=time.time(),
        subject=None,  # the secrets that would tell are the workers' alone
    )
    matcher = _matcher(call, None, killed=facts.killed)
    head = _head(target, method, headers, ip, matcher)
    decision = decide(matcher, head, facts)
    if decision.reason == "override" and decision.side == "migrated":
        # An override counts only where migrated can serve the route, which only the app can tell.
        rules = rules_of(call.settings, "It is unknown whether migrated could serve the request.")
        matcher = _matcher(call, rules, killed=facts.killed)
        decision = decide(matcher, head, facts)
    return Explanation(head, matcher, decision, matcher.candidates(head), facts.killed)


def _matcher(call: Invocation, rules: list[AppRule] | None, *, killed: bool) -> Matcher:
    """Return the matcher of the table.

    If the table is invalid but a kill file exists, return the matcher of the last good table.
    """
    loaded = load_table(call, rules)
    if loaded.table is not None:
        return Matcher(loaded.table, loaded.paths)
    former = (
        load_last_good(call.config, call.state_to_read, env=os.environ, rules=rules)
        if killed
        else None
    )
    if former is None:
        raise InvalidTable(call.config, loaded.problems)
    return former


def _head(request: RequestTarget, method: str, headers: Headers, ip: str, matcher: Matcher) -> Head:
    pairs = list(headers)
    if request.host is not None and not any(name == b"host" for name, _ in pairs):
        pairs.insert(0, (b"host", request.host))
    return head_of(
        method,
        request.target,
        pairs,
        peer=ip,
        scheme=request.scheme,
        trusted=matcher.table.trusted_proxies,
    )


def _as_json(explanation: Explanation) -> dict[str, Any]:
    head, decision = explanation.head, explanation.decision
    return {
        "method": head.method,
        "target": head.target.decode("latin-1"),
        "route": decision.route.name if decision.route else None,
        "side": decision.side,
        "reason": decision.reason,
        "bucket": decision.bucket,
        "cohort": decision.cohort,
        "revision": decision.revision,
        "killed": explanation.killed,
        "candidates": [
            {"route": each.route.name, "matched": each.matched, "failed": each.failed}
            for each in explanation.candidates
        ],
    }


def _as_text(explanation: Explanation) -> str:
    head, decision = explanation.head, explanation.decision
    lines = [
        f"{head.method} {head.target.decode('latin-1')} -> {decision.side}",
        f"  route     {decision.route_name}",
        f"  reason    {decision.reason}: {_why(explanation)}",
        *_cohort(explanation),
        f"  revision  {decision.revision}{', killed' if explanation.killed else ''}",
    ]
    rows = [(f"  {each.route.name}", _verdict(each, head)) for each in explanation.candidates]
    return "\n".join([*lines, "candidates, in order:", columns(rows)] if rows else lines)


def _why(explanation: Explanation) -> str:
    decision = explanation.decision
    if decision.side == "refused":
        return "read another way, the path would reach a route that is closed: 400"
    if explanation.killed and decision.reason == "target":
        return "its data has left legacy (reversible: false), so the kill file does not apply to it"
    return WHY[decision.reason]


def _cohort(explanation: Explanation) -> list[str]:
    """Return lines with the bucket and cohort of the client if the canary decided; else return no lines."""
    decision = explanation.decision
    route = decision.route
    if route is None or decision.side not in ("legacy", "migrated"):
        return []
    share = f"the canary of {percent_text(route.canary)}"
    if decision.bucket is not None:
        within = "in" if decision.reason == "canary" else "not in"
        place = f"{decision.bucket / 2**32:.2%} of the way, {within} {share}"
        return [f"  bucket    {decision.bucket}, {place}", f"  cohort    {decision.cohort}"]
    if decision.reason == "target" and decision.side == "legacy" and 0 < route.canary < FULL_CANARY:
        by = " or ".join(explanation.matcher.table.cohort.by)
        return [f"  cohort    none: without {by} a client is not in {share}"]
    return []


def _verdict(candidate: Candidate, head: Head) -> str:
    if candidate.matched:
        return "matches"
    if candidate.failed == "host" and not head.host:
        return "no: host (no host was given: write a URL, or -H 'Host: NAME')"
    return f"no: {candidate.failed}"
