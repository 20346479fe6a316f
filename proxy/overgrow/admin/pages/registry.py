"""All pages of the navigation, in one place: a new page is one line here and one in frame.py."""

from __future__ import annotations

from overgrow.admin.pages import differences, flips, health, live, overview, unrouted

PAGES = (overview.PAGE, differences.PAGE, unrouted.PAGE, live.PAGE, flips.PAGE, health.PAGE)
