"""The last decisions."""

from __future__ import annotations

from overgrow.admin.pages.site import Page, PageData, Query
from overgrow.admin.view import AdminView


def live_data(_view: AdminView, _now_s: float, _query: Query) -> PageData:
    """Return the data of the page."""
    return {}


PAGE = Page("/live", "live.html", live_data)
