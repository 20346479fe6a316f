"""How the answers of the two sides differ: the number of groups that no rule covers, by route."""

from __future__ import annotations

from overgrow.admin.overview import open_groups_of
from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.view import AdminView


def differences_data(view: AdminView, _now_s: float, _query: Query) -> PageData:
    """Return the data of the page."""
    groups = open_groups_of(view)
    rows = [{"route": route, "open": count} for route, count in sorted(groups.items()) if count]
    return {"routes": rows}


PAGE = Page("/differences", "differences.html", differences_data)
