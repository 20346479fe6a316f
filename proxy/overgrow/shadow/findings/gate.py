"""Decides whether the evidence allows a flip. Pure arithmetic: time and counts come in as numbers.

Rule: 299 comparisons without a mismatch prove with 95% confidence that at most 1% of requests are answered
differently (299 = ln 0.05 / ln 0.99, rounded up). `clean: 299` asks for this proof. Mismatches are tolerated if
the upper bound of their rate (Clopper-Pearson) is at most 1% all the same. While a group of high severity is
open, the gate is closed. A comparison counts only for requests of its own shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, expm1, lgamma, log, log1p
from types import MappingProxyType

from overgrow.evidence import Evidence, ShapeCounts
from overgrow.text import count_text

CONFIDENCE = 0.95
_TINY = 1e-300
_PRECISION = 1e-15


@dataclass(frozen=True, slots=True)
class Requirement:
    """What the gate requires before a route moves. `clean` is `require: {clean: N}` of the table."""

    clean: int = 299
    confidence: float = CONFIDENCE
    coverage: float = 0.95  # the share of requests whose shape was compared
    max_age_s: float = 24 * 3600.0  # of the newest comparison

    @property
    def allowed_rate(self) -> float:
        """The highest rate of mismatches that the gate allows.

        This is the rate that is still possible after `clean` comparisons without a mismatch.
        """
        return mismatch_rate_upper_bound(0, self.clean, self.confidence)


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether the route is ready. `reasons` say why it is not, and `arithmetic` explains the numbers in words."""

    ready: bool
    reasons: tuple[str, ...]
    arithmetic: tuple[str, ...]
    compared: int
    mismatched: int
    rate_bound: float
    allowed_rate: float
    coverage: float | None  # None: no requests were counted
    missing: int  # how many more comparisons without a mismatch are needed


def evaluate_gate(evidence: Evidence, requirement: Requirement, now: float) -> GateResult:
    """Judge the evidence; `now` is unix seconds."""
    reasons = [
        *_reasons_of_mismatch_rate(evidence, requirement),
        *_reasons_of_severity(evidence),
        *_reasons_of_uncompared_shapes(evidence, requirement),
        *_reasons_of_requests_left_out(evidence, requirement),
        *_reasons_of_age(evidence, requirement, now),
    ]
    bound = mismatch_rate_upper_bound(
        evidence.mismatched, evidence.compared, requirement.confidence
    )
    return GateResult(
        not reasons,
        tuple(reasons),
        _explain_arithmetic(evidence, requirement, bound),
        evidence.compared,
        evidence.mismatched,
        bound,
        requirement.allowed_rate,
        coverage_of_request_shapes(evidence.shapes),
        _clean_comparisons_missing(evidence, requirement),
    )


def comparisons_needed(rate: float, confidence: float = CONFIDENCE) -> int:
    """Return how many comparisons without a mismatch prove a rate of at most `rate`: 299 for 1%."""
    return ceil(log(1 - confidence) / log1p(-rate))


def mismatch_rate_upper_bound(
    mismatched: int, compared: int, confidence: float = CONFIDENCE
) -> float:
    """Return the highest rate of mismatches that is still possible with these counts (Clopper-Pearson, one-sided)."""
    if mismatched >= compared:
        return 1.0
    if mismatched == 0:
        return -expm1(log(1 - confidence) / compared)
    low, high = mismatched / compared, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        if binomial_cdf(mismatched, compared, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def binomial_cdf(hits: int, tries: int, rate: float) -> float:
    """Return the probability of at most `hits` hits in `tries` tries: I(1 - rate; tries - hits, hits + 1)."""
    if hits >= tries or rate <= 0:
        return 1.0
    return 0.0 if rate >= 1 else incomplete_beta(1 - rate, tries - hits, hits + 1)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I(x; a, b), for 0 < x < 1 (DLMF 8.17)."""
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    # The fraction converges fast on this side of the mean; the symmetry (DLMF 8.17.4) gives the other side.
    if x < (a + 1) / (a + b + 2):
        return front * _beta_continued_fraction(x, a, b) / a
    return 1 - front * _beta_continued_fraction(1 - x, b, a) / b


def _beta_continued_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the beta function (DLMF 8.17.22), by Lentz's method."""
    c = 1.0
    d = _safe_inverse(1 - (a + b) * x / (a + 1))
    product = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = _safe_inverse(1 + term * d)
            c = _replace_zero_by_tiny(1 + term / c)
            product *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return product


def _replace_zero_by_tiny(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _safe_inverse(value: float) -> float:
    return 1 / _replace_zero_by_tiny(value)


def coverage_of_request_shapes(shapes: Sequence[ShapeCounts]) -> float | None:
    """Return the share of served requests whose shape was compared. Return None if no served requests were counted."""
    served = sum(shape.served for shape in shapes)
    if not served:
        return None
    return sum(shape.served for shape in shapes if shape.compared) / served


def _reasons_of_mismatch_rate(evidence: Evidence, requirement: Requirement) -> list[str]:
    missing, allowed = _clean_comparisons_missing(evidence, requirement), requirement.allowed_rate
    if evidence.mismatched == 0 and missing:
        return [
            (
                f"{count_text(evidence.compared, 'comparison')} without a mismatch; "
                f"{requirement.clean:,} are required, {missing:,} more."
            )
        ]
    bound = mismatch_rate_upper_bound(
        evidence.mismatched, evidence.compared, requirement.confidence
    )
    if bound <= allowed * (1 + 1e-9):
        return []
    return [
        (
            f"{count_text(evidence.mismatched, 'mismatch')} in {count_text(evidence.compared, 'comparison')}: up to "
            f"{format_percent(bound)} of requests may be answered differently; at most {format_percent(allowed)} is allowed."
        )
    ]


def _reasons_of_severity(evidence: Evidence) -> list[str]:
    return [
        f"Group {group.key[:8]} is open and of high severity ({count_text(group.count, 'time')}): {group.title}."
        for group in evidence.open_groups
        if group.severity == "high"
    ]


def _reasons_of_uncompared_shapes(evidence: Evidence, requirement: Requirement) -> list[str]:
    share = coverage_of_request_shapes(evidence.shapes)
    if share is None or share >= requirement.coverage:
        return []
    unseen = [shape for shape in evidence.shapes if shape.served and not shape.compared]
    most = sorted(unseen, key=lambda shape: (-shape.served, describe_request_shape(shape)))
    named = "; ".join(
        f"{describe_request_shape(shape)} ({shape.served:,} served)" for shape in most[:3]
    )
    more = f"; and {len(most) - 3} more" if len(most) > 3 else ""
    return [
        (
            f"Only {format_percent(share)} of requests are of a shape that was compared; at least {format_percent(requirement.coverage)} is "
            f"required. Never compared: {named}{more}."
        )
    ]


# What helps against each reason why a drawn request is not compared.
_LOWER = "lower the share of its `shadow:`"
_ROUTE_OF_ITS_OWN = "give these requests a route of their own"
HELPS: Mapping[str, str] = MappingProxyType(
    {
        "answer-too-large": "write `shadow: {percent: ..., max_answer: 1MB}`, so that more of an answer is kept",
        "budget": _LOWER,
        "conditional": _ROUTE_OF_ITS_OWN,
        "fault": "the log has the traceback; please report it",
        "memory": f"{_LOWER} or its `max_answer`",
        "queue-full": _LOWER,
        "request-too-large": f"bodies over 64 KiB are not sent twice; {_ROUTE_OF_ITS_OWN}",
        "stale": _LOWER,
        "stream": _ROUTE_OF_ITS_OWN,
        "too-much-work": f"more differs than can be judged; fix or accept what differs first, or {_ROUTE_OF_ITS_OWN}",
        "unanswered": "a side gave no answer; see the log, and its `response_timeout`",
        "unfinished": f"users left before the end, or the app did not read the body; {_ROUTE_OF_ITS_OWN}",
        "wrote": f"migrated writes to its database at safe requests; {_ROUTE_OF_ITS_OWN}, without a `shadow:`",
    }
)


def _reasons_of_requests_left_out(evidence: Evidence, requirement: Requirement) -> list[str]:
    left_out = sum(evidence.not_compared.values())
    drawn = left_out + evidence.lately_compared
    if not left_out or evidence.lately_compared >= requirement.coverage * drawn:
        return []
    named = sorted(evidence.not_compared.items(), key=lambda each: (-each[1], each[0]))
    reasons = "; ".join(
        f"{why} ({count:,}): {HELPS.get(why, 'see the log')}" for why, count in named[:3]
    )
    return [
        (
            f"Only {evidence.lately_compared:,} of {drawn:,} requests drawn within a day were compared; "
            f"at least {format_percent(requirement.coverage)} is required. Left out: {reasons}."
        )
    ]


def describe_request_shape(shape: ShapeCounts) -> str:
    """Describe a shape in words: `GET /orders/<int:id>?page 200, signed in`."""
    query = f"?{'&'.join(shape.query_keys)}" if shape.query_keys else ""
    who = ", signed in" if shape.signed_in else ""
    return f"{shape.method} {shape.template}{query} {shape.status}{who}"


def _reasons_of_age(evidence: Evidence, requirement: Requirement, now: float) -> list[str]:
    if evidence.newest_at is None:
        return []
    age_s = now - evidence.newest_at
    if age_s <= requirement.max_age_s:
        return []
    return [
        (
            f"The newest comparison is {format_hours_or_days(age_s)} old; at most {format_hours_or_days(requirement.max_age_s)} is allowed. "
            "Compare again (`shadow:`)."
        )
    ]


def _clean_comparisons_missing(evidence: Evidence, requirement: Requirement) -> int:
    """Return how many more comparisons without a mismatch are needed to lower the bound of the rate as required."""
    k, n = evidence.mismatched, evidence.compared
    if k == 0:
        return max(0, requirement.clean - n)
    low, high = max(n, k + 1), max(n, k + 1)
    allowed = requirement.allowed_rate * (1 + 1e-9)
    while mismatch_rate_upper_bound(k, high, requirement.confidence) > allowed:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if mismatch_rate_upper_bound(k, middle, requirement.confidence) > allowed:
            low = middle + 1
        else:
            high = middle
    return high - n


def _explain_arithmetic(
    evidence: Evidence, requirement: Requirement, bound: float
) -> tuple[str, ...]:
    k, n, sure = evidence.mismatched, evidence.compared, format_percent(requirement.confidence)
    allowed = format_percent(requirement.allowed_rate)
    how = f"1 - {1 - requirement.confidence:.4g}^(1/{n:,})" if n and not k else "Clopper-Pearson"
    lines = [
        (
            f"{count_text(k, 'mismatch')} in {count_text(n, 'comparison')}: with {sure} confidence at most "
            f"{format_percent(bound)} of requests are answered differently ({how})."
        ),
        f"`clean: {requirement.clean}` allows {allowed}: what {requirement.clean:,} comparisons without a mismatch prove.",
    ]
    share = coverage_of_request_shapes(evidence.shapes)
    if share is not None:
        lines.append(
            f"{format_percent(share)} of requests served are of a shape that was compared."
        )
    return tuple(lines)


def format_percent(rate: float) -> str:
    """Format a rate with three significant digits: `0.997%`."""
    return f"{rate * 100:.3g}%"


def format_hours_or_days(seconds: float) -> str:
    """Format a duration: `30 h`, `9 days`."""
    return f"{seconds / 3600:.0f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} days"
