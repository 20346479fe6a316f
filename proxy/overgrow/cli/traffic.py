"""`overgrow check --traffic FILE`: shows which recorded requests would change side if a table took effect."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from overgrow.cli.columns import columns, screen_width
from overgrow.cli.failures import Failed
from overgrow.routing.match import Matcher
from overgrow.routing.model import RouteTable
from overgrow.text import count_text
from overgrow.traffic.compare_tables import SideChange, TrafficComparison, compare_tables
from overgrow.traffic.request_lines import TrafficReader, TrafficUnreadable

MAX_ROWS = 40
MAX_EXAMPLE_LENGTH = 60


class TrafficReport(NamedTuple):
    """The result of comparing two tables by recorded requests.

    `before` is the table in effect, `after` the table to check.
    """

    file: Path
    before: RouteTable | None  # None: no table has taken effect, legacy answers everything
    after: RouteTable
    comparison: TrafficComparison
    unread: int
    first_unread: tuple[int, str] | None
    unit: str = "line"  # what is numbered: `entry` in a HAR file


def read_traffic(file: Path, before: RouteTable | None, after: RouteTable) -> TrafficReport:
    """Run the requests of a file through both tables. If the file cannot be read or has no requests, exit 1."""
    reader = TrafficReader(file)
    former = None if before is None else Matcher(before)
    try:
        comparison = compare_tables(reader, former, Matcher(after))
    except TrafficUnreadable as error:
        fix = "Give an access log of overgrow serve, nginx or Apache, or a whole HAR file."
        raise Failed("traffic-unreadable", f"{error}.", fix) from error
    except (OSError, EOFError, zlib.error) as error:  # the last two: a damaged gzip file
        what = f"{file} cannot be read: {getattr(error, 'strerror', None) or error}."
        raise Failed("traffic-unreadable", what, "Name a file that you may read.") from error
    return TrafficReport(
        file, before, after, comparison, reader.unread, reader.first_unread, reader.unit
    )


def traffic_json(report: TrafficReport) -> dict[str, Any]:
    """Return the report as `check --json` prints it below "traffic"; shares are 0 to 1."""
    comparison = report.comparison
    total = comparison.requests
    return {
        "file": str(report.file),
        "against": None if report.before is None else report.before.revision,
        "requests": total,
        "unread": report.unread,
        "changed": comparison.changed_requests,
        "changes": [
            {
                "route": change.after.route,
                "route_before": change.before.route,
                "from": str(change.before),
                "to": str(change.after),
                "requests": count,
                "share": count / total,
                "example": comparison.examples[change],
            }
            for change, count in comparison.changes.most_common()
        ],
        "routes": [
            {"route": each.route, "side": str(each), "requests": count, "share": count / total}
            for each, count in comparison.routes.most_common()
        ],
    }


def traffic_text(report: TrafficReport) -> str:
    """Return the report for people: a sentence, then a row for each change, the largest first."""
    comparison = report.comparison
    total, changed = comparison.requests, comparison.changed_requests
    table = f"revision {report.before.revision}" if report.before else "everything on legacy"
    moved = f"{count_text(changed, 'request')} ({changed / total:.1%}) change side"
    lines = [f"{count_text(total, 'request')} of {report.file}, compared with {table}: {moved}"]
    if changed:
        rows: list[tuple[str, ...]] = [("ROUTE", "FROM", "TO", "REQUESTS", "SHARE", "EXAMPLE")]
        rows += [
            _row(comparison, change, count)
            for change, count in comparison.changes.most_common(MAX_ROWS)
        ]
        lines.append(columns(rows, right=frozenset({3, 4}), width=screen_width()))
        rest = len(comparison.changes) - MAX_ROWS
        lines += [f"and {rest} more: --json lists all"] if rest > 0 else []
    return "\n".join(lines)


def _row(comparison: TrafficComparison, change: SideChange, count: int) -> tuple[str, ...]:
    example = comparison.examples[change]
    if len(example) > MAX_EXAMPLE_LENGTH:
        example = f"{example[: MAX_EXAMPLE_LENGTH - 3]}..."
    share = f"{count / comparison.requests:.1%}"
    sides = (str(change.before), str(change.after))
    return (change.after.route, *sides, f"{count:,}", share, example)


def traffic_notes(report: TrafficReport) -> Iterator[str]:
    """Yield notes on lines that could not be used, and on conditions of routes that a log does not show."""
    if report.first_unread is not None:
        number, line = report.first_unread
        plural = "lines" if report.unit == "line" else "entries"
        units = f"{report.unit} is" if report.unread == 1 else f"{plural} are"
        yield f"{report.unread:,} {units} not a request; the first is {report.unit} {number}: {line!r}"
    if report.file.suffix.lower() == ".har":
        return
    for route in report.after.routes:
        conditions = ", ".join(
            [*(["host"] if route.host else []), *(str(each) for each in route.predicates)]
        )
        if conditions:
            yield (
                f"route {route.name} depends on {conditions}. A request counts as one without, "
                "unless the log shows it"
            )
