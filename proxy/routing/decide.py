"""Who answers a request, and why: the order of DESIGN section 4, from top to bottom.

Pure: no I/O, no clock, no chance. Rule: each step below either decides or leaves the
request to the next; nothing decides twice but the last look at upgrades and breakers.
"""

from __future__ import annotations

from proxy.routing.cohort import ID_SOURCE, bucket_of, canary_limit, identity
from proxy.routing.facts import Facts, Head, path_of, readings_of
from proxy.routing.match import Matcher
from proxy.routing.model import FULL_CANARY, Decision, Route, Verdict
from proxy.routing.override import override_of


def decide(matcher: Matcher, head: Head, facts: Facts) -> Decision:
    """Return who answers the request and why; total over all heads, facts and tables."""
    path = path_of(head.target)
    if path is None:
        return _ambiguous(matcher, head, facts)
    revision = matcher.table.revision
    route = matcher.match_path(path, head)
    if route is None:
        return Decision(None, "legacy", "killed", revision) if facts.killed else matcher.default
    if not route.reversible:
        return Decision(route, _final_side(route), "target", revision)
    if facts.killed:
        return Decision(route, "legacy", "killed", revision)
    if route.target == "gone":
        return Decision(route, "gone", "gone", revision)
    return _able(_asked_side(matcher, route, head, facts), head, facts)


def _ambiguous(matcher: Matcher, head: Head, facts: Facts) -> Decision:
    """Decide a path that can be read in more than one way: legacy's, unless a reading is closed."""
    revision = matcher.table.revision
    for reading in readings_of(head.target):
        route = matcher.match_path(reading, head)
        if route is not None and _is_closed(route, facts):
            return Decision(route, "refused", "ambiguous-path", revision)
    return Decision(None, "legacy", "killed" if facts.killed else "ambiguous-path", revision)


def _is_closed(route: Route, facts: Facts) -> bool:
    """Return whether legacy must not be reached through this route, whatever the spelling."""
    return not route.reversible or (route.target == "gone" and not facts.killed)


def _final_side(route: Route) -> Verdict:
    """Return the side of a route whose data has left legacy; loading lets no other target in."""
    return "gone" if route.target == "gone" else "migrated"


def _asked_side(matcher: Matcher, route: Route, head: Head, facts: Facts) -> Decision:
    """Decide a live, reversible route: an override, its target, or its canary."""
    revision = matcher.table.revision
    side = override_of(head, facts, route)
    if side is not None and (side == "legacy" or route.servable):
        return Decision(route, side, "override", revision)
    if route.target == "migrated":
        return Decision(route, "migrated", "target", revision)
    if route.canary == 0:
        return Decision(route, "legacy", "target", revision)
    if route.canary >= FULL_CANARY:
        return Decision(route, "migrated", "canary", revision)
    return _by_bucket(matcher, route, head)


def _by_bucket(matcher: Matcher, route: Route, head: Head) -> Decision:
    """Decide by the client's bucket; a client without one stays on legacy and is given one."""
    cohort, revision = matcher.table.cohort, matcher.table.revision
    known = identity(head, cohort)
    if known is None:
        assign = ID_SOURCE in cohort.by
        return Decision(route, "legacy", "target", revision, assign_id=assign)
    source, key = known
    bucket = bucket_of(key, cohort.salt)
    if bucket < canary_limit(route.canary):
        return Decision(route, "migrated", "canary", revision, bucket, source)
    return Decision(route, "legacy", "target", revision, bucket, source)


def _able(decision: Decision, head: Head, facts: Facts) -> Decision:
    """Return the decision, turned to legacy where migrated cannot or should not take the request."""
    if decision.side != "migrated":
        return decision
    if head.upgrade and not (decision.route is not None and decision.route.asgi):
        return decision._replace(side="legacy", reason="upgrade")
    return _unbroken(decision, facts)


def _unbroken(decision: Decision, facts: Facts) -> Decision:
    """Return the decision, turned to legacy where a breaker is open on a route with `fallback`.

    Whatever the method: nothing was begun, so nothing is repeated. An override stays: a tester
    must see the side as it is.
    """
    route = decision.route
    if route is None or not route.fallback or decision.reason == "override":
        return decision
    if route.name not in facts.open_breakers:
        return decision
    return decision._replace(side="legacy", reason="breaker")
