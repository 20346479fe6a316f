"""What only the default route serves."""

from __future__ import annotations

from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.view import AdminView


def unrouted_data(_view: AdminView, _now_s: float, _query: Query) -> PageData:
    """Return the data of the page."""
    return {}


PAGE = Page("/unrouted", "unrouted.html", unrouted_data)
