"""The history of flips, kills and resumes."""

from __future__ import annotations

from typing import Any

from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.view import AdminView, history_of
from overgrow.table.editing.history import HistoryEntry

MOST_CHANGES = 100  # on the page


def flips_data(view: AdminView, _now_s: float, _query: Query) -> PageData:
    """Return the data of the page."""
    changes = history_of(view).entries[: -MOST_CHANGES - 1 : -1]
    return {"changes": [_change_json(each) for each in changes]}


def _change_json(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "id": entry.key,
        "at": entry.at,
        "who": entry.who,
        "action": entry.action,
        "route": entry.route,
        "from": entry.from_,
        "to": entry.to,
        "why": entry.why,
    }


PAGE = Page("/flips", "flips.html", flips_data)
