"""Differences that shadowing found: the list, one group, what a rule would hide, and accepting the rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from overgrow.admin import differences
from overgrow.admin.access import author, clean_name, current_access
from overgrow.admin.api.endpoint import ApiCall, Endpoint, Parameter
from overgrow.admin.api.errors import ApiError
from overgrow.admin.api.kinds import Integer, JsonObject, Pattern, Text, Word
from overgrow.admin.api.schemas import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    SIDE,
    TEXT,
    TIME,
    list_of,
    nullable,
    record,
)
from overgrow.admin.differences import AcceptOrder, PreviewChanged
from overgrow.admin.rule_fields import MOST_CHARS, BadField, read_terms, read_wish
from overgrow.shadow.review.as_json import MAX_COVERED, group_json, preview_json
from overgrow.shadow.review.drafting import RuleWish
from overgrow.shadow.review.refusal import ReviewRefused
from overgrow.shadow.values.kinds import RULE_KINDS
from overgrow.table.file_lock import LockHeld

T = TypeVar("T")
SEVERITY = {"type": "string", "enum": ["low", "medium", "high"]}
RULE = record({"path": TEXT, "how": TEXT}, {"kinds": list_of(TEXT)})
DIFFERENCE = record(
    {
        "kind": TEXT,
        "path": TEXT,
        "legacy": TEXT,
        "migrated": TEXT,
        "gap": nullable(NUMBER),
        "gap_s": nullable(NUMBER),
        "covered": BOOLEAN,
    }
)
GROUP = record(
    {
        "group": TEXT,
        "route": TEXT,
        "answered_by": SIDE,
        "open": BOOLEAN,
        "undecided": list_of(TEXT),
        "severity": SEVERITY,
        "count": INTEGER,
        "first_seen": TIME,
        "last_seen": TIME,
        "differences": list_of(DIFFERENCE),
    }
)
LINE = record({"text": TEXT, "differs": BOOLEAN})
RESPONSE = record(
    {
        "status": INTEGER,
        "status_differs": BOOLEAN,
        "headers": list_of(LINE),
        "body": list_of(LINE),
        "body_differs": BOOLEAN,
        "is_cut": BOOLEAN,
    }
)
SAMPLE = record(
    {
        "at": TIME,
        "method": TEXT,
        "template": TEXT,
        "query_keys": list_of(TEXT),
        "signed_in": BOOLEAN,
        "legacy": RESPONSE,
        "migrated": RESPONSE,
        "differences": list_of(
            record(
                {
                    "kind": TEXT,
                    "path": TEXT,
                    "severity": SEVERITY,
                    "legacy": TEXT,
                    "migrated": TEXT,
                    "rule": TEXT,
                }
            )
        ),
        "more": INTEGER,
    }
)
COVERED = record(
    {
        "group": TEXT,
        "route": TEXT,
        "answered_by": SIDE,
        "own": BOOLEAN,
        "severity": SEVERITY,
        "count": INTEGER,
        "last_seen": TIME,
        "closes": BOOLEAN,
        "sure": BOOLEAN,
        "differences": list_of(
            record({"kind": TEXT, "path": TEXT, "severity": SEVERITY, "sure": BOOLEAN})
        ),
    }
)
PREVIEW = record(
    {
        "group": nullable(TEXT),
        "route": TEXT,
        "file": TEXT,
        "routes": nullable(list_of(TEXT)),
        "rules": list_of(RULE),
        "covers": list_of(COVERED, MAX_COVERED),
        "more": BOOLEAN,
        "highest_severity": nullable(SEVERITY),
        "counts": record(
            {
                "groups": INTEGER,
                "differences": INTEGER,
                "pairs": INTEGER,
                "unsure": INTEGER,
                "opens": INTEGER,
            }
        ),
        "stays_open": list_of(TEXT),
        "looked_at": INTEGER,
        "known": INTEGER,
        "since": nullable(TIME),
        "bounded": BOOLEAN,
        "digest": TEXT,
    }
)


def _answer_list(call: ApiCall) -> dict[str, Any]:
    route = call["route"]
    everything = call["show"] == "all"
    found = differences.list_differences(
        call.view, call.now_s, route, everything=everything, limit=call["limit"]
    )
    return {
        "groups": [group_json(each) for each in found.groups],
        "more": found.has_more,
        "matching": found.matching,
        "looked_at": found.listing.looked_at,
        "known": found.listing.known,
        "missing": found.missing or None,
        "notes": list(found.notes),
    }


def _answer_group(call: ApiCall) -> dict[str, Any]:
    shown = _refusable(lambda: differences.show_difference(call.view, call.now_s, call["id"]))
    first, *others = map(group_json, shown.judged)
    return {
        "group": first,
        "also": others,
        "samples": [each.as_json() for each in shown.samples],
        "unstored": shown.unstored,
        "rules_that_would_cover": list(shown.rules),
        "notes": list(shown.notes),
    }


def _answer_preview(call: ApiCall) -> dict[str, Any]:
    wish = _wish_of(call)
    found = _refusable(lambda: differences.preview_rule(call.view, call.now_s, call["id"], wish))
    return preview_json(found)


def _answer_accept(call: ApiCall) -> dict[str, Any]:
    wish = _wish_of(call)
    given = call["author"]
    name = current_access().name or (call.who if given is None else clean_name(given))
    who = author("admin API", "" if given is None else given)
    terms = _field("", lambda: read_terms(name, call["reason"], call["expires"], call.now_s))
    order = AcceptOrder(terms, call["digest"], who, restart=call["restart"] == "yes")
    done = _refusable(
        lambda: differences.accept_rule(call.view, call.now_s, call["id"], wish, order)
    )
    return {
        "accepted": preview_json(done.preview),
        "author": terms.author,
        "expires": terms.expires.isoformat(),
        "open_groups": done.open_groups,
        "restarted": order.restart,
        "unrecorded": done.unrecorded or None,
    }


def _wish_of(call: ApiCall) -> RuleWish:
    everywhere = call["everywhere"] == "yes"
    return _field("rule.", lambda: read_wish(call["rule"] or {}, everywhere=everywhere))


def _field(prefix: str, read: Callable[[], T]) -> T:
    """Return what `read` returns; if that raises BadField, raise the API's error for a bad parameter."""
    try:
        return read()
    except BadField as error:
        name = f"{prefix}{error.name}"[:80]
        what = f"The parameter {name} cannot be used; it must be {error}."
        raise ApiError("bad-parameter", what, "Correct it.", parameter=name) from error


def _refusable(answer: Callable[[], T]) -> T:
    """Return what `answer` returns; a refusal becomes an error of the API."""
    try:
        return answer()
    except PreviewChanged as changed:
        raise ApiError(
            changed.code,
            f"{changed.message}.".capitalize(),
            changed.fix,
            preview=preview_json(changed.preview),
        ) from changed
    except ReviewRefused as refused:
        problems = [problem.as_json() for problem in refused.problems]
        more: dict[str, Any] = {"problems": problems} if problems else {}
        raise ApiError(refused.code, refused.message, refused.fix, None, **more) from refused
    except differences.EvidenceUnavailable as error:
        raise ApiError("no-evidence", str(error), "Shadow a route first.") from error
    except LockHeld as held:
        what = f"{held.filename} cannot be locked: {held.strerror}."
        raise ApiError("locked", what, "Nothing was changed. Try again.") from held


ID = Parameter(
    "id",
    "the id of a group, or the beginning of one: at least four characters",
    Text(64, 1),
)
RULE_OF = Parameter(
    "rule",
    "path, how and kinds of the rule; what is left out is the narrowest that covers the group",
    JsonObject(
        {
            "path": {"type": "string", "maxLength": MOST_CHARS},
            "how": {"type": "string", "maxLength": MOST_CHARS},
            "kinds": {
                "type": "array",
                "items": {"type": "string", "enum": list(RULE_KINDS)},
                "uniqueItems": True,
            },
        }
    ),
)
EVERYWHERE = Parameter(
    "everywhere",
    "yes: a rule for every route, in compare/_all.yaml",
    Word(("yes", "no")),
    default="no",
)
REFUSALS = ("unknown-mismatch", "no-evidence")
OF_RULES = (*REFUSALS, "no-rule", "rule-exists", "rules-unusable")
ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/differences",
        "groups of differences that no rule covers, most severe first",
        _answer_list,
        record(
            {
                "groups": list_of(GROUP, differences.MOST_LISTED),
                "more": BOOLEAN,
                "matching": INTEGER,
                "looked_at": INTEGER,
                "known": INTEGER,
                "missing": nullable(TEXT),
                "notes": list_of(TEXT),
            }
        ),
        (
            Parameter("route", "only this route", Text(200)),
            Parameter(
                "show", "all: those that rules cover, too", Word(("open", "all")), default="open"
            ),
            Parameter(
                "limit",
                "the most groups to list",
                Integer(1, differences.MOST_LISTED),
                default=100,
            ),
        ),
        ("unknown-route",),
    ),
    Endpoint(
        "GET",
        "/api/differences/{id}",
        "one group of differences: samples side by side, and the rules that would cover it",
        _answer_group,
        record(
            {
                "group": GROUP,
                "also": list_of(GROUP),
                "samples": list_of(SAMPLE, differences.MOST_SAMPLES),
                "unstored": INTEGER,
                "rules_that_would_cover": list_of(RULE),
                "notes": list_of(TEXT),
            }
        ),
        (ID,),
        REFUSALS,
    ),
    Endpoint(
        "POST",
        "/api/differences/{id}/preview",
        "what a rule would hide of all that is stored; changes nothing",
        _answer_preview,
        PREVIEW,
        (ID, RULE_OF, EVERYWHERE),
        OF_RULES,
        is_change=False,
    ),
    Endpoint(
        "POST",
        "/api/differences/{id}/accept",
        "write the rule that was previewed",
        _answer_accept,
        record(
            {
                "accepted": PREVIEW,
                "author": TEXT,
                "expires": {"type": "string", "format": "date"},
                "open_groups": INTEGER,
                "restarted": BOOLEAN,
                "unrecorded": nullable(TEXT),
            }
        ),
        (
            ID,
            RULE_OF,
            EVERYWHERE,
            Parameter(
                "digest",
                "the digest of the preview",
                Pattern("[0-9a-f]{32}", "32 characters of 0-9 and a-f"),
                is_required=True,
            ),
            Parameter("reason", "why the difference is harmless", Text(500, 1), is_required=True),
            Parameter(
                "author",
                "who is responsible for the rule; the name of a login beats it",
                Text(100),
            ),
            Parameter(
                "expires",
                "the last day on which the rule applies, YYYY-MM-DD; by default in 30 days",
                Pattern(r"\d{4}-\d\d-\d\d", "a day such as 2027-01-31"),
            ),
            Parameter(
                "restart",
                "yes: reset the evidence of the route",
                Word(("yes", "no")),
                default="no",
            ),
        ),
        (*OF_RULES, "changed-meanwhile", "locked"),
    ),
)
