"""How the answers of the two sides differ: groups by cause, the most severe first, with a filter by route."""

from __future__ import annotations

from typing import Any

from werkzeug.exceptions import NotFound

from overgrow.admin.differences import MOST_LISTED, ListedDifferences, list_differences
from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.view import AdminView
from overgrow.shadow.review.judged_groups import JudgedGroup, title_of_judged
from overgrow.table.reading.problems import EditRefused
from overgrow.text import rfc3339

EVERYTHING = "all"


def differences_data(view: AdminView, now_s: float, query: Query) -> PageData:
    """Return the data of the page."""
    route, everything = query.get("route") or None, query.get("show") == EVERYTHING
    try:
        found = list_differences(view, now_s, route, everything=everything, limit=MOST_LISTED)
    except EditRefused as refused:
        raise NotFound(f"{refused.message}. {refused.fix}") from refused
    return {
        "route": route or "",
        "everything": everything,
        "groups": [group_row(each) for each in found.groups],
        "summary": _summary(found, everything=everything),
        "cut": _cut_text(found),
        "missing": found.missing,
        "notes": [{"text": note} for note in found.notes],
        "is_shadowed": any(each.shadow for each in view.table.routes) if view.table else False,
    }


def group_row(each: JudgedGroup) -> dict[str, Any]:
    """Return one group as the list shows it."""
    group = each.group
    return {
        "id": f"{group.key}-{group.control}",
        "key": group.key[:8],
        "href": f"/differences/{group.key}",
        "what": title_of_judged(each),
        "route": group.route,
        "answered_by": group.control,
        "severity": group.severity if each.is_open else "accepted",
        "tone": _TONES[group.severity] if each.is_open else "good",
        "count": f"{group.count:,}",
        "first_seen": rfc3339(group.first_seen_at),
        "last_seen": rfc3339(group.last_seen_at),
    }


_TONES = {"high": "bad", "medium": "warn", "low": ""}


def _summary(found: ListedDifferences, *, everything: bool) -> str:
    """Return a text that says how many groups there are; return "" if the number is unknown."""
    if found.missing:
        return ""
    of_all = f" of {found.listing.looked_at:,} stored" if not everything else ""
    noun = "group" if found.matching == 1 else "groups"
    return f"{found.matching:,} {noun}{of_all}{'' if everything else ', which no rule covers'}."


def _cut_text(found: ListedDifferences) -> str:
    """Return a text that says what the list leaves out; return "" if the list is complete."""
    texts = []
    if found.matching > len(found.groups):
        texts.append(f"The first {len(found.groups):,} of {found.matching:,} groups are listed.")
    if found.listing.known > found.listing.looked_at:
        looked = f"{found.listing.looked_at:,} of {found.listing.known:,}"
        texts.append(f"Only the {looked} most severe groups were looked at.")
    return " ".join(texts)


PAGE = Page("/differences", "differences.html", differences_data, ("route", "show"))
