"""The data of the overview page: alerts, routes, workers and the history.

`overview` reads everything again for each page; the rest is pure and knows neither Flask nor HTML. The files on disk are
compared with what workers report, so that the page shows a change before the workers follow it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from overgrow.admin.view import AdminView, Worker, history_of, living_workers, readiness
from overgrow.files import ANSWER_S, within
from overgrow.observe.metrics import sum_samples
from overgrow.observe.recent_counts import recent_requests
from overgrow.observe.split import RouteSplit, split_by_route
from overgrow.routing.model import Route
from overgrow.table.editing.flip import GROUP
from overgrow.table.editing.history import HistoryEntry, find_undoable
from overgrow.table.live import kill_files
from overgrow.table.reading.parse import revision_of
from overgrow.table.reading.table_file import read_table_file
from overgrow.text import ago, rfc3339

T = TypeVar("T")
Counted = Any  # a Sample of prometheus_client's: name, labels, value

LOOK_S = 1.0  # the longest wait for the table's file system
MOST_ROWS = 500  # routes on one page; a search finds the rest
LAST_CHANGES = 8
_BRAKE = 'Fix that. "Everything to legacy" still works.'


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: what is wrong, since when (RFC 3339, or None if unknown), details, and the fix."""

    what: str
    since: str | None = None
    details: tuple[str, ...] = ()
    fix: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """How many of a route's requests were compared, and how many differed."""

    compared: int
    mismatched: int


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One route's row. `way_back` is the argument of a flip back to legacy, a name or group:NAME; None if there is no way back."""

    split: RouteSplit
    takes: str
    marks: tuple[str, ...]
    breakers: Mapping[str, str]  # side -> state, where not closed
    shadow: ShadowCounts
    open_groups: int  # of mismatches that no current rule covers
    way_back: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of requests and errors of both sides up to one moment.

    The difference of two Totals is what happened between the two moments.
    """

    at_s: int
    legacy_requests: int
    legacy_errors: int
    migrated_requests: int
    migrated_errors: int

    def __str__(self) -> str:
        return ".".join(str(getattr(self, each.name)) for each in fields(self))

    def since(self, before: Totals) -> Totals | None:
        """Return the difference from earlier totals, with the seconds between the two as `at_s`; None if they cannot be compared."""
        names = [each.name for each in fields(self)]
        more = [getattr(self, name) - getattr(before, name) for name in names]
        return Totals(*more) if min(more) >= 0 and more[0] else None


def parse_totals(text: str) -> Totals | None:
    """Parse totals from a link of this page; None for any other text."""
    found = re.fullmatch(
        r"(\d{1,15})\.(\d{1,15})\.(\d{1,15})\.(\d{1,15})\.(\d{1,15})", text, re.ASCII
    )
    return Totals(*map(int, found.groups())) if found else None


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the page."""

    status: str
    is_well: bool  # ready, not killed, with the table on disk in effect, and legacy answers
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]
    lagging: tuple[str, ...]  # sentences on workers that do not follow the files on disk
    killed_since: str | None  # None: there is no kill file
    totals: Totals
    rows: tuple[RouteRow, ...]
    hidden: int  # routes found, but beyond MOST_ROWS
    failures: tuple[tuple[str, str, int], ...]  # code, who is to blame, how often
    workers: tuple[Worker, ...]
    undo: HistoryEntry | None
    changes: tuple[HistoryEntry, ...]  # the latest first


def overview(view: AdminView, now_s: float, find: str = "") -> Overview:
    """Read the board, the metrics, the history and the files' times; `find` filters the routes."""
    living = living_workers(view)
    entries, unreadable = _read_or_reason(lambda: history_of(view).entries, "The history")
    counted, uncounted = _read_or_reason(
        lambda: _read_samples_in_time(view, now_s), "What was counted"
    )
    payload, killed_since = readiness(view, living), killed_since_of(view)
    lagging = lag_sentences(living, revision_on_disk(view), killed=killed_since is not None)
    notes, of_app = _split_notes(view, payload)
    figures = split_by_route(counted, view.table.routes if view.table else ())
    opened = open_groups_of(view)
    rows = [row for row in _rows(figures, counted, living, opened) if is_match(row, find)]
    return Overview(
        status=payload["status"],
        is_well=is_well(payload),
        alerts=(
            *_alerts(payload, living, killed_since),
            *map(Alert, of_app),
            *(Alert(each, fix=_BRAKE) for each in (unreadable, uncounted) if each),
        ),
        notes=tuple(notes),
        lagging=lagging,
        killed_since=killed_since,
        totals=totals_of(figures, now_s),
        rows=tuple(rows[:MOST_ROWS]),
        hidden=len(rows[MOST_ROWS:]),
        failures=failures_of(counted),
        workers=tuple(living),
        undo=find_undoable(entries, None),
        changes=tuple(entries[: -LAST_CHANGES - 1 : -1]),
    )


def _read_or_reason(read: Callable[[], Sequence[T]], name: str) -> tuple[Sequence[T], str]:
    """Return (result, ""): what `read` returns. If it fails, return ((), reason), because the page must work all the same."""
    try:
        return read(), ""
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return (), f"{name} cannot be read ({where}{error.strerror or error})."


def _read_samples_in_time(view: AdminView, now_s: float) -> list[Counted]:
    return within(ANSWER_S, view.metrics, partial(read_samples, view, now_s))


def open_groups_of(view: AdminView) -> Mapping[str, int]:
    """Return the number of open groups by route; none if the store does not respond."""
    with suppress(OSError):
        return within(ANSWER_S, view.state / "store", view.open_groups)
    return {}


def read_samples(view: AdminView, now_s: float) -> list[Counted]:
    """Return what all workers counted in total and in the last minute."""
    return [*sum_samples(view.metrics), *recent_requests(view.metrics, now_s)]


# --- what is on disk ------------------------------------------------------------------------------


def killed_since_of(view: AdminView) -> str | None:
    """Return when the older of the kill files was made; None if there is no kill file. A dangling link counts as a kill file."""
    times = []
    for path in kill_files(view.config, view.state):
        with suppress(OSError):
            times.append(within(LOOK_S, path, path.lstat).st_mtime)
    return rfc3339(min(times)) if times else None


def revision_on_disk(view: AdminView) -> str | None:
    """Return the revision of the file on disk; None if it cannot be read."""
    try:
        return revision_of(within(LOOK_S, view.config, partial(read_table_file, view.config)))
    except OSError:
        return None


def lag_sentences(
    living: Sequence[Worker], revision: str | None, *, killed: bool
) -> tuple[str, ...]:
    """Return a sentence for each worker that does not follow the table on disk or the kill file.

    A worker that rejects the table is not mentioned for that, because it has an alert of its own.
    """
    found = []
    for worker in living:
        who = f"worker {worker.get('slot')} (pid {worker.get('pid')})"
        if bool(worker.get("killed")) != killed:
            found.append(f"{who} {'has not seen' if killed else 'still sees'} the kill file")
        if worker.get("revision") != revision and revision and not worker.get("reload_error"):
            found.append(f"{who} runs {worker.get('revision')}, the file is {revision}")
    return tuple(found)


# --- what is wrong --------------------------------------------------------------------------------


def _alerts(
    payload: Mapping[str, Any], living: Sequence[Worker], killed_since: str | None
) -> Iterable[Alert]:
    if payload["status"] == "draining":
        yield Alert("This front door is shutting down: it drains open requests.")
    if payload["status"] == "starting":
        yield Alert("No worker serves yet.", fix="If this does not change, read the log.")
    if killed_since:
        exempt = payload.get("irreversible", ())
        stay = (
            f"These routes stay on migrated, because their data has left legacy: {', '.join(exempt)}.",
        )
        what = "Killed: legacy serves everything, whatever the table says."
        yield Alert(what, killed_since, stay if exempt else (), '"Resume" ends this.')
    if not payload["upstream"]["up"]:
        yield _upstream_alert(payload["upstream"])
    if payload["reload_error"]:
        yield _reload_alert(payload["reload_error"])
    if payload["boot_error"]:
        yield _boot_alert(payload["boot_error"])
    yield from breaker_alerts(living)


def is_well(payload: Mapping[str, Any]) -> bool:
    """Whether the body of /readyz contains nothing that is wrong."""
    wrong = payload["killed"] or payload["reload_error"] or payload["boot_error"]
    return payload["status"] == "ready" and payload["upstream"]["up"] and not wrong


def _split_notes(view: AdminView, payload: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return (notes on the table, other notes); a note on the table begins with its place, the others are about the app."""
    notes = payload.get("notes", ())
    on_file = [each for each in notes if each.startswith(f"{view.config}:")]
    return on_file, [each for each in notes if each not in on_file]


def _upstream_alert(upstream: Mapping[str, Any]) -> Alert:
    what = f"Legacy does not answer ({upstream['error']})."
    fix = "Repair legacy, or correct legacy.url. Migrated routes keep working."
    return Alert(what, upstream["since"], (), fix)


def _reload_alert(error: Mapping[str, Any]) -> Alert:
    what = "The table on disk was rejected; the former table stays in effect."
    return Alert(
        what, error["at"], tuple(map(_problem_text, error["problems"])), "See", "overgrow check"
    )


def _boot_alert(error: Mapping[str, Any]) -> Alert:
    """Return the alert that new workers do not start: they exit before they serve, or soon afterwards."""
    what = "New workers do not start. The running ones keep serving, and starts are retried."
    times = f"{error['failures']} failed starts in a row; the latest reported:"
    fix = "Fix that; SIGHUP retries at once."
    return Alert(what, error["at"], (times, error["reason"]), fix)


def _problem_text(problem: Mapping[str, Any]) -> str:
    who = f'route "{problem["route"]}": ' if problem["route"] else ""
    place = f"{problem['file']}:{problem['line']}:{problem['column']}"
    return f"{place}: {who}{problem['message']}. {problem['fix']} [{problem['code']}]"


def breaker_alerts(living: Sequence[Worker]) -> Iterable[Alert]:
    """Yield an alert for each route, side and state of breakers that are not closed."""
    found: defaultdict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for worker in living:
        for each in worker.get("breakers", ()):
            found[each["route"], each["side"], each["state"]].append(each)
    for (route, side, state), breakers in sorted(found.items()):
        where = f"in {len(breakers)} of {len(living)} workers"
        by = breakers[0].get("opened_by")
        why = (
            f"{by['failed']} failed and {by['slow']} slow of {by['answers']} responses"
            if by
            else ""
        )
        what = f"Breaker {state}: {route}, {side}, {where}."
        fix, command = (
            "It closes by itself once the side responds. To close it at once:",
            "overgrow breaker reset",
        )
        yield Alert(what, None, (why,) if why else (), fix, f"{command} {route}")


# --- routes ---------------------------------------------------------------------------------------


def _rows(
    figures: Sequence[RouteSplit],
    counted: Sequence[Counted],
    living: Sequence[Worker],
    opened: Mapping[str, int],
) -> Iterable[RouteRow]:
    shadow, breakers = shadow_counts_of(counted), _breaker_states(living)
    for each in figures:
        name, route = each.name, each.route
        yield RouteRow(
            split=each,
            takes=describe_matched_requests(route) if route else "",
            marks=tuple(marks_of(each)),
            breakers=breakers.get(name, {}),
            shadow=shadow.get(name, ShadowCounts(0, 0)),
            open_groups=opened.get(name, 0),
            way_back=way_back_of(route) if route else None,
        )


def describe_matched_requests(route: Route) -> str:
    """Return which requests a route matches, in words."""
    words = [*(route.methods or ()), route.path or f"{route.prefix} and below"]
    words += [f"on {route.host}"] if route.host else []
    return " ".join([*words, *(f"if {predicate}" for predicate in route.predicates)])


def marks_of(figures: RouteSplit) -> Iterable[str]:
    """Yield facts about a route for the page, such as its group, in a few words each."""
    route = figures.route
    if route is None and figures.target is None:
        yield "no longer in the table"
    if route and route.group:
        yield f"group {route.group}"
    if route and route.fallback:
        yield "fallback"
    if route and not route.reversible:
        yield "irreversible: cannot go back"
    if figures.other:
        yield f"{figures.other:,} served by neither side"


def way_back_of(route: Route) -> str | None:
    """Return the argument of a flip of this route to legacy: its name, or group:NAME.

    None if the route is completely on legacy already, or cannot go back.
    """
    if not route.reversible or (route.target == "legacy" and not route.canary):
        return None
    return f"{GROUP}{route.group}" if route.group else route.name


def is_match(row: RouteRow, find: str) -> bool:
    """Whether a route's name, path or marks contain the text."""
    return find.lower() in " ".join([row.split.name, row.takes, *row.marks]).lower()


def _breaker_states(living: Sequence[Worker]) -> dict[str, dict[str, str]]:
    """Return {route: {side: state}} of breakers that are not closed: open if a breaker is open in any worker, else half-open."""
    found: dict[str, dict[str, str]] = {}
    breakers = [each for worker in living for each in worker.get("breakers", ())]
    for each in sorted(breakers, key=lambda one: one["state"] == "open"):
        found.setdefault(each["route"], {})[each["side"]] = each["state"]
    return found


# --- counts ---------------------------------------------------------------------------------------


def totals_of(figures: Sequence[RouteSplit], now_s: float) -> Totals:
    """Return the sums over all routes."""
    return Totals(
        int(now_s),
        sum(each.legacy.requests for each in figures),
        sum(each.legacy.errors for each in figures),
        sum(each.migrated.requests for each in figures),
        sum(each.migrated.errors for each in figures),
    )


def shadow_counts_of(counted: Iterable[Counted]) -> dict[str, ShadowCounts]:
    """Return the number of comparisons and of differences of each route."""
    times: Counter[tuple[str, str]] = Counter()
    for sample in counted:
        if sample.name == "overgrow_shadow_total":
            times[sample.labels["route"], sample.labels["verdict"]] += int(sample.value)
    found = {}
    for route in {route for route, _ in times}:
        differed = times[route, "mismatched"]
        alike = times[route, "matched"] + times[route, "ignored"]
        found[route] = ShadowCounts(alike + differed, differed)
    return found


def failures_of(counted: Iterable[Counted]) -> tuple[tuple[str, str, int], ...]:
    """Return (code, party, number) of failures, the most frequent first; the party is the one that caused them."""
    times: Counter[tuple[str, str]] = Counter()
    for sample in counted:
        # `gone` is not a failure: the table asks for it.
        if sample.name == "overgrow_failures_total" and sample.labels["code"] != "gone":
            times[sample.labels["code"], sample.labels["party"]] += int(sample.value)
    return tuple((code, party, count) for (code, party), count in times.most_common())


# --- time -----------------------------------------------------------------------------------------


def ago_text(at: str | None, now_s: float) -> str:
    """Return how long ago an RFC 3339 time was; empty for a text that is not a time."""
    try:
        return ago(now_s - datetime.fromisoformat(at or "").timestamp())
    except ValueError:
        return ""
