"""Returns groups, their differences and previews as JSON, for the command line and the JSON API. Pure."""

from __future__ import annotations

from typing import Any

from overgrow.evidence import Part
from overgrow.shadow.review.drafting import rule_json
from overgrow.shadow.review.hiding import severity_of
from overgrow.shadow.review.judged_groups import JudgedGroup
from overgrow.shadow.review.preview import CoveredGroup, RulePreview
from overgrow.text import rfc3339

MAX_COVERED = 100  # groups of a preview that are listed


def group_json(each: JudgedGroup) -> dict[str, Any]:
    """Return a group with its differences. The open differences come first."""
    group = each.group
    explained = [part for part in group.parts if part not in each.open_parts]
    return {
        "group": group.key,
        "route": group.route,
        "answered_by": group.control,
        "open": each.is_open,
        "undecided": [rule.path for rule in each.undecided],
        "severity": group.severity,
        "count": group.count,
        "first_seen": rfc3339(group.first_seen_at),
        "last_seen": rfc3339(group.last_seen_at),
        "differences": [
            *(_part_json(part, covered=False) for part in each.open_parts),
            *(_part_json(part, covered=True) for part in explained),
        ],
    }


def _part_json(part: Part, *, covered: bool) -> dict[str, Any]:
    return {
        "kind": part.kind,
        "path": part.path,
        "legacy": part.control,
        "migrated": part.candidate,
        "gap": part.gap,
        "gap_s": part.gap_s,
        "covered": covered,
    }


def preview_json(preview: RulePreview) -> dict[str, Any]:
    """Return the differences that new rules would hide. `covers` includes the differences of the group itself."""
    hidden = [one for each in preview.covers for one in each.hidden]
    return {
        "group": preview.target.key,
        "route": preview.target.route,
        "file": str(preview.path),
        "routes": None if preview.routes is None else list(preview.routes),
        "rules": [rule_json(rule) for rule in preview.rules],
        "covers": [_covered_json(each, preview) for each in preview.covers[:MAX_COVERED]],
        "more": len(preview.covers) > MAX_COVERED,
        "highest_severity": preview.highest_severity,
        "counts": {
            "groups": len(preview.covers),
            "differences": len(hidden),
            "pairs": sum(each.group.count for each in preview.covers),
            "unsure": sum(not one.is_sure for one in hidden),
            "opens": len(preview.opens),
        },
        "stays_open": list(preview.stays_open),
        "looked_at": preview.looked_at,
        "known": preview.known,
        "since": None if preview.oldest_at is None else rfc3339(preview.oldest_at),
        "bounded": preview.is_bounded,
        "digest": preview.digest,
    }


def _covered_json(each: CoveredGroup, preview: RulePreview) -> dict[str, Any]:
    group = each.group
    return {
        "group": group.key,
        "route": group.route,
        "answered_by": group.control,
        "own": group.key == preview.target.key,
        "severity": each.severity,
        "count": group.count,
        "last_seen": rfc3339(group.last_seen_at),
        "closes": each.closes,
        "sure": each.is_sure,
        "differences": [
            {
                "kind": one.part.kind,
                "path": one.part.path,
                "severity": severity_of(one.part),
                "sure": one.is_sure,
            }
            for one in each.hidden
        ],
    }
