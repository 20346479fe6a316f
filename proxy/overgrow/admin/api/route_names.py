"""Refuses names of routes that the table does not have, with the nearest names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from overgrow.admin.api.errors import ApiError
from overgrow.admin.view import AdminView
from overgrow.observe.split import DEFAULT
from overgrow.text import join_or, printable

MOST_SHOWN = 80  # characters of an unknown name


def require_route(view: AdminView, name: str, *, former: Iterable[str] = ()) -> None:
    """Raise ApiError unless a route has this name; "default", and the `former` names of routes, are known too.

    Raises:
        ApiError: unknown-route, with the nearest names.

    """
    if name in {*names_in_table(view), *former, DEFAULT}:
        return
    near = nearest_names(name, [*names_in_table(view), DEFAULT])
    fix = f"Did you mean {join_or(near)}?" if near else "GET /api/routes lists the names."
    shown = printable(name, keep="")[:MOST_SHOWN]
    raise ApiError("unknown-route", f"The table has no route named {shown}.", fix, nearest=near)


def names_in_table(view: AdminView) -> list[str]:
    """Return the names of the routes of the table in effect."""
    return [route.name for route in view.table.routes] if view.table else []


def nearest_names(name: str, names: Iterable[str]) -> list[str]:
    """Return at most three names that are similar to a name, the most similar first."""
    return get_close_matches(name.lower()[:MOST_SHOWN], [*names], 3, cutoff=0.5)
