"""Lists all pages of the navigation. To add a page, add a line here and a line in frame.py."""

from __future__ import annotations

from overgrow.admin.pages import differences, flips, live, unrouted
from overgrow.admin.pages.health import create_health_page
from overgrow.admin.pages.overview import create_overview
from overgrow.admin.pages.route import create_route_page
from overgrow.admin.pages.site import Page
from overgrow.admin.traffic import CounterReader
from overgrow.admin.view import AdminView


def create_pages(view: AdminView) -> tuple[Page, ...]:
    """Return the pages of one admin app; the pages that show counters share one reader."""
    traffic = CounterReader(view.metrics)
    return (
        create_overview(traffic),
        create_route_page(traffic),
        differences.PAGE,
        unrouted.PAGE,
        live.PAGE,
        flips.PAGE,
        create_health_page(traffic),
    )
