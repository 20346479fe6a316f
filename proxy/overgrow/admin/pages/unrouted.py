"""The busiest paths that only the default route serves, as templates.

Paths that legacy does not have are in a separate list.
"""

from __future__ import annotations

from typing import Any

from overgrow.admin.api.unrouted import unrouted_of
from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.view import AdminView
from overgrow.observe.unrouted_list import UnroutedList, UnroutedRow
from overgrow.text import count_text, rfc3339

MOST = 200  # templates on the page


def unrouted_data(view: AdminView, now_s: float, _query: Query) -> PageData:
    """Return the data of the page."""
    found = unrouted_of(view, now_s, MOST)
    rows = [_row_json(row) for row in found.rows if not row.is_junk]
    junk = [_row_json(row) for row in found.rows if row.is_junk]
    counts = found.counts
    return {
        "since": rfc3339(counts.began_s) if counts else None,
        "requests": f"{counts.requests:,}" if counts else "0",
        "limits": list(_limits(found)),
        "rows": rows,
        "no_rows": not rows,
        "junk": junk,
        "has_junk": bool(junk),
    }


def _limits(found: UnroutedList) -> list[dict[str, str]]:
    """Return sentences that say what the list leaves out, and how exact its counts are."""
    counts, sentences = found.counts, []
    if counts and counts.missing_at_most:
        most = count_text(counts.missing_at_most, "request")
        sentences.append(
            f"There were more paths than are kept, so only the busiest are listed. A path that is not listed had {most} at most."
        )
    if counts and counts.unread:
        sentences.append(
            f"{count_text(counts.unread, 'request')} of these {'is' if counts.unread == 1 else 'are'} not listed by path: "
            "the path can be read in several ways, or too many different paths came at once."
        )
    if found.routed:
        sentences.append(
            f"{count_text(found.routed, 'template')} got a route since and {'is' if found.routed == 1 else 'are'} left out."
        )
    if found.has_more:
        sentences.append(f"The first {MOST} templates are shown; /api/unrouted has more.")
    return [{"text": sentence} for sentence in sentences]


def _row_json(row: UnroutedRow) -> dict[str, Any]:
    counted = row.counted
    at_most = f"at most {row.at_most:,}" if row.at_most > counted.requests else ""
    errors = f"{counted.errors:,} of {counted.requests:,}" if counted.errors else ""
    return {
        "id": row.template,
        "template": row.template,
        "requests": f"{counted.requests:,}",
        "at_most": at_most,
        "errors": errors,
        "not_found": f"{counted.not_found:,} of {counted.requests:,}" if counted.not_found else "",
        "methods": " ".join(row.methods),
        "example": counted.example,
        "last_hit": rfc3339(counted.last_s),
        "route": row.route_lines or "",
    }


PAGE = Page("/unrouted", "unrouted.html", unrouted_data)
