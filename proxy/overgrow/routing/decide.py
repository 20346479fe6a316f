"""Decides who answers a request, and why.

The steps are those of the table in docs/routes-yaml.md#the-decision, in order. Pure: no I/O, no clock, no
randomness. Rule: each step either decides or leaves the request to the next step. Only upgrades and open
breakers change a decision afterwards.
"""

from __future__ import annotations

from functools import partial

from overgrow.routing.cohort import ID_SOURCE, bucket_of, canary_limit, identify_client
from overgrow.routing.facts import Facts, Head, path_of
from overgrow.routing.identity import Identity, Subject, Unavailable, carries_identity
from overgrow.routing.match import Matcher
from overgrow.routing.model import FULL_CANARY, Decision, Reason, Route, Side, Verdict
from overgrow.routing.override import override_side
from overgrow.routing.readings import (
    REWRITING,
    Folds,
    Readings,
    find_readings,
    has_other_readings,
    rewritten_readings,
)


# Map 6 (docs/architecture.md#a-request-by-numbers)
def decide(matcher: Matcher, head: Head, facts: Facts) -> Decision:
    """Return who answers the request and why. There is a decision for every combination of head, facts and table."""
    path = matcher.plain_path_of(head.target)
    if path is None:
        return _decide_by_readings(matcher, head, facts)
    return _decide_for_route(matcher, matcher.match_path(path, head), head, facts)


def _decide_for_route(matcher: Matcher, route: Route | None, head: Head, facts: Facts) -> Decision:
    """Decide a request whose path belongs to `route` in every reading."""
    revision = matcher.table.revision
    if route is None:
        return Decision(None, "legacy", "killed", revision) if facts.killed else matcher.default
    if not route.is_ordinary:
        decision = _decide_extraordinary(matcher, route, head, facts)
        if decision is not None:
            return decision
    if facts.killed:
        return Decision(route, "legacy", "killed", revision)
    if route.target == "gone":
        return Decision(route, "gone", "gone", revision)
    decision = _decide_reversible(matcher, route, head, facts)
    return (
        decision if decision.side == "legacy" else _apply_upgrade_and_breaker(decision, head, facts)
    )


def _decide_extraordinary(
    matcher: Matcher, route: Route, head: Head, facts: Facts
) -> Decision | None:
    """Decide a request of an irreversible route, or of one that asks who the user is; None if the usual steps decide."""
    revision, subject = matcher.table.revision, facts.subject
    side: Verdict = _irreversible_side(route) if not route.reversible else "legacy"
    if route.reversible and (facts.killed or route.target == "gone"):
        return None
    if subject == "unasked" and route.asks_identity:
        if carries_identity(matcher.table.identity, head.headers):
            resume = partial(_decide_for_subject, matcher, head, facts)
            return Decision(route, "undecided", "identity", revision, resume=resume)
        subject = None
    if isinstance(subject, Unavailable) and route.asks_identity and side != "gone":
        if not route.reversible:
            return Decision(route, "refused", "identity", revision)
        if not (facts.secret and override_side(head, facts, route)):
            return Decision(route, "legacy", "identity", revision)
    return None if route.reversible else Decision(route, side, "target", revision)


def _decide_for_subject(matcher: Matcher, head: Head, facts: Facts, subject: Subject) -> Decision:
    """Decide a request after its user was looked up."""
    decision = decide(matcher, head, facts._replace(subject=subject))
    return decision._replace(identity=subject) if isinstance(subject, Identity) else decision


def _decide_by_readings(matcher: Matcher, head: Head, facts: Facts) -> Decision:
    """Decide a request whose path may be read in more than one way.

    The path is ambiguous if it can be decoded in more than one way, or if its usual readings belong to several
    routes. An ambiguous path goes to legacy. If a request may reach legacy, but one of its readings belongs to
    a route that legacy must not answer, the request is refused.
    """
    path, legacy = path_of(head.target), matcher.table.legacy
    route = None if path is None else matcher.match_path(path, head)
    if path is not None and not (
        legacy.folds or legacy.rewrite_headers or has_other_readings(path)
    ):
        return _decide_for_route(matcher, route, head, facts)
    usual, rare = _find_other_readings(matcher, head.target, path)
    taken_by = [taker for reading in usual for taker in matcher.find_takers(reading, head)]
    if path is not None and all(taker is route for taker in taken_by):
        decision, taken_by = _decide_for_route(matcher, route, head, facts), []
    else:
        decision = _decide_ambiguous_path(matcher, facts)
    if not _may_reach_legacy(decision):
        return decision
    if legacy.rewrite_headers:
        rare = (*rare, *_rewritten_readings(head, legacy.folds))
    taken_by += [taker for reading in rare for taker in matcher.find_takers(reading, head)]
    closed = next((taker for taker in (route, *taken_by) if _is_closed(taker, facts)), None)
    if closed is None:
        return decision
    return Decision(closed, "refused", "ambiguous-path", matcher.table.revision)


def _find_other_readings(matcher: Matcher, target: bytes, path: str | None) -> Readings:
    """Return the readings other than `path`; an empty list if every server reads the target as `path`."""
    folds = matcher.table.legacy.folds
    if path is not None and ((not folds and not has_other_readings(path)) or path == "*"):
        return _NONE
    if path is not None and matcher.path_but_for_case(target) is not None:
        return Readings((path,), ())
    return find_readings(target, folds)


_NONE = Readings((), ())


def _rewritten_readings(head: Head, folds: Folds) -> list[str]:
    """Return the paths from X-Original-URL and X-Rewrite-URL, which legacy may serve instead of the target."""
    values = [value for name, value in head.headers if name in REWRITING]
    return [reading for value in values for reading in rewritten_readings(value, folds)]


def _decide_ambiguous_path(matcher: Matcher, facts: Facts) -> Decision:
    """Return the decision for an ambiguous path."""
    reason: Reason = "killed" if facts.killed else "ambiguous-path"
    return Decision(None, "legacy", reason, matcher.table.revision)


def _may_reach_legacy(decision: Decision) -> bool:
    """Return whether legacy may get the request: at once, as a shadow copy, or as a fallback."""
    if decision.side != "migrated" or decision.route is None:
        return decision.side == "legacy"
    return decision.route.reversible and (decision.route.fallback or decision.route.shadow > 0)


def _is_closed(route: Route | None, facts: Facts) -> bool:
    """Return whether the route must be kept from legacy: no request may reach legacy, in any spelling of the path."""
    if route is None:
        return False
    return not route.reversible or (route.target == "gone" and not facts.killed)


def _irreversible_side(route: Route) -> Verdict:
    """Return the side of an irreversible route: gone or migrated, because the table allows no other target for it."""
    return "gone" if route.target == "gone" else "migrated"


def _decide_reversible(matcher: Matcher, route: Route, head: Head, facts: Facts) -> Decision:
    """Decide a live, reversible route: an override, its target, or its canary."""
    revision = matcher.table.revision
    side = override_side(head, facts, route) if facts.secret else None
    if side is not None and (side == "legacy" or route.servable):
        return _decide_override(matcher, route, side, head, facts)
    if route.target == "migrated":
        return Decision(route, "migrated", "target", revision)
    if route.canary == 0:
        return Decision(route, "legacy", "target", revision)
    if route.canary >= FULL_CANARY:
        return Decision(route, "migrated", "canary", revision)
    return _decide_by_bucket(matcher, route, head, facts)


def _decide_override(
    matcher: Matcher, route: Route, side: Side, head: Head, facts: Facts
) -> Decision:
    """Decide a tester's request; on migrated the tester is the user who is signed in, as later everybody is."""
    revision, is_asked = matcher.table.revision, facts.subject != "unasked"
    if side == "legacy" or is_asked or not route.identifies:
        return Decision(route, side, "override", revision)
    if not carries_identity(matcher.table.identity, head.headers):
        return Decision(route, side, "override", revision)
    resume = partial(_decide_for_subject, matcher, head, facts)
    return Decision(route, "undecided", "identity", revision, resume=resume)


def _decide_by_bucket(matcher: Matcher, route: Route, head: Head, facts: Facts) -> Decision:
    """Decide by the client's bucket. A client without an id stays on legacy and gets an id."""
    cohort, revision = matcher.table.cohort, matcher.table.revision
    subject = facts.subject
    user_id = subject.id if isinstance(subject, Identity) else None
    known = identify_client(head, cohort, user_id)
    if known is None:
        assign = ID_SOURCE in cohort.by
        return Decision(route, "legacy", "target", revision, assign_id=assign)
    source, key = known
    bucket = bucket_of(key, cohort.salt)
    if bucket < canary_limit(route.canary):
        return Decision(route, "migrated", "canary", revision, bucket, source)
    return Decision(route, "legacy", "target", revision, bucket, source)


def _apply_upgrade_and_breaker(decision: Decision, head: Head, facts: Facts) -> Decision:
    """Return a decision for migrated.

    If migrated cannot or should not take the request, change the decision to legacy.
    """
    if head.upgrade and not (decision.route is not None and decision.route.asgi):
        return decision._replace(side="legacy", reason="upgrade")
    return _apply_open_breaker(decision, facts)


def _apply_open_breaker(decision: Decision, facts: Facts) -> Decision:
    """Return the decision. If the route has `fallback` and its breaker is open, change the decision to legacy.

    This applies to any method: migrated was not asked, so that no request is sent twice. An override stays,
    because a tester must see the side as it is.
    """
    route = decision.route
    if route is None or not route.fallback or decision.reason == "override":
        return decision
    if route.name not in facts.open_breakers:
        return decision
    return decision._replace(side="legacy", reason="breaker")
