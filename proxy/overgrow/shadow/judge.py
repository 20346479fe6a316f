"""Compares two responses and returns a result that may be stored: a verdict, and redacted differences in a group.

Pure. No result of this module contains a hidden value of a response.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

from overgrow.evidence import Compared, Record, Served, Shape
from overgrow.shadow.compare.compare import compare
from overgrow.shadow.compare.redacting import redact_pair
from overgrow.shadow.fetch import ResponsePair
from overgrow.shadow.findings.groups import build_pair_group
from overgrow.shadow.findings.noise import Noise, measure_pair_noise
from overgrow.shadow.recording import DropReason
from overgrow.shadow.redact.redact import RedactedRequest
from overgrow.shadow.rules.rules import Rules
from overgrow.shadow.sampling import Copy, url_of
from overgrow.shadow.values.snapshot import ResponseSnapshot

QUICK_S = 0.05  # learning noise takes up to three times as long again


class Judgement(NamedTuple):
    """The record of one comparison.

    If both sides were asked twice, it also has the noise that was learned, else None.
    """

    compared: Compared
    noise: Noise | None


class EvidenceSink(Protocol):
    """A receiver of findings. It must neither block nor raise."""

    def store_record(self, record: Record) -> None:
        """Keep one record."""
        ...

    def record_comparison(self, judgement: Judgement) -> None:
        """Count and store a comparison, and learn its noise."""
        ...

    def record_unanswered_copy(self, served: Served) -> None:
        """Count and store a copy to which a side gave no response."""
        ...

    def record_dropped_request(self, reason: DropReason, served: Served | None = None) -> None:
        """Count and store a request that was drawn for a comparison but not compared."""
        ...


# Map 19 (docs/architecture.md#a-request-by-numbers)
def judge_copy(
    copy: Copy, pair: ResponsePair, rules: Rules, cpu_s: Callable[[], float]
) -> Judgement | DropReason:
    """Compare the responses under the rules. If they cannot be judged, return the reason.

    Noise is learned only if the comparison took little CPU time; `cpu_s` returns the CPU seconds of this thread.
    """
    began_s = cpu_s()
    control, candidate, *_ = pair
    comparison = compare(control, candidate, rules, url_of(copy.head))
    if comparison.undecided and comparison.verdict != "mismatched":
        return comparison.undecided
    served, group = copy.served, None
    if comparison.differences:
        # Covered differences are kept too: a changed rule judges them again.
        redacted = redact_pair(
            _redacted_request_of(served.shape),
            control,
            candidate,
            comparison.differences,
            rules.show,
        )
        group = build_pair_group(served.route, redacted, served.at, truncated=comparison.truncated)
    is_quick = cpu_s() - began_s <= QUICK_S
    pair = pair if is_quick else pair._replace(again=None)
    noise = _measure_noise(group.example.rank if group else "", pair, rules)
    names = {each.rule for each in comparison.differences if each.rule is not None}
    compared = Compared(
        served.route,
        served.control,
        served.at,
        served.shape,
        comparison.verdict,
        group,
        tuple(sorted(names)),
    )
    return Judgement(compared, noise)


def _redacted_request_of(shape: Shape) -> RedactedRequest:
    return RedactedRequest(shape.method, shape.template, shape.query_keys, shape.signed_in)


def _measure_noise(name: str, pair: ResponsePair, rules: Rules) -> Noise | None:
    """Return the noise that the second responses show. Bodies of which only a fingerprint was kept show none."""
    control, candidate, again, candidate_again = pair
    if again is None:
        return None
    if any(each is not None and each.fingerprint for each in pair):
        control, candidate, again = map(_drop_body, (control, candidate, again))
        candidate_again = _drop_body(candidate_again) if candidate_again is not None else None
    migrated = (candidate, candidate_again) if candidate_again is not None else None
    return measure_pair_noise(name, control, again, rules, migrated)


def _drop_body(response: ResponseSnapshot) -> ResponseSnapshot:
    return replace(response, body=b"", fingerprint=None)
