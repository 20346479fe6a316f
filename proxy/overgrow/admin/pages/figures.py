"""Formats figures for the pages. Rule: a share is always shown together with the total number of requests.

Pure, and knows no HTML.
"""

from __future__ import annotations

from typing import Any


def percent_of(part: int, whole: int) -> str:
    """Return a share together with the total number of requests: `12.5% of 1,234`."""
    return f"{percent_figure(part, whole)} of {whole:,}"


def percent_figure(part: int, whole: int) -> str:
    """Return a share to three digits.

    Only a share of exactly 1 is shown as 100%, and only a share of exactly 0 as 0%.
    """
    percent = 100 * part / whole
    if part and percent < 0.01:
        return "<0.01%"
    if part != whole and percent > 99.99:
        return ">99.99%"
    return f"{percent:.4g}%" if percent > 99 else f"{percent:.3g}%"


def error_text(errors: int, requests: int) -> str:
    """Return the share of errors: `0 of 812`, `0.369% of 812`."""
    return percent_of(errors, requests) if errors else f"0 of {requests:,}"


def rate_text(per_second: float) -> str:
    """Return requests per second to three digits: `1,230/s`, `12.3/s`, `0.05/s`."""
    return f"{per_second:,.0f}/s" if per_second >= 100 else f"{per_second:.3g}/s"


def split_bar(legacy: int, migrated: int) -> dict[str, Any]:
    """Return the width of migrated's part of the bar, out of 100, and the share as text.

    Without requests, return an empty dict.
    """
    both = legacy + migrated
    if not both:
        return {}
    return {"share_width": round(100 * migrated / both, 1), "share": percent_of(migrated, both)}
