"""Lists the busiest paths without a route, each with an entry of routes.yaml that would take it.

Pure. The page, the API and reports show this list. Paths that legacy always answers with 404 or 410 are marked
and come last: most of them are scanners and dead links.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from overgrow.http import SAFE_METHODS
from overgrow.observe.unrouted import TemplateCount, UnroutedCounts
from overgrow.routing.converters import RuleError
from overgrow.routing.rules import parse_rule
from overgrow.text import rfc3339

RouteOf = Callable[[str, str], str | None]  # method, decoded path -> the route that takes it now
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_PLAIN = re.compile(r"/[\w/.<>:~+-]*", re.ASCII)  # no quotes needed in YAML


class UnroutedRow(NamedTuple):
    """One template without a route, and the requests that were counted for it."""

    template: str
    counted: TemplateCount
    overflow: int = 0  # requests without a known template

    @property
    def at_most(self) -> int:
        """The highest number of requests that there can have been."""
        return self.counted.most + self.overflow

    @property
    def is_junk(self) -> bool:
        """Whether legacy has nothing at these paths: all its responses were 404 or 410."""
        return self.counted.not_found == self.counted.requests

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of the requests, the most frequent first."""
        return tuple(sorted(self.counted.methods, key=lambda each: -self.counted.methods[each]))

    @property
    def route_lines(self) -> str | None:
        """The entry for `routes:` that takes these requests and leaves them on legacy.

        It is None if no rule can express them.
        """
        try:
            parse_rule(self.template)
        except RuleError:
            return None
        methods = _methods_to_route(self.counted.methods)
        lines = [f"- path: {_quote(self.template)}"]
        lines += [f"  methods: [{', '.join(methods)}]"] if methods else []
        return "\n".join([*lines, "  target: legacy"])

    def as_json(self) -> dict[str, Any]:
        """Return the row as /api/unrouted shows it."""
        count = self.counted
        return {
            "template": self.template,
            "requests": count.requests,
            "requests_at_most": self.at_most,
            "not_found": count.not_found,
            "errors": count.errors,
            "methods": {method: count.methods[method] for method in self.methods},
            "example": count.example,
            "first_hit": rfc3339(count.first_s),
            "last_hit": rfc3339(count.last_s),
            "only_not_found": self.is_junk,
            "route": self.route_lines,
        }


class UnroutedList(NamedTuple):
    """The rows, the counts behind them, and what was left out."""

    rows: tuple[UnroutedRow, ...]
    counts: UnroutedCounts | None  # None before there was any request
    routed: int  # templates that a route takes by now, left out
    has_more: bool

    def as_json(self) -> dict[str, Any]:
        """Return the list as /api/unrouted shows it."""
        counts = self.counts
        return {
            "since": rfc3339(counts.began_s) if counts else None,
            "requests": counts.requests if counts else 0,
            "not_listed_by_path": counts.unread if counts else 0,
            "missing_at_most": counts.missing_at_most if counts else 0,
            "routed_since": self.routed,
            "templates": [row.as_json() for row in self.rows],
            "more": self.has_more,
        }


def list_unrouted(counts: UnroutedCounts | None, route_of: RouteOf, limit: int) -> UnroutedList:
    """Return the busiest templates without a route, at most `limit`. Those that legacy does not have come last."""
    rows = [UnroutedRow(*each, counts.overflow) for each in counts.busiest()] if counts else []
    open_rows = [row for row in rows if not _is_routed(row, route_of)]
    ordered = sorted(open_rows, key=lambda row: row.is_junk)
    kept = tuple(ordered[:limit])
    return UnroutedList(kept, counts, len(rows) - len(open_rows), len(ordered) > limit)


def _is_routed(row: UnroutedRow, route_of: RouteOf) -> bool:
    """Whether routes of the present table take all methods of the row."""
    return all(route_of(method, row.counted.example) for method in row.counted.methods)


def _methods_to_route(counted: Mapping[str, int]) -> list[str]:
    """Return the methods for a route. If a method is unusual, return an empty list, which stands for all methods."""
    if not set(counted) <= set(_METHODS):
        return []
    wanted = set(counted) | ({"GET"} if "HEAD" in counted else set())
    # A browser asks with OPTIONS before it sends an unsafe request of another site.
    wanted |= {"OPTIONS"} if wanted - SAFE_METHODS else set()
    return [method for method in _METHODS if method in wanted - {"HEAD"}]


def _quote(path: str) -> str:
    """Return a path as a YAML scalar: in JSON's quotes if needed, with `${` doubled, because it begins a variable."""
    if _PLAIN.fullmatch(path):
        return path
    return json.dumps(path.replace("${", "$${"), ensure_ascii=False)
