"""The history of requests as data for pages and API: series of a route or of all, and the progress of the migration.

Rule: if the store does not answer, `problem` says why, and nothing is raised: pages have other things to show.
Percentiles come from histograms that were added up. Knows neither Flask nor HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from overgrow.admin.view import StateFolder, Worker, living_workers
from overgrow.files import ANSWER_S, within
from overgrow.observe.metrics import BUCKETS_S
from overgrow.observe.split import quantile
from overgrow.text import rfc3339

Counts = Sequence[int]  # errors, then the requests in each bucket
SIZE = len(BUCKETS_S) + 2
LAST_S = 253_402_300_799  # the last second that RFC 3339 can write
MADE_BY = "overgrow serve makes it about a second after it starts."
SERVING = ("legacy", "migrated")


@dataclass(frozen=True, slots=True)
class HistoryQuestion:
    """A query on the history of requests: a route (None: all routes together), a period, and the length of a step.

    Times are unix seconds. If `step_s` is None, the step depends on the length of the period.
    """

    route: str | None
    since_s: float
    until_s: float
    step_s: int | None = None


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The requests of one step.

    `share` is migrated's share of the requests that legacy and migrated served, from 0 to 1.
    """

    at_s: int
    requests: int
    errors: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    share: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the point as the API shows it."""
        return {
            "at": rfc3339(self.at_s),
            "requests": self.requests,
            "errors": self.errors,
            "p50": self.p50_s,
            "p95": self.p95_s,
            "p99": self.p99_s,
            "share": None if self.share is None else round(100 * self.share, 2),  # percent
        }


@dataclass(frozen=True, slots=True)
class SidesHistory:
    """The counts of each side, by the time at which a step begins. Steps without requests are left out.

    `problem` says why the store cannot be read or written now; it is None if reading and writing work.
    `is_known` is False if the store has never counted a request of the route.
    """

    since_s: float
    until_s: float
    step_s: int
    sides: Mapping[str, Mapping[int, Counts]]
    is_known: bool
    problem: str | None = None

    def points(self, side: str | None = None) -> tuple[HistoryPoint, ...]:
        """Return the points of one side, or of all sides together."""
        wanted = [each for each in self.sides if side in (None, each)]
        steps = sorted({at for each in wanted for at in self.sides[each]})
        return tuple(self._point(at, wanted) for at in steps)

    def _point(self, at_s: int, wanted: Iterable[str]) -> HistoryPoint:
        found = [self.sides[side][at_s] for side in wanted if at_s in self.sides[side]]
        errors, *buckets = map(sum, zip(*found, strict=True))
        p50_s, p95_s, p99_s = _quantiles_of(buckets)
        requests, share = sum(buckets), self.share(at_s)
        return HistoryPoint(at_s, requests, errors, p50_s, p95_s, p99_s, share)

    def share(self, at_s: int) -> float | None:
        """Return migrated's share of the requests of a step; None if neither side served any."""
        legacy, migrated = (self.requests(side, at_s) for side in SERVING)
        served = legacy + migrated
        return round(migrated / served, 4) if served else None

    def requests(self, side: str, at_s: int) -> int:
        """Return the number of requests of a side in a step."""
        return sum(self.sides.get(side, {}).get(at_s, (0,))[1:])


def _quantiles_of(buckets: Sequence[int]) -> list[float | None]:
    total, cumulative = 0, []
    for bound_s, count in zip((*BUCKETS_S, float("inf")), buckets, strict=True):
        total += count
        cumulative.append((bound_s, float(total)))
    return [quantile(cumulative, share) for share in (0.5, 0.95, 0.99)]


def sides_history(view: StateFolder, question: HistoryQuestion, now_s: float) -> SidesHistory:
    """Return the counts of every side of a route, or of all routes together."""
    try:
        found = within(ANSWER_S, view.state / "history", partial(_read, view, question, now_s))
    except OSError as error:
        problem = f"The store does not answer ({error.strerror or error})."
        return _nothing(question, problem)
    return found


def _read(view: StateFolder, question: HistoryQuestion, now_s: float) -> SidesHistory:
    from overgrow.store.engine import StoreError, file_of, store_url  # noqa: PLC0415  SQLAlchemy is slow
    from overgrow.store.history.reading import plan_period, read_history  # noqa: PLC0415  as above
    from overgrow.store.reader import open_reader  # noqa: PLC0415  as above

    period = plan_period(question.since_s, question.until_s, question.step_s, now_s)
    try:
        url = store_url(view.state, view.store_url)
        file = file_of(url)
        if file is not None and not file.is_file():
            return _nothing(question, f"There is no history yet: {file} does not exist. {MADE_BY}")
        with open_reader(url) as reader:
            found = read_history(reader, question.route or "", period, SIZE)
    except StoreError as error:
        return _nothing(question, str(error))
    return SidesHistory(
        max(0, period.since),
        min(period.until, LAST_S),
        period.step_s,
        found.sides,
        found.is_known,
        recording_problem(living_workers(view)),
    )


def _nothing(question: HistoryQuestion, problem: str) -> SidesHistory:
    step_s = question.step_s or 60
    return SidesHistory(question.since_s, question.until_s, step_s, {}, False, problem)


def recording_problem(living: Iterable[Worker]) -> str | None:
    """Return the reason that a worker reports for not storing the history now; None if no worker reports one."""
    told = (worker.get("history_problem") for worker in living)
    reason = next(filter(None, told), None)
    return f"What is counted now is not stored yet: {reason}" if reason else None
